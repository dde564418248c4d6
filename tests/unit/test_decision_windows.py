from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp_proxy.decision.expiry import expiry_step
from idp_proxy.decision.windows import Window, next_opening, parse_window


def window(text: str) -> Window:
    found = parse_window(text)
    assert found is not None, text
    return found


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Sat",
        "Sat 02:00",
        "Sat 2:00-4:00",
        "Sun 02:00-02:00",
        "Sat 25:00-26:00",
        "Tag 02:00-04:00",
        "Sat 02:00-04:00 Nowhere/City",
        "Sat 02:00-04:00 ../../etc/passwd",
        "Sat  02:00-04:00",
    ],
)
def test_what_is_no_window_is_none(text: str) -> None:
    assert parse_window(text) is None


@pytest.mark.parametrize(
    ("text", "now", "opens"),
    [
        # 2026-03-07 is a Saturday.
        ("Sat 02:00-04:00", "2026-03-07T02:00", "2026-03-07T02:00"),
        ("Sat 02:00-04:00", "2026-03-07T03:59", "2026-03-07T03:59"),
        ("Sat 02:00-04:00", "2026-03-07T04:00", "2026-03-14T02:00"),
        ("sat,SUN 02:00-04:00", "2026-03-07T04:00", "2026-03-08T02:00"),
        ("Sat 23:00-01:00", "2026-03-08T00:30", "2026-03-08T00:30"),
        ("Sat 23:00-01:00", "2026-03-08T01:00", "2026-03-14T23:00"),
        ("Sat 02:00-04:00 Europe/Berlin", "2026-03-07T01:00", "2026-03-07T01:00"),
        ("Sat 02:00-04:00 Europe/Berlin", "2026-03-07T03:00", "2026-03-14T01:00"),
    ],
)
def test_when_a_window_opens(text: str, now: str, opens: str) -> None:
    assert next_opening([window(text)], at(now)) == at(opens)


def test_of_several_windows_the_first_to_open_counts_and_none_never_opens() -> None:
    both = [window("Mon 02:00-04:00"), window("Sun 02:00-04:00")]
    assert next_opening(both, at("2026-03-07T12:00")) == at("2026-03-08T02:00")
    assert next_opening([], at("2026-03-07T12:00")) is None


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis wants it naive
    st.sampled_from(["Sun 01:30-03:30 Europe/Berlin", "Mon,Thu 22:00-02:00", "Sat 00:00-23:59"]),
)
def test_an_opening_is_open_and_never_more_than_a_week_away(now: datetime, text: str) -> None:
    opens = window(text).opening(now)
    assert now <= opens <= now + timedelta(days=7, hours=2)
    assert window(text).opening(opens) == opens


@pytest.mark.parametrize(
    ("days", "step"), [(31, None), (30, 30), (15, 30), (14, 14), (7, 7), (1, 1), (0, 0), (-9, 0)]
)
def test_the_step_in_which_something_ends(days: int, step: int | None) -> None:
    now = at("2026-03-07T12:00")
    assert expiry_step(now + timedelta(days=days), now) == step
