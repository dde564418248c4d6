"""What holds while the store is away: who waits, how it is asked again, what a host starts by."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp_proxy.decision.absence import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    Absence,
    Told,
    answered,
    latest,
    no_answer,
    why_not_kept,
    wrote,
)
from idp_proxy.decision.switching import first_state

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def test_the_first_who_gets_no_answer_speaks_for_all_until_somebody_does() -> None:
    away = no_answer(Absence(), "frozen")
    assert no_answer(away, "refused") == away == Absence("frozen", 1)
    assert answered(away) == Absence(None, 1)


def test_a_store_that_answers_and_takes_no_login_is_asked_ever_less_often() -> None:
    known, pauses = Absence(), []
    for _ in range(20):
        known = no_answer(known, "frozen")
        pauses.append(known.pause_s)
        known = answered(known)
    assert pauses[:5] == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert all(one <= two for one, two in pairwise(pauses))
    assert pauses[-1] == LONGEST_PAUSE_S
    assert wrote(known) == Absence()


def test_a_commit_that_was_under_way_does_not_call_back_what_went_away_since() -> None:
    away = no_answer(Absence(), "frozen")
    assert wrote(away) == away


@given(
    st.lists(st.sampled_from([answered, wrote, lambda known: no_answer(known, "why")]), max_size=40)
)
def test_whatever_happens_a_pause_has_its_bounds_and_an_answer_opens_the_way(
    steps: list[object],
) -> None:
    known = Absence()
    for step in steps:
        known = step(known)  # type: ignore[operator]  # the three above
        assert FIRST_PAUSE_S <= known.pause_s <= LONGEST_PAUSE_S
    assert answered(known).why is None


def test_of_two_that_were_told_the_later_one_counts() -> None:
    state = first_state(["okta", "entra"], NOW)
    early, late = Told(state, NOW), Told(state, NOW + timedelta(seconds=1))
    assert latest(None, early) is early
    assert latest(early, late) is latest(late, early) is late


@pytest.mark.parametrize(
    ("told_at", "why"),
    [
        (NOW, None),
        (NOW + timedelta(minutes=2), None),
        (NOW - 7 * DAY, None),
        (NOW - 7 * DAY - timedelta(seconds=1), "more than 7 days ago"),
        (NOW + timedelta(minutes=2, seconds=1), "a clock is wrong"),
    ],
)
def test_a_host_starts_by_what_it_was_told_of_late(told_at: datetime, why: str | None) -> None:
    found = why_not_kept(told_at, NOW)
    assert found is None if why is None else why in str(found)
