"""The one drill that is known."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0006"
down_revision = "r0005"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the table; nothing that was there changes."""
    op.create_table(
        "drill",
        sa.Column("row", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("upstream", sa.Text, nullable=False),
        sa.Column("serving", sa.Text, nullable=False),
        sa.Column("since", _TIME, nullable=False),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("until", _TIME, nullable=False),
        sa.Column("people", sa.JSON, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.Column("ended_how", sa.String(16), nullable=True),
        sa.Column("why_ended", sa.Text, nullable=False),
        sa.CheckConstraint("row = 1", name="drill_is_one_row"),
    )
