"""What each rule assessed and passed by area, beside the sums of 0001."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make it."""
    op.create_table(
        "area_results",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("area", sa.Text(), nullable=False, comment="of residence; empty where none is known"),
        sa.Column("assessed", sa.BigInteger(), nullable=False),
        sa.Column("passed", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run", "dataset", "rule"], ["rule_results.run", "rule_results.dataset", "rule_results.rule"]
        ),
        sa.PrimaryKeyConstraint("run", "dataset", "rule", "area"),
    )


def downgrade() -> None:
    """Remove it."""
    op.drop_table("area_results")
