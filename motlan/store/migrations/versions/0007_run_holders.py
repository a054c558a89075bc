"""Who is at work on a run, and what of it was swept; a reconciled run that waits to be published is no running one."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"

STATES = "running, visible, reconciled, waiting, released, refused, published, unchanged, failed or abandoned"


def upgrade() -> None:
    """Make them."""
    op.alter_column("runs", "state", comment=STATES)
    op.add_column(
        "runs",
        sa.Column(
            "holder",
            postgresql.JSONB(none_as_null=True),
            comment="who is or was the last at work on it: process, machine, account, step",
        ),
    )
    op.add_column("runs", sa.Column("held_at", sa.DateTime(timezone=True), comment="since when"))
    swept = "when what it staged and nobody will read was removed"
    op.add_column("runs", sa.Column("swept_at", sa.DateTime(timezone=True), comment=swept))
    op.create_index("runs_by_subject", "runs", ["kind", "subject", "id"])
    op.create_index("runs_running", "runs", ["id"], postgresql_where=sa.text("state = 'running'"))
    op.execute("update runs set state = 'reconciled' where kind = 'reconcile' and state = 'running' and steps ? 'diff'")
