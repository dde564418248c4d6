"""JOURNEY: the watch of one host, in the parent process of `serve`.

    probes --------> this host's tracks --publish--> the store <--publish-- the other hosts
    canaries (one host each, by lease) ----------------^ |
                                        the fleet's verdict, `decide`, compare-and-swap

Every host does the same at every turn and nobody leads: of two that decide to switch at the same
moment one's compare-and-swap wins, and the other sees the new state at its next turn. Who cannot
read the store keeps the last state and switches nothing (DESIGN section 2, rule 4).
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from idp_proxy.audit.chain import Event
from idp_proxy.decision.failover import Action, after
from idp_proxy.decision.health import Canary, Outcome, follow, may_run
from idp_proxy.decision.membership import Membership
from idp_proxy.errors import StoreConflict, StoreError
from idp_proxy.survey import survey
from idp_proxy.upstream.probing import Probed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime
    from typing import TypeVar

    from idp_proxy.decision.health import Thresholds
    from idp_proxy.decision.switching import SwitchState
    from idp_proxy.observer import Observer
    from idp_proxy.survey import Standards, Survey, WatchedStore
    from idp_proxy.upstream.probing import CanaryLogin

    T = TypeVar("T")

_log = structlog.get_logger("idp_proxy.watch")

#: The store's clock and this host's own may drift apart by so much in a turn; more is a jump.
_JUMP: Final = timedelta(seconds=5)
#: A host whose own clock is further from the store's writes logins that others may refuse.
_SKEW: Final = timedelta(seconds=10)
#: What a canary may take beyond its time, to close what it opened; and what its lease lasts beyond
#: that time, for the way to the store and back.
_CLOSING: Final = timedelta(seconds=6)
_LEASE_MARGIN: Final = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class CanaryPlan:
    """How the canaries run: the intervals at a serving upstream and at a standby, the pause after
    a failure, and how long one login may take.
    """

    logins: Sequence[CanaryLogin]
    thresholds: Thresholds
    serving: timedelta
    standby: timedelta
    retry: timedelta
    timeout: timedelta


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn found: a survey, or None while the store is away, with the reason; `switched`
    is the state that this host wrote, `proposal` the id under which people may confirm what was
    proposed, `jumped` how far the store's clock jumped, `skew` by how much this host's own clock is
    ahead of it, if that is too much.
    """

    survey: Survey | None
    problem: str = ""
    switched: SwitchState | None = None
    proposal: str | None = None
    jumped: timedelta | None = None
    skew: timedelta | None = None


@dataclass(slots=True)
class StoreClock:
    """The store's clock as this host reckons it between two readings.

    `monotonic` is in seconds, `wall` the host's own clock, for as long as the store was never read.
    """

    monotonic: Callable[[], float]
    wall: Callable[[], datetime]
    _read: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        """The store's time, reckoned on from the last reading."""
        if self._read is None:
            return self.wall()
        at, then = self._read
        return at + timedelta(seconds=self.monotonic() - then)

    def take(self, at: datetime) -> timedelta | None:
        """A new reading; gives how far the clock jumped since the last one, if it did."""
        off = None if self._read is None else at - self.now()
        self._read = (at, self.monotonic())
        return off if off is not None and abs(off) > _JUMP else None

    def skew(self, at: datetime) -> timedelta | None:
        """By how much the host's own clock is ahead of a reading, if that is too much."""
        off = self.wall() - at
        return off if abs(off) > _SKEW else None


@dataclass(slots=True)
class Watch:
    """The watch of `host`. `told` hears of every turn: it raises and ends alarms."""

    host: str
    store: WatchedStore
    current: Callable[[], SwitchState]
    standards: Standards
    observer: Observer
    canaries: CanaryPlan
    clock: StoreClock
    tick: timedelta
    told: Callable[[Turn], None]
    propose: Callable[[Survey], str | None]
    member: Membership = field(default_factory=Membership)
    _last: Survey | None = field(default=None, init=False)
    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(8, "watch-store"), init=False
    )

    async def run(self) -> None:
        """Watch for ever."""
        async with asyncio.TaskGroup() as tasks:
            for name in self.observer.tracks:
                tasks.create_task(self.observer.watch(name))
            for login in self.canaries.logins:
                tasks.create_task(self._keep_canary(login))
            tasks.create_task(self._keep_turning())

    async def _keep_turning(self) -> None:
        changed = self.observer.changed
        while True:
            changed.clear()
            try:
                turn = await self._in_thread(self.turn)
                await self._in_thread(partial(self.told, turn))
            except Exception:  # noqa: BLE001 - a fault at one turn must not end the watch for ever
                _log.exception("watch_failed")
            # Not `wait_for`: before Python 3.12 it takes an end at the very moment of the event for
            # the event, and a watch that is told to stop goes on.
            with suppress(TimeoutError):
                async with asyncio.timeout(self.tick.total_seconds()):
                    await changed.wait()

    def turn(self) -> Turn:
        """Publish, read the fleet's reports, decide, act."""
        try:
            self.store.publish(
                replace(
                    self.observer.report(self.host),
                    member=self.member,
                    barred=self.standards.findings(),
                )
            )
            now = self.store.clock()
            jumped, skew = self.clock.take(now), self.clock.skew(now)
            seen = survey(self.store, self.current(), self.standards, now)
            self._last = seen
            if jumped is not None:
                # How long anything has lasted is unknown: look again before anything follows.
                self.observer.forget_times()
                return Turn(seen, jumped=jumped, skew=skew)
            proposes = seen.decision.action is Action.PROPOSE
            proposal = self.propose(seen) if proposes else None
            return Turn(seen, switched=self._act(seen), proposal=proposal, skew=skew)
        except StoreError as error:
            self._last = None
            return Turn(None, error.detail)

    def _act(self, seen: Survey) -> SwitchState | None:
        """Write what was decided, with its audit row; None when nothing was to do, or when
        somebody else was first.
        """
        decision, actor = seen.decision, f"watch:{self.host}"
        new = after(seen.state, decision, self.standards.limits, actor, seen.at)
        if new is None:
            return None
        facts: dict[str, str | int | float | bool | None] = {
            "epoch": new.epoch,
            "from": seen.state.serving,
            "to": new.serving,
            "cause": decision.reason[:500],
            "rule": decision.rule,
            "hosts": ",".join(seen.situation.fleet.seen),
        }
        kind = "latch" if decision.action is Action.LATCH else "switch"
        try:
            with self.store.transaction() as transaction:
                transaction.swap(seen.state.epoch, new)
                transaction.record(Event(kind=kind, actor=actor, at=seen.at, facts=facts))
        except StoreConflict:
            return None
        _log.warning("switched", serving=new.serving, epoch=new.epoch, rule=decision.rule)
        return new

    # --- canaries --------------------------------------------------------------------------------

    async def _keep_canary(self, login: CanaryLogin) -> None:
        while True:
            try:
                await self._run_canary(login)
            except StoreError as error:
                _log.warning("canary_waits", canary=login.name, detail=error.detail[:300])
            except Exception:  # noqa: BLE001 - nor may one of a canary end it
                _log.exception("canary_failed", upstream=login.upstream, canary=login.name)
            await asyncio.sleep(min(self.tick.total_seconds(), 1.0))

    async def _run_canary(self, login: CanaryLogin) -> None:
        """Log in if it is this host's turn, and tell the fleet how it went.

        A host that cannot see the upstream's network leaves its canary to the others. What broke as
        it was cut off is no word about the upstream, and would outlive the cut.
        """
        last = self._last
        if last is None or self._is_cut_off(login):
            return
        if not self._may_run(self._known(login, last.canaries), last):
            return
        canary = await self._in_thread(partial(self._lease, login, last))
        if canary is None:
            return
        seen = await self._logged_in(login)
        track, now = canary.track, self.clock.now()
        if seen.outcome is not Outcome.BROKEN or not self._is_cut_off(login):
            track = follow(track, seen.outcome, seen.reason, self.canaries.thresholds, now)
        done = replace(canary, track=track, host=self.host, lease_host=None, lease_until=None)
        if not await self._in_thread(lambda: self.store.save_canary(done)):
            _log.warning("canary_too_late", upstream=login.upstream, canary=login.name)
            return
        if track.verdict is not canary.track.verdict or track.refused != canary.track.refused:
            _log.warning(
                "canary",
                upstream=login.upstream,
                canary=login.name,
                outcome=seen.outcome.value,
                verdict=track.verdict.value,
                reason=seen.reason,
            )
            self.observer.changed.set()

    def _lease(self, login: CanaryLogin, last: Survey) -> Canary | None:
        """The canary as it stands now that nobody else can run it; None if it ran meanwhile, which
        the last survey does not know yet, or if another host runs it.
        """
        if not self._may_run(self._known(login, self.store.canaries()), last):
            return None
        until = self.clock.now() + self.canaries.timeout + _LEASE_MARGIN
        if not self.store.lease_canary(login.upstream, login.name, self.host, until):
            return None
        return self._known(login, self.store.canaries())

    async def _logged_in(self, login: CanaryLogin) -> Probed:
        """How it went; what is this host's own fault is REFUSED, for it proves nothing (FO-02)."""
        running = asyncio.ensure_future(login.log_in(self.clock.now()))
        allowed = (self.canaries.timeout + _CLOSING).total_seconds()
        try:
            await asyncio.wait({running}, timeout=allowed)
            if running.done():
                return running.result()
        except asyncio.CancelledError:
            running.cancel()
            await asyncio.wait({running}, timeout=_CLOSING.total_seconds())
            raise
        except Exception:  # noqa: BLE001 - a fault of our own, and no word about the upstream
            _log.exception("canary_failed", upstream=login.upstream, canary=login.name)
            return Probed(Outcome.REFUSED, "a fault of the proxy itself; its log says more")
        running.cancel()
        return Probed(Outcome.REFUSED, f"did not end within {allowed:g} s on {self.host}")

    def _known(self, login: CanaryLogin, canaries: Iterable[Canary]) -> Canary:
        """The canary among these; one that never ran has no row yet."""
        key = (login.upstream, login.name)
        found = (one for one in canaries if (one.upstream, one.name) == key)
        return next(found, Canary(*key))

    def _is_cut_off(self, login: CanaryLogin) -> bool:
        """Whether this host has no way to see the upstream now (ISOLATED)."""
        return login.upstream in self.observer.report(self.host).isolated

    def _may_run(self, canary: Canary, last: Survey) -> bool:
        """Whether it is due, and this host's to run. Hosts that are cut off do not count: nobody
        waits for them to look.
        """
        serves, heard = last.state.serving == canary.upstream, last.situation.fleet.seen
        return may_run(
            canary,
            self.host,
            [
                one.host
                for one in last.reports
                if one.host in heard and canary.upstream not in one.isolated
            ],
            self.clock.now(),
            interval=self.canaries.serving if serves else self.canaries.standby,
            retry=self.canaries.retry,
        )

    def _in_thread(self, act: Callable[[], T]) -> asyncio.Future[T]:
        """The store may hang for as long as its own deadlines allow; the probes go on."""
        return asyncio.get_running_loop().run_in_executor(self._threads, act)


def start(watch: Watch) -> Callable[[], None]:
    """Run the watch in a thread of its own, beside what the parent process does.

    What it gives stops the watch, and waits until it has stopped.
    """
    loop = asyncio.new_event_loop()
    task = loop.create_task(watch.run())

    def run() -> None:
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        loop.close()

    thread = threading.Thread(target=run, name="watch", daemon=True)
    thread.start()

    def stop() -> None:
        if thread.is_alive():
            loop.call_soon_threadsafe(task.cancel)
            thread.join()

    return stop
