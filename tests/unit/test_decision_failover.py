"""The table of the watch: each row, who may take over, and what a decision leads to."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from idp_proxy.decision.eligibility import (
    Candidate,
    Failback,
    FailoverLimits,
    Situation,
    budget_left,
    in_words,
    why_ineligible,
)
from idp_proxy.decision.failover import Action, Alarm, Decision, after, decide
from idp_proxy.decision.fleet import Fleet, Health
from idp_proxy.decision.health import Verdict
from idp_proxy.decision.switching import (
    Departure,
    Mode,
    SwitchState,
    first_state,
)
from idp_proxy.decision.windows import parse_window

NOW = datetime(2026, 3, 7, 2, 30, tzinfo=UTC)  # a Saturday
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
NAMES = ("okta", "entra", "keycloak")
UP = Health("", Verdict.UP, ("answers",), up_since=NOW - HOUR)
DOWN = Health("", Verdict.DOWN, ("no answer",))
SUSPECT = Health("", Verdict.SUSPECT, ("slow",))
UNKNOWN = Health("", Verdict.UNKNOWN, ("not probed yet",))
GOOD = Candidate(proven_at=NOW - MINUTE, failback_test_at=NOW - MINUTE)
WINDOW = parse_window("Sat 02:00-04:00")
assert WINDOW is not None


def state(**changes: Any) -> SwitchState:
    return replace(first_state(NAMES, NOW - 3 * HOUR), **changes)


def situation(
    *health: Health,
    candidates: dict[str, Candidate] | None = None,
    limits: FailoverLimits | None = None,
    **fleet: Any,
) -> Situation:
    """What the fleet sees of okta, entra and keycloak; the last one given stands for the rest."""
    found = [*health, *[health[-1]] * (len(NAMES) - len(health))]
    usual: dict[str, Any] = {
        "health": {name: replace(one, name=name) for name, one in zip(NAMES, found, strict=True)},
        "isolated": {},
        "seen": ("a", "b"),
        "registered": 2,
        "reference_answers": False,
    }
    known = dict.fromkeys(NAMES, GOOD) | (candidates or {})
    return Situation(Fleet(**usual | fleet), known, limits or FailoverLimits(), NOW)


AWAY = state(serving="entra", hold_until=NOW - MINUTE)
USED_UP = state(recent_switches=(NOW - 50 * MINUTE, NOW - 20 * MINUTE))
FEW: dict[str, Any] = {"registered": 5, "seen": ("a", "b")}
AUTO, SCHEDULED = (
    FailoverLimits(failback=Failback.AUTO),
    FailoverLimits(failback=Failback.SCHEDULED),
)
OPEN = replace(SCHEDULED, windows=(WINDOW,))
LATER = parse_window("Sun 02:00-04:00")
assert LATER is not None
COMING_BACK = replace(DOWN, coming_back=True)
STALE = replace(UP, unseen_since=frozenset({"okta"}))
UNREHEARSED = {name: Candidate() for name in NAMES}

ROWS: list[tuple[str, SwitchState | None, Situation, str, Action, str | None, Alarm | None]] = [
    (
        "the store is away",
        None,
        situation(DOWN, UP),
        "store_unreadable",
        Action.STAY,
        None,
        Alarm.STORE,
    ),
    ("calm", state(), situation(UP), "steady", Action.STAY, None, None),
    ("not probed yet", state(), situation(UNKNOWN), "steady", Action.STAY, None, None),
    ("suspect", state(), situation(SUSPECT, UP), "serving_suspect", Action.STAY, "entra", None),
    (
        "suspect, alone",
        state(),
        situation(SUSPECT, DOWN),
        "serving_suspect",
        Action.STAY,
        None,
        None,
    ),
    ("hard failure", state(), situation(DOWN, UP), "serving_down", Action.SWITCH, "entra", None),
    (
        "the first standby is down too",
        state(),
        situation(DOWN, DOWN, UP),
        "serving_down",
        Action.SWITCH,
        "keycloak",
        None,
    ),
    (
        "the standby dies, the active is back",
        AWAY,
        situation(UP, DOWN, UP),
        "serving_down",
        Action.SWITCH,
        "okta",
        None,
    ),
    (
        "the standby dies within its dwell",
        replace(AWAY, hold_until=NOW + HOUR),
        situation(UP, DOWN),
        "serving_down",
        Action.SWITCH,
        "okta",
        None,
    ),
    (
        "down, and it answers again",
        state(),
        situation(COMING_BACK, UP),
        "serving_suspect",
        Action.STAY,
        "entra",
        None,
    ),
    (
        "held, down, and it answers again",
        state(mode=Mode.HELD),
        situation(COMING_BACK, UP),
        "held",
        Action.STAY,
        None,
        None,
    ),
    (
        "the standby was not looked at since",
        state(),
        situation(DOWN, STALE),
        "looking_again",
        Action.STAY,
        "entra",
        None,
    ),
    (
        "the preferred standby was not looked at since, another one was",
        state(),
        situation(DOWN, STALE, UP),
        "looking_again",
        Action.STAY,
        "entra",
        None,
    ),
    (
        "the look at the preferred standby failed, another one is well",
        state(),
        situation(DOWN, replace(STALE, failures=1), UP),
        "serving_down",
        Action.SWITCH,
        "keycloak",
        None,
    ),
    (
        "the less preferred standby was not looked at since",
        state(),
        situation(DOWN, UP, STALE),
        "serving_down",
        Action.SWITCH,
        "entra",
        None,
    ),
    (
        "the look at the only standby failed",
        state(),
        situation(DOWN, replace(STALE, failures=1)),
        "nobody_eligible",
        Action.STAY,
        None,
        Alarm.OUTAGE,
    ),
    (
        "not looked at since, and never rehearsed",
        state(),
        situation(DOWN, STALE, candidates=UNREHEARSED),
        "nobody_eligible",
        Action.STAY,
        None,
        Alarm.OUTAGE,
    ),
    (
        "not looked at since another one went down, which does not serve",
        state(),
        situation(UP, STALE),
        "steady",
        Action.STAY,
        None,
        None,
    ),
    (
        "held, the standby was not looked at since",
        state(mode=Mode.HELD),
        situation(DOWN, STALE),
        "held",
        Action.STAY,
        None,
        None,
    ),
    ("both down", state(), situation(DOWN), "nobody_eligible", Action.STAY, None, Alarm.OUTAGE),
    (
        "never rehearsed",
        state(),
        situation(DOWN, UP, candidates=UNREHEARSED),
        "nobody_eligible",
        Action.STAY,
        None,
        Alarm.OUTAGE,
    ),
    (
        "isolated",
        state(),
        situation(DOWN, UP, isolated={"okta": "cut"}),
        "isolated",
        Action.STAY,
        None,
        Alarm.ISOLATED,
    ),
    (
        "isolated and held",
        state(mode=Mode.HELD),
        situation(DOWN, UP, isolated={"okta": "cut"}),
        "isolated",
        Action.STAY,
        None,
        Alarm.ISOLATED,
    ),
    (
        "only a standby cannot be seen",
        state(),
        situation(DOWN, UP, isolated={"entra": "cut"}),
        "serving_down",
        Action.SWITCH,
        "entra",
        None,
    ),
    ("held, calm", state(mode=Mode.HELD), situation(UP), "held", Action.STAY, None, None),
    (
        "held, down",
        state(mode=Mode.HELD),
        situation(DOWN, UP),
        "held",
        Action.PROPOSE,
        "entra",
        Alarm.OUTAGE,
    ),
    (
        "held, both down",
        state(mode=Mode.HELD),
        situation(DOWN),
        "held",
        Action.STAY,
        None,
        Alarm.OUTAGE,
    ),
    (
        "latched, calm",
        state(mode=Mode.LATCHED),
        situation(UP),
        "latched",
        Action.STAY,
        None,
        Alarm.LATCHED,
    ),
    (
        "latched, down",
        state(mode=Mode.LATCHED),
        situation(DOWN, UP),
        "latched",
        Action.PROPOSE,
        "entra",
        Alarm.OUTAGE,
    ),
    (
        "disabled",
        state(disabled=frozenset({"okta"})),
        situation(UP),
        "serving_disabled",
        Action.PROPOSE,
        "entra",
        Alarm.DISABLED,
    ),
    (
        "disabled, alone",
        state(disabled=frozenset({"okta"})),
        situation(UP, DOWN),
        "serving_disabled",
        Action.STAY,
        None,
        Alarm.DISABLED,
    ),
    (
        "removed",
        state(serving="old"),
        situation(UP),
        "serving_not_configured",
        Action.PROPOSE,
        "okta",
        Alarm.OUTAGE,
    ),
    (
        "few hosts",
        state(),
        situation(DOWN, UP, **FEW),
        "few_hosts",
        Action.PROPOSE,
        "entra",
        Alarm.FEW_HOSTS,
    ),
    (
        "few hosts, a reference answers",
        state(),
        situation(DOWN, UP, **FEW, reference_answers=True),
        "serving_down",
        Action.SWITCH,
        "entra",
        None,
    ),
    (
        "the budget is used up",
        USED_UP,
        situation(DOWN, UP),
        "budget_used",
        Action.LATCH,
        "entra",
        Alarm.LATCHED,
    ),
    (
        "the budget is used up, nobody there",
        USED_UP,
        situation(DOWN),
        "nobody_eligible",
        Action.STAY,
        None,
        Alarm.OUTAGE,
    ),
    ("failback: approve", AWAY, situation(UP), "failback_approve", Action.PROPOSE, "okta", None),
    (
        "failback: auto",
        AWAY,
        situation(UP, limits=AUTO),
        "failback_auto",
        Action.FAILBACK,
        "okta",
        None,
    ),
    (
        "failback: in the window",
        AWAY,
        situation(UP, limits=OPEN),
        "failback_scheduled",
        Action.FAILBACK,
        "okta",
        None,
    ),
    (
        "failback: before the window",
        AWAY,
        situation(UP, limits=replace(SCHEDULED, windows=(LATER,))),
        "window",
        Action.STAY,
        None,
        None,
    ),
    (
        "failback: no window",
        AWAY,
        situation(UP, limits=SCHEDULED),
        "window",
        Action.STAY,
        None,
        None,
    ),
    (
        "failback: hold-down",
        AWAY,
        situation(replace(UP, up_since=NOW - MINUTE), UP, limits=AUTO),
        "hold_down",
        Action.STAY,
        None,
        None,
    ),
    (
        "failback: dwell",
        replace(AWAY, hold_until=NOW + MINUTE),
        situation(UP, limits=AUTO),
        "dwell",
        Action.STAY,
        None,
        None,
    ),
    (
        "failback: a switch by hand has no dwell",
        replace(AWAY, hold_until=None),
        situation(UP),
        "failback_approve",
        Action.PROPOSE,
        "okta",
        None,
    ),
    (
        "failback: unproven",
        AWAY,
        situation(UP, candidates={"okta": replace(GOOD, failback_test_at=None)}),
        "failback_unproven",
        Action.STAY,
        "okta",
        None,
    ),
    (
        "failback: proven long ago",
        AWAY,
        situation(UP, candidates={"okta": replace(GOOD, failback_test_at=NOW - HOUR)}),
        "failback_unproven",
        Action.STAY,
        "okta",
        None,
    ),
    (
        "failback: proven in the future",
        AWAY,
        situation(UP, candidates={"okta": replace(GOOD, failback_test_at=NOW + HOUR)}),
        "failback_unproven",
        Action.STAY,
        "okta",
        None,
    ),
    (
        "failback: proven by a canary",
        AWAY,
        situation(
            replace(UP, has_canary=True, canary_passed_at=NOW), UP, candidates={"okta": Candidate()}
        ),
        "failback_approve",
        Action.PROPOSE,
        "okta",
        None,
    ),
    (
        "failback: the budget waits",
        replace(USED_UP, serving="entra"),
        situation(UP, limits=AUTO),
        "failback_budget",
        Action.STAY,
        None,
        None,
    ),
    (
        "failback: no budget at all",
        AWAY,
        situation(UP, limits=replace(AUTO, automatic=0)),
        "failback_budget",
        Action.STAY,
        None,
        None,
    ),
    (
        "failback to the second, the first is down",
        replace(AWAY, serving="keycloak"),
        situation(DOWN, UP),
        "failback_approve",
        Action.PROPOSE,
        "entra",
        None,
    ),
    (
        "the active is up but disabled",
        replace(AWAY, disabled=frozenset({"okta"})),
        situation(UP),
        "steady",
        Action.STAY,
        None,
        None,
    ),
]


@pytest.mark.parametrize(
    ("current", "seen", "row", "action", "target", "alarm"),
    [row[1:] for row in ROWS],
    ids=[row[0] for row in ROWS],
)
def test_each_row_of_the_table(
    current: SwitchState | None,
    seen: Situation,
    row: str,
    action: Action,
    target: str | None,
    alarm: Alarm | None,
) -> None:
    decision = decide(current, seen)
    assert (decision.rule, decision.action, decision.target, decision.alarm) == (
        row,
        action,
        target,
        alarm,
    )
    assert decision.reason


@pytest.mark.parametrize(
    ("row", "due"),
    [
        ("failback: hold-down", NOW + 9 * MINUTE),
        ("failback: dwell", NOW + MINUTE),
        ("failback: before the window", datetime(2026, 3, 8, 2, 0, tzinfo=UTC)),
        ("failback: no window", None),
        ("failback: the budget waits", NOW + 10 * MINUTE),
        ("calm", None),
    ],
)
def test_what_waits_says_until_when(row: str, due: datetime | None) -> None:
    current, seen = next((one[1], one[2]) for one in ROWS if one[0] == row)
    assert decide(current, seen).due_at == due


BY_CANARY = replace(UP, has_canary=True, canary_passed_at=NOW - 14 * MINUTE)


@pytest.mark.parametrize(
    ("health", "candidate", "why"),
    [
        (UP, GOOD, ""),
        (DOWN, GOOD, "it is down: no answer"),
        (replace(UP, probe_refused="locked"), GOOD, "its probe is refused: locked"),
        (UP, replace(GOOD, why_unusable="no metadata"), "no metadata"),
        (UP, replace(GOOD, findings=("FO-04",)), "finding FO-04"),
        (UP, replace(GOOD, proven_at=None), "never rehearsed"),
        (UP, replace(GOOD, proven_at=NOW - 25 * HOUR), "more than 24 h ago"),
        (UP, replace(GOOD, proven_at=NOW + MINUTE), ""),
        (UP, replace(GOOD, proven_at=NOW + HOUR), "a host's clock is wrong"),
        (BY_CANARY, Candidate(), ""),
        (replace(BY_CANARY, canary_passed_at=None), GOOD, "never rehearsed"),
        (replace(BY_CANARY, canary_passed_at=NOW - 16 * MINUTE), GOOD, "more than 15 min ago"),
    ],
)
def test_who_may_take_over(health: Health, candidate: Candidate, why: str) -> None:
    seen = situation(DOWN, health, candidates={"entra": candidate})
    found = "; ".join(why_ineligible(state(), "entra", seen))
    assert why in found
    assert bool(found) is bool(why)


def test_every_reason_is_named_and_a_stranger_is_not_configured() -> None:
    seen = situation(DOWN, DOWN, candidates=UNREHEARSED)
    assert len(why_ineligible(state(disabled=frozenset({"entra"})), "entra", seen)) == 3
    assert why_ineligible(state(), "other", seen) == ("it is not configured",)


def test_an_automatic_switch_leaves_a_trace_and_starts_the_dwell() -> None:
    limits = FailoverLimits()
    before = state(recent_switches=(NOW - 2 * HOUR, NOW - MINUTE))
    found = after(before, decide(before, situation(DOWN, UP)), limits, "watch:a", NOW)
    assert found is not None
    assert (found.epoch, found.serving, found.actor) == (2, "entra", "watch:a")
    assert (found.left["okta"].at, found.left["okta"].how) == (NOW, Departure.FAILOVER)
    assert (found.hold_until, found.recent_switches) == (NOW + limits.dwell, (NOW - MINUTE, NOW))


def test_a_return_is_planned_and_forgets_that_its_target_was_left() -> None:
    gone = after(state(), decide(state(), situation(DOWN, UP)), AUTO, "watch:a", NOW)
    assert gone is not None
    gone = replace(gone, hold_until=NOW)
    back = after(gone, decide(gone, situation(UP, limits=AUTO)), AUTO, "watch:a", NOW)
    assert back is not None
    assert back.serving == "okta"
    assert {name: left.how for name, left in back.left.items()} == {"entra": Departure.PLANNED}


def test_a_latch_switches_nothing_but_the_mode() -> None:
    found = after(USED_UP, decide(USED_UP, situation(DOWN, UP)), FailoverLimits(), "watch:a", NOW)
    assert found is not None
    assert (found.serving, found.mode, found.epoch) == ("okta", Mode.LATCHED, 2)
    assert found.recent_switches == USED_UP.recent_switches


@pytest.mark.parametrize("action", [Action.STAY, Action.PROPOSE, Action.SWITCH])
def test_what_needs_a_person_or_has_no_target_changes_nothing(action: Action) -> None:
    assert after(state(), Decision(action, "", ""), FailoverLimits(), "watch:a", NOW) is None


def test_a_switch_from_the_future_counts_against_the_budget() -> None:
    assert budget_left(state(recent_switches=(NOW - 2 * HOUR,) * 5), FailoverLimits(), NOW)
    assert not budget_left(state(recent_switches=(NOW + HOUR,) * 2), FailoverLimits(), NOW)


def test_spans_are_told_in_minutes_or_hours() -> None:
    assert (in_words(15 * MINUTE), in_words(HOUR), in_words(24 * HOUR)) == (
        "15 min",
        "60 min",
        "24 h",
    )


def test_a_return_that_waits_for_people_is_a_failback() -> None:
    due = [decide(AWAY, situation(UP, limits=limits)) for limits in (None, AUTO)]
    assert [one.is_return for one in due] == [True, False]


def test_only_a_person_is_asked_for_a_test_where_no_canary_will_tell() -> None:
    unproven = {"okta": replace(GOOD, failback_test_at=None)}
    alone = decide(AWAY, situation(UP, candidates=unproven))
    assert alone.awaits_test
    watched = situation(
        replace(UP, has_canary=True, canary_passed_at=NOW - HOUR / 5), candidates=unproven
    )
    waits = decide(AWAY, watched)
    assert (waits.rule, waits.target) == ("failback_unproven", None)
    assert not waits.awaits_test
