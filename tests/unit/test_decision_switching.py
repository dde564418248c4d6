from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from idp_proxy.decision.switching import (
    Changed,
    Departure,
    Grace,
    Left,
    Mode,
    SwitchState,
    Unchanged,
    disable,
    enable,
    fail_back_by_hand,
    first_state,
    hold,
    refuses_answer,
    release,
    route,
    switch_by_hand,
)

NOW = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
LONG_AGO, LATER = NOW - timedelta(days=90), NOW + timedelta(hours=1)
NAMES = ("okta", "entra", "keycloak")
USABLE: dict[str, str | None] = dict.fromkeys(NAMES)
GRACE = Grace()
SECOND = timedelta(seconds=1)


def switched(state: SwitchState, target: str, now: datetime) -> SwitchState:
    decision = switch_by_hand(state, target, USABLE, cause="test", actor="host:op", now=now)
    assert isinstance(decision, Changed), decision
    return decision.state


def changed(decision: Changed | Unchanged) -> SwitchState:
    assert isinstance(decision, Changed), decision
    return decision.state


def test_the_first_state_serves_the_most_preferred_upstream_by_itself() -> None:
    state = first_state(NAMES, NOW)
    assert state == SwitchState(
        epoch=1, serving="okta", mode=Mode.AUTO, since=NOW, cause="first start", actor="idp-proxy"
    )
    assert route(state) == "okta"


def test_a_switch_by_hand_is_held_and_says_who_when_and_why() -> None:
    before = replace(first_state(NAMES, NOW), hold_until=NOW)
    later = NOW + timedelta(hours=1)
    decision = switch_by_hand(
        before, "entra", USABLE, cause="okta is down", actor="host:eve", now=later
    )
    assert decision == Changed(
        replace(
            before,
            epoch=2,
            serving="entra",
            mode=Mode.HELD,
            since=later,
            cause="okta is down",
            actor="host:eve",
            left={"okta": Left(later, Departure.PLANNED)},
            hold_until=None,
            held_since=later,
        ),
        "okta -> entra by hand: okta is down",
    )
    assert route(changed(decision)) == "entra"


@pytest.mark.parametrize(
    ("target", "changes", "reason"),
    [
        ("google", {}, "no upstream is called google; there are okta, entra, keycloak"),
        ("okta", {}, "okta is serving already, since 2026-03-01 02:30:00 UTC"),
        (
            "entra",
            {"disabled": frozenset({"entra"})},
            "entra is disabled: idp-proxy upstream enable entra --reason TEXT",
        ),
        ("keycloak", {}, "keycloak cannot serve: its metadata has expired"),
    ],
)
def test_a_switch_that_cannot_be_names_the_reason(
    target: str, changes: dict[str, Any], reason: str
) -> None:
    state = replace(first_state(NAMES, NOW), **changes)
    usable = USABLE | {"keycloak": "its metadata has expired"}
    decision = switch_by_hand(state, target, usable, cause="c", actor="a", now=NOW)
    assert decision == Unchanged(reason)


def test_a_switch_away_from_an_upstream_that_is_no_longer_configured_is_possible() -> None:
    state = first_state(("retired",), NOW)
    assert switched(state, "okta", NOW).serving == "okta"


@pytest.mark.parametrize("serving", ["okta", "entra"])
def test_disabling_stops_an_upstream_and_switches_nothing(serving: str) -> None:
    state = first_state((serving,), NOW)
    after = changed(disable(state, "okta", NAMES))
    assert after == replace(state, epoch=2, disabled=frozenset({"okta"}))
    assert route(after) == (None if serving == "okta" else serving)


def test_enabling_gives_back_what_disabling_took() -> None:
    state = first_state(NAMES, NOW)
    after = changed(enable(changed(disable(state, "okta", NAMES)), "okta", NAMES))
    assert after == replace(state, epoch=3)
    assert route(after) == "okta"


def test_what_is_so_already_changes_nothing() -> None:
    state = first_state(NAMES, NOW)
    disabled = changed(disable(state, "okta", NAMES))
    assert disable(disabled, "okta", NAMES) == Unchanged("okta is disabled already")
    assert enable(state, "okta", NAMES) == Unchanged("okta is not disabled")
    unknown = Unchanged("no upstream is called x; there are okta, entra, keycloak")
    assert disable(state, "x", NAMES) == unknown
    assert enable(state, "x", NAMES) == unknown


@pytest.mark.parametrize(
    ("how", "after", "taken"),
    [
        (Departure.PLANNED, timedelta(0), True),
        (Departure.PLANNED, GRACE.planned, True),
        (Departure.PLANNED, GRACE.planned + SECOND, False),
        (Departure.FAILOVER, GRACE.failover, True),
        (Departure.FAILOVER, GRACE.failover + SECOND, False),
    ],
)
def test_late_answers_count_within_the_grace_of_how_the_upstream_was_left(
    how: Departure, after: timedelta, *, taken: bool
) -> None:
    state = replace(first_state(("entra",), NOW), left={"okta": Left(NOW, how)})
    refusal = refuses_answer(state, "okta", GRACE, NOW + after)
    expected = None if taken else f"okta was left {after.total_seconds():.0f} s ago"
    assert refusal == expected


def test_answers_of_the_serving_one_are_taken_and_of_one_never_asked_refused() -> None:
    state = first_state(NAMES, NOW)
    assert refuses_answer(state, "okta", GRACE, NOW + timedelta(days=1)) is None
    assert refuses_answer(state, "entra", GRACE, NOW) == "entra never served"
    assert refuses_answer(state, "forged", GRACE, NOW) == "forged never served"


def test_disabling_ends_the_grace_at_once() -> None:
    state = switched(first_state(NAMES, NOW), "entra", NOW)
    assert refuses_answer(state, "okta", GRACE, NOW) is None
    state = changed(disable(state, "okta", NAMES))
    assert refuses_answer(state, "okta", GRACE, NOW) == "okta is disabled"
    state = changed(disable(state, "entra", NAMES))
    assert refuses_answer(state, "entra", GRACE, NOW) == "entra is disabled"


def test_a_return_starts_a_new_grace_for_the_one_that_is_left() -> None:
    state = switched(first_state(NAMES, NOW), "entra", NOW)
    back = NOW + timedelta(hours=1)
    state = switched(state, "okta", back)
    assert state.left == {"entra": Left(back, Departure.PLANNED)}
    assert refuses_answer(state, "entra", GRACE, back + GRACE.planned) is None


class Switch(RuleBasedStateMachine):
    """Operators, upstreams that come and go, and time, in any order."""

    @initialize()
    def start(self) -> None:
        self.now = NOW
        self.state = first_state(NAMES, NOW)
        self.usable = dict(USABLE)
        self.served: dict[str, datetime] = {}

    def take(self, decision: Changed | Unchanged) -> None:
        if isinstance(decision, Unchanged):
            assert decision.reason
            return
        assert decision.state.epoch == self.state.epoch + 1
        if decision.state.serving != self.state.serving:
            self.served[self.state.serving] = self.now
        self.state = decision.state

    @rule(name=st.sampled_from([*NAMES, "unknown"]))
    def switch(self, name: str) -> None:
        decision = switch_by_hand(
            self.state, name, self.usable, cause="c", actor="host:op", now=self.now
        )
        may = (
            name in NAMES
            and name != self.state.serving
            and name not in self.state.disabled
            and self.usable[name] is None
        )
        assert isinstance(decision, Changed) == may
        self.take(decision)
        assert not may or (self.state.serving == name and self.state.mode is Mode.HELD)

    @rule(name=st.sampled_from([*NAMES, "unknown"]))
    def disable_one(self, name: str) -> None:
        self.take(disable(self.state, name, NAMES))
        assert name == "unknown" or name in self.state.disabled

    @rule(name=st.sampled_from([*NAMES, "unknown"]))
    def enable_one(self, name: str) -> None:
        self.take(enable(self.state, name, NAMES))
        assert name not in self.state.disabled

    @rule(name=st.sampled_from(NAMES), reason=st.sampled_from([None, "expired metadata"]))
    def health(self, name: str, reason: str | None) -> None:
        self.usable[name] = reason

    @rule(seconds=st.integers(0, 400))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @invariant()
    def the_serving_one_was_not_left(self) -> None:
        assert self.state.serving not in self.state.left
        assert self.state.serving in NAMES

    @invariant()
    def nothing_goes_to_a_disabled_one(self) -> None:
        target = route(self.state)
        assert target not in self.state.disabled
        assert target in {self.state.serving, None}

    @invariant()
    def answers_are_taken_of_those_that_were_asked_in_time(self) -> None:
        for name in (*NAMES, "unknown"):
            taken = refuses_answer(self.state, name, GRACE, self.now) is None
            asked = name == self.state.serving or (
                name in self.served and self.now - self.served[name] <= GRACE.planned
            )
            assert taken == (asked and name not in self.state.disabled)


Switch.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestAnyOrderOfActsKeepsTheSwitchSound = Switch.TestCase


def test_a_hold_keeps_everything_but_the_mode_and_is_no_news_twice() -> None:
    held = changed(
        hold(first_state(NAMES, LONG_AGO), cause="maintenance", actor="host:op", now=NOW)
    )
    assert (held.since, held.held_since) == (LONG_AGO, NOW)
    for after in (
        release(held, cause="c", actor="host:op"),
        fail_back_by_hand(held, "okta", USABLE, cause="c", actor="host:op", now=NOW),
    ):
        assert changed(after).held_since is None
    away = switch_by_hand(held, "entra", USABLE, cause="c", actor="host:op", now=LATER)
    assert (changed(away).mode, changed(away).held_since) == (Mode.HELD, LATER)
    assert (held.mode, held.serving, held.epoch, held.cause) == (
        Mode.HELD,
        "okta",
        2,
        "maintenance",
    )
    assert hold(held, cause="again", actor="host:op", now=NOW) == Unchanged(
        "held already, by host:op: maintenance"
    )


@pytest.mark.parametrize("mode", [Mode.HELD, Mode.LATCHED])
def test_a_release_gives_the_watch_its_hands_and_a_fresh_budget(mode: Mode) -> None:
    bound = replace(first_state(NAMES, NOW), mode=mode, recent_switches=(NOW, NOW))
    free = changed(release(bound, cause="the cause is known", actor="host:op"))
    assert (free.mode, free.epoch, free.recent_switches) == (Mode.AUTO, 2, ())
    assert isinstance(release(free, cause="again", actor="host:op"), Unchanged)


def back(
    state: SwitchState, usable: dict[str, str | None] | None = None, target: str = "okta"
) -> Changed | Unchanged:
    return fail_back_by_hand(
        state, target, usable or USABLE, cause="okta is back", actor="host:op", now=NOW
    )


def test_a_failback_by_hand_returns_to_the_active_and_lets_the_watch_switch_again() -> None:
    away = replace(switched(first_state(NAMES, NOW), "entra", NOW), recent_switches=(NOW,))
    home = changed(back(away))
    assert (home.serving, home.mode, home.recent_switches) == ("okta", Mode.AUTO, ())
    assert home.left["entra"].how is Departure.PLANNED
    assert back(away, {**USABLE, "okta": "no metadata"}) == Unchanged(
        "okta cannot serve: no metadata"
    )


def test_a_failback_leads_to_a_preferred_one_only() -> None:
    away = switched(first_state(NAMES, NOW), "entra", NOW)
    refused = back(away, target="keycloak")
    assert isinstance(refused, Unchanged)
    assert refused.reason.startswith("keycloak is not preferred to entra")
    assert isinstance(back(away, target="nobody"), Unchanged)


def test_from_an_upstream_that_is_not_configured_any_more_every_one_is_a_way_back() -> None:
    gone = replace(first_state(NAMES, NOW), serving="former")
    assert changed(back(gone, target="entra")).serving == "entra"


def test_where_the_target_serves_a_failback_is_a_release_or_nothing() -> None:
    first = first_state(NAMES, NOW)
    assert isinstance(back(first), Unchanged)
    held = changed(hold(first, cause="c", actor="host:op", now=NOW))
    assert changed(back(held)).mode is Mode.AUTO
