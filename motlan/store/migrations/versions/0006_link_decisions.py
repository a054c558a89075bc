"""Models of linking and their release, pairs assigned to people, and what they decide about them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"

NOW = sa.text("now()")
PAIR = ("left_dataset", "left_key", "right_dataset", "right_key")


def _pair() -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in PAIR]


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "link_models",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="proposed, released, superseded or refused"),
        sa.Column("body", postgresql.JSONB(), nullable=False),
        sa.Column("run", sa.Text(), comment="the run that staged its frequencies"),
        sa.Column(
            "drift",
            sa.Double(),
            comment="largest change of a level's weight against the model released before, in bits",
        ),
        sa.Column("report", postgresql.JSONB(), comment="what it would change: counts, never a personal value"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("created_by", sa.Text(), comment="who fitted it; none of the first, which the bus itself learned"),
        sa.Column("released_by", sa.Text(), comment="who released or refused it"),
        sa.Column("released_at", sa.DateTime(timezone=True)),
        sa.Column("reason", sa.Text(), comment="in the person's words"),
        sa.ForeignKeyConstraint(["id"], ["versions.id"]),
        sa.ForeignKeyConstraint(["run"], ["runs.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    released = sa.text("state = 'released'")
    op.create_index("link_models_released", "link_models", ["entity"], unique=True, postgresql_where=released)
    op.create_table(
        "link_cases",
        sa.Column("entity", sa.Text(), nullable=False),
        *_pair(),
        sa.Column(
            "purpose", sa.Text(), nullable=False, comment="known: its answer is certain; sample: a link that was made"
        ),
        sa.Column("answer", sa.Boolean(), comment="of a known one: whether they are the same"),
        sa.Column("match_weight", sa.Double()),
        sa.Column("probability", sa.Double()),
        sa.Column("queued_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("entity", *PAIR, "purpose"),
    )
    op.create_table(
        "link_assignments",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        *_pair(),
        sa.Column("principal", sa.Text(), nullable=False, comment="whose it is to decide"),
        sa.Column("purpose", sa.Text(), nullable=False, comment="unsure, known or sample"),
        sa.Column("needed", sa.Integer(), nullable=False, comment="how many reviewers have to agree"),
        sa.Column("match_weight", sa.Double(), comment="as the machine had it when the pair was assigned"),
        sa.Column("probability", sa.Double()),
        sa.Column("assigned_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("entity", *PAIR, "principal"),
    )
    op.create_index("link_assignments_by_principal", "link_assignments", ["principal", "entity"])
    op.create_table(
        "link_decisions",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        *_pair(),
        sa.Column("verdict", sa.Text(), nullable=False, comment="same, different or unknown"),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False, comment="in the person's words; may name persons"),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("assignment", sa.BigInteger(), nullable=False),
        sa.Column("match_weight", sa.Double(), comment="as the machine had it when the pair was assigned"),
        sa.Column("probability", sa.Double()),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True)),
        sa.Column("withdrawn_by", sa.Text()),
        sa.Column("withdrawn_reason", sa.Text()),
        sa.ForeignKeyConstraint(["assignment"], ["link_assignments.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("link_decisions_by_pair", "link_decisions", ["entity", *PAIR])
    standing = sa.text("withdrawn_at is null")
    op.create_index("link_decisions_in_force", "link_decisions", ["assignment"], unique=True, postgresql_where=standing)


def downgrade() -> None:
    """Remove them."""
    for table in ("link_decisions", "link_assignments", "link_cases", "link_models"):
        op.drop_table(table)
