"""The audit's own tables. Whoever keeps an audit has them in its database, by its own migrations.

`audit_head` is the row that serialises writers of one chain. `audit_person` is the only link from
a pseudonym to a person and may be erased; nothing in `audit_row` depends on it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect


class UtcDateTime(TypeDecorator[datetime]):
    """A time that is aware and UTC on both sides, also where the database knows no time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """UTC for the database. Raises `ValueError` on a naive time, which could mean anything."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time needs a time zone before it is stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """UTC for the caller."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData()

audit_row = Table(
    "audit_row",
    metadata,
    Column("chain", String(255), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, nullable=False),
    Column("kind", String(64), nullable=False),
    Column("body", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
)

audit_head = Table(
    "audit_head",
    metadata,
    Column("chain", String(255), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),
)

audit_person = Table(
    "audit_person",
    metadata,
    Column("pseudonym", String(64), primary_key=True),
    # Not unique: two hosts may meet a person at the same moment, and a spool makes its own key.
    Column("person_id", Text, nullable=False, index=True),
    Column("key", LargeBinary(32), nullable=False),
)
