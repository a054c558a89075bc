"""People who sign in, and API keys of which an agency may have several, that expire and can be revoked."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

NOW = sa.text("now()")


def upgrade() -> None:
    """Make the tables; a key that is there holds for 180 days from now."""
    op.add_column(
        "api_keys", sa.Column("id", sa.Text(), comment="public: what lists and revocations name; opens nothing")
    )
    op.add_column("api_keys", sa.Column("expires_at", sa.DateTime(timezone=True)))
    op.add_column("api_keys", sa.Column("revoked_at", sa.DateTime(timezone=True)))
    op.execute(
        "update api_keys set id = substr(md5(random()::text || agency), 1, 12), expires_at = now() + interval '180 days'"
    )
    op.alter_column("api_keys", "id", nullable=False)
    op.alter_column("api_keys", "expires_at", nullable=False)
    op.drop_constraint("api_keys_pkey", "api_keys")
    op.create_primary_key("api_keys_pkey", "api_keys", ["id"])
    op.create_index("api_keys_by_agency", "api_keys", ["agency"])
    op.create_table(
        "people",
        sa.Column("id", sa.Text(), nullable=False, comment="random; what the log names"),
        sa.Column("name", sa.Text(), nullable=False, comment="what one signs in as"),
        sa.Column("role", sa.Text(), nullable=False, comment="admin, steward or reviewer"),
        sa.Column(
            "uid", sa.BigInteger(), comment="the machine account that is this person's own; none where it is shared"
        ),
        sa.Column(
            "secret",
            sa.Text(),
            nullable=False,
            comment="Argon2id in PHC form, of the passphrase or the one-time secret",
        ),
        sa.Column(
            "one_time_until",
            sa.DateTime(timezone=True),
            comment="until when a one-time secret opens; none: a passphrase",
        ),
        sa.Column(
            "failed",
            sa.Integer(),
            nullable=False,
            server_default="0",
            comment="wrong passphrases since the last right one",
        ),
        sa.Column("failed_at", sa.DateTime(timezone=True)),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False, server_default=NOW),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.Column(
            "removed_at", sa.DateTime(timezone=True), comment="removed people keep their row: decisions name them"
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "sign_ins",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column(
            "uid",
            sa.BigInteger(),
            nullable=False,
            comment="the machine account on which they signed in; the token holds there alone",
        ),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False, server_default=NOW),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(["person"], ["people.id"]),
        sa.PrimaryKeyConstraint("token_hash"),
    )
    op.create_index("sign_ins_by_person", "sign_ins", ["person"])


def downgrade() -> None:
    """Remove them; of the keys of an agency the newest one stays."""
    op.drop_table("sign_ins")
    op.drop_table("people")
    op.execute(
        "delete from api_keys where revoked_at is not null or expires_at <= now() or exists (select from api_keys as later "
        "where later.agency = api_keys.agency and (later.created_at, later.id) > (api_keys.created_at, api_keys.id))"
    )
    op.drop_index("api_keys_by_agency", "api_keys")
    op.drop_constraint("api_keys_pkey", "api_keys")
    for column in ("id", "expires_at", "revoked_at"):
        op.drop_column("api_keys", column)
    op.create_primary_key("api_keys_pkey", "api_keys", ["agency"])
