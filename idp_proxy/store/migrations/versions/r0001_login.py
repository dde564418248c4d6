"""The tables of Login: switch state, used ids, roster, proofs, spool, and the audit's own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0001"
down_revision = None
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables in a database that has none."""
    _switch_state()
    _logins()
    _spool()
    _audit()


def _switch_state() -> None:
    op.create_table(
        "switch_state",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("serving", sa.Text, nullable=False),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("since", _TIME, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("disabled", sa.JSON, nullable=False),
        sa.Column("left_at", sa.JSON, nullable=False),
        sa.Column("hold_until", _TIME, nullable=True),
        sa.Column("recent_switches", sa.JSON, nullable=False),
        sa.CheckConstraint("id = 1", name="switch_state_is_one_row"),
    )


def _logins() -> None:
    op.create_table(
        "used_id",
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_used_id_expires_at", "used_id", ["expires_at"])
    op.create_table(
        "roster",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("link_key", sa.Text, nullable=False),
        sa.Column("lookup_key", sa.Text, nullable=True, unique=True),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("username", sa.Text, nullable=False),
        sa.Column("attributes", sa.JSON, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("confirmed_at", _TIME, nullable=False),
        sa.Column("conflict", sa.Boolean, nullable=False),
        sa.Column("blocked", sa.Boolean, nullable=False),
    )
    op.create_table(
        "proof",
        sa.Column("upstream", sa.Text, primary_key=True),
        sa.Column("at", _TIME, nullable=False),
    )


def _spool() -> None:
    op.create_table(
        "spool_period",
        sa.Column("chain", sa.String(255), primary_key=True),
        sa.Column("opened_at", _TIME, nullable=False),
        sa.Column("sealed", sa.Boolean, nullable=False),
        sa.Column("merged_seq", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "spool_entry",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column(
            "chain",
            sa.String(255),
            sa.ForeignKey("spool_period.chain", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("ix_spool_entry_chain_seq", "spool_entry", ["chain", "seq"])


def _audit() -> None:
    op.create_table(
        "audit_row",
        sa.Column("chain", sa.String(255), primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
    )
    op.create_table(
        "audit_head",
        sa.Column("chain", sa.String(255), primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
    )
    op.create_table(
        "audit_person",
        sa.Column("pseudonym", sa.String(64), primary_key=True),
        sa.Column("person_id", sa.Text, nullable=False),
        sa.Column("key", sa.LargeBinary(32), nullable=False),
    )
    op.create_index("ix_audit_person_person_id", "audit_person", ["person_id"])
