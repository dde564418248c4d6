"""The ledger's tables. The audit's own are in `idp_proxy.audit.tables`, in the same file."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

from idp_proxy.audit.tables import UtcDateTime

#: The shape of these tables. A file of another shape is refused.
VERSION: Final = 1

metadata = MetaData()

# Which mirror belongs to this file, and up to which octet this file has what the mirror says.
ledger_schema = Table(
    "ledger_schema",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    Column("mirror_id", String(64), nullable=False),
    Column("mirror_end", Integer, nullable=False),
    CheckConstraint("id = 1", name="ledger_schema_is_one_row"),
)

bulk_lock = Table(
    "bulk_lock",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("command", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    # Tells two processes apart that had the same number one after the other.
    Column("started", Text, nullable=False),
    Column("since", UtcDateTime, nullable=False),
    CheckConstraint("id = 1", name="bulk_lock_is_one_row"),
)

inventory = Table(
    "inventory",
    metadata,
    Column("user_id", Text, primary_key=True),
    Column("username", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("auth_data", Text, nullable=True),
    Column("source", String(16), nullable=True),
    Column("learnt_at", UtcDateTime, nullable=True),
    Column("roles", Text, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("is_bot", Boolean, nullable=False),
    Column("mfa_active", Boolean, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("prepared_at", UtcDateTime, nullable=False),
    Index("ix_inventory_username", "username", "user_id"),
    sqlite_with_rowid=False,
)

campaign = Table(
    "campaign",
    metadata,
    Column("id", Text, primary_key=True),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("envelope", Text, nullable=False),
    Column("closed_at", UtcDateTime, nullable=True),
)

plan = Table(
    "plan",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("octets", LargeBinary, nullable=False),
    Column("stored_at", UtcDateTime, nullable=False),
)

person = Table(
    "person",
    metadata,
    Column("campaign", Text, ForeignKey("campaign.id"), primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    Column("auth_data", Text, nullable=False),
    Column("source", String(16), nullable=False),
    Column("learnt_at", UtcDateTime, nullable=False),
    Column("mfa_active", Boolean, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("note", Text, nullable=False),
    Column("facts", Text, nullable=False),
    Index("ix_person_state", "campaign", "state", "user_id"),
    sqlite_with_rowid=False,
)
