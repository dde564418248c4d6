"""The roster as a whole, in SQL: `store.people.RosterStore` and its transaction."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, func, null, or_, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from idp_proxy.audit.prepared import Prepared
from idp_proxy.decision.roster import AdmittedByHand, Forecast, RosterRow, lookup_key
from idp_proxy.errors import StoreConflict
from idp_proxy.store.people import MOST_NAMED, ImportRun
from idp_proxy.store.records import admission_record, person_from, person_record
from idp_proxy.store.tables import roster, roster_admission, roster_forecast, roster_import

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Connection, Table
    from sqlalchemy.sql.dml import Insert

    from idp_proxy.store.database import Database

_INSERT: Final[dict[str, Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
#: Any number: transactions of PostgreSQL that ask for it take turns.
_TURN: Final = 0x726F7374
_PAGE = (
    select(roster)
    .where(roster.c.id > bindparam("after"))
    .order_by(roster.c.id)
    .limit(bindparam("most"))
)
_NAMED = (
    select(roster)
    .where(
        or_(
            roster.c.id == bindparam("text"),
            roster.c.lookup_key == bindparam("key"),
            func.lower(roster.c.email) == bindparam("lower"),
            func.lower(roster.c.username) == bindparam("lower"),
        )
    )
    .order_by(roster.c.id)
    .limit(MOST_NAMED)
)
_BY_HAND = select(roster_admission).where(roster_admission.c.person == bindparam("of_person"))
_FREE_KEY = Prepared(
    update(roster)
    .where(
        roster.c.id == bindparam("of_id"),
        roster.c.lookup_key.is_distinct_from(bindparam("of_key")),
    )
    .values(lookup_key=null())
)
_RUNS = select(roster_import).order_by(roster_import.c.source)
_FORECAST = select(*(column for column in roster_forecast.c if column.name != "row"))


@cache
def upsert(dialect: str, table: Table) -> Insert:
    """An INSERT into `table` that replaces the row of the same primary key."""
    new = _INSERT[dialect](table)
    keys = {column.name for column in table.primary_key}
    statement: Insert = new.on_conflict_do_update(
        index_elements=sorted(keys),
        set_={
            column.name: new.excluded[column.name] for column in table.c if column.name not in keys
        },
    )
    return statement


@cache
def save_person(dialect: str) -> Prepared:
    """The statement by which one row of the roster is written."""
    return Prepared(upsert(dialect, roster))


class SqlRosterWrites:
    """The part of `SqlTransaction` that knows the roster."""

    _connection: Connection

    def save_person(self, row: RosterRow) -> None:
        """See `store.base.Transaction`."""
        self._save((row,))

    def save_people(self, rows: Sequence[RosterRow]) -> None:
        """See `store.people.RosterTransaction`."""
        if rows:
            keys = [{"of_id": row.id, "of_key": row.lookup_key} for row in rows]
            _FREE_KEY.run(self._connection, *keys)
            self._save(rows)

    def _save(self, rows: Sequence[RosterRow]) -> None:
        statement = save_person(self._connection.dialect.name)
        try:
            statement.run(self._connection, *(person_record(row) for row in rows))
        except IntegrityError as error:
            raise StoreConflict("another person holds this lookup key") from error

    def admitted_by_hand(self, person_id: str) -> AdmittedByHand | None:
        """See `store.base.Transaction`."""
        found = self._connection.execute(_BY_HAND, {"of_person": person_id}).first()
        return None if found is None else AdmittedByHand(**found._asdict())

    def admit_by_hand(self, admission: AdmittedByHand) -> None:
        """See `store.base.Transaction`."""
        self._upsert(roster_admission, admission_record(admission))

    def people(self, ids: Collection[str], keys: Collection[str]) -> tuple[RosterRow, ...]:
        """See `store.people.RosterTransaction`."""
        found = self._connection.execute(
            select(roster)
            .where(or_(roster.c.id.in_(ids), roster.c.lookup_key.in_(keys)))
            .order_by(roster.c.id)
            .with_for_update()
        )
        return tuple(person_from(row._asdict()) for row in found)

    def import_runs(self) -> tuple[ImportRun, ...]:
        """See `store.people.RosterTransaction`."""
        if self._connection.dialect.name == "postgresql":
            self._connection.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": _TURN})
        return import_runs(self._connection)

    def note_import(self, run: ImportRun) -> None:
        """See `store.people.RosterTransaction`."""
        record = {name: getattr(run, name) for name in _names(roster_import)}
        self._upsert(roster_import, record)

    def keep_forecast(self, forecast: Forecast) -> None:
        """See `store.people.RosterTransaction`."""
        record = {
            "row": 1,
            "at": forecast.at,
            "upstream": forecast.upstream,
            "people": forecast.people,
            "get_in": forecast.get_in,
            "refused": dict(forecast.refused),
        }
        self._upsert(roster_forecast, record)

    def _upsert(self, table: Table, record: dict[str, Any]) -> None:
        self._connection.execute(upsert(self._connection.dialect.name, table), record)


class SqlRoster:
    """`store.people.RosterStore`; `SqlStore` is one."""

    _database: Database

    def people_after(self, person_id: str, limit: int) -> tuple[RosterRow, ...]:
        """See `store.people.RosterStore`."""
        with self._database.reading() as connection:
            found = connection.execute(_PAGE, {"after": person_id, "most": limit})
            return tuple(person_from(row._asdict()) for row in found)

    def named(self, text: str) -> tuple[RosterRow, ...]:
        """See `store.people.RosterStore`."""
        keys = {"text": text, "key": lookup_key(text), "lower": text.lower()}
        with self._database.reading() as connection:
            return tuple(person_from(row._asdict()) for row in connection.execute(_NAMED, keys))

    def import_runs(self) -> tuple[ImportRun, ...]:
        """See `store.people.RosterStore`."""
        with self._database.reading() as connection:
            return import_runs(connection)

    def forecast(self) -> Forecast | None:
        """See `store.people.RosterStore`."""
        with self._database.reading() as connection:
            found = connection.execute(_FORECAST).first()
            return None if found is None else Forecast(**found._asdict())


def _names(table: Table) -> list[str]:
    return [column.name for column in table.c]


def import_runs(connection: Connection) -> tuple[ImportRun, ...]:
    """The last import of each source."""
    return tuple(ImportRun(**row._asdict()) for row in connection.execute(_RUNS))
