"""Logins by a standby, kept until the sessions they made are over: in a SQL database, and refused
in a spool, through which nobody comes by a standby.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sqlalchemy import delete, func, insert, select

from idp_proxy.decision.standby_logins import Forgotten, StandbyLogin, Unsettled
from idp_proxy.errors import StoreError
from idp_proxy.store.tables import standby_login

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy import Connection


class StandbyLoginWrites(Protocol):
    """What a `store.base.Transaction` does with them."""

    def note_standby_login(self, login: StandbyLogin) -> None:
        """Keep it. Raises `StoreError` in the host's spool, as the other one."""

    def forget_standby_logins_before(self, at: datetime) -> Forgotten:
        """Forget those that are older, whoever did not look after them."""


class SqlStandbyLoginWrites:
    """`StandbyLoginWrites` on the open connection of a transaction."""

    _connection: Connection

    def note_standby_login(self, login: StandbyLogin) -> None:
        """See `StandbyLoginWrites`."""
        self._connection.execute(
            insert(standby_login),
            {
                "person": login.person,
                "upstream": login.upstream,
                "epoch": login.epoch,
                "at": login.at,
            },
        )

    def forget_standby_logins_before(self, at: datetime) -> Forgotten:
        """See `StandbyLoginWrites`."""
        old = delete(standby_login).where(standby_login.c.at < at)
        gone = self._connection.execute(old.returning(standby_login.c.person)).scalars().all()
        return Forgotten(len(set(gone)), len(gone))


class NoStandbyLogins:
    """`StandbyLoginWrites` of the host's spool."""

    def note_standby_login(self, login: StandbyLogin) -> None:
        """Refused: a standby's people are not let in without the roster."""
        raise StoreError(f"the shared store is away, and {login.upstream} is a standby")

    def forget_standby_logins_before(self, at: datetime) -> Forgotten:
        """Refused: there are none."""
        raise StoreError(f"the shared store is away: no login before {at:%H:%M:%S} is known here")


def standby_logins(
    connection: Connection, since: datetime, upstream: str | None = None
) -> tuple[StandbyLogin, ...]:
    """Those from `since` on, by `upstream` or by any, the oldest first."""
    table = standby_login.c
    wanted = table.at >= since
    if upstream is not None:
        wanted &= table.upstream == upstream
    columns = (table.person, table.upstream, table.epoch, table.at)
    found = connection.execute(select(*columns).where(wanted).order_by(table.at, table.id))
    return tuple(StandbyLogin(*row) for row in found)


def unsettled(connection: Connection) -> Unsettled | None:
    """What `standby-logins` has to do; None where nothing is left."""
    table = standby_login.c
    found = select(func.count(table.person.distinct()), func.min(table.at))
    people, since = connection.execute(found).one()
    return Unsettled(people, since) if people else None


def forget_standby_logins(connection: Connection, person: str, times: Collection[datetime]) -> int:
    """Forget these logins of a person, whose sessions are over; returns how many there were."""
    mine = (standby_login.c.person == person) & standby_login.c.at.in_(sorted(times))
    return connection.execute(delete(standby_login).where(mine)).rowcount
