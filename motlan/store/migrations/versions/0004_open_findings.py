"""How many findings are open, by the day they were first seen."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make it."""
    op.create_table(
        "open_findings",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="row, cross or correction"),
        sa.Column("subject", sa.Text(), nullable=False, comment="the rule; of a correction the field"),
        sa.Column("since", sa.Date(), nullable=False, comment="day in UTC on which the findings were first seen"),
        sa.Column("number", sa.BigInteger(), nullable=False, comment="open at the newest reconcile"),
        sa.PrimaryKeyConstraint("dataset", "kind", "subject", "since"),
    )


def downgrade() -> None:
    """Remove it."""
    op.drop_table("open_findings")
