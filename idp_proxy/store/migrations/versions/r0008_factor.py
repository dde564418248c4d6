"""Second factors of the people, sealed, and how often they were wrong."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0008"
down_revision = "r0007"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Nobody has any yet."""
    op.create_table(
        "factor",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("person", sa.Text, nullable=False),
        sa.Column("method", sa.String(16), nullable=False),
        sa.Column("added_at", _TIME, nullable=False),
        sa.Column("used_at", _TIME, nullable=True),
        sa.Column("mark", sa.BigInteger, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_factor_person", "factor", ["person"])
    op.create_table(
        "factor_try",
        sa.Column("person", sa.Text, primary_key=True),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("locks", sa.Integer, nullable=False),
        sa.Column("failed_at", _TIME, nullable=True),
        sa.Column("locked_until", _TIME, nullable=True),
    )
