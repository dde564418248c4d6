"""`store.factor_base` in a SQL database, and in a spool, which has none of it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from idp_proxy.decision.second_factor import COPIED, Factor, Method, Tries
from idp_proxy.errors import StoreError
from idp_proxy.store.tables import factor, factor_try

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Executable

    from idp_proxy.store.database import Database

_INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_FACTORS = (
    select(factor)
    .where(factor.c.person == bindparam("of_person"))
    .order_by(factor.c.added_at, factor.c.id)
)
_AFTER = (
    select(factor)
    .where(factor.c.id > bindparam("after"))
    .order_by(factor.c.id)
    .limit(bindparam("most"))
)
_FACTORS_HELD = _FACTORS.with_for_update()
_TRIES = select(factor_try).where(factor_try.c.person == bindparam("of_person"))
_TRIES_HELD = _TRIES.with_for_update()
_USE = update(factor).where(
    factor.c.id == bindparam("of_id"),
    factor.c.person == bindparam("of_person"),
    factor.c.mark == bindparam("of_mark"),
)
_HOLDERS = (
    select(factor.c.person)
    .distinct()
    .where(
        (factor.c.method == Method.TOTP)
        | ((factor.c.method == Method.PASSKEY) & (factor.c.mark != COPIED))
        | ((factor.c.method == Method.RECOVERY) & (factor.c.mark == 0))
    )
)


class SqlFactorWrites:
    """`store.factor_base.FactorWrites` on the open connection of a transaction."""

    _connection: Connection

    def factors(self, person: str) -> tuple[Factor, ...]:
        """See `store.factor_base.FactorWrites`."""
        return _factors(self._connection, _FACTORS_HELD, person)

    def add_factors(self, factors: Sequence[Factor]) -> None:
        """See `store.factor_base.FactorWrites`."""
        if factors:
            self._connection.execute(factor.insert(), [_record(one) for one in factors])

    def remove_factors(self, person: str, ids: Collection[str]) -> int:
        """See `store.factor_base.FactorWrites`."""
        mine = (factor.c.person == person) & factor.c.id.in_(sorted(ids))
        return self._connection.execute(delete(factor).where(mine)).rowcount

    def use_factor(self, used: Factor, mark: int, sealed: bytes, at: datetime | None) -> bool:
        """See `store.factor_base.FactorWrites`."""
        key = {"of_id": used.id, "of_person": used.person, "of_mark": used.mark}
        new = {"mark": mark, "sealed": sealed, "used_at": at}
        return self._connection.execute(_USE.values(new), key).rowcount == 1

    def factor_tries(self, person: str) -> Tries:
        """See `store.factor_base.FactorWrites`."""
        # A row to wait for: without one, two first attempts would not see each other.
        first = {"person": person, "failures": 0, "locks": 0}
        self._connection.execute(_first_tries(self._connection.dialect.name), first)
        return _tries(self._connection, _TRIES_HELD, person)

    def save_factor_tries(self, tries: Tries) -> None:
        """See `store.factor_base.FactorWrites`."""
        self._connection.execute(
            update(factor_try)
            .where(factor_try.c.person == tries.person)
            .values(
                failures=tries.failures,
                locks=tries.locks,
                failed_at=tries.failed_at,
                locked_until=tries.locked_until,
            )
        )


class NoFactors:
    """`store.factor_base.FactorWrites` of the host's spool, which keeps no secrets of people."""

    def factors(self, person: str) -> tuple[Factor, ...]:
        """Refused."""
        self._wait(f"the second factors of a person ({len(person)} characters)")

    def add_factors(self, factors: Sequence[Factor]) -> None:
        """Refused."""
        self._wait(f"{len(factors)} new second factors")

    def remove_factors(self, person: str, ids: Collection[str]) -> int:
        """Refused."""
        self._wait(f"{len(ids)} second factors of a person ({len(person)} characters)")

    def use_factor(self, used: Factor, mark: int, sealed: bytes, at: datetime | None) -> bool:
        """Refused: a code would count on each host once."""
        what = f"the {used.method} {used.id} ({len(sealed)} octets) from {used.mark} to {mark}"
        self._wait(f"{what} at {at}")

    def factor_tries(self, person: str) -> Tries:
        """Refused."""
        self._wait(f"the wrong codes of a person ({len(person)} characters)")

    def save_factor_tries(self, tries: Tries) -> None:
        """Refused."""
        self._wait(f"{tries.failures} wrong codes")

    def _wait(self, what: str) -> NoReturn:
        raise StoreError(f"the shared store is away, and the host's spool does not know {what}")


class SqlFactorReads:
    """`store.factor_base.FactorReads` in a database."""

    _database: Database

    def factors_of(self, person: str) -> tuple[Factor, ...]:
        """See `store.factor_base.FactorReads`."""
        with self._database.reading() as connection:
            return _factors(connection, _FACTORS, person)

    def factors_after(self, factor_id: str, limit: int) -> tuple[Factor, ...]:
        """See `store.factor_base.FactorReads`."""
        with self._database.reading() as connection:
            found = connection.execute(_AFTER, {"after": factor_id, "most": limit})
            return tuple(_factor(row) for row in found)

    def factor_tries_of(self, person: str) -> Tries:
        """See `store.factor_base.FactorReads`."""
        with self._database.reading() as connection:
            return _tries(connection, _TRIES, person)

    def factor_holders(self) -> frozenset[str]:
        """See `store.factor_base.FactorReads`."""
        with self._database.reading() as connection:
            return frozenset(connection.execute(_HOLDERS).scalars())


@cache
def _first_tries(dialect: str) -> Executable:
    statement: Executable = _INSERT[dialect](factor_try).on_conflict_do_nothing()
    return statement


def _factors(connection: Connection, statement: Executable, person: str) -> tuple[Factor, ...]:
    found = connection.execute(statement, {"of_person": person})
    return tuple(_factor(row) for row in found)


def _factor(row: Any) -> Factor:
    return Factor(
        id=row.id,
        person=row.person,
        method=Method(row.method),
        added_at=row.added_at,
        mark=row.mark,
        sealed=row.sealed,
        used_at=row.used_at,
    )


def _tries(connection: Connection, statement: Executable, person: str) -> Tries:
    found = connection.execute(statement, {"of_person": person}).first()
    return Tries(person) if found is None else Tries(**found._asdict())


def _record(one: Factor) -> dict[str, Any]:
    return {
        "id": one.id,
        "person": one.person,
        "method": one.method.value,
        "added_at": one.added_at,
        "used_at": one.used_at,
        "mark": one.mark,
        "sealed": one.sealed,
    }
