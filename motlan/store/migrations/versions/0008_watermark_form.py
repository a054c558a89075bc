"""Watermarks that people set, and the form in which a source writes its cursors."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make room for them."""
    op.alter_column("watermarks", "cursor", comment="in canonical form")
    comment = "the run that earned it; none where a person set it"
    op.alter_column("watermarks", "run", nullable=True, comment=comment)
    written = sa.Column("written", sa.Text(), nullable=False, server_default="")
    written.comment = "a cursor in the form that the source writes"
    op.add_column("watermarks", written)


def downgrade() -> None:
    """Take it away; what a person set is pulled again."""
    op.execute("delete from watermarks where run is null")
    op.drop_column("watermarks", "written")
    op.alter_column("watermarks", "run", nullable=False, comment=None)
    op.alter_column("watermarks", "cursor", comment=None)
