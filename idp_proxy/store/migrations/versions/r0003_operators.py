"""The operators, their failed sign-ins, and what two of them agree on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0003"
down_revision = "r0002"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables of `idp_proxy.operators`."""
    _operators()
    _agreements()


def _operators() -> None:
    op.create_table(
        "operator",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("roles", sa.JSON, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("factor", sa.LargeBinary, nullable=False),
        sa.Column("last_step", sa.BigInteger, nullable=False),
        sa.Column("proposal", sa.String(16), nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("last_login", _TIME, nullable=True),
    )
    op.create_table(
        "sign_in_attempt",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("failed_at", _TIME, nullable=False),
        sa.Column("locked_until", _TIME, nullable=True),
    )


def _agreements() -> None:
    op.create_table(
        "proposal",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("act", sa.String(32), nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("people", sa.JSON, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_table(
        "override",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("act", sa.String(32), nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("people", sa.JSON, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reviewed_at", _TIME, nullable=True),
        sa.Column("reviewed_by", sa.Text, nullable=True),
        sa.Column("review", sa.Text, nullable=True),
    )
