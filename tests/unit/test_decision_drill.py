"""A drill: who is led to the standby, what ends it, and which answers are still taken."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp_proxy.decision.drill import (
    Drill,
    drill_route,
    end_of,
    ends_a_drill,
    forgotten,
    person_digest,
    refuses_drill_answer,
    stopped,
    why_not_started,
)
from idp_proxy.decision.health import Verdict
from idp_proxy.decision.switching import (
    Departure,
    Grace,
    Left,
    SwitchState,
    disable,
    first_state,
    switch_by_hand,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
STATE = first_state(["okta", "entra"], NOW - timedelta(days=1))
USABLE: dict[str, str | None] = {"okta": None, "entra": None, "keycloak": None}
ALICE, BOB = person_digest("alice"), person_digest("bob")
DRILL = Drill(
    id="d1",
    version=1,
    upstream="entra",
    serving="okta",
    since=STATE.since,
    started_at=NOW,
    until=NOW + timedelta(minutes=30),
    people=frozenset({ALICE}),
    actor="operator:olga",
    reason="a test",
)
GRACE = Grace()


def later(**time: float) -> datetime:
    return NOW + timedelta(**time)


def switched(target: str, at: datetime, how: Departure = Departure.PLANNED) -> SwitchState:
    moved = switch_by_hand(STATE, target, USABLE, cause="x", actor="x", now=at)
    return replace(moved.state, left={"okta": Left(at, how)})  # type: ignore[union-attr]


DISABLED = disable(STATE, "entra", list(USABLE)).state  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("upstream", "state", "before", "usable", "why"),
    [
        ("entra", STATE, None, USABLE, None),
        ("entra", STATE, stopped(DRILL, Departure.PLANNED, "x", NOW), USABLE, None),
        ("keycloak", switched("entra", NOW), DRILL, USABLE, None),
        ("entra", STATE, DRILL, USABLE, "a drill by entra is going on until 12:30 UTC"),
        ("okta", STATE, None, USABLE, "okta is no standby of okta: entra, keycloak"),
        ("nobody", STATE, None, {"okta": None}, "nobody is no standby of okta: there is none"),
        ("entra", switched("entra", NOW), None, USABLE, "entra is serving"),
        ("entra", DISABLED, None, USABLE, "entra is disabled"),
        ("entra", STATE, None, USABLE | {"entra": "expired"}, "entra cannot serve: expired"),
    ],
)
def test_when_a_drill_may_begin(
    upstream: str,
    state: SwitchState,
    before: Drill | None,
    usable: dict[str, str | None],
    why: str | None,
) -> None:
    found = why_not_started(before, state, upstream, usable, later(minutes=1))
    assert found is None if why is None else str(found).startswith(why)


def test_who_took_part_is_forgotten_once_the_drill_is_over() -> None:
    assert forgotten(DRILL, STATE, later(minutes=29)) is None
    left = forgotten(DRILL, STATE, later(minutes=30))
    assert left == replace(DRILL, version=DRILL.version + 1, people=frozenset())
    assert forgotten(left, STATE, later(minutes=31)) is None
    moved = switched("entra", later(minutes=7), Departure.FAILOVER)
    assert forgotten(DRILL, moved, later(minutes=8)) is not None


@pytest.mark.parametrize(
    ("drill", "state", "at", "end"),
    [
        (DRILL, STATE, later(minutes=29), None),
        (DRILL, STATE, later(minutes=30), Left(DRILL.until, Departure.PLANNED)),
        (
            stopped(DRILL, Departure.FAILOVER, "okta is suspect", later(minutes=5)),
            STATE,
            later(minutes=40),
            Left(later(minutes=5), Departure.FAILOVER),
        ),
        # Stopped by a host whose clock runs ahead: over at once, not when this one gets there.
        (
            stopped(DRILL, Departure.PLANNED, "x", later(minutes=5)),
            STATE,
            later(minutes=4),
            Left(later(minutes=5), Departure.PLANNED),
        ),
        (
            DRILL,
            switched("entra", later(minutes=7), Departure.FAILOVER),
            later(minutes=8),
            Left(later(minutes=7), Departure.FAILOVER),
        ),
        # There and back again: it ended when somebody switched, and does not go on.
        (
            DRILL,
            replace(STATE, since=later(minutes=9)),
            later(minutes=10),
            Left(later(minutes=9), Departure.PLANNED),
        ),
    ],
)
def test_what_ends_a_drill(
    drill: Drill, state: SwitchState, at: datetime, end: Left | None
) -> None:
    assert end_of(drill, state, at) == end


@pytest.mark.parametrize(
    ("drill", "state", "drill_id", "person", "at", "upstream"),
    [
        (DRILL, STATE, "d1", ALICE, later(minutes=1), "entra"),
        (None, STATE, "d1", ALICE, later(minutes=1), None),
        (DRILL, STATE, "d0", ALICE, later(minutes=1), None),
        (DRILL, STATE, "d1", BOB, later(minutes=1), None),
        (DRILL, STATE, "d1", ALICE, later(minutes=30), None),
        (DRILL, DISABLED, "d1", ALICE, later(minutes=1), None),
        (DRILL, switched("keycloak", NOW), "d1", ALICE, later(minutes=1), None),
    ],
)
def test_who_is_led_to_the_standby(
    drill: Drill | None,
    state: SwitchState,
    drill_id: str,
    person: str,
    at: datetime,
    upstream: str | None,
) -> None:
    assert drill_route(drill, state, drill_id, person, at) == upstream


@pytest.mark.parametrize(
    ("drill", "state", "at", "why"),
    [
        (DRILL, STATE, later(minutes=1), None),
        (None, STATE, later(minutes=1), "not known"),
        (replace(DRILL, id="d2"), STATE, later(minutes=1), "not known"),
        (DRILL, DISABLED, later(minutes=1), "entra is disabled"),
        (DRILL, STATE, DRILL.until + GRACE.planned, None),
        (DRILL, STATE, DRILL.until + GRACE.planned + timedelta(seconds=1), "ended 281 s ago"),
        (stopped(DRILL, Departure.FAILOVER, "x", NOW), STATE, NOW + GRACE.failover, None),
        (stopped(DRILL, Departure.FAILOVER, "x", NOW), STATE, later(seconds=121), "ended 121 s"),
        # The failover went to the drill's own standby: it serves, and answers like any other.
        (DRILL, switched("entra", NOW, Departure.FAILOVER), later(minutes=4), None),
    ],
)
def test_which_answers_are_still_taken(
    drill: Drill | None, state: SwitchState, at: datetime, why: str | None
) -> None:
    found = refuses_drill_answer(drill, state, "d1", GRACE, at)
    assert found is None if why is None else why in str(found)


@pytest.mark.parametrize("verdict", Verdict)
def test_an_outage_that_begins_ends_a_drill(verdict: Verdict) -> None:
    assert ends_a_drill(verdict) is (verdict in {Verdict.SUSPECT, Verdict.DOWN})


@given(
    minutes=st.integers(-10, 90),
    serving=st.sampled_from(["okta", "entra", "keycloak"]),
    disabled=st.frozensets(st.sampled_from(["okta", "entra", "keycloak"])),
    since=st.integers(-5, 60),
    stopped_at=st.none() | st.integers(0, 60),
    person=st.sampled_from([ALICE, BOB]),
)
def test_nobody_is_led_anywhere_but_the_people_of_a_drill_that_goes_on(
    minutes: int,
    serving: str,
    disabled: frozenset[str],
    since: int,
    stopped_at: int | None,
    person: str,
) -> None:
    """Whatever else is true: a stop, a switch, the time and a disabled standby each suffice."""
    state = replace(
        STATE,
        serving=serving,
        disabled=disabled,
        since=STATE.since if serving == "okta" and since < 0 else later(minutes=since),
    )
    drill = DRILL
    if stopped_at is not None:
        drill = stopped(DRILL, Departure.PLANNED, "x", later(minutes=stopped_at))
    now = later(minutes=minutes)
    led = drill_route(drill, state, "d1", person, now)
    goes_on = stopped_at is None and state.since == STATE.since and now < DRILL.until
    assert led == ("entra" if goes_on and "entra" not in disabled and person == ALICE else None)
    if led is not None:
        assert refuses_drill_answer(drill, state, "d1", GRACE, now) is None
