"""What a journey may ask of a store, and how atomic each answer is.

Every implementation passes tests/conformance. A method raises `StoreError` when the store is away
and never returns a guess instead.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from idp_proxy.store.factor_base import FactorReads, FactorWrites
from idp_proxy.store.password_tries import PasswordTryReads, PasswordTryWrites
from idp_proxy.store.standby_logins import StandbyLoginWrites

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from idp_proxy.audit.chain import Event, PersonKey, Row
    from idp_proxy.decision.drill import Drill
    from idp_proxy.decision.fleet import HostReport
    from idp_proxy.decision.health import Canary
    from idp_proxy.decision.roster import AdmittedByHand, RosterRow
    from idp_proxy.decision.switching import SwitchState
    from idp_proxy.decision.traffic import TrafficCount


@dataclass(frozen=True, slots=True)
class UsedId:
    """An id that counts once. `kind` is "request", "transaction" or "assertion"; `issuer` keeps the
    ids of different parties apart; until `expires_at` a second use is told from the first (SP-06).

    `attempt` names the one attempt to put a login on record that uses it. A commit whose answer was
    lost may have happened: the same attempt may use the id again, and nobody else ever may.
    """

    kind: str
    issuer: str
    value: str
    expires_at: datetime
    attempt: str = ""


class Transaction(FactorWrites, StandbyLoginWrites, PasswordTryWrites, Protocol):
    """Writes that are committed together or not at all.

    The reads here see this transaction's own writes, and what they return stays as it is until the
    transaction ends: read here whatever a write of the same transaction depends on.
    """

    def person(self, person_id: str) -> RosterRow | None:
        """As `Store.person`. Raises `StoreError` in the host's spool, which knows no roster."""

    def person_by_lookup_key(self, key: str) -> RosterRow | None:
        """As `Store.person_by_lookup_key`. Raises `StoreError` in the host's spool."""

    def consume(self, *used: UsedId) -> None:
        """Mark ids as used. Raises `ReplayDetected` if one was used before by another attempt, of
        any host; a caller that catches it may go on in the same transaction.
        """

    def save_person(self, row: RosterRow) -> None:
        """Insert or replace the row of `row.id`. A lookup key that moves from one id to another is
        free when the former holder's new row is saved first. Raises `StoreConflict` when somebody
        else holds the lookup key.
        """

    def admitted_by_hand(self, person_id: str) -> AdmittedByHand | None:
        """What an approver last said for this person. Raises `StoreError` in the host's spool."""

    def admit_by_hand(self, admission: AdmittedByHand) -> None:
        """Keep what an approver said, in place of what was said for the same person before.
        Raises `StoreError` in the host's spool.
        """

    def note_proof(self, upstream: str, at: datetime) -> None:
        """A verified login at `upstream`: what /status and `idp-proxy status` call proven. An
        older time than the known one changes nothing.
        """

    def note_evidence(self, kind: Evidence, upstream: str, at: datetime) -> None:
        """As `FleetStore.note_evidence`. Raises `StoreError` in the host's spool: who cannot reach
        the store vouches for nothing.
        """

    def swap(self, expected_epoch: int, state: SwitchState) -> None:
        """Replace the switch state. Raises `StoreConflict` unless its epoch is `expected_epoch`;
        0 means that there is none yet.
        """

    def swap_drill(self, expected_version: int, drill: Drill) -> None:
        """Replace the one drill that is known. Raises `StoreConflict` unless its version is
        `expected_version`; 0 means that there is none yet.
        """

    def record(self, event: Event) -> None:
        """Append to this host's audit chain; unwritten means that nothing of this is committed."""

    def adopt(self, rows: Sequence[Row], people: Sequence[PersonKey]) -> int:
        """Take over audit rows of one other chain as they are, with what links them to people.

        Returns the number of the last row that was there before; rows up to it are passed over, so
        that a merge may be repeated. Raises `StoreConflict` when `rows` do not continue the chain,
        and `StoreError` in the host's spool.
        """


class Store(FactorReads, PasswordTryReads, Protocol):
    """The shared store of all hosts. Reads see what is committed."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """All or nothing: commits when the block ends, rolls back when it raises."""

    def switch_state(self) -> SwitchState | None:
        """The switch state, or None in a store that never had one."""

    def person(self, person_id: str) -> RosterRow | None:
        """The roster row of this canonical id, exact to the byte."""

    def person_by_lookup_key(self, key: str) -> RosterRow | None:
        """The roster row that holds this key (`decision.roster.lookup_key`)."""

    def is_used(self, used: UsedId) -> bool:
        """Whether this id was consumed. It says what to tell a person; what must count once is
        consumed in a transaction.
        """

    def drill(self) -> Drill | None:
        """The last drill that was begun, going on or not."""

    def proofs(self) -> dict[str, datetime]:
        """When each upstream last answered a login that was verified."""

    def has_room(self) -> bool:
        """Whether a login could be written down, as far as that shows without writing."""

    def prune(self, now: datetime) -> int:
        """Forget used ids and counts of wrong passwords that expired before `now`; returns how many
        rows.
        """

    def close(self) -> None:
        """Give back files and connections."""


class Evidence(enum.StrEnum):
    """What else than a real login vouches for an upstream, for `FleetStore.note_evidence`."""

    REHEARSAL = "rehearsal"
    FAILBACK_TEST = "failback_test"


class FleetStore(Protocol):
    """What the hosts tell each other through the shared store. Raises `StoreError` as `Store`.

    A time that is stored here is the store's clock: hosts need not agree about the time.
    """

    def clock(self) -> datetime:
        """Now, by the clock that all hosts share: the database server's; with SQLite the host's."""

    def publish(self, report: HostReport, *, begins: bool = False) -> None:
        """Replace what `report.host` reported before; `report.at` is set to the store's clock.

        The first report registers the host; a process whose first one it is `begins`. Raises
        `StoreError` when somebody else reports under this name, and when the store is for one host
        only (SQLite) and another one has reported within the last ten minutes.
        """

    def reports(self) -> tuple[HostReport, ...]:
        """The last report of every registered host, in order of names."""

    def forget_host(self, name: str) -> bool:
        """Take a host that will not come back off the register; False if there is none."""

    def canaries(self) -> tuple[Canary, ...]:
        """Every canary that ever ran, in order of upstream and name."""

    def lease_canary(self, upstream: str, name: str, host_name: str, until: datetime) -> bool:
        """Whether `host_name` got the lease: nobody else's runs, by the store's clock."""

    def save_canary(self, done: Canary) -> bool:
        """Write the track of a canary whose lease `done.host` holds, and end the lease; False,
        and nothing is written, when the lease went to another host meanwhile.
        """

    def forget_canaries(self, configured: Iterable[tuple[str, str]]) -> int:
        """Remove the rows of (upstream, name) that are not `configured`; returns how many."""

    def note_evidence(self, kind: Evidence, upstream: str, at: datetime) -> None:
        """Remember the newest of its kind."""

    def evidence(self, kind: Evidence) -> dict[str, datetime]:
        """The newest of this kind, by upstream."""

    def prune_evidence(self, before: datetime) -> int:
        """Forget what vouched for an upstream before then; returns how many rows."""

    def add_traffic(self, host_name: str, counts: Iterable[TrafficCount]) -> None:
        """Add what the workers of a host counted: one row a host, upstream and minute (L3)."""

    def traffic(self, since: datetime) -> tuple[TrafficCount, ...]:
        """The fleet's counts from that minute on, summed over hosts, in order of time."""

    def prune_traffic(self, before: datetime) -> int:
        """Forget counts older than that; returns how many rows."""


class Vouching(Protocol):
    """A store as far as it tells what vouches for an upstream."""

    def proofs(self) -> dict[str, datetime]:
        """See `Store`."""

    def evidence(self, kind: Evidence) -> dict[str, datetime]:
        """See `FleetStore`."""


def proven(store: Vouching) -> dict[str, datetime]:
    """When a login by each upstream was last verified, a real one or a rehearsal."""
    found = store.proofs()
    for name, at in store.evidence(Evidence.REHEARSAL).items():
        found[name] = max(at, found.get(name, at))
    return found


class Spool(Protocol):
    """The host's own small store, for the time in which the shared one is away (DESIGN section 6).

    Its workers share it. A commit is on disk when `transaction` ends.
    """

    def transaction(self) -> AbstractContextManager[Transaction]:
        """As `Store.transaction`; `swap` is refused there with `StoreError`."""

    def pending(self) -> int:
        """How many audit rows wait to be merged into the store."""

    def merge(self, store: Store) -> int:
        """Move everything into `store`, in order, and return how many rows were moved.

        A used id that the store knows already is a double use: it is recorded as an event of kind
        "replay_found_at_merge" and does not stop the merge. Safe to repeat after an interruption.
        """

    def remember(self, used: Sequence[UsedId]) -> None:
        """Keep ids that were consumed in the store, so that they do not count a second time here
        when it goes away (SP-06). They are not merged. Raises `ReplayDetected` if one counted here
        already, in a login that the store has not been told of yet.
        """

    def prune(self, now: datetime) -> int:
        """As `Store.prune`."""

    def close(self) -> None:
        """Give back files and connections."""
