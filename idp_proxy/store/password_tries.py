"""Wrong passwords at directories, counted for all workers and hosts (`decision.password_limits`).

Keys are digests; whose they are stands nowhere. In a host's spool there are none: without the
shared store nobody knows how often a password was tried, and nobody tries one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from idp_proxy.decision.password_limits import Count
from idp_proxy.errors import StoreError
from idp_proxy.store.tables import password_try

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from sqlalchemy import Connection, Executable

    from idp_proxy.store.database import Database

_INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_FORGET = delete(password_try).where(password_try.c.expires_at < bindparam("now"))
_SAVE = (
    update(password_try)
    .where(password_try.c.key == bindparam("of_key"))
    .values(
        failures=bindparam("new_failures"),
        at=bindparam("new_at"),
        expires_at=bindparam("new_end"),
    )
)


class PasswordTryWrites(Protocol):
    """What a `store.base.Transaction` does with them."""

    def password_counts(self, keys: Collection[bytes], now: datetime) -> dict[bytes, Count]:
        """The counts of these keys, held until the transaction ends; what was never counted is
        nothing as of `now`. Ask for all that a transaction needs at once, and before anything else.
        """

    def save_password_counts(self, counts: Mapping[bytes, Count], ends: datetime) -> None:
        """Replace counts that were asked for; from `ends` on nothing depends on them."""


class PasswordTryReads(Protocol):
    """What a `store.base.Store` tells of them."""

    def password_counts_of(self, keys: Collection[bytes]) -> dict[bytes, Count]:
        """The counts of those keys that have one."""


class SqlPasswordTryWrites:
    """`PasswordTryWrites` on the open connection of a transaction."""

    _connection: Connection

    def password_counts(self, keys: Collection[bytes], now: datetime) -> dict[bytes, Count]:
        """See `PasswordTryWrites`."""
        # Rows to wait for, in an order that everybody keeps: nobody waits for who waits for them.
        ordered = sorted(set(keys))
        new = [{"key": key, "failures": 0.0, "at": now, "expires_at": now} for key in ordered]
        if new:
            self._connection.execute(_first(self._connection.dialect.name), new)
        return _counts(self._connection, ordered, held=True)

    def save_password_counts(self, counts: Mapping[bytes, Count], ends: datetime) -> None:
        """See `PasswordTryWrites`."""
        new = [
            {"of_key": key, "new_failures": one.failures, "new_at": one.at, "new_end": ends}
            for key, one in sorted(counts.items())
        ]
        if new:
            self._connection.execute(_SAVE, new)


class NoPasswordTries:
    """`PasswordTryWrites` of the host's spool."""

    def password_counts(self, keys: Collection[bytes], now: datetime) -> dict[bytes, Count]:
        """Refused."""
        _wait(f"how often {len(keys)} passwords were tried by {now:%H:%M:%S}")

    def save_password_counts(self, counts: Mapping[bytes, Count], ends: datetime) -> None:
        """Refused."""
        _wait(f"{len(counts)} tries, until {ends:%H:%M:%S}")


class SqlPasswordTryReads:
    """`PasswordTryReads` in a database."""

    _database: Database

    def password_counts_of(self, keys: Collection[bytes]) -> dict[bytes, Count]:
        """See `PasswordTryReads`."""
        with self._database.reading() as connection:
            return _counts(connection, sorted(set(keys)), held=False)


@dataclass(slots=True)
class MemoryTries:
    """What a store in memory remembers, for tests."""

    counts: dict[bytes, tuple[Count, datetime]] = field(default_factory=dict)

    def forget(self, now: datetime) -> int:
        """As `forget_tries`."""
        old = [key for key, (_, ends) in self.counts.items() if ends < now]
        for key in old:
            del self.counts[key]
        return len(old)


class MemoryPasswordTryWrites:
    """`PasswordTryWrites`; one transaction is open at a time."""

    staged_tries: MemoryTries

    def password_counts(self, keys: Collection[bytes], now: datetime) -> dict[bytes, Count]:
        """See `PasswordTryWrites`."""
        known = self.staged_tries.counts
        return {key: known[key][0] if key in known else Count(0.0, now) for key in keys}

    def save_password_counts(self, counts: Mapping[bytes, Count], ends: datetime) -> None:
        """See `PasswordTryWrites`."""
        self.staged_tries.counts.update({key: (one, ends) for key, one in counts.items()})


class MemoryPasswordTryReads:
    """`PasswordTryReads`."""

    _tries: MemoryTries

    def password_counts_of(self, keys: Collection[bytes]) -> dict[bytes, Count]:
        """See `PasswordTryReads`."""
        known = self._tries.counts
        return {key: known[key][0] for key in keys if key in known}


def forget_tries(connection: Connection, now: datetime) -> int:
    """Remove what nothing depends on any more; returns how many rows."""
    return connection.execute(_FORGET, {"now": now}).rowcount


@cache
def _first(dialect: str) -> Executable:
    statement: Executable = _INSERT[dialect](password_try).on_conflict_do_nothing()
    return statement


def _counts(connection: Connection, keys: list[bytes], *, held: bool) -> dict[bytes, Count]:
    wanted = select(password_try).where(password_try.c.key.in_(keys)).order_by(password_try.c.key)
    found = connection.execute(wanted.with_for_update() if held else wanted)
    return {bytes(row.key): Count(row.failures, row.at) for row in found}


def _wait(what: str) -> NoReturn:
    raise StoreError(f"the shared store is away, and the host's spool does not know {what}")
