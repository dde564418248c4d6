"""The stage of a story: the world, the store, the hosts with their watch, and what people hear."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, cast

from idp_proxy.alarms import Alarms
from idp_proxy.decision.eligibility import FailoverLimits, Situation
from idp_proxy.decision.failover import decide
from idp_proxy.decision.fleet import Fleet
from idp_proxy.decision.switching import Mode, SwitchState, first_state
from idp_proxy.decision.traffic import judge_traffic
from idp_proxy.observer import Observer, Sights
from idp_proxy.store.memory import MemoryStore
from idp_proxy.survey import Standards
from idp_proxy.switch import Switchboard
from idp_proxy.watch import CanaryPlan, StoreClock, Turn, Watch
from tests.support.scenario.laws import Laws
from tests.support.scenario.people import Listener
from tests.support.scenario.shared_store import SharedStore, WayToStore
from tests.support.scenario.timeline import Moment, Timeline, View
from tests.support.scenario.world import Login, Neutral, Probe, World

if TYPE_CHECKING:
    from idp_proxy.config.failover_settings import FailoverSettings, HealthSettings
    from idp_proxy.decision.traffic import Unanswered
    from idp_proxy.survey import Survey, WatchedStore
    from idp_proxy.upstream.probing import Expiry
    from tests.support.scenario.story import Story

_LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Host:
    """One host: its way to the store, and its watch while the process runs."""

    name: str
    way: WayToStore
    skew: timedelta = timedelta(0)
    watch: Watch | None = None
    task: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Stage:
    """Everything of one story; made within its loop."""

    story: Story
    loop: asyncio.AbstractEventLoop
    jumped: timedelta = timedelta(0)
    failover: FailoverSettings = field(init=False)
    health: HealthSettings = field(init=False)
    world: World = field(init=False)
    store: SharedStore = field(init=False)
    hosts: dict[str, Host] = field(init=False)
    timeline: Timeline = field(default_factory=Timeline)
    listener: Listener = field(default_factory=Listener)
    laws: Laws = field(init=False)
    unusable: dict[str, str] = field(default_factory=dict)
    findings: dict[str, tuple[str, ...]] = field(default_factory=dict)
    proposed: list[tuple[str, Survey]] = field(default_factory=list)
    _views: dict[str, View] = field(default_factory=dict)
    _happened: str = ""

    def __post_init__(self) -> None:
        self.failover, self.health = self.story.settings()
        self.world = World(random.Random(self.story.seed))
        self.laws = Laws(self.failover.limits)
        inner = MemoryStore("story", random.Random(self.story.seed).randbytes, self.clock)
        self.store = SharedStore(inner, self.laws.changed)
        self.hosts = {name: Host(name, WayToStore(self.store)) for name in self.story.names.hosts}
        self._set_up()

    def _set_up(self) -> None:
        """What was true before: who serves, and who was rehearsed when."""
        now, story = self.clock(), self.story
        with self.store.transaction() as transaction:
            transaction.swap(0, _before(story, now))
            for name in story.names.upstreams:
                ago = story.rehearsed.get(name, 0.0)
                if ago is not None:
                    transaction.note_proof(name, now - timedelta(seconds=ago))

    # --- time ------------------------------------------------------------------------------------

    def clock(self) -> datetime:
        """The store's clock."""
        return self.true_time() + self.jumped

    def true_time(self) -> datetime:
        """What a clock shows that was never wrong."""
        return self.story.clock + timedelta(seconds=self.loop.time())

    # --- hosts -----------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """The process of this host begins: it knows nothing but what the store knows."""
        host = self.hosts[name]
        host.watch = self._new_watch(host)
        host.task = self.loop.create_task(host.watch.run(), name=name)

    def stop(self, name: str) -> None:
        """The process of this host is gone, whatever it was doing."""
        host = self.hosts[name]
        if host.task is not None:
            host.task.cancel()
        host.task = host.watch = None
        self._views.pop(name, None)

    async def end(self) -> None:
        """Every process is gone."""
        tasks = [host.task for host in self.hosts.values() if host.task is not None]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    def _new_watch(self, host: Host) -> Watch:
        failover, health = self.failover, self.health
        names, way = self.story.names, cast("WatchedStore", host.way)
        clock = StoreClock(self.loop.time, lambda: self.true_time() + host.skew)
        sights = Sights(
            probes={name: Probe(self.world, host.name, name) for name in names.upstreams},
            references={
                name: tuple(Neutral(self.world, host.name) for _ in health.references)
                for name in names.upstreams
            },
            cadence=failover.cadence,
            thresholds=failover.thresholds,
            fresh=health.fresh,
            chance=self.world.chance.random,
        )
        times = failover.canary_times
        observer = Observer(sights, clock.now, asyncio.Event())
        alarms = Alarms(
            host.name, self.listener, partial(_expiries, observer), self._traffic, clock.now
        )
        return Watch(
            host=host.name,
            store=way,
            current=Switchboard(way, self.usable, clock.now).current,
            standards=Standards(
                usable=self.usable,
                limits=failover.limits,
                fresh=health.fresh,
                canaries=frozenset(names.canaries),
                findings=lambda: self.findings,
            ),
            observer=observer,
            canaries=CanaryPlan(
                [
                    Login(self.world, host.name, upstream, name, times.timeout)
                    for upstream, name in names.canaries
                ],
                failover.canary_thresholds,
                times.serving,
                times.standby,
                times.retry,
                times.timeout,
            ),
            clock=clock,
            tick=failover.tick,
            told=partial(self._told, host.name, alarms),
            propose=self._propose,
        )

    def usable(self, _now: datetime) -> dict[str, str | None]:
        """Every upstream in order of preference, with what is wrong with its metadata."""
        return {name: self.unusable.get(name) for name in self.story.names.upstreams}

    def _propose(self, seen: Survey) -> str:
        """A proposal, one for each state and target."""
        for known, before in self.proposed:
            if (before.state.epoch, before.decision.target) == (
                seen.state.epoch,
                seen.decision.target,
            ):
                return known
        self.proposed.append((f"p{len(self.proposed) + 1}", seen))
        return self.proposed[-1][0]

    def _traffic(self) -> dict[str, Unanswered]:
        now = self.clock()
        limits = self.health.unanswered
        counts = self.store.inner.traffic(now - limits.baseline)
        if not counts:
            return {}
        names = self.story.names.upstreams
        return {name: judge_traffic(name, counts, limits, now) for name in names}

    # --- what happens ----------------------------------------------------------------------------

    def _told(self, host: str, alarms: Alarms, turn: Turn) -> None:
        self.laws.turned(host, turn)
        alarms.told(turn)
        self._views[host] = _view(turn)
        self.note(host)

    def happen(self, what: str) -> None:
        """An event of the story, in its own words."""
        self._happened = what
        self.note("")

    def note(self, host: str) -> None:
        """Keep this moment if anything has changed."""
        state = self.store.inner.switch_state()
        assert state is not None
        moment = Moment(
            at=self.loop.time(),
            clock=self.clock(),
            state=state,
            who=host,
            views=dict(self._views),
            standing=self.listener.kinds(),
            told=self.listener.news(),
            switches=self.laws.switches,
            happened=self._happened,
        )
        self._happened = ""
        self.timeline.add(moment)


def _before(story: Story, now: datetime) -> SwitchState:
    first = first_state(story.names.upstreams, now)
    serving = story.serving or first.serving
    cause = "first start" if story.mode is Mode.AUTO else "before this story"
    return SwitchState(1, serving, story.mode, now, cause, "host:root")


def _expiries(observer: Observer) -> list[Expiry]:
    return [one for found in observer.expiries.values() for one in found]


def _unreadable() -> str:
    """The rule that holds while the store cannot be read."""
    nothing = Fleet({}, {}, (), 0, reference_answers=False)
    return decide(None, Situation(nothing, {}, FailoverLimits(), _LONG_AGO)).rule


def _view(turn: Turn) -> View:
    seen = turn.survey
    if seen is None:
        return View(_unreadable(), turn.problem)
    decision, health = seen.decision, seen.situation.fleet.health
    return View(
        rule=decision.rule,
        reason=decision.reason,
        target=decision.target,
        proposal=turn.proposal,
        jumped=turn.jumped is not None,
        due_at=decision.due_at,
        verdicts={name: one.verdict.value for name, one in health.items()},
        refused=tuple(one for each in health.values() for one in each.refused),
        ineligible={name: seen.why_ineligible(name) for name in health},
    )
