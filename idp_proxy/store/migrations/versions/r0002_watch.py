"""The tables of the watch: hosts, canaries, evidence, traffic."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0002"
down_revision = "r0001"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables; nothing that was there changes."""
    op.create_table(
        "host",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("report", sa.JSON, nullable=False),
    )
    op.create_table(
        "canary",
        sa.Column("upstream", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("track", sa.JSON, nullable=False),
        sa.Column("host", sa.String(64), nullable=True),
        sa.Column("lease_host", sa.String(64), nullable=True),
        sa.Column("lease_until", _TIME, nullable=True),
    )
    op.create_table(
        "evidence",
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("upstream", sa.Text, primary_key=True),
        sa.Column("at", _TIME, nullable=False),
    )
    op.create_table(
        "traffic",
        sa.Column("host", sa.String(64), primary_key=True),
        sa.Column("upstream", sa.Text, primary_key=True),
        sa.Column("minute", _TIME, primary_key=True),
        sa.Column("begun", sa.Integer, nullable=False),
        sa.Column("answered", sa.Integer, nullable=False),
    )
