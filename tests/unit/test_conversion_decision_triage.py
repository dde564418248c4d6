"""Who is locked out when, and what that means for a help desk."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversion.decision.triage import Session, Standing, Triage, load, triage

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def session(hours: float | None, idle: float = 0, *, token: bool = False) -> Session:
    expires_at = None if hours is None else NOW + hours * HOUR
    return Session(expires_at, NOW - idle * HOUR, is_token=token)


@pytest.mark.parametrize(
    ("sessions", "standing", "until"),
    [
        ([], Standing.LOCKED_OUT, None),
        ([session(-1)], Standing.LOCKED_OUT, None),
        ([session(0)], Standing.LOCKED_OUT, None),
        ([session(-5), session(3)], Standing.SOON, 3),
        ([session(8)], Standing.SOON, 8),
        ([session(8.01)], Standing.LATER, 8.01),
        ([session(2), session(700), session(1)], Standing.LATER, 700),
        ([session(2), session(None)], Standing.NEVER, None),
        ([session(None, token=True)], Standing.LOCKED_OUT, None),
        ([session(9000, token=True), session(1)], Standing.SOON, 1),
    ],
)
def test_a_person_is_in_as_long_as_the_last_session_of_a_person_lives(
    sessions: list[Session], standing: Standing, until: float | None
) -> None:
    found = triage("u1", sessions, NOW, within=8 * HOUR)
    expected = None if until is None else NOW + until * HOUR
    assert found == Triage("u1", standing, expected)


@pytest.mark.parametrize(
    ("one", "standing", "until"),
    [
        (session(700, idle=1), Standing.SOON, 4),
        (session(2, idle=1), Standing.SOON, 2),
        (session(700, idle=5), Standing.LOCKED_OUT, None),
        (session(None, idle=1), Standing.SOON, 4),
    ],
)
def test_a_server_that_ends_unused_sessions_locks_out_earlier(
    one: Session, standing: Standing, until: float | None
) -> None:
    found = triage("u1", [one], NOW, within=8 * HOUR, idle=5 * HOUR)
    expected = None if until is None else NOW + until * HOUR
    assert found == Triage("u1", standing, expected)


def test_the_load_counts_everybody_who_is_out_by_then() -> None:
    people = [
        triage("a", [], NOW, 8 * HOUR),
        triage("b", [session(2)], NOW, 8 * HOUR),
        triage("c", [session(8)], NOW, 8 * HOUR),
        triage("d", [session(20)], NOW, 8 * HOUR),
        triage("e", [session(None)], NOW, 8 * HOUR),
    ]
    loads = load(people, NOW, minutes_a_call=6)
    assert [(one.after / HOUR, one.people) for one in loads] == [(0, 1), (8, 3), (24, 4)]
    assert [one.phone_hours for one in loads] == [0.1, 0.3, 0.4]


@pytest.mark.parametrize("minutes", [0, -1, float("nan")])
def test_a_call_that_takes_no_time_is_refused(minutes: float) -> None:
    with pytest.raises(ValueError, match="minutes_a_call"):
        load([], NOW, minutes)


@given(st.lists(st.integers(-100, 100)), st.lists(st.integers(0, 100)))
def test_later_never_fewer_are_out_and_never_more_than_there_are(
    ends: list[int], hours: list[int]
) -> None:
    people = [triage(str(n), [session(end)], NOW, HOUR) for n, end in enumerate(ends)]
    loads = load(people, NOW, 5, [hour * HOUR for hour in sorted(hours)])
    counts = [one.people for one in loads]
    assert counts == sorted(counts)
    assert all(sum(end <= 0 for end in ends) <= count <= len(ends) for count in counts)
