from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from idp_proxy.decision.traffic import TrafficCount, TrafficLimits, judge_traffic

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LIMITS = TrafficLimits()
RECENT, BEFORE = NOW - timedelta(minutes=5), NOW - timedelta(hours=2)


def counts(recent: tuple[int, int], before: tuple[int, int] = (0, 0)) -> list[TrafficCount]:
    return [
        TrafficCount("okta", BEFORE, *before),
        TrafficCount("okta", RECENT, *recent),
        TrafficCount("entra", RECENT, 500, 0),
        TrafficCount("okta", NOW - timedelta(minutes=1), 500, 0),
        TrafficCount("okta", NOW - timedelta(days=2), 500, 0),
    ]


@pytest.mark.parametrize(
    ("recent", "before", "warns"),
    [
        ((0, 0), (0, 0), False),
        ((19, 0), (0, 0), False),
        ((20, 10), (0, 0), False),
        ((20, 9), (0, 0), True),
        ((100, 0), (100, 90), True),
        ((100, 30), (100, 70), False),
        ((100, 30), (10, 1), True),
        ((20, 40), (0, 0), False),
        ((100, 12), (10_000, 100), False),
        ((100, 9), (10_000, 100), True),
    ],
)
def test_an_unusual_share_of_unanswered_logins_warns(
    recent: tuple[int, int], before: tuple[int, int], warns: bool
) -> None:
    found = judge_traffic("okta", counts(recent, before), LIMITS, NOW)
    assert (found.warning is not None) is warns
    assert found.begun == recent[0]
    assert 0 <= found.share <= 1


def test_an_answer_posted_again_and_again_hides_nobody_else_s_login() -> None:
    """It counts for the minute of its own login, and there for no more than began."""
    minute = timedelta(minutes=1)
    seen = [
        TrafficCount("okta", RECENT, begun=1, answered=5_000),
        TrafficCount("okta", RECENT + minute, begun=40, answered=0),
    ]
    found = judge_traffic("okta", seen, LIMITS, NOW)
    assert (found.begun, found.answered) == (41, 1)
    assert found.warning is not None


def test_a_login_counts_as_unanswered_only_when_it_has_had_its_time() -> None:
    """A minute counts as a whole: the last login in it must have had 120 s, not the first one."""
    minute = [TrafficCount("okta", NOW - timedelta(minutes=2), begun=500, answered=0)]
    for seconds, begun in ((0, 0), (59, 0), (60, 500)):
        now = NOW + timedelta(seconds=seconds)
        assert judge_traffic("okta", minute, LIMITS, now).begun == begun
