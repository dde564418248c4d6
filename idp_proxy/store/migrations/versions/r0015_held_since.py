"""A hold has a beginning of its own, which may come long after the switch."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0015"
down_revision = "r0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Of a hold that goes on nobody knows when it began: it counts from the switch, as before."""
    op.add_column(
        "switch_state", sa.Column("held_since", sa.DateTime(timezone=True), nullable=True)
    )
