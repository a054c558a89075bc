"""The state of quarantined rows, and what people decided about them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "quarantine_entries",
        sa.Column("id", sa.Text(), nullable=False, comment="keyed hash of dataset, source key and content"),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("source_key", sa.Text(), nullable=True, comment="the record's key at its source"),
        sa.Column("state", sa.Text(), nullable=False, comment="open, fixed, waived or closed"),
        sa.Column("ref", sa.Text(), nullable=False, comment="the landed row, as it was seen last"),
        sa.Column("locator", sa.Text(), nullable=True, comment="where in its payload it stood"),
        sa.Column("moment", sa.Text(), nullable=True, comment="the source's own moment of the row"),
        sa.Column("version", sa.Text(), nullable=False, comment="the clean version that refused it"),
        sa.Column("rules", postgresql.ARRAY(sa.Text()), nullable=False, comment="the blocking rules that it broke"),
        sa.Column(
            "fingerprints", postgresql.ARRAY(sa.Text()), nullable=False, comment="versions of these rules, in order"
        ),
        sa.Column("first_seen", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("times_seen", sa.BigInteger(), nullable=False),
        sa.Column("fix", sa.Text(), nullable=True, comment="payload with a person's fix, while it waits or holds"),
        sa.Column("waived", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("closed_as", sa.Text(), nullable=True, comment="replayed, or corrected by the source"),
        sa.Column("closed_by", sa.Text(), nullable=True, comment="the run that brought the accepted row"),
        sa.ForeignKeyConstraint(["version"], ["versions.id"]),
        sa.ForeignKeyConstraint(["closed_by"], ["runs.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("quarantine_entries_by_state", "quarantine_entries", ["dataset", "state"])
    op.create_index("quarantine_entries_by_key", "quarantine_entries", ["dataset", "source_key"])
    op.create_table(
        "quarantine_decisions",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False, comment="fix or waive"),
        sa.Column("reason", sa.Text(), nullable=False, comment="in the person's words; may name persons"),
        sa.Column("payload", sa.Text(), nullable=True, comment="a fix: the payload with before and after"),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["entry"], ["quarantine_entries.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("quarantine_decisions_by_entry", "quarantine_decisions", ["entry"])


def downgrade() -> None:
    """Remove them."""
    op.drop_table("quarantine_decisions")
    op.drop_table("quarantine_entries")
