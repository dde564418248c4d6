"""The ledger's tables. The audit's own are in `idp_proxy.audit.tables`, in the same file."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    BigInteger,
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
from sqlalchemy.dialects import postgresql, sqlite

from idp_proxy.audit.tables import UtcDateTime

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: The shape of these tables. A file of another shape is refused.
VERSION: Final = 2

#: Text in order of its octets, wherever it is kept: lists are walked and joined in this order.
Name: Final = Text().with_variant(Text(collation="C"), "postgresql")

metadata = MetaData()

ledger_schema = Table(
    "ledger_schema",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    CheckConstraint("id = 1", name="ledger_schema_is_one_row"),
)

# Which mirror belongs to this ledger, and up to which octet the ledger has what the mirror says.
# A file has one; in a shared database each host has its own, with what was written from there.
ledger_mirror = Table(
    "ledger_mirror",
    metadata,
    Column("host", Name, primary_key=True),
    Column("mirror_id", String(64), nullable=False),
    Column("mirror_end", BigInteger, nullable=False),
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
    Column("user_id", Name, primary_key=True),
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
    Column("parts", String(32), nullable=False),
    Column("stored_at", UtcDateTime, nullable=False),
)

# The octets of a plan, in parts: of a plan that is being written the digest is not known yet.
plan_part = Table(
    "plan_part",
    metadata,
    Column("parts", String(32), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("octets", LargeBinary, nullable=False),
)

person = Table(
    "person",
    metadata,
    Column("campaign", Text, ForeignKey("campaign.id"), primary_key=True),
    Column("user_id", Name, primary_key=True),
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

_INSERT: Final[Mapping[str, Callable[[Table], Any]]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}


@cache
def upsert(dialect: str, table: Table, *, newer: str = "") -> Any:
    """Put rows into `table`, over those that are there; with `newer` only where that column grows.

    Built once for each, so that SQLAlchemy remembers the compiled form.
    """
    new = _INSERT[dialect](table)
    keys = [column for column in table.c if column.primary_key]
    rest = {column.name: new.excluded[column.name] for column in table.c if column not in keys}
    where = table.c[newer] < new.excluded[newer] if newer else None
    return new.on_conflict_do_update(index_elements=keys, set_=rest, where=where)
