"""A store in memory: for tests, and for whoever wants to read the semantics in short."""

from __future__ import annotations

import secrets
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from idp_proxy.audit.chain import PersonKey, append, host_of, news, pseudonym, start
from idp_proxy.audit.verification import verify
from idp_proxy.decision.standby_logins import Forgotten
from idp_proxy.errors import ReplayDetected, StoreConflict, StoreError
from idp_proxy.store.memory_factors import (
    FactorContents,
    MemoryFactorReads,
    MemoryFactorWrites,
)
from idp_proxy.store.memory_fleet import MemoryFleet
from idp_proxy.store.memory_roster import MemoryRosterWrites, People, named, page
from idp_proxy.store.password_tries import (
    MemoryPasswordTryReads,
    MemoryPasswordTryWrites,
    MemoryTries,
)
from idp_proxy.store.records import used_id_digest
from idp_proxy.store.seen import MemorySeenContexts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from idp_proxy.audit.chain import Event, Head, Row
    from idp_proxy.audit.checkpoint import Checkpoint
    from idp_proxy.audit.verification import Verdict
    from idp_proxy.decision.drill import Drill
    from idp_proxy.decision.roster import Forecast, RosterRow
    from idp_proxy.decision.standby_logins import StandbyLogin
    from idp_proxy.decision.switching import SwitchState
    from idp_proxy.store.base import Evidence, Transaction, UsedId
    from idp_proxy.store.people import ImportRun, RosterTransaction

_WAIT_S = 5.0
_KEY_BYTES = 32


@dataclass(slots=True)
class _Contents:
    """What is remembered; a transaction writes into one of its own first."""

    used: dict[bytes, UsedId] = field(default_factory=dict)
    people: People = field(default_factory=People)
    proofs: dict[str, datetime] = field(default_factory=dict)
    evidence: list[tuple[Evidence, str, datetime]] = field(default_factory=list)
    state: SwitchState | None = None
    drill: Drill | None = None
    rows: list[Row] = field(default_factory=list)
    heads: dict[str, Head] = field(default_factory=dict)
    person_keys: dict[str, PersonKey] = field(default_factory=dict)
    standby_logins: list[StandbyLogin] = field(default_factory=list)


class _MemoryTransaction(MemoryFactorWrites, MemoryRosterWrites, MemoryPasswordTryWrites):
    """A `store.base.Transaction`: reads through `staged` to `committed`, writes to `staged`."""

    def __init__(
        self,
        committed: _Contents,
        factors: FactorContents,
        tries: MemoryTries,
        chain: str,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        super().__init__(committed.people)
        self._committed = committed
        self.staged_factors = factors.copy()
        self.staged_tries = MemoryTries(dict(tries.counts))
        self._chain = chain
        self._random_bytes = random_bytes
        self.staged = _Contents(
            state=committed.state,
            drill=committed.drill,
            standby_logins=list(committed.standby_logins),
        )

    def consume(self, *used: UsedId) -> None:
        fresh, again = 0, 0
        for one in used:
            digest = used_id_digest(one)
            known = self.staged.used.get(digest) or self._committed.used.get(digest)
            if known is None:
                self.staged.used[digest] = one
                fresh += 1
            elif one.attempt and known.attempt == one.attempt:
                again += 1
        if fresh + again != len(used):
            raise ReplayDetected(f"used before: one of {', '.join(one.kind for one in used)}")

    def note_proof(self, upstream: str, at: datetime) -> None:
        known = self.staged.proofs.get(upstream) or self._committed.proofs.get(upstream)
        if known is None or known < at:
            self.staged.proofs[upstream] = at

    def note_standby_login(self, login: StandbyLogin) -> None:
        self.staged.standby_logins.append(login)

    def forget_standby_logins_before(self, at: datetime) -> Forgotten:
        known = self.staged.standby_logins
        old = [one for one in known if one.at < at]
        self.staged.standby_logins = [one for one in known if one.at >= at]
        return Forgotten(len({one.person for one in old}), len(old))

    def note_evidence(self, kind: Evidence, upstream: str, at: datetime) -> None:
        self.staged.evidence.append((kind, upstream, at))

    def swap(self, expected_epoch: int, state: SwitchState) -> None:
        known = self.staged.state
        if (0 if known is None else known.epoch) != expected_epoch:
            raise StoreConflict(f"the switch state is no longer at epoch {expected_epoch}")
        self.staged.state = state

    def swap_drill(self, expected_version: int, drill: Drill) -> None:
        known = self.staged.drill
        if (0 if known is None else known.version) != expected_version:
            raise StoreConflict(f"the drill is no longer at version {expected_version}")
        self.staged.drill = drill

    def record(self, event: Event) -> None:
        person = None if event.person is None else self._pseudonym(event.person)
        self._write((append(self._head(self._chain), event, person),))

    def adopt(self, rows: Sequence[Row], people: Sequence[PersonKey]) -> int:
        if not rows:
            return 0
        head = self._head(rows[0].chain)
        self._write(news(head, rows))
        self.staged.person_keys.update((person.pseudonym, person) for person in people)
        return head.seq

    def _head(self, chain: str) -> Head:
        return self.staged.heads.get(chain) or self._committed.heads.get(chain) or start(chain)

    def _write(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self.staged.rows.append(row)
            self.staged.heads[row.chain] = row.head

    def _pseudonym(self, person_id: str) -> str:
        for known in (self.staged.person_keys, self._committed.person_keys):
            for person in known.values():
                if person.person_id == person_id:
                    return person.pseudonym
        key = self._random_bytes(_KEY_BYTES)
        name = pseudonym(key, person_id)
        self.staged.person_keys[name] = PersonKey(name, person_id, key)
        return name


def _utc_now() -> datetime:
    return datetime.now(UTC)


class MemoryStore(MemoryFleet, MemoryFactorReads, MemorySeenContexts, MemoryPasswordTryReads):
    """The `store.base.Store` of one process, gone with it; `now` is the clock of its fleet."""

    def __init__(
        self,
        chain: str = "memory",
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        super().__init__(now)
        self._chain = chain
        self._random_bytes = random_bytes
        self._contents = _Contents()
        self._factors = FactorContents()
        self._seen = {}
        self._tries = MemoryTries()
        self._writing = threading.Lock()
        self._committing = threading.Lock()

    def transaction(self) -> AbstractContextManager[Transaction]:
        """See `store.base.Store`."""
        return self._transaction()

    @contextmanager
    def _transaction(self) -> Iterator[_MemoryTransaction]:
        if not self._writing.acquire(timeout=_WAIT_S):
            raise StoreError(f"no write transaction could begin within {_WAIT_S:.0f} s")
        try:
            transaction = _MemoryTransaction(
                self._contents, self._factors, self._tries, self._chain, self._random_bytes
            )
            yield transaction
            with self._committing:
                self._commit(transaction.staged)
                self._factors = transaction.staged_factors
                self._tries = transaction.staged_tries
                self._contents.people.take(transaction.staged_people)
        finally:
            self._writing.release()

    def _commit(self, staged: _Contents) -> None:
        contents = self._contents
        contents.used.update(staged.used)
        contents.proofs.update(staged.proofs)
        for noted in staged.evidence:
            self.note_evidence(*noted)
        contents.rows.extend(staged.rows)
        contents.standby_logins = staged.standby_logins
        contents.heads.update(staged.heads)
        contents.person_keys.update(staged.person_keys)
        contents.state = staged.state
        contents.drill = staged.drill

    def standby_logins(self) -> tuple[StandbyLogin, ...]:
        """Every login by a standby, the oldest first."""
        with self._committing:
            return tuple(self._contents.standby_logins)

    def switch_state(self) -> SwitchState | None:
        """See `store.base.Store`."""
        with self._committing:
            return self._contents.state

    def person(self, person_id: str) -> RosterRow | None:
        """See `store.base.Store`."""
        with self._committing:
            return self._contents.people.rows.get(person_id)

    def person_by_lookup_key(self, key: str) -> RosterRow | None:
        """See `store.base.Store`."""
        with self._committing:
            holder = self._contents.people.ids_by_key.get(key)
            return None if holder is None else self._contents.people.rows[holder]

    def writing_people(self) -> AbstractContextManager[RosterTransaction]:
        """See `store.people.RosterStore`."""
        return self._transaction()

    def people_after(self, person_id: str, limit: int) -> tuple[RosterRow, ...]:
        """See `store.people.RosterStore`."""
        with self._committing:
            return page(self._contents.people, person_id, limit)

    def named(self, text: str) -> tuple[RosterRow, ...]:
        """See `store.people.RosterStore`."""
        with self._committing:
            return named(self._contents.people, text)

    def import_runs(self) -> tuple[ImportRun, ...]:
        """See `store.people.RosterStore`."""
        with self._committing:
            runs = self._contents.people.runs
            return tuple(runs[source] for source in sorted(runs))

    def forecast(self) -> Forecast | None:
        """See `store.people.RosterStore`."""
        with self._committing:
            return self._contents.people.forecast

    def is_used(self, used: UsedId) -> bool:
        """See `store.base.Store`."""
        with self._committing:
            return used_id_digest(used) in self._contents.used

    def drill(self) -> Drill | None:
        """See `store.base.Store`."""
        with self._committing:
            return self._contents.drill

    def proofs(self) -> dict[str, datetime]:
        """See `store.base.Store`."""
        with self._committing:
            return dict(self._contents.proofs)

    def has_room(self) -> bool:
        """See `store.base.Store`."""
        return True

    def prune(self, now: datetime) -> int:
        """See `store.base.Store`."""
        with self._writing, self._committing:
            expired = [
                digest for digest, one in self._contents.used.items() if one.expires_at < now
            ]
            for digest in expired:
                del self._contents.used[digest]
            return len(expired) + self._tries.forget(now)

    def known_head(self) -> Head:
        """The last row of this host's chain."""
        with self._committing:
            return self._contents.heads.get(self._chain, start(self._chain))

    def audit_rows(self) -> tuple[Row, ...]:
        """Every audit row, each chain in order, spool chains first."""
        with self._committing:
            rows = tuple(self._contents.rows)
        return tuple(sorted(rows, key=lambda row: (host_of(row.chain) is None, row.chain, row.seq)))

    def verify_audit(self, checkpoints: Iterable[Checkpoint] = ()) -> Verdict:
        """Verify every chain."""
        with self._committing:
            heads = tuple(self._contents.heads.values())
        return verify(self.audit_rows(), checkpoints, heads)

    def close(self) -> None:
        """See `store.base.Store`."""
