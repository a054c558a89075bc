"""What an operator needs: publishing held back by a person or a restore, and the feed's epochs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
_WAS = "running, visible, reconciled, waiting, released, refused, published, unchanged, failed or abandoned"
_NOW = "running, visible, reconciled, waiting, released, refused, published, unchanged, failed, abandoned or aborted"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "publication_holds",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("subject", sa.Text(), nullable=False, comment="publish, or an agency"),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False, comment="in the person's words; may name persons"),
        sa.Column("held_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.Column("ended_reason", sa.Text(), nullable=True, comment="in the person's words; may name persons"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "publication_holds_in_force",
        "publication_holds",
        ["subject"],
        unique=True,
        postgresql_where=sa.text("ended_at is null"),
    )
    op.create_table(
        "alerts",
        sa.Column(
            "cause", sa.Text(), nullable=False, comment="class of the error, and what is common to those told together"
        ),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False, comment="failures since it began"),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("cause"),
    )
    op.create_table(
        "feed_epochs",
        sa.Column(
            "epoch", sa.BigInteger(), autoincrement=False, nullable=False, comment="2, 3, ...; the first has no row"
        ),
        sa.Column("publication", sa.BigInteger(), nullable=False, comment="the newest one that was given out before"),
        sa.Column(
            "seqs",
            postgresql.JSONB(),
            nullable=False,
            comment="entity -> the last number of its feed that was given out before",
        ),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("epoch"),
    )
    op.create_table(
        "run_decisions",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False, comment="abort"),
        sa.Column("reason", sa.Text(), nullable=False, comment="in the person's words; may name persons"),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("run_decisions_by_run", "run_decisions", ["run"])
    op.alter_column("runs", "state", comment=_NOW, existing_comment=_WAS)


def downgrade() -> None:
    """Drop the tables."""
    op.alter_column("runs", "state", comment=_WAS, existing_comment=_NOW)
    op.drop_table("run_decisions")
    op.drop_table("feed_epochs")
    op.drop_table("alerts")
    op.drop_table("publication_holds")
