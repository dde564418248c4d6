"""Deadlines: who was away for too long is counted, reminded of, and alarmed about; no more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversion.decision.deadline import Deadlines, Due, Waiting, waiting

NOW = datetime(2026, 3, 3, 3, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("hours", "due", "reminded", "overdue"),
    [
        ([], Due.NOTHING, 0, 0),
        ([0, 23.99], Due.NOTHING, 0, 0),
        ([24], Due.REMINDER, 1, 0),
        ([24, 71.99, 1], Due.REMINDER, 2, 0),
        ([72], Due.ALARM, 1, 1),
        ([72, 500, 30, 2], Due.ALARM, 3, 2),
        # A clock that was set back: somebody left in the future, and nothing is due.
        ([-5], Due.NOTHING, 0, 0),
    ],
)
def test_what_is_due_follows_from_how_long_each_was_away(
    hours: list[float], due: Due, reminded: int, overdue: int
) -> None:
    found = waiting((NOW - hour * HOUR for hour in hours), NOW, Deadlines())
    assert found.due is due
    assert (found.people, found.reminded, found.overdue) == (len(hours), reminded, overdue)
    assert found.since == (NOW - max(hours) * HOUR if hours else None)


@given(st.lists(st.integers(0, 200)), st.integers(0, 100))
def test_waiting_longer_never_makes_it_milder(hours: list[int], more: int) -> None:
    order = list(Due)
    left = [NOW - hour * HOUR for hour in hours]
    before = waiting(left, NOW, Deadlines())
    after = waiting(left, NOW + more * HOUR, Deadlines())
    assert order.index(after.due) >= order.index(before.due)
    assert after.overdue >= before.overdue
    assert after.reminded >= before.reminded
    assert after.people == before.people


def test_nobody_waiting_calls_for_nothing() -> None:
    assert Waiting().due is Due.NOTHING
