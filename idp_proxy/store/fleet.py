"""What the hosts tell each other, in the shared database: `store.base.FleetStore` in SQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, func, select, text, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from idp_proxy.decision.membership import why_name_is_taken
from idp_proxy.decision.traffic import TrafficCount
from idp_proxy.errors import StoreError
from idp_proxy.store.fleet_records import canary_from, report_from, report_record, track_record
from idp_proxy.store.tables import canary, evidence, host, traffic

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from idp_proxy.decision.fleet import HostReport
    from idp_proxy.decision.health import Canary
    from idp_proxy.store.base import Evidence
    from idp_proxy.store.database import Database

#: A host that reported within this is alive; with SQLite nobody else may be.
ALONE_FOR: Final = timedelta(minutes=10)

_INSERT: Final[dict[str, Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def clock(connection: Connection) -> datetime:
    """The database server's clock; SQLite has none but the host's."""
    if connection.dialect.name == "postgresql":
        found: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        return found.astimezone(UTC)
    return datetime.now(UTC)


def note_evidence(connection: Connection, kind: Evidence, upstream: str, at: datetime) -> None:
    """Remember the newest of its kind; who opened the connection commits."""
    new = _INSERT[connection.dialect.name](evidence).values(
        kind=kind.value, upstream=upstream, at=at
    )
    connection.execute(
        new.on_conflict_do_update(
            index_elements=[evidence.c.kind, evidence.c.upstream],
            set_={"at": new.excluded.at},
            where=evidence.c.at < new.excluded.at,
        )
    )


class SqlFleet:
    """`store.base.FleetStore`; `SqlStore` is one."""

    _database: Database

    def clock(self) -> datetime:
        """See `store.base.FleetStore`."""
        with self._database.reading() as connection:
            return clock(connection)

    def publish(self, report: HostReport, *, begins: bool = False) -> None:
        """See `store.base.FleetStore`."""
        with self._database.writing() as connection:
            now = clock(connection)
            if connection.dialect.name == "sqlite":
                _demand_alone(connection, report.host, now)
            _demand_own_name(connection, report, now, begins=begins)
            new = _INSERT[connection.dialect.name](host).values(
                name=report.host, at=now, report=report_record(report)
            )
            connection.execute(
                new.on_conflict_do_update(
                    index_elements=[host.c.name],
                    set_={"at": new.excluded.at, "report": new.excluded.report},
                )
            )

    def reports(self) -> tuple[HostReport, ...]:
        """See `store.base.FleetStore`."""
        with self._database.reading() as connection:
            found = connection.execute(select(host).order_by(host.c.name))
            return tuple(report_from(row.name, row.at, row.report) for row in found)

    def forget_host(self, name: str) -> bool:
        """See `store.base.FleetStore`."""
        with self._database.writing() as connection:
            gone = connection.execute(delete(host).where(host.c.name == name))
            return gone.rowcount == 1

    def canaries(self) -> tuple[Canary, ...]:
        """See `store.base.FleetStore`."""
        with self._database.reading() as connection:
            found = connection.execute(select(canary).order_by(canary.c.upstream, canary.c.name))
            return tuple(canary_from(row._asdict()) for row in found)

    def lease_canary(self, upstream: str, name: str, host_name: str, until: datetime) -> bool:
        """See `store.base.FleetStore`."""
        with self._database.writing() as connection:
            now = clock(connection)
            new = _INSERT[connection.dialect.name](canary).values(
                upstream=upstream, name=name, track={}, lease_host=host_name, lease_until=until
            )
            new = new.on_conflict_do_update(
                index_elements=[canary.c.upstream, canary.c.name],
                set_={"lease_host": new.excluded.lease_host, "lease_until": until},
                where=canary.c.lease_until.is_(None) | (canary.c.lease_until <= now),
            ).execution_options(preserve_rowcount=True)
            return bool(connection.execute(new).rowcount == 1)

    def save_canary(self, done: Canary) -> bool:
        """See `store.base.FleetStore`."""
        statement = (
            update(canary)
            .where(
                canary.c.upstream == done.upstream,
                canary.c.name == done.name,
                canary.c.lease_host == done.host,
            )
            .values(
                track=track_record(done.track), host=done.host, lease_host=None, lease_until=None
            )
        )
        with self._database.writing() as connection:
            return connection.execute(statement).rowcount == 1

    def forget_canaries(self, configured: Iterable[tuple[str, str]]) -> int:
        """See `store.base.FleetStore`."""
        kept = list(configured)
        statement = delete(canary)
        if kept:
            statement = statement.where(tuple_(canary.c.upstream, canary.c.name).not_in(kept))
        with self._database.writing() as connection:
            return connection.execute(statement).rowcount

    def note_evidence(self, kind: Evidence, upstream: str, at: datetime) -> None:
        """See `store.base.FleetStore`."""
        with self._database.writing() as connection:
            note_evidence(connection, kind, upstream, at)

    def evidence(self, kind: Evidence) -> dict[str, datetime]:
        """See `store.base.FleetStore`."""
        wanted = select(evidence.c.upstream, evidence.c.at).where(evidence.c.kind == kind.value)
        with self._database.reading() as connection:
            return {row.upstream: row.at for row in connection.execute(wanted)}

    def prune_evidence(self, before: datetime) -> int:
        """See `store.base.FleetStore`."""
        with self._database.writing() as connection:
            return connection.execute(delete(evidence).where(evidence.c.at < before)).rowcount

    def add_traffic(self, host_name: str, counts: Iterable[TrafficCount]) -> None:
        """See `store.base.FleetStore`."""
        with self._database.writing() as connection:
            for one in counts:
                new = _INSERT[connection.dialect.name](traffic).values(
                    host=host_name,
                    upstream=one.upstream,
                    minute=one.minute,
                    begun=one.begun,
                    answered=one.answered,
                )
                connection.execute(
                    new.on_conflict_do_update(
                        index_elements=[traffic.c.host, traffic.c.upstream, traffic.c.minute],
                        set_={
                            "begun": traffic.c.begun + new.excluded.begun,
                            "answered": traffic.c.answered + new.excluded.answered,
                        },
                    )
                )

    def traffic(self, since: datetime) -> tuple[TrafficCount, ...]:
        """See `store.base.FleetStore`."""
        columns = traffic.c.upstream, traffic.c.minute
        wanted = (
            select(
                *columns,
                func.sum(traffic.c.begun).label("begun"),
                func.sum(traffic.c.answered).label("answered"),
            )
            .where(traffic.c.minute >= since)
            .group_by(*columns)
            .order_by(traffic.c.minute, traffic.c.upstream)
        )
        with self._database.reading() as connection:
            return tuple(
                TrafficCount(row.upstream, row.minute, int(row.begun), int(row.answered))
                for row in connection.execute(wanted)
            )

    def prune_traffic(self, before: datetime) -> int:
        """See `store.base.FleetStore`."""
        with self._database.writing(patient=True) as connection:
            return connection.execute(delete(traffic).where(traffic.c.minute < before)).rowcount


def _demand_own_name(
    connection: Connection, report: HostReport, now: datetime, *, begins: bool
) -> None:
    """Two hosts of one name would overwrite each other's report, and count as one."""
    of_name = select(host).where(host.c.name == report.host).with_for_update()
    known = connection.execute(of_name).first()
    if known is None:
        return
    former = report_from(known.name, known.at, known.report)
    if (why := why_name_is_taken(former, report, now, begins=begins)) is not None:
        raise StoreError(why)


def _demand_alone(connection: Connection, name: str, now: datetime) -> None:
    """SQLite is a file of one host; two that share it by a network disk would lose logins."""
    found = connection.execute(
        select(host.c.name, host.c.at).where(host.c.name != name, host.c.at > now - ALONE_FOR)
    ).first()
    if found is not None:
        raise StoreError(
            f"host {found.name} uses this SQLite store too, last at {found.at:%Y-%m-%d %H:%M:%S} "
            "UTC: SQLite is for one host. For several set [store] url to PostgreSQL; was this host "
            f"renamed, idp-proxy host forget {found.name} --reason TEXT, or wait "
            f"{ALONE_FOR.total_seconds() / 60:.0f} minutes"
        )
