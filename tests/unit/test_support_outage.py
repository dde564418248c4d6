"""What is measured of an outage, and what the failover benchmark makes of it."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.bench.failover_bench import Figures, Profile, missed
from tests.support.outage import Arrivals, LoginLost, Outage, Visit
from tests.support.sight import Switch

if TYPE_CHECKING:
    from collections.abc import Iterator

OUTAGE = Outage(down_s=0.9, switch_s=1.0, login_s=1.5, arrived=10, lost=4, wrong=())
WRONG = Switch(
    datetime(2026, 1, 1, tzinfo=UTC), "watch:a", "standby", "active", "standby is down: no answer"
)


def test_the_json_has_the_shape_that_was_promised() -> None:
    slow = replace(OUTAGE, switch_s=3.004, login_s=4.006, wrong=(WRONG,))
    found = Figures(Profile.FAST, (OUTAGE, OUTAGE, slow)).as_json()
    assert json.dumps(found, separators=(",", ":")) == (
        '{"profile":"fast","runs":3,"detect_s":{"p50":1.0,"max":3.0},'
        '"first_standby_login_s":{"p50":1.5,"max":4.01},"wrong_switches":1}'
    )


@pytest.mark.parametrize(
    ("profile", "slowest_s", "wrong", "bars"),
    [
        (Profile.FAST, 6.0, (), 0),
        (Profile.FAST, 6.1, (), 1),
        (Profile.DEFAULT, 6.1, (), 0),
        (Profile.DEFAULT, 45.1, (), 1),
        (Profile.DEFAULT, 45.1, (WRONG, WRONG), 3),
    ],
)
def test_a_missed_bar_is_named(
    profile: Profile, slowest_s: float, wrong: tuple[Switch, ...], bars: int
) -> None:
    slow = replace(OUTAGE, login_s=slowest_s, wrong=wrong)
    assert len(list(missed(Figures(profile, (OUTAGE, slow, OUTAGE))))) == bars


def test_people_arrive_at_a_steady_pace_and_each_is_in_or_lost() -> None:
    ends: Iterator[str | None] = iter(["active", None, "standby"])

    def visit() -> str:
        by = next(ends, "standby")
        if by is None:
            raise LoginLost("the page of somebody else")
        return by

    arrivals = Arrivals(visit, every_s=0.02)
    with arrivals.arriving():
        while len(arrivals.visits) < 4:
            time.sleep(0.005)
    assert [one.by for one in arrivals.visits[:3]] == ["active", None, "standby"]
    assert arrivals.visits[1].why == "the page of somebody else"


def test_who_came_before_the_fault_is_not_the_first_after_it() -> None:
    arrivals = Arrivals(lambda: "standby", every_s=1.0)
    arrivals.visits += [
        Visit(1.0, 9.0, "standby"),
        Visit(2.5, 4.0, "active"),
        Visit(3.0, 8.0, "standby"),
        Visit(3.5, 7.0, "standby"),
        Visit(4.0, 5.0, None, "lost"),
    ]
    assert arrivals.first_by("standby", since=2.0) == 7.0
    assert arrivals.first_by("standby", since=3.6) is None


def test_only_the_watch_switches_by_itself() -> None:
    assert WRONG.by_itself
    assert not replace(WRONG, actor="host:root").by_itself
