"""The matters that people were told about."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0004"
down_revision = "r0003"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the table of `idp_proxy.notify`."""
    op.create_table(
        "notice",
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("since", _TIME, nullable=False),
        sa.Column("sent_at", _TIME, nullable=True),
        sa.Column("over_at", _TIME, nullable=True),
        sa.Column("claimed_until", _TIME, nullable=True),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
