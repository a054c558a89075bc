"""The first fixed tables."""

from alembic import op

from motlan.store.tables import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them all."""
    metadata.create_all(op.get_bind())


def downgrade() -> None:
    """Remove them all."""
    metadata.drop_all(op.get_bind())
