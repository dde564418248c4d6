"""A turn of the watch: publish, judge, act by compare-and-swap, and what the store's clock does."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update

from idp_proxy.audit.log import AuditLog, rows
from idp_proxy.decision.eligibility import FailoverLimits
from idp_proxy.decision.health import Cadence, Canary, Outcome, Thresholds, Track, Verdict
from idp_proxy.decision.switching import Mode, SwitchState, first_state
from idp_proxy.observer import Observer, Sights
from idp_proxy.store.schema import migrate
from idp_proxy.store.sql import SqlStore
from idp_proxy.store.tables import canary
from idp_proxy.survey import Standards
from idp_proxy.upstream.probing import Probed
from idp_proxy.watch import CanaryPlan, StoreClock, Turn, Watch, start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from idp_proxy.survey import Survey

NAMES = ("okta", "entra")
SECOND = timedelta(seconds=1)
LIMITS = Thresholds(1, 2, 1, 2)
CADENCE = Cadence(0.01 * SECOND, 0.01 * SECOND, SECOND, SECOND)
UP, DOWN = Track(Verdict.UP, passes=9), Track(Verdict.DOWN, failures=9, reason="no answer")


class Probe:
    """An upstream that answers while it is `alive`."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.alive = True

    async def look(self, _cadence: Cadence, _now: datetime) -> Probed:
        await asyncio.sleep(0)
        outcome = Outcome.PASSED if self.alive else Outcome.BROKEN
        return Probed(outcome, "answers" if self.alive else "refuses connections")


class Login:
    """A canary that ends as told."""

    def __init__(self, outcome: Outcome) -> None:
        self.upstream, self.name, self.outcome, self.runs = "entra", "staff", outcome, 0

    async def log_in(self, _now: datetime) -> Probed:
        self.runs += 1
        await asyncio.sleep(0)
        return Probed(self.outcome, self.outcome.value)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    migrate(url)
    opened = SqlStore(url, AuditLog("proxy-1"))
    now = opened.clock()
    with opened.transaction() as transaction:
        transaction.swap(0, first_state(NAMES, now))
        for name in NAMES:
            transaction.note_proof(name, now)
    yield opened
    opened.close()


def watch(
    store: SqlStore, *canaries: Login, told: list[Turn] | None = None, **changes: Any
) -> Watch:
    def current() -> SwitchState:
        state = store.switch_state()
        assert state is not None
        return state

    clock = StoreClock(time.monotonic, lambda: datetime.now(UTC))
    probes = {name: Probe(name) for name in NAMES}
    sights = Sights(probes, {}, CADENCE, LIMITS, 30 * SECOND, lambda: 0.5)
    heard = told if told is not None else []
    usual: dict[str, Any] = {
        "host": "proxy-1",
        "store": store,
        "current": current,
        "standards": Standards(
            usable=lambda _: dict.fromkeys(NAMES),
            limits=FailoverLimits(),
            fresh=30 * SECOND,
            canaries=frozenset((one.upstream, one.name) for one in canaries),
            findings=dict,
        ),
        "observer": Observer(sights, clock.now, asyncio.Event()),
        "canaries": CanaryPlan(canaries, LIMITS, SECOND, SECOND, SECOND, SECOND),
        "clock": clock,
        "tick": 0.05 * SECOND,
        "told": heard.append,
        "propose": lambda _: None,
    }
    return Watch(**usual | changes)


def serving(store: SqlStore) -> tuple[str, int]:
    state = store.switch_state()
    assert state is not None
    return state.serving, state.epoch


def audited(store: SqlStore) -> list[str]:
    with store.reading() as connection:
        return [row.kind for row in rows(connection)]


def test_a_calm_turn_reports_and_changes_nothing(store: SqlStore) -> None:
    watching = watch(store)
    watching.observer.tracks = {"okta": UP, "entra": UP}
    turn = watching.turn()
    assert (turn.switched, turn.problem) == (None, "")
    assert [one.host for one in store.reports()] == ["proxy-1"]
    assert (serving(store), audited(store)) == (("okta", 1), [])


def test_a_dead_serving_upstream_is_left_in_one_turn_and_once(store: SqlStore) -> None:
    watching = watch(store)
    watching.observer.tracks = {"okta": DOWN, "entra": UP}
    turn = watching.turn()
    assert turn.switched is not None
    assert turn.switched.actor == "watch:proxy-1"
    assert watching.turn().switched is None
    assert serving(store) == ("entra", 2)
    assert audited(store) == ["switch"]


def test_of_two_that_decide_on_the_same_state_one_switches(store: SqlStore) -> None:
    watching = watch(store)
    watching.observer.tracks = {"okta": DOWN, "entra": UP}
    seen = watching.turn().survey
    assert seen is not None
    assert watching._act(seen) is None
    assert serving(store) == ("entra", 2)
    assert len(audited(store)) == 1


def test_with_the_budget_used_up_it_latches_and_says_so(store: SqlStore) -> None:
    now = store.clock()
    with store.transaction() as transaction:
        before = replace(first_state(NAMES, now), epoch=2, recent_switches=(now, now))
        transaction.swap(1, before)
    watching = watch(store)
    watching.observer.tracks = {"okta": DOWN, "entra": UP}
    turn = watching.turn()
    assert turn.switched is not None
    assert (turn.switched.mode, turn.switched.serving) == (Mode.LATCHED, "okta")
    assert audited(store) == ["latch"]


def test_a_held_switch_is_proposed_under_an_id(store: SqlStore) -> None:
    with store.transaction() as transaction:
        held = replace(first_state(NAMES, store.clock()), epoch=2, mode=Mode.HELD)
        transaction.swap(1, held)
    proposed: list[Survey] = []

    def propose(seen: Survey) -> str:
        proposed.append(seen)
        return "k7m2"

    watching = watch(store, propose=propose)
    watching.observer.tracks = {"okta": DOWN, "entra": UP}
    turn = watching.turn()
    assert (turn.proposal, turn.switched) == ("k7m2", None)
    assert proposed[0].decision.target == "entra"
    assert proposed[0].why_ineligible("okta") != ()


def test_who_cannot_read_the_store_switches_nothing(store: SqlStore, tmp_path: Path) -> None:
    watching = watch(store)
    watching.observer.tracks = {"okta": DOWN, "entra": UP}
    (tmp_path / "store.db").rename(tmp_path / "away.db")
    turn = watching.turn()
    assert turn.survey is None
    assert "store.db" in turn.problem
    (tmp_path / "away.db").rename(tmp_path / "store.db")
    assert watching.turn().switched is not None


def test_after_a_jump_of_the_clock_the_turn_decides_nothing(store: SqlStore) -> None:
    watching = watch(store)
    watching.observer.tracks = {"okta": DOWN, "entra": UP}
    moment = time.monotonic()
    watching.clock.monotonic = lambda: moment - 60
    watching.clock.take(store.clock())
    watching.clock.monotonic = lambda: moment
    turn = watching.turn()
    assert turn.jumped is not None
    assert turn.switched is None
    assert serving(store) == ("okta", 1)
    watching.clock.monotonic = time.monotonic
    assert watching.turn().switched is None, "and entra was not looked at since"
    watching.observer.tracks["entra"] = replace(UP, passed_at=watching.clock.now())
    assert watching.turn().switched is not None


def test_a_host_whose_own_clock_is_off_says_so_and_decides_by_the_store_s(store: SqlStore) -> None:
    watching = watch(store)
    assert watching.turn().skew is None
    watching.clock.wall = lambda: store.clock() + timedelta(seconds=40)
    skewed = watching.turn()
    assert skewed.skew is not None
    assert round(skewed.skew.total_seconds()) == 40
    assert skewed.survey is not None
    assert abs(skewed.survey.at - store.clock()) < timedelta(seconds=5)


def waited(until: Any, within_s: float = 15) -> None:
    end = time.monotonic() + within_s
    while not until():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def test_the_running_watch_fails_over_by_itself_and_tells(store: SqlStore) -> None:
    told: list[Turn] = []
    watching = watch(store, told=told)
    probes = watching.observer.sights.probes
    stop = start(watching)
    waited(
        lambda: told and told[-1].survey is not None and told[-1].survey.decision.rule == "steady"
    )
    waited(lambda: watching.observer.tracks["entra"].verdict is Verdict.UP)
    probes["okta"].alive = False  # type: ignore[attr-defined] # a Probe of this file
    waited(lambda: serving(store) == ("entra", 2))
    waited(lambda: any(turn.switched is not None for turn in told))
    stop()
    assert audited(store) == ["switch"]


def test_a_canary_runs_by_lease_and_the_fleet_knows_how_it_went(store: SqlStore) -> None:
    login = Login(Outcome.REFUSED)
    stop = start(watch(store, login))
    waited(lambda: any(one.track.at is not None for one in store.canaries()))
    stop()
    (canary,) = store.canaries()
    assert (canary.host, canary.lease_host, canary.track.refused) == ("proxy-1", None, "refused")
    assert canary.track.failures == 0
    assert login.runs == 1


class Stubborn(Login):
    """A canary that does not end, or ends in a fault of ours."""

    def __init__(self, fault: Exception | None = None) -> None:
        super().__init__(Outcome.PASSED)
        self.fault, self.ended, self.began = fault, threading.Event(), threading.Event()

    async def log_in(self, _now: datetime) -> Probed:
        self.runs += 1
        self.began.set()
        try:
            if self.fault is not None:
                raise self.fault
            await asyncio.sleep(3600)
        finally:
            self.ended.set()
        raise AssertionError


def row(store: SqlStore, upstream: str = "entra") -> Canary | None:
    return next((one for one in store.canaries() if one.upstream == upstream), None)


def test_it_runs_once_an_interval_however_late_the_survey_is(store: SqlStore) -> None:
    login = Login(Outcome.PASSED)
    watching = watch(store, login)
    watching.turn()

    async def three_times() -> None:
        for _ in range(3):
            await watching._run_canary(login)

    asyncio.run(three_times())
    assert login.runs == 1


def test_one_that_hangs_is_given_up_blames_nobody_and_holds_up_no_other(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("idp_proxy.watch._CLOSING", 0.1 * SECOND)
    hanging, other = Stubborn(), Login(Outcome.PASSED)
    other.upstream = "okta"
    plan = CanaryPlan((hanging, other), LIMITS, SECOND, SECOND, SECOND, 0.2 * SECOND)
    watching = watch(store, hanging, other, canaries=plan)
    stop = start(watching)
    waited(lambda: (found := row(store, "okta")) and found.track.at)
    waited(lambda: (found := row(store)) and found.track.refused)
    stop()
    found = row(store)
    assert found is not None
    assert found.track.refused == "did not end within 0.3 s on proxy-1"
    assert (found.track.failures, found.lease_host) == (0, None)
    assert hanging.ended.is_set()


def test_a_fault_of_our_own_is_told_and_proves_nothing(store: SqlStore) -> None:
    login = Stubborn(RuntimeError("a bug"))
    stop = start(watch(store, login))
    waited(lambda: (found := row(store)) and found.track.refused)
    stop()
    found = row(store)
    assert found is not None
    assert found.track.refused == "a fault of the proxy itself; its log says more"
    assert (found.track.failures, found.track.verdict) == (0, Verdict.UNKNOWN)


def test_an_event_at_the_moment_of_the_end_does_not_keep_it_alive(store: SqlStore) -> None:
    told: list[Turn] = []
    watching = watch(store, told=told, tick=30 * SECOND)

    async def both_at_once() -> bool:
        turning = asyncio.ensure_future(watching._keep_turning())
        for _ in range(500):
            if told and watching.observer.changed._waiters:
                break
            await asyncio.sleep(0.01)
        watching.observer.changed.set()
        turning.cancel()
        await asyncio.wait({turning}, timeout=5)
        return turning.cancelled()

    assert asyncio.run(both_at_once())


def test_a_watch_that_stops_takes_its_canary_with_it(store: SqlStore) -> None:
    login = Stubborn()
    stop = start(watch(store, login))
    waited(login.began.is_set)
    stop()
    assert login.ended.is_set()
    found = row(store)
    assert found is not None
    assert found.lease_host == "proxy-1"


def test_the_lease_of_a_host_that_died_runs_out(store: SqlStore) -> None:
    until = store.clock() + 0.5 * SECOND
    assert store.lease_canary("entra", "staff", "proxy-2", until)
    login = Login(Outcome.PASSED)
    stop = start(watch(store, login))
    waited(lambda: (found := row(store)) and found.track.at)
    stop()
    found = row(store)
    assert found is not None
    assert found.host == "proxy-1"
    assert found.track.at is not None
    assert found.track.at >= until


def test_who_comes_back_after_its_lease_changes_nothing(store: SqlStore) -> None:
    """This host slept: meanwhile another one ran the canary, and holds the lease again."""

    class Slept(Login):
        async def log_in(self, _now: datetime) -> Probed:
            lapsed = update(canary).values(lease_until=store.clock() - SECOND)
            with store.writing() as connection:
                connection.execute(lapsed)
            assert store.lease_canary("entra", "staff", "proxy-2", store.clock() + 60 * SECOND)
            return Probed(Outcome.BROKEN, "no answer")

    watching = watch(store, Slept(Outcome.BROKEN))
    watching.turn()
    asyncio.run(watching._run_canary(watching.canaries.logins[0]))
    found = row(store)
    assert found is not None
    assert (found.lease_host, found.track.failures, found.host) == ("proxy-2", 0, None)


def test_a_run_counts_upon_what_the_fleet_knows_by_then(store: SqlStore) -> None:
    """Another host failed between this one's survey and its lease: that failure stays counted."""
    watching = watch(store, Login(Outcome.BROKEN))
    watching.turn()
    lease_canary = store.lease_canary

    def just_before(upstream: str, name: str, host_name: str, until: datetime) -> bool:
        assert lease_canary(upstream, name, "proxy-2", until)
        failed = Track(failures=1, at=store.clock(), reason="no answer")
        assert store.save_canary(Canary(upstream, name, failed, host="proxy-2"))
        return lease_canary(upstream, name, host_name, until)

    store.lease_canary = just_before  # type: ignore[method-assign] # a race, staged
    asyncio.run(watching._run_canary(watching.canaries.logins[0]))
    found = row(store)
    assert found is not None
    assert (found.track.failures, found.host) == (2, "proxy-1")


def test_a_configured_canary_that_never_ran_vouches_for_nobody(store: SqlStore) -> None:
    watching = watch(store, Login(Outcome.PASSED))
    watching.observer.tracks = {"okta": DOWN, "entra": UP}
    turn = watching.turn()
    assert turn.survey is not None
    assert turn.survey.decision.rule == "nobody_eligible"
    assert "never rehearsed" in turn.survey.decision.reason
    assert serving(store) == ("okta", 1)
