"""Tracks of one observer, what it cannot see, and whose turn a canary is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp_proxy.decision.health import (
    Cadence,
    Canary,
    Outcome,
    Reference,
    Thresholds,
    Track,
    Verdict,
    follow,
    isolation,
    may_run,
    next_probe,
)

NOW = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
SECOND = timedelta(seconds=1)
FRESH = timedelta(seconds=30)
LIMITS = Thresholds(suspect_after=2, fall=3, confirm=3, rise=5)
CADENCE = Cadence(10 * SECOND, 5 * SECOND, 5 * SECOND, 2 * SECOND)


def walk(outcomes: str, start: Track | None = None) -> Track:
    """The track after one outcome a second: + passed, - broken, ? refused."""
    track = start or Track()
    kinds = {"+": Outcome.PASSED, "-": Outcome.BROKEN, "?": Outcome.REFUSED}
    for number, sign in enumerate(outcomes):
        track = follow(track, kinds[sign], f"seen {sign}", LIMITS, NOW + number * SECOND)
    return track


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        ("", Verdict.UNKNOWN),
        ("++++", Verdict.UNKNOWN),
        ("+++++", Verdict.UP),
        ("-----", Verdict.UNKNOWN),
        ("------", Verdict.DOWN),
        ("+++++-", Verdict.UP),
        ("+++++--", Verdict.SUSPECT),
        ("+++++-----", Verdict.SUSPECT),
        ("+++++------", Verdict.DOWN),
        ("+++++--+++++", Verdict.UP),
        ("+++++--+-+-+-+-+", Verdict.SUSPECT),
        ("------++++", Verdict.DOWN),
        ("------+++++", Verdict.UP),
        ("------++++-++++", Verdict.DOWN),
        ("+++++??????????", Verdict.UP),
        ("+++++-----?-", Verdict.DOWN),
    ],
)
def test_outcomes_in_a_row_make_the_verdict(outcomes: str, verdict: Verdict) -> None:
    assert walk(outcomes).verdict is verdict


def test_a_verdict_dates_from_when_it_was_reached() -> None:
    track = walk("+++++++")
    assert (track.since, track.at, track.passed_at) == (
        NOW + 4 * SECOND,
        NOW + 6 * SECOND,
        NOW + 6 * SECOND,
    )
    assert walk("-", track).passed_at == track.passed_at


def test_a_refusal_moves_nothing_and_is_remembered_until_the_next_outcome() -> None:
    up = walk("+++++-")
    refused = walk("?", up)
    assert (refused.passes, refused.failures, refused.verdict) == (0, 1, Verdict.UP)
    assert (refused.refused, refused.reason) == ("seen ?", "seen ?")
    assert walk("+", refused).refused is None


@given(st.text("+-?", max_size=60))
def test_refusals_never_change_a_verdict(outcomes: str) -> None:
    with_refusals, without = walk(outcomes), walk(outcomes.replace("?", ""))
    assert with_refusals.verdict is without.verdict
    assert (with_refusals.passes, with_refusals.failures) == (without.passes, without.failures)


@pytest.mark.parametrize(
    ("outcomes", "chance", "seconds", "count"),
    [
        ("", 0.5, 5, 1),
        ("+++++", 0.5, 10, 1),
        ("+++++", 0.0, 8, 1),
        ("+++++-", 0.5, 5, 1),
        ("+++++--", 0.5, 5, 1),
        ("+++++---", 0.5, 0, 3),
        ("+++++----", 0.5, 0, 2),
        ("+++++------", 0.5, 10, 1),
        ("------+", 0.5, 5, 1),
        ("+++++---?", 0.5, 5, 1),
        ("+++++---?-", 0.5, 0, 2),
    ],
)
def test_a_fall_is_confirmed_at_once_and_change_is_watched_more_closely(
    outcomes: str, chance: float, seconds: float, count: int
) -> None:
    plan = next_probe(walk(outcomes), LIMITS, CADENCE, chance)
    assert (plan.delay, plan.count) == (timedelta(seconds=seconds), count)


BROKEN, FINE = Track(failures=1), Track(passes=1)
NO, YES = (
    Reference(answered=False, reason="timed out", at=NOW),
    Reference(answered=True, reason="answers", at=NOW),
)
OLD = replace(YES, at=NOW - timedelta(minutes=5))


@pytest.mark.parametrize(
    ("tracks", "references", "by_proxy", "isolated"),
    [
        ({"okta": FINE, "entra": FINE}, None, {}, set()),
        ({"okta": BROKEN, "entra": FINE}, None, {}, set()),
        ({"okta": BROKEN, "entra": BROKEN}, None, {}, {"okta", "entra"}),
        ({"okta": BROKEN, "entra": FINE}, None, {"okta": "407"}, {"okta"}),
        ({"okta": FINE, "entra": FINE}, None, {"okta": "407"}, set()),
        ({"okta": BROKEN, "entra": BROKEN}, {"okta": [YES], "entra": [NO]}, {}, {"entra"}),
        ({"okta": BROKEN, "entra": BROKEN}, {"okta": [NO, YES], "entra": [YES]}, {}, set()),
        ({"okta": BROKEN, "entra": FINE}, {"okta": [OLD]}, {}, {"okta"}),
        ({"okta": BROKEN, "entra": FINE}, {}, {}, {"okta"}),
        ({"okta": BROKEN, "entra": FINE}, {"okta": [YES]}, {"okta": "502"}, set()),
        ({"okta": BROKEN, "entra": FINE}, {"okta": [NO]}, {"okta": "502"}, {"okta"}),
    ],
)
def test_who_cannot_see_says_so(
    tracks: dict[str, Track],
    references: dict[str, list[Reference]] | None,
    by_proxy: dict[str, str],
    isolated: set[str],
) -> None:
    found = isolation(
        tracks,
        references or {},
        by_proxy,
        configured=references is not None,
        fresh=FRESH,
        now=NOW,
    )
    assert found.keys() == isolated


MINE = Canary("okta", "staff", Track(Verdict.UP, 3, 0, NOW, NOW, NOW), host="a")


@pytest.mark.parametrize(
    ("canary", "host", "hosts", "after_s", "may"),
    [
        (Canary("okta", "staff"), "a", "ab", 0, True),
        (replace(MINE, lease_until=NOW + SECOND), "a", "ab", 0, False),
        (replace(MINE, lease_until=NOW), "a", "ab", 60, True),
        (MINE, "a", "ab", 59, False),
        (MINE, "a", "ab", 60, True),
        (replace(MINE, track=replace(MINE.track, passes=0, failures=1)), "a", "ab", 60, False),
        (replace(MINE, track=replace(MINE.track, passes=0, failures=1)), "b", "ab", 10, True),
        (replace(MINE, track=replace(MINE.track, passes=0, failures=1)), "a", "a", 10, True),
        (replace(MINE, track=Track(Verdict.DOWN, 0, 5, NOW, NOW)), "b", "ab", 10, False),
        (MINE, "a", "ab", -60, True),
    ],
)
def test_whose_turn_a_canary_is(
    canary: Canary, host: str, hosts: str, after_s: int, may: bool
) -> None:
    found = may_run(
        canary, host, hosts, NOW + after_s * SECOND, interval=60 * SECOND, retry=10 * SECOND
    )
    assert found is may
