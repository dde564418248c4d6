"""The context classes that upstreams authenticated people by, counted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0009"
down_revision = "r0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """None was seen yet."""
    op.create_table(
        "seen_context",
        sa.Column("upstream", sa.Text, primary_key=True),
        sa.Column("context", sa.Text, primary_key=True),
        sa.Column("level", sa.Text, primary_key=True),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("last", sa.DateTime(timezone=True), nullable=False),
    )
