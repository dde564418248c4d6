"""The rate limit: calls are spaced near its end, and a refusal holds everybody."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversion.mattermost.pace import LONGEST_INTERVAL, Pace, asked_wait
from tests.support.mattermost_api import RateLimit


@dataclass
class Clock:
    """Time that passes by sleeping only."""

    at: float = 100.0
    slept: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds


def headers(limit: int, remaining: int, reset: int) -> dict[str, str]:
    return {
        "X-Ratelimit-Limit": str(limit),
        "X-Ratelimit-Remaining": str(remaining),
        "X-Ratelimit-Reset": str(reset),
    }


def test_without_a_rate_limit_no_call_waits() -> None:
    clock = Clock()
    pace = Pace(clock.now, clock.sleep)

    for _ in range(100):
        pace.wait()
        pace.learn({})

    assert clock.slept == []


def test_with_most_of_the_allowance_left_no_call_waits() -> None:
    clock = Clock()
    pace = Pace(clock.now, clock.sleep)
    pace.learn(headers(101, 60, 5))

    pace.wait()
    pace.wait()

    assert clock.slept == []


def test_near_the_end_of_the_allowance_calls_come_as_it_refills() -> None:
    clock = Clock()
    pace = Pace(clock.now, clock.sleep)
    pace.learn(headers(101, 1, 10))

    for _ in range(3):
        pace.wait()

    assert clock.slept == pytest.approx([0.1, 0.1])


def test_a_refusal_holds_every_thread() -> None:
    clock = Clock()
    pace = Pace(clock.now, clock.sleep)
    pace.hold(3.0)

    pace.wait()
    pace.wait()

    assert clock.slept == pytest.approx([3.0])


def test_against_the_real_limit_ten_a_second_are_reached_and_hardly_any_is_refused() -> None:
    clock, limit = Clock(), RateLimit(10, 100)
    pace = Pace(clock.now, clock.sleep)
    started, refused = clock.at, 0

    for _ in range(1000):
        pace.wait()
        passes, told = limit.take("127.0.0.1", clock.at)
        pace.learn(told)
        if not passes:
            refused += 1
            pace.hold(asked_wait(told))

    elapsed = clock.at - started
    assert refused == 0
    assert (1000 - 101) / 10 <= elapsed <= 1.25 * (1000 - 101) / 10


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0"}, 1.0),
        ({"X-Ratelimit-Reset": "4"}, 4.0),
        ({"Retry-After": "2", "X-Ratelimit-Reset": "9"}, 2.0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT", "X-Ratelimit-Reset": "3"}, 3.0),
        ({"Retry-After": "-5"}, 1.0),
        ({"Retry-After": "\u0665"}, 1.0),
        ({"Retry-After": "9" * 400}, 1.0),
        ({}, 1.0),
    ],
)
def test_a_refusal_says_how_long_and_nonsense_counts_as_a_second(
    told: dict[str, str], expected: float
) -> None:
    assert asked_wait(told) == expected


@given(st.dictionaries(st.sampled_from(list(headers(1, 1, 1))), st.text(max_size=12)))
def test_no_header_stops_the_tool_for_longer_than_a_few_seconds(told: dict[str, str]) -> None:
    clock = Clock()
    pace = Pace(clock.now, clock.sleep)
    pace.learn(told)

    pace.wait()
    pace.wait()

    assert sum(clock.slept) <= LONGEST_INTERVAL
