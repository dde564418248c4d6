"""What a drill showed, held against the bars."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from idp_proxy.decision.scorecard import BARS, Fired, Marks, judge_drill

BAR = BARS["fast"]
WAITED = (Fired(0.0, "steady", "okta serves"), Fired(4.0, "nobody_eligible", "entra: it is down"))


def marks(**changes: Any) -> Marks:
    fine: dict[str, Any] = {
        "detected": 3.0,
        "decided": 3.1,
        "logged_in": 5.0,
        "target": "entra",
        "switches": 1,
    }
    return Marks(**fine | changes)


def test_within_the_bar_it_passes_and_says_what_was_lost() -> None:
    card = judge_drill(marks(), BAR, logins_a_minute=60)
    assert (card.passed, card.problems, card.not_shown) == (True, (), None)
    assert card.lost == 5.0
    assert judge_drill(marks(), BAR, None).lost is None


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"logged_in": 6.1}, "the first login came after 6.1 s; the bar is 6 s"),
        ({"decided": 7.0, "logged_in": None, "has_canary": False}, "the switch came after 7.0 s"),
        ({"switches": 2}, "2 switches, where one was due"),
        ({"logged_in": None, "login_problem": "canary staff: locked"}, "no login by entra came"),
        ({"detected": None, "decided": None, "logged_in": None}, "the fault was never detected"),
        ({"decided": None, "logged_in": None, "rules": WAITED}, "nobody took over: entra: it is"),
        ({"decided": None, "logged_in": None}, "nobody took over: no turn of the watch came"),
        ({"ended": "stopped by Ctrl-C"}, "the drill ended early: stopped by Ctrl-C"),
    ],
)
def test_what_did_not_come_in_time_fails_it(changes: dict[str, Any], problem: str) -> None:
    card = judge_drill(marks(**changes), BAR, 1.0)
    assert not card.passed
    assert card.problems[0].startswith(problem)


def test_without_a_canary_the_login_is_said_not_to_be_shown() -> None:
    card = judge_drill(marks(logged_in=None, has_canary=False), BAR, None)
    assert card.passed
    assert "entra has no canary" in (card.not_shown or "")


def test_the_bars_are_those_of_the_design() -> None:
    assert {name: bar.total_seconds() for name, bar in BARS.items()} == {"default": 45, "fast": 6}
    assert judge_drill(marks(), timedelta(seconds=45), None).bar == BARS["default"]
