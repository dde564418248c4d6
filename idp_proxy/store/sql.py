"""The shared store in a SQL database, by SQLAlchemy Core: SQLite, or PostgreSQL for several hosts.

Statements are built once for each dialect, because SQLAlchemy finds the compiled form of one again
by the statement; those that a login waits for are prepared (`audit.prepared`).
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from idp_proxy.audit.chain import start
from idp_proxy.audit.prepared import Prepared
from idp_proxy.errors import ReplayDetected, StoreConflict, StoreError
from idp_proxy.store import forgetting, schema
from idp_proxy.store.database import Database
from idp_proxy.store.factors import SqlFactorReads, SqlFactorWrites
from idp_proxy.store.fleet import SqlFleet, note_evidence
from idp_proxy.store.password_tries import (
    SqlPasswordTryReads,
    SqlPasswordTryWrites,
    forget_tries,
)
from idp_proxy.store.records import (
    drill_from,
    drill_record,
    person_from,
    state_from,
    state_record,
    used_id_digest,
)
from idp_proxy.store.roster import SqlRoster, SqlRosterWrites
from idp_proxy.store.seen import SqlSeenContexts
from idp_proxy.store.standby_logins import SqlStandbyLoginWrites
from idp_proxy.store.tables import (
    drill,
    proof,
    roster,
    switch_state,
    used_id,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from sqlalchemy import URL, Connection, Executable

    from idp_proxy.audit.chain import Event, Head, PersonKey, Row
    from idp_proxy.audit.log import AuditLog
    from idp_proxy.decision.drill import Drill
    from idp_proxy.decision.forgetting import Kept
    from idp_proxy.decision.roster import RosterRow
    from idp_proxy.decision.switching import SwitchState
    from idp_proxy.store.base import Evidence, Transaction, UsedId
    from idp_proxy.store.forgetting import ForgettingTransaction
    from idp_proxy.store.people import RosterTransaction

_INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}

_STATE = select(*(column for column in switch_state.c if column.name != "id"))
_REPLACE_STATE = update(switch_state).where(switch_state.c.epoch == bindparam("expected_epoch"))
_PERSON = select(roster).where(roster.c.id == bindparam("of_id"))
_PERSON_BY_KEY = select(roster).where(roster.c.lookup_key == bindparam("of_key"))
_PERSON_HELD = Prepared(_PERSON.with_for_update())
_PERSON_BY_KEY_HELD = Prepared(_PERSON_BY_KEY.with_for_update())
_PROOFS = select(proof)
_DRILL = select(drill)
_REPLACE_DRILL = update(drill).where(drill.c.version == bindparam("expected_version"))
_USED = select(used_id.c.digest).where(used_id.c.digest == bindparam("of_digest"))
_FORGET_USED = delete(used_id).where(used_id.c.expires_at < bindparam("now"))


@dataclass(frozen=True, slots=True)
class _Upserts:
    """The statements that every dialect words in its own way."""

    consume: Prepared
    note_proof: Prepared
    first_state: Executable
    first_drill: Executable


@cache
def _upserts(dialect: str) -> _Upserts:
    insert = _INSERT[dialect]
    proven = insert(proof)
    used = insert(used_id)
    return _Upserts(
        # A row of another attempt, or of one without a name, stays untouched and is not counted.
        consume=Prepared(
            used.on_conflict_do_update(
                index_elements=[used_id.c.digest],
                set_={"attempt": used.excluded.attempt},
                where=used_id.c.attempt == used.excluded.attempt,
            )
        ),
        note_proof=Prepared(
            proven.on_conflict_do_update(
                index_elements=[proof.c.upstream],
                set_={"at": proven.excluded.at},
                where=proof.c.at < proven.excluded.at,
            )
        ),
        first_state=_counted(insert(switch_state).on_conflict_do_nothing()),
        first_drill=_counted(insert(drill).on_conflict_do_nothing()),
    )


def _counted(statement: Any) -> Any:
    """SQLAlchemy keeps no row count of an INSERT unless told to; here it decides who was first."""
    return statement.execution_options(preserve_rowcount=True)


def consume(connection: Connection, used: Sequence[UsedId]) -> None:
    """Mark ids as used in this database. Raises `ReplayDetected` if one of them was, by another
    attempt.
    """
    new = _upserts(connection.dialect.name).consume.run(
        connection,
        *(
            {
                "digest": used_id_digest(one),
                "kind": one.kind,
                "expires_at": one.expires_at,
                "attempt": one.attempt or None,
            }
            for one in used
        ),
    )
    if new != len(used):
        raise ReplayDetected(f"used before: one of {', '.join(one.kind for one in used)}")


class SqlTransaction(SqlFactorWrites, SqlRosterWrites, SqlStandbyLoginWrites, SqlPasswordTryWrites):
    """A `store.base.Transaction` on an open connection; who opened it commits."""

    def __init__(self, connection: Connection, audit: AuditLog) -> None:
        self._connection = connection
        self._audit = audit
        self._upserts = _upserts(connection.dialect.name)
        self.head: Head | None = None

    def person(self, person_id: str) -> RosterRow | None:
        """See `store.base.Transaction`."""
        found = _PERSON_HELD.first(self._connection, {"of_id": person_id})
        return None if found is None else person_from(found)

    def person_by_lookup_key(self, key: str) -> RosterRow | None:
        """See `store.base.Transaction`."""
        found = _PERSON_BY_KEY_HELD.first(self._connection, {"of_key": key})
        return None if found is None else person_from(found)

    def consume(self, *used: UsedId) -> None:
        """See `store.base.Transaction`."""
        consume(self._connection, used)

    def note_proof(self, upstream: str, at: datetime) -> None:
        """See `store.base.Transaction`."""
        self._upserts.note_proof.run(self._connection, {"upstream": upstream, "at": at})

    def note_evidence(self, kind: Evidence, upstream: str, at: datetime) -> None:
        """See `store.base.Transaction`."""
        note_evidence(self._connection, kind, upstream, at)

    def swap(self, expected_epoch: int, state: SwitchState) -> None:
        """See `store.base.Transaction`."""
        record = state_record(state)
        if expected_epoch == 0:
            done = self._connection.execute(self._upserts.first_state, record | {"id": 1})
        else:
            done = self._connection.execute(
                _REPLACE_STATE.values(record), {"expected_epoch": expected_epoch}
            )
        if done.rowcount != 1:
            raise StoreConflict(f"the switch state is no longer at epoch {expected_epoch}")

    def swap_drill(self, expected_version: int, drill: Drill) -> None:
        """See `store.base.Transaction`."""
        record = drill_record(drill)
        if expected_version == 0:
            done = self._connection.execute(self._upserts.first_drill, record | {"row": 1})
        else:
            done = self._connection.execute(
                _REPLACE_DRILL.values(record), {"expected_version": expected_version}
            )
        if done.rowcount != 1:
            raise StoreConflict(f"the drill is no longer at version {expected_version}")

    def record(self, event: Event) -> None:
        """See `store.base.Transaction`."""
        self.head = self._audit.append(self._connection, event).head

    def adopt(self, rows: Sequence[Row], people: Sequence[PersonKey]) -> int:
        """See `store.base.Transaction`."""
        return self._audit.adopt(self._connection, rows, people)

    def forget_person(self, person_id: str) -> Kept:
        """See `store.forgetting.ForgettingTransaction`."""
        return forgetting.erase(self._connection, person_id)


class SqlStore(SqlFleet, SqlRoster, SqlFactorReads, SqlSeenContexts, SqlPasswordTryReads):
    """The `store.base.Store` and `FleetStore` in a SQL database whose shape is up to date."""

    def __init__(self, url: str | URL, audit: AuditLog, *, may_be_away: bool = False) -> None:
        """Open the database. Raises `StoreError` when it is away, missing or of another shape.

        A server that `may_be_away` is looked at when it is reached at last: until then, and for as
        long as it has another shape, whatever is asked of it raises `StoreError`.
        """
        self._audit = audit
        self._known_head = start(audit.chain)
        self._database = Database(url, self._admit)
        try:
            with self._database.reading():
                pass
        except StoreError:
            if not may_be_away or self._database.dialect == "sqlite":
                self._database.close()
                raise
        except BaseException:
            self._database.close()
            raise

    def _admit(self, connection: Connection) -> None:
        schema.check(connection)
        self._known_head = self._audit.head(connection)

    def transaction(self) -> AbstractContextManager[Transaction]:
        """See `store.base.Store`."""
        return self._transaction()

    def writing_people(self) -> AbstractContextManager[RosterTransaction]:
        """See `store.people.RosterStore`."""
        return self._transaction()

    def forgetting(self) -> AbstractContextManager[ForgettingTransaction]:
        """A transaction that may forget a person."""
        return self._transaction()

    @contextmanager
    def _transaction(self) -> Iterator[SqlTransaction]:
        with self._database.writing() as connection:
            transaction = SqlTransaction(connection, self._audit)
            yield transaction
        if transaction.head is not None:
            self._known_head = transaction.head

    def switch_state(self) -> SwitchState | None:
        """See `store.base.Store`."""
        with self._database.reading() as connection:
            found = connection.execute(_STATE).first()
            return None if found is None else state_from(found._asdict())

    def person(self, person_id: str) -> RosterRow | None:
        """See `store.base.Store`."""
        with self._database.reading() as connection:
            return _one_person(connection, _PERSON, {"of_id": person_id})

    def person_by_lookup_key(self, key: str) -> RosterRow | None:
        """See `store.base.Store`."""
        with self._database.reading() as connection:
            return _one_person(connection, _PERSON_BY_KEY, {"of_key": key})

    def is_used(self, used: UsedId) -> bool:
        """See `store.base.Store`."""
        with self._database.reading() as connection:
            found = connection.execute(_USED, {"of_digest": used_id_digest(used)})
            return found.first() is not None

    def drill(self) -> Drill | None:
        """See `store.base.Store`."""
        with self._database.reading() as connection:
            found = connection.execute(_DRILL).first()
            return None if found is None else drill_from(found._asdict())

    def proofs(self) -> dict[str, datetime]:
        """See `store.base.Store`."""
        with self._database.reading() as connection:
            return {row.upstream: row.at for row in connection.execute(_PROOFS)}

    def has_room(self) -> bool:
        """See `store.base.Store`."""
        return self._database.has_room()

    def prune(self, now: datetime) -> int:
        """See `store.base.Store`."""
        with self._database.writing(patient=True) as connection:
            tries = forget_tries(connection, now)
            return connection.execute(_FORGET_USED, {"now": now}).rowcount + tries

    def known_head(self) -> Head:
        """The last row of this host's chain that this process knows to be committed; no reading.

        What a spool's opening row names, while the store is away.
        """
        return self._known_head

    def reading(self) -> AbstractContextManager[Connection]:
        """A connection on one snapshot, for `audit.log`: to list, to verify, to checkpoint."""
        return self._database.reading()

    def writing(self, *, patient: bool = False) -> AbstractContextManager[Connection]:
        """A connection in a write transaction, for `audit.log`: to prune.

        `patient` is for what may take longer than a login.
        """
        return self._database.writing(patient=patient)

    def fold_log(self) -> bool:
        """Leave nothing that was deleted in SQLite's write-ahead log; whether nothing is left."""
        return self._database.fold_log()

    def close(self) -> None:
        """See `store.base.Store`."""
        self._database.close()


def _one_person(
    connection: Connection, statement: Executable, key: dict[str, str]
) -> RosterRow | None:
    found = connection.execute(statement, key).first()
    return None if found is None else person_from(found._asdict())
