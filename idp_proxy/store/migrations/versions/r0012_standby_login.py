"""Who came through a standby, until the sessions made by it are over."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0012"
down_revision = "r0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nobody is known to have come yet."""
    op.create_table(
        "standby_login",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("person", sa.Text, nullable=False),
        sa.Column("upstream", sa.Text, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_standby_login_at", "standby_login", ["at"])
