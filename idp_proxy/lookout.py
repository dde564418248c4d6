"""From settings to the watch of this host: what `serve` starts beside the workers.

It puts together what looks (probes, references, canaries), what is decided by (`Standards`), what
is proposed to people, and who is told.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog

from idp_proxy import adapters, watch
from idp_proxy.alarms import Alarms
from idp_proxy.audit.log import AuditLog
from idp_proxy.decision.approval import Act
from idp_proxy.decision.notices import Kind, Notice
from idp_proxy.decision.traffic import judge_traffic
from idp_proxy.drill import Guard
from idp_proxy.errors import StoreError
from idp_proxy.notify import Manner, Notifier, open_channels
from idp_proxy.observer import Observer, Sights
from idp_proxy.operators import attempts, consent
from idp_proxy.operators.consent import Wish
from idp_proxy.watch import CanaryPlan, StoreClock, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from idp_proxy.config.settings import Settings
    from idp_proxy.decision.traffic import TrafficLimits, Unanswered
    from idp_proxy.store.sql import SqlStore
    from idp_proxy.survey import Survey
    from idp_proxy.upstream.configured import ConfiguredUpstream
    from idp_proxy.upstream.probing import Expiry
    from idp_proxy.watch import Turn

_log = structlog.get_logger("idp_proxy.lookout")

#: Unanswered logins are counted by the minute: to look more often would show nothing new.
_TRAFFIC_EVERY_S: Final = 15.0
#: What is on its way to a pager when the host stops still goes out, for so long.
_LAST_WORDS_S: Final = 5.0


def start(
    settings: Settings, store: SqlStore, upstreams: Mapping[str, ConfiguredUpstream]
) -> Callable[[], None]:
    """Start the watch of this host in a thread of its own; what it gives stops it."""
    notifier = open_notifier(settings, store)
    stop_watch = watch.start(_watch(settings, store, upstreams, notifier))

    def stop() -> None:
        stop_watch()
        notifier.close(_LAST_WORDS_S)

    return stop


def _watch(
    settings: Settings,
    store: SqlStore,
    upstreams: Mapping[str, ConfiguredUpstream],
    notifier: Notifier,
) -> Watch:
    failover, host = settings.failover, settings.proxy.host
    clock = StoreClock(time.monotonic, adapters.utc_now)
    sights = Sights(
        probes=adapters.open_probes(upstreams),
        references=adapters.open_references(settings),
        cadence=failover.cadence,
        thresholds=failover.thresholds,
        fresh=settings.health.fresh,
        chance=random.random,
    )
    observer = Observer(sights, clock.now, asyncio.Event())
    return Watch(
        host=host,
        store=store,
        current=adapters.open_switchboard(store, upstreams).current,
        standards=adapters.open_standards(settings, upstreams, store),
        observer=observer,
        canaries=CanaryPlan(
            logins=adapters.open_canaries(settings, upstreams),
            thresholds=failover.canary_thresholds,
            serving=failover.canary_times.serving,
            standby=failover.canary_times.standby,
            retry=failover.canary_times.retry,
            timeout=failover.canary_times.timeout,
        ),
        clock=clock,
        tick=failover.tick,
        told=Hearers(
            Alarms(
                host=host,
                notifier=notifier,
                expiries=lambda: _expiries(observer),
                traffic=TrafficSight(
                    store, tuple(upstreams), time.monotonic, settings.health.unanswered
                ),
                now=clock.now,
            ).told,
            Guard(store, host),
            notifier.raise_,
        ),
        propose=Proposer(store, host),
        member=adapters.membership(settings),
    )


def _expiries(observer: Observer) -> Iterable[Expiry]:
    # A copy: the loops go on in another thread.
    return [one for found in dict(observer.expiries).values() for one in found]


def open_notifier(settings: Settings, store: SqlStore) -> Notifier:
    """Who tells people, by the channels of `[notify]`."""
    wanted = settings.notify
    manner = Manner(
        language=wanted.language,
        repeat=wanted.repeat,
        held_reminder=wanted.held_reminder,
        timeout=wanted.timeout,
        source=f"{settings.proxy.public_url.partition('://')[2]} ({settings.proxy.host})",
    )
    channels = open_channels(wanted.urls, wanted.timeout.total_seconds())
    return Notifier(channels, store.writing, manner, adapters.utc_now)


@dataclass(frozen=True, slots=True)
class Hearers:
    """Who hears of every turn: whoever is told of it, and the guard of a drill."""

    alarms: Callable[[Turn], None]
    guard: Guard
    tell: Callable[[Notice], None]

    def __call__(self, turn: Turn) -> None:
        """The alarms come first: a drill that cannot be ended now is ended at the next turn."""
        self.alarms(turn)
        if turn.survey is None:
            return
        try:
            ended = self.guard.look(turn.survey)
        except StoreError as error:
            _log.warning("drill_not_ended", detail=error.detail[:300])
            return
        if ended is not None:
            _log.warning("drill_ended", drill=ended.id, reason=ended.why_ended)
            what = f"ended before its time, {ended.why_ended}"
            key = f"drill:{ended.id}:over"
            self.tell(Notice(Kind.DRILL, key, {"what": what}, "idp-proxy status"))


@dataclass(slots=True)
class TrafficSight:
    """The share of unanswered logins by upstream (L3), read from the store now and then.

    While the store is away it is what it was: nothing follows from it but a warning.
    """

    store: SqlStore
    names: tuple[str, ...]
    monotonic: Callable[[], float]
    limits: TrafficLimits
    _known: Mapping[str, Unanswered] = field(default_factory=dict, init=False)
    _read_at: float = field(default=float("-inf"), init=False)

    def __call__(self) -> Mapping[str, Unanswered]:
        """The last known shares."""
        if self.monotonic() - self._read_at < _TRAFFIC_EVERY_S:
            return self._known
        self._read_at = self.monotonic()
        try:
            now = self.store.clock()
            since = now - self.limits.settled_after - self.limits.baseline
            counts = self.store.traffic(since)
        except StoreError:
            return self._known
        self._known = {name: judge_traffic(name, counts, self.limits, now) for name in self.names}
        return self._known


@dataclass(frozen=True, slots=True)
class Proposer:
    """Puts what the watch proposes where people can confirm it: one proposal for all hosts, made
    anew when it has expired or the switch has moved on.
    """

    store: SqlStore
    host: str

    def __call__(self, seen: Survey) -> str | None:
        """The id under which the proposal of `seen` is confirmed. Raises `StoreError`."""
        decision = seen.decision
        if decision.target is None:
            return None
        act = Act.FAILBACK if decision.is_return else Act.SWITCH
        wish, epoch = Wish(act, decision.target, decision.reason[:500]), seen.state.epoch
        # At most turns it waits there already: then nothing is written.
        with self.store.reading() as connection:
            made = consent.waiting(connection, wish, epoch, seen.at)
        if made is None:
            with self.store.writing() as connection:
                attempts.take_turn(connection, seen.at)
                made = consent.propose_by_watch(
                    connection,
                    secrets.token_hex(4),
                    wish,
                    actor=f"watch:{self.host}",
                    epoch=epoch,
                    now=seen.at,
                    record=AuditLog(self.host).append,
                )
        return made.id
