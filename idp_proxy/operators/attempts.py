"""How often signing in failed, by name: counted before it is judged, locked after five in a row.

One row counts for every name that nobody has, so that known and unknown names are counted alike.
The same row is what changes of operators wait for, one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from idp_proxy.operators.tables import sign_in_attempt

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

#: Failures in a row after which a name is locked.
FAILURES: Final = 5
#: For how long it is locked, and how long a failure is remembered.
LOCKED_FOR: Final = timedelta(minutes=15)
#: Under which every name is counted that nobody has: no operator's name is empty.
NOBODY: Final = ""


@dataclass(frozen=True, slots=True)
class Count:
    """The failures in a row with this one, and whether the name was locked before it."""

    failures: int
    locked: bool

    @property
    def locks(self) -> bool:
        """Whether this failure is the one that locks."""
        return self.failures == FAILURES and not self.locked


def count(connection: Connection, name: str, now: datetime) -> Count:
    """Count one more failure of `name`. One at a locked name does not prolong the lock."""
    known = _held(connection, name, now)
    locked = known.locked_until is not None and now < known.locked_until
    recent = locked or (known.locked_until is None and now - known.failed_at < LOCKED_FOR)
    failures = known.failures + 1 if recent else 1
    until = known.locked_until if locked else None
    if failures >= FAILURES and not locked:
        until = now + LOCKED_FOR
    _set(connection, name, failures=failures, failed_at=now, locked_until=until)
    return Count(failures, locked)


def forgive(connection: Connection, name: str, now: datetime) -> None:
    """`name` signed in: what failed before does not count any more."""
    _set(connection, name, failures=0, failed_at=now, locked_until=None)


def forget(connection: Connection, name: str) -> None:
    """`name` was enrolled anew: what was tried before was tried at somebody else."""
    connection.execute(delete(sign_in_attempt).where(sign_in_attempt.c.name == name))


def locked(connection: Connection, now: datetime) -> dict[str, datetime]:
    """Who is locked now, and until when."""
    rows = connection.execute(
        select(sign_in_attempt).where(
            sign_in_attempt.c.locked_until > now, sign_in_attempt.c.name != NOBODY
        )
    )
    return {row.name: row.locked_until for row in rows}


def take_turn(connection: Connection, now: datetime) -> None:
    """Wait for whoever changes operators or agrees to something, until the transaction ends.

    What is decided by how many operators there are must not change before it is written.
    """
    _held(connection, NOBODY, now)


def _set(connection: Connection, name: str, **values: Any) -> None:
    connection.execute(
        update(sign_in_attempt).where(sign_in_attempt.c.name == name).values(**values)
    )


def _held(connection: Connection, name: str, now: datetime) -> Any:
    """The row of `name`, held until the transaction ends; made where there is none yet."""
    wanted = select(sign_in_attempt).where(sign_in_attempt.c.name == name).with_for_update()
    if (held := connection.execute(wanted).first()) is not None:
        return held
    try:
        with connection.begin_nested():
            connection.execute(
                insert(sign_in_attempt).values(
                    name=name, failures=0, failed_at=now, locked_until=None
                )
            )
    except IntegrityError:
        # Somebody else was first with this name just now: theirs is the row to wait for.
        pass
    return connection.execute(wanted).one()
