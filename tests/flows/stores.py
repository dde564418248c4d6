"""A store that goes away and comes back, with the spool that takes its place on this host."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from idp_proxy.errors import StoreError
from idp_proxy.store.local import LocalSpool

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime
    from pathlib import Path

    from idp_proxy.decision.drill import Drill
    from idp_proxy.decision.fleet import HostReport
    from idp_proxy.decision.health import Canary
    from idp_proxy.decision.password_limits import Count
    from idp_proxy.decision.roster import RosterRow
    from idp_proxy.decision.second_factor import Factor, Tries
    from idp_proxy.decision.switching import SwitchState
    from idp_proxy.store.base import Transaction, UsedId
    from idp_proxy.store.memory import MemoryStore
    from idp_proxy.store.sql import SqlStore
    from idp_proxy.survey import SeenStore
    from tests.flows.stage import Clock


@dataclass(slots=True)
class Reachable:
    """A `store.base.Store` behind a network that fails on command. `fails_at_commit` lets a
    transaction run and fail at its end, with nothing written; `loses_the_answer` with all written.
    """

    store: MemoryStore | SqlStore
    away: bool = False
    fails_at_commit: bool = False
    loses_the_answer: bool = False

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """See `store.base.Store`."""
        self._reach()
        with self.store.transaction() as transaction:
            yield transaction
            if self.fails_at_commit:
                self._fail()
        if self.loses_the_answer:
            self._fail()

    def switch_state(self) -> SwitchState | None:
        """See `store.base.Store`."""
        self._reach()
        return self.store.switch_state()

    def person(self, person_id: str) -> RosterRow | None:
        """See `store.base.Store`."""
        self._reach()
        return self.store.person(person_id)

    def person_by_lookup_key(self, key: str) -> RosterRow | None:
        """See `store.base.Store`."""
        self._reach()
        return self.store.person_by_lookup_key(key)

    def password_counts_of(self, keys: Collection[bytes]) -> dict[bytes, Count]:
        """See `store.password_tries.PasswordTryReads`."""
        self._reach()
        return self.store.password_counts_of(keys)

    def factors_of(self, person: str) -> tuple[Factor, ...]:
        """See `store.base.Store`."""
        self._reach()
        return self.store.factors_of(person)

    def factors_after(self, factor_id: str, limit: int) -> tuple[Factor, ...]:
        """See `store.base.Store`."""
        self._reach()
        return self.store.factors_after(factor_id, limit)

    def factor_tries_of(self, person: str) -> Tries:
        """See `store.base.Store`."""
        self._reach()
        return self.store.factor_tries_of(person)

    def factor_holders(self) -> frozenset[str]:
        """See `store.base.Store`."""
        self._reach()
        return self.store.factor_holders()

    def is_used(self, used: UsedId) -> bool:
        """See `store.base.Store`."""
        self._reach()
        return self.store.is_used(used)

    def drill(self) -> Drill | None:
        """See `store.base.Store`."""
        self._reach()
        return self.store.drill()

    def has_room(self) -> bool:
        """See `store.base.Store`."""
        self._reach()
        return self.store.has_room()

    def proofs(self) -> dict[str, datetime]:
        """See `store.base.Store`."""
        self._reach()
        return self.store.proofs()

    def clock(self) -> datetime:
        """See `store.base.FleetStore`."""
        self._reach()
        return self.store.clock()

    def reports(self) -> tuple[HostReport, ...]:
        """See `store.base.FleetStore`."""
        self._reach()
        return self.store.reports()

    def canaries(self) -> tuple[Canary, ...]:
        """See `store.base.FleetStore`."""
        self._reach()
        return self.store.canaries()

    def prune(self, now: datetime) -> int:
        """See `store.base.Store`."""
        self._reach()
        return self.store.prune(now)

    def close(self) -> None:
        """See `store.base.Store`."""

    def _reach(self) -> None:
        if self.away:
            self._fail()

    def _fail(self) -> NoReturn:
        raise StoreError("OperationalError: no route to the database")


@dataclass(slots=True)
class Outage:
    """Makes the pair for a stage, and keeps hold of it."""

    folder: Path
    reachable: Reachable | None = None
    spool: LocalSpool | None = None

    def __call__(self, store: MemoryStore | SqlStore, clock: Clock) -> tuple[SeenStore, LocalSpool]:
        """A way to `store` that can be cut, and this host's spool."""
        self.reachable = Reachable(store)
        self.spool = LocalSpool(
            self.folder / "spool.db", "sso1", known_head=store.known_head, now=clock.now
        )
        return self.reachable, self.spool

    @property
    def way(self) -> Reachable:
        """The way to the store."""
        assert self.reachable is not None
        return self.reachable

    @property
    def local(self) -> LocalSpool:
        """The spool."""
        assert self.spool is not None
        return self.spool
