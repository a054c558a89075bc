"""Decisions about pairs remember which versions of their records they were made on, and runs which of them do not hold."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

SEEN = ("left_ref", "right_ref")
PURPOSES = "unsure, known or sample"


def upgrade() -> None:
    """Add the columns and the table. A decision without versions is given those of the next linking."""
    for table in ("link_assignments", "link_decisions"):
        for name in SEEN:
            op.add_column(table, sa.Column(name, sa.Text(), comment="the landed row, as it was seen"))
    op.alter_column(
        "link_assignments",
        "purpose",
        comment="unsure, known, sample, contradiction or stale",
        existing_comment=PURPOSES,
    )
    op.create_table(
        "link_contradictions",
        sa.Column("run", sa.Text(), nullable=False, comment="the reconcile run that linked without it"),
        sa.Column("decision", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False, comment="contradiction or stale"),
        sa.ForeignKeyConstraint(["run"], ["runs.id"]),
        sa.ForeignKeyConstraint(["decision"], ["link_decisions.id"]),
        sa.PrimaryKeyConstraint("run", "decision"),
    )


def downgrade() -> None:
    """Remove them."""
    op.drop_table("link_contradictions")
    op.alter_column("link_assignments", "purpose", comment=PURPOSES)
    for table in ("link_assignments", "link_decisions"):
        for name in SEEN:
            op.drop_column(table, name)
