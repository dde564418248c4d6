"""A drill from its begin to its end, in a time that leaps: what it shows, and what ends it."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from idp_proxy.config.failover import read_failover
from idp_proxy.config.failover_shape import FailoverTable
from idp_proxy.config.findings import Findings
from idp_proxy.config.material import Reader
from idp_proxy.decision.fleet import HostReport
from idp_proxy.decision.health import Cadence, Canary, Outcome, Track, Verdict
from idp_proxy.decision.scorecard import BARS, CANARY_BAR, Marks, judge_drill
from idp_proxy.decision.switching import Mode, first_state
from idp_proxy.errors import StoreError, SwitchRefused
from idp_proxy.observer import Observer, Sights
from idp_proxy.shadow import Reality, ShadowDrill, cast_shadow, demand_drillable
from idp_proxy.store.base import Evidence
from idp_proxy.store.memory import MemoryStore
from idp_proxy.survey import Standards
from idp_proxy.switch import Switchboard
from idp_proxy.upstream.drill import SCENARIOS, Fault, PretendedLogin, PretendedProbe
from idp_proxy.upstream.probing import Probed
from idp_proxy.watch import CanaryPlan, StoreClock, Watch
from tests.support.scenario.clockwork import LeapingLoop

BEGIN = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
FRESH = timedelta(seconds=30)
NAMES = ("okta", "entra")
LOGS_IN = Probed(Outcome.PASSED, "logs in")


@dataclass(slots=True)
class Site:
    """Two real upstreams that answer as told, and the real store, on a loop whose time leaps."""

    profile: str = "default"
    reasons: dict[str, str] = field(default_factory=dict)
    login: Probed = LOGS_IN
    login_during_fault: Probed = LOGS_IN
    canaries: tuple[str, ...] = NAMES
    longest: timedelta = timedelta(minutes=10)
    said: list[str] = field(default_factory=list)
    store: MemoryStore = field(init=False)
    loop: LeapingLoop = field(default_factory=LeapingLoop)

    def __post_init__(self) -> None:
        self.store = MemoryStore(now=self.now)
        with self.store.transaction() as transaction:
            transaction.swap(0, first_state(NAMES, self.now()))
            for name in NAMES:
                transaction.note_proof(name, self.now())

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self.loop.time())

    def say(self, what: str) -> None:
        self.said.append(what)
        if what.startswith("pretended"):
            self.login = self.login_during_fault

    def later(self, seconds: float, **reasons: str) -> None:
        """The real upstreams begin to fail then."""
        self.loop.call_later(seconds, self.reasons.update, reasons)

    def run(self, scenario: str) -> Marks:
        """The whole drill, with the log of the product switched off."""
        structlog.configure(processors=[_drop])
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            return runner.run(self._run(scenario))

    async def _run(self, scenario: str) -> Marks:
        drill, watch = self.drill(scenario)
        return await drill.run(watch)

    def drill(self, scenario: str) -> tuple[ShadowDrill, Watch]:
        table = FailoverTable.model_validate({"profile": self.profile})
        numbers = read_failover(table, Reader(Path(), {}, BEGIN, Findings()))
        fault = Fault(SCENARIOS[scenario], self.loop.time)
        state = self.store.switch_state()
        assert state is not None
        shadow = MemoryStore(now=self.now)
        cast_shadow(self.store, shadow, state, "proxy-1")
        chance = random.Random(3).random

        def sights(**probes: Any) -> Sights:
            return Sights(probes, {}, numbers.cadence, numbers.thresholds, FRESH, chance)

        clock = StoreClock(self.loop.time, self.now)
        logins = [
            PretendedLogin(
                "okta", "staff", Login(self, "okta"), fault, numbers.canary_times.timeout
            )
            if name == "okta"
            else Login(self, name)
            for name in self.canaries
        ]
        standards = Standards(
            usable=lambda _: dict.fromkeys(NAMES),
            limits=numbers.limits,
            fresh=FRESH,
            canaries=frozenset((one.upstream, one.name) for one in logins),
            findings=dict,
        )
        eyes = Observer(sights(okta=Look(self, "okta")), self.now, asyncio.Event())
        drill = ShadowDrill(
            fault=fault,
            serving="okta",
            reality=Reality(self.store, state, replace(standards, canaries=frozenset()), eyes),
            logins=logins,
            longest=self.longest,
            say=self.say,
            now=self.now,
            monotonic=self.loop.time,
        )
        times = numbers.canary_times
        watch = Watch(
            host="proxy-1",
            store=shadow,
            current=Switchboard(shadow, standards.usable, self.now).current,
            standards=standards,
            observer=Observer(
                sights(okta=PretendedProbe(Look(self, "okta"), fault), entra=Look(self, "entra")),
                clock.now,
                asyncio.Event(),
            ),
            canaries=CanaryPlan(
                logins,
                numbers.canary_thresholds,
                times.serving,
                times.standby,
                times.retry,
                times.timeout,
            ),
            clock=clock,
            tick=numbers.tick,
            told=drill.told,
            propose=lambda _: None,
        )
        return drill, watch


@dataclass(frozen=True, slots=True)
class Look:
    """A real probe."""

    site: Site
    upstream: str

    async def look(self, _cadence: Cadence, _now: datetime) -> Probed:
        await asyncio.sleep(0.1)
        reason = self.site.reasons.get(self.upstream)
        return Probed(Outcome.PASSED if reason is None else Outcome.BROKEN, reason or "answers")


@dataclass(frozen=True, slots=True)
class Login:
    """A real canary."""

    site: Site
    upstream: str
    name: str = "staff"

    async def log_in(self, _now: datetime) -> Probed:
        await asyncio.sleep(1.0)
        return self.site.login


def _drop(_logger: object, _method: str, _event: Any) -> Any:
    raise structlog.DropEvent


@pytest.mark.parametrize("profile", BARS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_passes_where_nothing_is_wrong_and_nothing_real_changes(
    profile: str, name: str
) -> None:
    site = Site(profile)
    before = site.store.switch_state()
    marks = site.run(name)
    bar = CANARY_BAR if SCENARIOS[name].needs_canary else BARS[profile]
    card = judge_drill(marks, bar, 1.0)
    assert card.problems == (), site.said
    assert (marks.target, marks.switches, marks.ended) == ("entra", 1, None)
    assert site.store.switch_state() == before
    assert (site.store.reports(), site.store.canaries(), site.store.audit_rows()) == ((), (), ())


def test_a_standby_without_a_canary_is_said_not_to_be_shown() -> None:
    marks = Site(canaries=("okta",)).run("active-killed")
    assert (marks.has_canary, marks.logged_in, marks.target) == (False, None, "entra")
    assert judge_drill(marks, BARS["default"], None).passed


def test_a_standby_that_nobody_can_log_in_by_fails_with_what_the_canary_said() -> None:
    site = Site("fast", login_during_fault=Probed(Outcome.BROKEN, "answers 500"))
    marks = site.run("active-killed")
    assert (marks.logged_in, marks.login_problem) == (None, "canary staff: answers 500")
    assert not judge_drill(marks, BARS["fast"], None).passed


def test_without_anybody_to_take_over_it_does_not_begin() -> None:
    site = Site(reasons={"entra": "takes no connection"})
    marks = site.run("active-killed")
    assert "there is no failover to show (entra: it is down: takes no connection" in (
        marks.ended or ""
    )
    assert marks.decided is None


def test_a_serving_upstream_that_is_not_up_ends_it_before_it_begins() -> None:
    marks = Site(reasons={"okta": "answers 503, not 200"}).run("active-killed")
    assert "okta is really down: answers 503" in (marks.ended or "")


def test_real_trouble_of_the_serving_upstream_ends_it_at_once() -> None:
    site = Site(longest=timedelta(minutes=60))
    site.later(60, okta="answers 503, not 200")
    marks = site.run("active-flaps")
    assert "okta is really suspect: answers 503" in (marks.ended or "")
    assert site.loop.time() < 90


def test_what_the_fleet_thinks_of_the_serving_upstream_counts_too() -> None:
    site = Site()
    down = Track(Verdict.DOWN, failures=9, at=BEGIN, reason="seen by another host")
    site.store.publish(HostReport("proxy-2", BEGIN, {"okta": down, "entra": down}))
    assert "seen by another host" in (site.run("active-killed").ended or "")


def test_a_change_of_the_real_switch_ends_it() -> None:
    site = Site()
    board = Switchboard(site.store, lambda _: dict.fromkeys(NAMES), site.now)
    site.loop.call_later(30, lambda: board.to("entra", "for real", "host:eve"))
    assert site.run("active-killed").ended == "the real switch has changed meanwhile"


def test_a_store_that_goes_away_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site()

    def away() -> None:
        raise StoreError("connection refused")

    monkeypatch.setattr(site.store, "switch_state", site.store.switch_state)
    site.loop.call_later(10, monkeypatch.setattr, site.store, "switch_state", away)
    assert site.run("active-killed").ended == "the store cannot be read: connection refused"


def test_it_is_over_after_its_time() -> None:
    site = Site(canaries=(), longest=timedelta(seconds=40))
    marks = site.run("active-hangs")
    assert (marks.ended, marks.decided, site.loop.time() < 41) == (None, None, True)
    assert not judge_drill(marks, BARS["default"], None).passed


def test_the_shadow_knows_what_the_watch_decides_by() -> None:
    real = MemoryStore(now=lambda: BEGIN)
    with real.transaction() as transaction:
        transaction.swap(0, first_state(NAMES, BEGIN))
        transaction.note_proof("entra", BEGIN)
    canary = Canary("entra", "staff", Track(Verdict.UP, passes=3, at=BEGIN, passed_at=BEGIN))
    real.lease_canary("entra", "staff", "proxy-2", BEGIN + FRESH)
    real.save_canary(replace(canary, host="proxy-2"))
    real.note_evidence(Evidence.FAILBACK_TEST, "okta", BEGIN)
    shadow, state = MemoryStore(now=lambda: BEGIN), real.switch_state()
    assert state is not None
    cast_shadow(real, shadow, state, "proxy-1")
    assert shadow.switch_state() == state
    assert shadow.proofs() == {"entra": BEGIN}
    assert shadow.evidence(Evidence.FAILBACK_TEST) == {"okta": BEGIN}
    (known,) = shadow.canaries()
    assert (known.track, known.lease_until) == (canary.track, None)


@pytest.mark.parametrize("mode", [Mode.HELD, Mode.LATCHED])
def test_where_an_outage_would_switch_nothing_no_drill_is_held(mode: Mode) -> None:
    state = first_state(NAMES, BEGIN)
    demand_drillable(state)
    with pytest.raises(SwitchRefused, match=f"the switch is {mode.value}"):
        demand_drillable(replace(state, mode=mode))
    with pytest.raises(SwitchRefused, match="okta is disabled"):
        demand_drillable(replace(state, disabled=frozenset({"okta"})))
