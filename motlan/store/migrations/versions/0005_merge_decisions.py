"""What people decide about merged values and held publications, and the feeds of entities beside the main one."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

NOW = sa.text("now()")


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "value_decisions",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False, comment="the record's key at its source"),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False, comment="keyed hash of the value"),
        sa.Column("ref", sa.Text(), nullable=False, comment="the landed row, as it was seen"),
        sa.Column("action", sa.Text(), nullable=False, comment="set aside, or believe again"),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False, comment="in the person's words; may name persons"),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("value_decisions_by_record", "value_decisions", ["entity", "dataset", "key", "field", "digest"])
    op.create_table(
        "release_decisions",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False, comment="nobody decides twice"),
        sa.Column("action", sa.Text(), nullable=False, comment="approve or refuse"),
        sa.Column("reason", sa.Text(), nullable=False, comment="in the person's words"),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.id"]),
        sa.PrimaryKeyConstraint("run", "principal"),
    )
    op.create_table(
        "facet_publications",
        sa.Column("publication", sa.BigInteger(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("first_seq", sa.BigInteger(), nullable=False, comment="of this entity's own feed"),
        sa.Column("changes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["publication"], ["publications.number"]),
        sa.PrimaryKeyConstraint("publication", "entity"),
    )


def downgrade() -> None:
    """Remove them."""
    for table in ("facet_publications", "release_decisions", "value_decisions"):
        op.drop_table(table)
