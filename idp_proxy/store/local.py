"""The host's own spool: what its workers write while the shared store is away (DESIGN section 6).

A database of the store's shape in a file of this host, on disk with every commit. Each absence of
the store is a *period* with an audit chain of its own, and a journal of the other writes. A merge
seals the period and moves it in batches, each one transaction in the store. How far a period was
moved is read from the store itself, so an interruption at any point costs nothing.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NoReturn

from sqlalchemy import URL, bindparam, delete, exists, func, insert, select, update

from idp_proxy.audit import log
from idp_proxy.audit.chain import (
    SPOOL_SEALED,
    Event,
    spool_chain,
    spool_joined,
    spool_opened,
)
from idp_proxy.audit.log import AuditLog
from idp_proxy.audit.tables import audit_head, audit_person, audit_row
from idp_proxy.errors import StoreError
from idp_proxy.store import journal, schema
from idp_proxy.store.database import Database
from idp_proxy.store.factors import NoFactors
from idp_proxy.store.password_tries import NoPasswordTries
from idp_proxy.store.sql import consume
from idp_proxy.store.standby_logins import NoStandbyLogins
from idp_proxy.store.tables import spool_entry, spool_period, used_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Connection

    from idp_proxy.audit.chain import Head, PersonKey, Row
    from idp_proxy.audit.verification import Verdict
    from idp_proxy.decision.drill import Drill
    from idp_proxy.decision.roster import AdmittedByHand, RosterRow
    from idp_proxy.decision.switching import SwitchState
    from idp_proxy.store.base import Evidence, Store, Transaction, UsedId

_BATCH_ROWS = 200
_OPENING_ID_BYTES = 8

_OPEN_PERIOD = select(spool_period.c.chain).where(~spool_period.c.sealed)
_NEW_ENTRY = insert(spool_entry)
_ENTRIES = (
    select(spool_entry)
    .where(
        spool_entry.c.chain == bindparam("of_chain"),
        spool_entry.c.seq.between(bindparam("first"), bindparam("last")),
    )
    .order_by(spool_entry.c.number)
)


@dataclass(frozen=True, slots=True)
class _Batch:
    """What one transaction in the store takes over."""

    rows: Sequence[Row]
    people: Sequence[PersonKey]
    entries: Sequence[journal.Entry]
    is_last: bool


class SpoolTransaction(NoFactors, NoStandbyLogins, NoPasswordTries):
    """A `store.base.Transaction` in the host's spool: no roster to read, nothing to switch."""

    def __init__(
        self, connection: Connection, open_period: Callable[[Connection], AuditLog]
    ) -> None:
        self._connection = connection
        self._open_period = open_period
        self._audit: AuditLog | None = None
        self._next_seq = 0

    def person(self, person_id: str) -> RosterRow | None:
        """See `store.base.Transaction`."""
        self._refuse(f"the roster row of a person ({len(person_id)} characters)")

    def person_by_lookup_key(self, key: str) -> RosterRow | None:
        """See `store.base.Transaction`."""
        self._refuse(f"who holds a lookup key ({len(key)} characters)")

    def consume(self, *used: UsedId) -> None:
        """See `store.base.Transaction`; "before" means on this host, with or without the store."""
        consume(self._connection, used)
        for one in used:
            self._note(one)

    def save_person(self, row: RosterRow) -> None:
        """See `store.base.Transaction`; held against the roster when it is merged."""
        self._note(row)

    def admitted_by_hand(self, person_id: str) -> AdmittedByHand | None:
        """See `store.base.Transaction`."""
        self._refuse(f"who was admitted by hand ({len(person_id)} characters)")

    def admit_by_hand(self, admission: AdmittedByHand) -> None:
        """Refused: operators' actions wait for the store (DESIGN section 6)."""
        self._refuse(f"whom {admission.actor} admits at {admission.at:%H:%M:%S}")

    def note_proof(self, upstream: str, at: datetime) -> None:
        """See `store.base.Transaction`."""
        self._note(journal.Proof(upstream, at))

    def note_evidence(self, kind: Evidence, upstream: str, at: datetime) -> None:
        """Refused: what nobody else hears of is no evidence for them."""
        self._refuse(f"the {kind} of {upstream} at {at:%H:%M:%S}")

    def swap(self, expected_epoch: int, state: SwitchState) -> None:
        """Refused: who cannot read the store keeps the last state (DESIGN section 2)."""
        self._refuse(f"a switch from epoch {expected_epoch} to {state.serving}")

    def swap_drill(self, expected_version: int, drill: Drill) -> None:
        """Refused, as a switch is."""
        self._refuse(f"the drill {drill.id} at version {expected_version}")

    def record(self, event: Event) -> None:
        """See `store.base.Transaction`; into the chain of this period."""
        self._next_seq = self._period().append(self._connection, event).seq + 1

    def adopt(self, rows: Sequence[Row], people: Sequence[PersonKey]) -> int:
        """Refused: a spool is merged into a store, not the other way round."""
        self._refuse(f"{len(rows)} audit rows with {len(people)} people")

    def _period(self) -> AuditLog:
        if self._audit is None:
            self._audit = self._open_period(self._connection)
            self._next_seq = self._audit.head(self._connection).seq + 1
        return self._audit

    def _note(self, what: RosterRow | UsedId | journal.Proof) -> None:
        chain = self._period().chain
        entry = {"chain": chain, "seq": self._next_seq, **journal.written(what)}
        self._connection.execute(_NEW_ENTRY, entry)

    def _refuse(self, what: str) -> NoReturn:
        raise StoreError(f"the shared store is away, and the host's spool does not know {what}")


class LocalSpool:
    """The `store.base.Spool` of one host, in a SQLite file that its workers share."""

    def __init__(
        self,
        path: Path,
        chain: str,
        *,
        known_head: Callable[[], Head],
        now: Callable[[], datetime],
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """Open the file at `path`, or make it. `chain` is the host's main chain, and `known_head`
        the last row of it that this process knows (`SqlStore.known_head`). Raises `StoreError`.
        """
        url = URL.create("sqlite", database=str(path))
        try:
            schema.migrate(url)
            self._database = Database(url)
        except StoreError as error:
            raise StoreError(
                f"the host's spool {path} cannot be opened: {error.detail}; keep the file, for it "
                "may hold logins that the store has not heard of, move it away, and start again"
            ) from error
        self._path = path
        self._host = chain
        self._known_head = known_head
        self._now = now
        self._random_bytes = random_bytes
        #: How many ids that were merged by this process had counted elsewhere too.
        self.double_uses = 0

    def transaction(self) -> AbstractContextManager[Transaction]:
        """See `store.base.Spool`."""
        return self._transaction()

    @contextmanager
    def _transaction(self) -> Iterator[SpoolTransaction]:
        with self._database.writing() as connection:
            yield SpoolTransaction(connection, self._open_period)

    def pending(self) -> int:
        """See `store.base.Spool`."""
        with self._database.reading() as connection:
            waiting = connection.execute(
                select(func.sum(audit_head.c.seq - spool_period.c.merged_seq)).where(
                    audit_head.c.chain == spool_period.c.chain
                )
            ).scalar_one()
            return int(waiting or 0)

    def merge(self, store: Store) -> int:
        """See `store.base.Spool`. Raises `StoreError` when the store is away; what was moved until
        then stays moved, and the rest stays here.
        """
        if not self.pending():
            return 0
        # Nothing is sealed for a store that is still away: each attempt would leave one more chain.
        store.switch_state()
        self._seal()
        moved = 0
        for chain in self._sealed():
            while (batch := self._batch(chain)) is not None:
                moved += self._move(batch, store)
                self._mark_moved(batch)
        return moved

    def remember(self, used: Sequence[UsedId]) -> None:
        """See `store.base.Spool`."""
        with self._database.writing() as connection:
            consume(connection, used)

    def prune(self, now: datetime) -> int:
        """See `store.base.Spool`."""
        with self._database.writing() as connection:
            return connection.execute(delete(used_id).where(used_id.c.expires_at < now)).rowcount

    def verify(self) -> Verdict:
        """Verify the chains that wait here."""
        with self._database.reading() as connection:
            return log.verify_log(connection, elsewhere=(self._host,))

    def close(self) -> None:
        """See `store.base.Spool`."""
        self._database.close()

    def _open_period(self, connection: Connection) -> AuditLog:
        """The log of the open period; its first write opens it."""
        chain = connection.execute(_OPEN_PERIOD).scalar_one_or_none()
        if chain is not None:
            return AuditLog(chain, self._random_bytes)
        at = self._now()
        opening_id = f"{at:%Y%m%dT%H%M%SZ}-{self._random_bytes(_OPENING_ID_BYTES).hex()}"
        audit = AuditLog(spool_chain(self._host, opening_id), self._random_bytes)
        connection.execute(
            insert(spool_period).values(chain=audit.chain, opened_at=at, sealed=False, merged_seq=0)
        )
        audit.append(connection, spool_opened(self._known_head(), at))
        return audit

    def _seal(self) -> None:
        """End the open period: its last row takes along what was written after the last event."""
        with self._database.writing() as connection:
            chain = connection.execute(_OPEN_PERIOD).scalar_one_or_none()
            if chain is None:
                return
            sealed = Event(SPOOL_SEALED, "idp-proxy", self._now())
            AuditLog(chain, self._random_bytes).append(connection, sealed)
            connection.execute(
                update(spool_period).where(spool_period.c.chain == chain).values(sealed=True)
            )

    def _sealed(self) -> list[str]:
        with self._database.reading() as connection:
            found = connection.execute(
                select(spool_period.c.chain)
                .where(spool_period.c.sealed)
                .order_by(spool_period.c.opened_at, spool_period.c.chain)
            )
            return list(found.scalars())

    def _batch(self, chain: str) -> _Batch | None:
        """What is to be moved next of a sealed period; None when all of it was."""
        with self._database.reading() as connection:
            merged = connection.execute(
                select(spool_period.c.merged_seq).where(spool_period.c.chain == chain)
            ).scalar_one_or_none()
            if merged is None:
                return None
            rows = list(islice(log.rows(connection, chain, merged), _BATCH_ROWS))
            if not rows:
                raise StoreError(
                    f"{self._path}: {chain} has no row behind {merged} and was not ended: keep "
                    "the file, and treat this as tampering"
                )
            found = connection.execute(
                _ENTRIES, {"of_chain": chain, "first": merged + 1, "last": rows[-1].seq}
            )
            names = {str(row.content["person"]) for row in rows}
            return _Batch(
                rows=rows,
                people=log.people(connection, names),
                entries=[journal.Entry(**row._asdict()) for row in found],
                is_last=rows[-1].head == log.head_of(connection, chain),
            )

    def _move(self, batch: _Batch, store: Store) -> int:
        """One transaction in the store. A batch that is there already changes nothing."""
        end = batch.rows[-1].head
        with store.transaction() as transaction:
            known = transaction.adopt(batch.rows, batch.people)
            if known >= end.seq:
                return 0
            fresh = [entry for entry in batch.entries if entry.seq > known]
            doubles = sum([self._replay(transaction, entry) for entry in fresh])
            if batch.is_last:
                transaction.record(spool_joined(end, self._now()))
        self.double_uses += doubles
        return end.seq - max(known, batch.rows[0].seq - 1)

    def _replay(self, transaction: Transaction, entry: journal.Entry) -> bool:
        try:
            return journal.replay(transaction, entry, self._now())
        except (TypeError, ValueError) as error:
            raise StoreError(
                f"{self._path}: entry {entry.number} of the journal cannot be read: keep the "
                "file, and treat this as tampering"
            ) from error

    def _mark_moved(self, batch: _Batch) -> None:
        """Note that the store has the batch; a period that it has whole is removed here.

        Used ids stay until they expire: the store may go away again.
        """
        end = batch.rows[-1].head
        with self._database.writing() as connection:
            if not batch.is_last:
                connection.execute(
                    update(spool_period)
                    .where(spool_period.c.chain == end.chain, spool_period.c.merged_seq < end.seq)
                    .values(merged_seq=end.seq)
                )
                return
            for table in (audit_row, audit_head, spool_period):
                connection.execute(delete(table).where(table.c.chain == end.chain))
            # A period that was opened meanwhile may know the same people by the same keys.
            connection.execute(delete(audit_person).where(~exists(select(spool_period.c.chain))))
