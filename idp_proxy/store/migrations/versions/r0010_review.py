"""Policies that were signed, and findings that people took on themselves."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0010"
down_revision = "r0009"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Nobody signed anything yet."""
    op.create_table(
        "review_signature",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("policy", sa.JSON, nullable=False),
        sa.Column("open_findings", sa.Integer, nullable=False),
    )
    op.create_index("ix_review_signature_at", "review_signature", ["at"])
    op.create_table(
        "review_waiver",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("rule", sa.String(16), nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("checks", sa.JSON, nullable=False),
        sa.Column("people", sa.JSON, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("given_at", _TIME, nullable=False),
        sa.Column("ends_at", _TIME, nullable=False),
    )
