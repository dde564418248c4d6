"""The watch over time: a day of noise, and the invariants whatever happens in any order."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from idp_proxy.decision import eligibility, failover, fleet, health
from idp_proxy.decision.eligibility import (
    Candidate,
    Failback,
    FailoverLimits,
    Situation,
    awaited,
    why_ineligible,
)
from idp_proxy.decision.failover import Action, Decision, after, decide
from idp_proxy.decision.fleet import HostReport, judge_fleet
from idp_proxy.decision.health import Canary, Outcome, Thresholds, Track, Verdict, follow
from idp_proxy.decision.switching import (
    Changed,
    Mode,
    SwitchState,
    disable,
    enable,
    fail_back_by_hand,
    first_state,
    hold,
    release,
    switch_by_hand,
)

NOW = datetime(2026, 3, 7, 2, 30, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
NAMES = ("okta", "entra", "keycloak")
HOSTS = ("a", "b", "c")
NOISY_DEFAULT, NOISY_FAST = Thresholds(2, 3, 3, 5), Thresholds(1, 2, 4, 3)
CANARIES = Thresholds(1, 2, 3, 2)


@pytest.mark.parametrize(
    ("thresholds", "probes"),
    [(NOISY_DEFAULT, 17_280), (NOISY_FAST, 172_800)],
    ids=["default", "fast"],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_day_of_five_per_cent_noise_switches_nothing(
    thresholds: Thresholds, probes: int, seed: int
) -> None:
    """At the closer interval all day long, which is worse than any real day."""
    chance = random.Random(seed)
    track = Track()
    for number in range(probes):
        outcome = Outcome.BROKEN if chance.random() < 0.05 else Outcome.PASSED
        track = follow(track, outcome, "", thresholds, NOW + number * timedelta(seconds=1))
        assert track.verdict is not Verdict.DOWN


def test_traffic_that_nobody_authenticated_is_no_input_of_a_decision() -> None:
    """FO-06, by what these modules know: neither counts of logins nor what is made of them."""
    for module in (failover, eligibility, fleet, health):
        assert not [name for name in vars(module) if "raffic" in name or "nanswered" in name]


#: None is whoever serves: what happens to them is what matters most.
MOSTLY_WHO_SERVES = st.one_of(st.none(), st.sampled_from(NAMES))


class Ghost:
    """One series of outcomes told in other words than `follow`'s: whether it fell, by evidence."""

    def __init__(self, thresholds: Thresholds) -> None:
        self.thresholds = thresholds
        self.fallen = False
        self._row: list[Outcome] = []

    def saw(self, outcome: Outcome) -> None:
        if outcome is Outcome.REFUSED:
            return  # a failed authentication is no evidence of anything (FO-02)
        self._row = [*(self._row if self._row[-1:] == [outcome] else []), outcome]
        if outcome is Outcome.BROKEN and len(self._row) >= self.thresholds.down_after:
            self.fallen = True
        if outcome is Outcome.PASSED and len(self._row) >= self.thresholds.rise:
            self.fallen = False


class Fleets(RuleBasedStateMachine):
    """Three hosts, probes, a canary, people and time in any order; what the design demands holds
    at every turn.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.state = first_state(NAMES, NOW)
        up = Track(Verdict.UP, 9, 0, NOW - HOUR, NOW, NOW)
        self.tracks = {host: dict.fromkeys(NAMES, up) for host in HOSTS}
        self.ghosts = {(host, name): Ghost(NOISY_DEFAULT) for host in HOSTS for name in NAMES}
        self.canary, self.canary_ghost = Canary("entra", "staff", up), Ghost(CANARIES)
        self.proven = dict.fromkeys(NAMES, NOW)
        self.bad: dict[str, str] = {}
        self.cut_off: dict[str, dict[str, str]] = {host: {} for host in HOSTS}
        self.silent: set[str] = set()
        self.reference = False
        self.automatic: list[datetime] = []
        self.limits = FailoverLimits(failback=Failback.AUTO)

    def seen(self) -> Situation:
        long_ago = self.now - 5 * MINUTE
        reports = [
            HostReport(
                host,
                long_ago if host in self.silent else self.now,
                self.tracks[host],
                self.cut_off[host],
                self.reference,
            )
            for host in HOSTS
        ]
        judged = judge_fleet(NAMES, reports, [self.canary], timedelta(seconds=30), self.now)
        known = {
            name: Candidate(
                why_unusable=self.bad.get(name) if self.bad.get(name) == "metadata" else None,
                proven_at=at,
                failback_test_at=at,
                findings=("FO-04",) if self.bad.get(name) == "finding" else (),
            )
            for name, at in self.proven.items()
        }
        return Situation(judged, known, self.limits, self.now)

    # --- what happens ----------------------------------------------------------------------------

    @rule(
        hosts=st.sets(st.sampled_from(HOSTS), min_size=1),
        name=st.sampled_from(NAMES),
        outcome=st.sampled_from(Outcome),
        times=st.integers(1, 8),
    )
    def probe(self, hosts: set[str], name: str, outcome: Outcome, times: int) -> None:
        for host in hosts:
            for _ in range(times):
                track = self.tracks[host][name]
                track = follow(track, outcome, "", NOISY_DEFAULT, self.now)
                self.tracks[host] = {**self.tracks[host], name: track}
                self.ghosts[host, name].saw(outcome)

    @rule(
        name=MOSTLY_WHO_SERVES,
        dead=st.sampled_from([Outcome.BROKEN, Outcome.REFUSED]),
        alone=st.booleans(),
    )
    def dies(self, name: str | None, dead: Outcome, *, alone: bool) -> None:
        """As all hosts see it; the others are looked at again, and answer. `alone`: they had been
        well before, whatever they were.
        """
        name = name or self.state.serving
        if alone:
            self.all_is_well(0)
        self._all_see(name, dead, NOISY_DEFAULT.down_after)
        for other in NAMES:
            if other != name:
                self._all_see(other, Outcome.PASSED, 1)

    @rule(minutes=st.sampled_from([0, 12, 20]))
    def all_is_well(self, minutes: int) -> None:
        """For so long. Else what went wrong would pile up, until nothing can happen any more."""
        self.bad.clear()
        self.cut(set(), set())
        self.silence(set(), reference=False)
        if minutes:
            self.person(None, "release")
        for passed in sorted({0, minutes}):
            self.now += passed * MINUTE
            self.canary_logs_in(Outcome.PASSED, 2)
            for name in NAMES:
                self.person(name, "on")
                self.rehearse(name)
                self._all_see(name, Outcome.PASSED, NOISY_DEFAULT.rise)

    @rule()
    def hour_was_busy(self) -> None:
        """The watch has used up its budget just now."""
        self.automatic = [self.now] * self.limits.automatic
        self.state = replace(self.state, recent_switches=tuple(self.automatic))

    def _all_see(self, name: str, outcome: Outcome, times: int) -> None:
        self.probe(set(HOSTS), name, outcome, times)

    @rule(outcome=st.sampled_from(Outcome), times=st.integers(1, 6))
    def canary_logs_in(self, outcome: Outcome, times: int) -> None:
        for _ in range(times):
            track = follow(self.canary.track, outcome, "no", CANARIES, self.now)
            self.canary = Canary("entra", "staff", track)
            self.canary_ghost.saw(outcome)

    @rule(minutes=st.integers(1, 40))
    def wait(self, minutes: int) -> None:
        self.now += minutes * MINUTE

    @rule(name=st.sampled_from(NAMES))
    def rehearse(self, name: str) -> None:
        self.proven[name] = self.now

    @rule(name=st.sampled_from(NAMES), what=st.sampled_from(["metadata", "finding"]))
    def judge(self, name: str, what: str) -> None:
        self.bad[name] = what

    @rule(hosts=st.sets(st.sampled_from(HOSTS)), names=st.sets(st.sampled_from(NAMES)))
    def cut(self, hosts: set[str], names: set[str]) -> None:
        self.cut_off = {host: dict.fromkeys(names if host in hosts else (), "") for host in HOSTS}

    @rule(hosts=st.sets(st.sampled_from(HOSTS), min_size=1, max_size=2), reference=st.booleans())
    def silence(self, hosts: set[str], *, reference: bool) -> None:
        self.silent, self.reference = hosts, reference

    @rule(
        name=MOSTLY_WHO_SERVES,
        act=st.sampled_from(["to", "back", "hold", "release", "off", "on"]),
    )
    def person(self, name: str | None, act: str) -> None:
        name = name or self.state.serving
        by: dict[str, Any] = {"cause": "because", "actor": "host:op"}
        all_usable: dict[str, str | None] = dict.fromkeys(NAMES)
        found = {
            "to": lambda: switch_by_hand(self.state, name, all_usable, now=self.now, **by),
            "back": lambda: fail_back_by_hand(self.state, name, all_usable, now=self.now, **by),
            "hold": lambda: hold(self.state, now=self.now, **by),
            "release": lambda: release(self.state, **by),
            "off": lambda: disable(self.state, name, NAMES),
            "on": lambda: enable(self.state, name, NAMES),
        }[act]()
        if isinstance(found, Changed):
            assert found.state.epoch == self.state.epoch + 1
            if found.state.mode is Mode.AUTO and act in {"back", "release"}:
                self.automatic.clear()
            self.state = found.state

    # --- what must hold --------------------------------------------------------------------------

    @invariant()
    def turn(self) -> None:
        """After each step; where it acts a second host decides at the same moment too."""
        before, seen = self.state, self.seen()
        self._fit(before, seen)
        decision = decide(before, seen)
        found = after(before, decision, self.limits, "watch:a", self.now)
        if found is None:
            self._stayed(before, seen, decision)
            return
        self._acted(before, seen, decision, found)
        self.state = found
        if found.mode is Mode.AUTO:
            self.automatic.append(self.now)
        late = after(before, decide(before, seen), self.limits, "watch:b", self.now)
        assert late is not None
        assert late.epoch == self.state.epoch, "compare-and-swap takes one of the two"

    def _stayed(self, before: SwitchState, seen: Situation, decision: Decision) -> None:
        health = seen.fleet.health[before.serving]
        cut = before.serving in seen.fleet.isolated
        if cut:
            assert decision.alarm is failover.Alarm.ISOLATED
            return
        down = health.verdict is Verdict.DOWN and not health.coming_back
        if not down or before.serving in before.disabled or awaited(before, seen) is not None:
            return
        if before.mode is not Mode.AUTO:
            assert decision.alarm is not None, "nobody hears of an outage"
            if self._fit(before, seen):
                assert decision.action is Action.PROPOSE
                assert decision.target in self._fit(before, seen)
            return
        lone = seen.fleet.few and not self.reference
        assert lone or not self._fit(before, seen), "a dead upstream is left at once"
        assert decision.alarm is not None

    def _acted(
        self, before: SwitchState, seen: Situation, decision: Decision, found: SwitchState
    ) -> None:
        assert found.epoch == before.epoch + 1
        assert before.mode is Mode.AUTO, "in HELD or LATCHED nothing switches"
        assert before.serving not in seen.fleet.isolated
        assert before.serving not in before.disabled
        down = self._has_fallen(before.serving)
        if decision.action is not Action.FAILBACK:
            assert down, "left without evidence"
            assert not seen.fleet.few or self.reference
        if found.mode is Mode.LATCHED:
            assert found.serving == before.serving
            assert decision.alarm is failover.Alarm.LATCHED
            return
        assert found.serving in self._fit(before, seen)
        if decision.action is Action.FAILBACK:
            assert NAMES.index(found.serving) < NAMES.index(before.serving)
            assert before.hold_until is None or self.now >= before.hold_until, "within the dwell"

    def _has_fallen(self, name: str) -> bool:
        voters = [one for one in HOSTS if one not in self.silent and name not in self.cut_off[one]]
        fallen = sum(self.ghosts[host, name].fallen for host in voters)
        by_canary = name == self.canary.upstream and self.canary_ghost.fallen
        return 2 * fallen > len(voters) or by_canary

    def _fit(self, before: SwitchState, seen: Situation) -> list[str]:
        """Who may take over. What makes one unfit is looked at here by itself too."""
        fit = [
            name
            for name in NAMES
            if name != before.serving and not why_ineligible(before, name, seen)
        ]
        for name in fit:
            assert name not in before.disabled
            assert not self.bad.get(name)
            assert not self._has_fallen(name)
            assert name not in seen.fleet.isolated
            at, lasts = self.proven[name], self.limits.rehearsal_max_age
            if name == self.canary.upstream:
                at, lasts = self.canary.track.passed_at or NOW, self.limits.rehearsed_by_canary
            assert self.now - at <= lasts, "a guess"
        return fit

    @invariant()
    def the_budget_holds(self) -> None:
        within = [at for at in self.automatic if self.now - at < self.limits.budget_window]
        assert len(within) <= self.limits.automatic


TestFleets = Fleets.TestCase
TestFleets.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
