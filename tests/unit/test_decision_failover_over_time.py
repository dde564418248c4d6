"""The watch over time: a day of noise, and the invariants whatever happens in any order."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from idp_proxy.decision.eligibility import (
    Candidate,
    Failback,
    FailoverLimits,
    Situation,
    why_ineligible,
)
from idp_proxy.decision.failover import after, decide
from idp_proxy.decision.fleet import HostReport, judge_fleet
from idp_proxy.decision.health import Outcome, Thresholds, Track, Verdict, follow
from idp_proxy.decision.switching import (
    Changed,
    Mode,
    disable,
    enable,
    first_state,
    hold,
    release,
    switch_by_hand,
)

NOW = datetime(2026, 3, 7, 2, 30, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
NAMES = ("okta", "entra", "keycloak")
NOISY_DEFAULT, NOISY_FAST = Thresholds(2, 3, 3, 5), Thresholds(1, 2, 4, 3)


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


class Fleets(RuleBasedStateMachine):
    """Probes, people and time in any order; the invariants of the design hold after every turn."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.state = first_state(NAMES, NOW)
        self.tracks = dict.fromkeys(NAMES, Track(Verdict.UP, 9, 0, NOW - HOUR, NOW, NOW))
        self.proven = dict.fromkeys(NAMES, NOW)
        self.isolated: dict[str, str] = {}
        self.automatic: list[datetime] = []
        self.limits = FailoverLimits(failback=Failback.AUTO)

    def seen(self) -> Situation:
        report = HostReport("a", self.now, self.tracks, self.isolated)
        fleet = judge_fleet(NAMES, [report], (), timedelta(seconds=30), self.now)
        known = {name: Candidate(None, at, at) for name, at in self.proven.items()}
        return Situation(fleet, known, self.limits, self.now)

    @rule(name=st.sampled_from(NAMES), outcome=st.sampled_from(Outcome), times=st.integers(1, 8))
    def probe(self, name: str, outcome: Outcome, times: int) -> None:
        for _ in range(times):
            self.tracks[name] = follow(self.tracks[name], outcome, "", NOISY_DEFAULT, self.now)

    @rule(minutes=st.integers(1, 40))
    def wait(self, minutes: int) -> None:
        self.now += minutes * MINUTE

    @rule(name=st.sampled_from(NAMES))
    def rehearse(self, name: str) -> None:
        self.proven[name] = self.now

    @rule(names=st.sets(st.sampled_from(NAMES)))
    def cut(self, names: set[str]) -> None:
        self.isolated = dict.fromkeys(names, "cut")

    @rule(name=st.sampled_from(NAMES), act=st.sampled_from(["to", "hold", "release", "off", "on"]))
    def person(self, name: str, act: str) -> None:
        by: dict[str, Any] = {"cause": "because", "actor": "host:op"}
        found = {
            "to": lambda: switch_by_hand(
                self.state, name, dict.fromkeys(NAMES), now=self.now, **by
            ),
            "hold": lambda: hold(self.state, now=self.now, **by),
            "release": lambda: release(self.state, **by),
            "off": lambda: disable(self.state, name, NAMES),
            "on": lambda: enable(self.state, name, NAMES),
        }[act]()
        if isinstance(found, Changed):
            assert found.state.epoch == self.state.epoch + 1
            if act == "release":
                self.automatic.clear()
            self.state = found.state

    @rule()
    def turn(self) -> None:
        before, seen = self.state, self.seen()
        decision = decide(before, seen)
        found = after(before, decision, self.limits, "watch:a", self.now)
        down = seen.fleet.health[before.serving].verdict is Verdict.DOWN
        may = [name for name in NAMES if name != before.serving]
        may = [name for name in may if not why_ineligible(before, name, seen)]
        cut = before.serving in seen.fleet.isolated
        if found is None:
            free = before.mode is Mode.AUTO and before.serving not in before.disabled and not cut
            assert not (free and down and may)
            return
        assert found.epoch == before.epoch + 1
        assert before.mode is Mode.AUTO
        assert not cut
        if found.mode is Mode.LATCHED:
            assert found.serving == before.serving
        else:
            assert found.serving in may
            assert down or NAMES.index(found.serving) < NAMES.index(before.serving)
            self.automatic.append(self.now)
        self.state = found

    @invariant()
    def the_budget_holds(self) -> None:
        within = [at for at in self.automatic if self.now - at < self.limits.budget_window]
        assert len(within) <= self.limits.automatic


TestFleets = Fleets.TestCase
TestFleets.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
