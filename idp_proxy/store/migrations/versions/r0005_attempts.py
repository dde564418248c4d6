"""Which attempt to record a login used an id: a commit whose answer was lost is no second use."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0005"
down_revision = "r0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One column more; ids that are used already are nobody's to use again."""
    op.add_column("used_id", sa.Column("attempt", sa.String(32), nullable=True))
