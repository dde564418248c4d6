"""Whether a notice is sent: at first, after a pause, and once at the end."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp_proxy.decision.notices import (
    EVENTS,
    LONGEST_CLAIM,
    Kind,
    Notice,
    NoticeRecord,
    Sending,
    claimed,
    ended,
    fresher,
    judge,
)

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
OUTAGE = Notice(Kind.OUTAGE, "outage:okta")
TOLD = NoticeRecord("outage:okta", Kind.OUTAGE, "okta is down", NOW, sent_at=NOW, version=3)
CLAIMED = replace(TOLD, sent_at=None, claimed_until=NOW + 30 * SECOND)


@pytest.mark.parametrize(
    ("known", "after", "sending"),
    [
        (None, 0 * SECOND, Sending.SEND_FIRST),
        (TOLD, SECOND, Sending.SILENT),
        (TOLD, HOUR - SECOND, Sending.SILENT),
        (TOLD, HOUR, Sending.REPEAT),
        (replace(TOLD, over_at=NOW + SECOND), 2 * SECOND, Sending.SEND_FIRST),
        (CLAIMED, 29 * SECOND, Sending.SILENT),
        (CLAIMED, 30 * SECOND, Sending.SEND_FIRST),
        (replace(TOLD, claimed_until=NOW + HOUR + 30 * SECOND), HOUR, Sending.SILENT),
        (replace(TOLD, sent_at=None), SECOND, Sending.SEND_FIRST),
    ],
)
def test_a_matter_is_told_at_first_and_after_each_pause(
    known: NoticeRecord | None, after: timedelta, sending: Sending
) -> None:
    assert judge(known, OUTAGE, NOW + after, HOUR) is sending


@pytest.mark.parametrize("kind", sorted(EVENTS))
def test_an_event_is_told_once_and_is_never_over(kind: Kind) -> None:
    event = Notice(kind, "event:1")
    assert judge(None, event, NOW, HOUR) is Sending.SEND_FIRST
    told = replace(TOLD, kind=kind)
    assert judge(told, event, NOW + 1000 * HOUR, HOUR) is Sending.SILENT
    assert ended(told, NOW + HOUR) is None


def test_what_a_person_holds_is_told_when_it_has_lasted() -> None:
    held = Notice(Kind.HELD, "held:4", since=NOW)
    assert judge(None, held, NOW + 4 * HOUR - SECOND, 4 * HOUR) is Sending.SILENT
    assert judge(None, held, NOW + 4 * HOUR, 4 * HOUR) is Sending.SEND_FIRST
    told = replace(TOLD, kind=Kind.HELD, sent_at=NOW + 4 * HOUR)
    assert judge(told, held, NOW + 7 * HOUR, 4 * HOUR) is Sending.SILENT
    assert judge(told, held, NOW + 8 * HOUR, 4 * HOUR) is Sending.REPEAT
    assert judge(None, replace(held, since=None), NOW, 4 * HOUR) is Sending.SEND_FIRST


@pytest.mark.parametrize("ahead", [HOUR, 24 * HOUR, timedelta(days=3650)])
def test_a_wrong_clock_silences_nobody(ahead: timedelta) -> None:
    assert judge(replace(TOLD, sent_at=NOW + ahead), OUTAGE, NOW, HOUR) is Sending.REPEAT
    claim = replace(CLAIMED, claimed_until=NOW + LONGEST_CLAIM + ahead)
    assert judge(claim, OUTAGE, NOW, HOUR) is Sending.SEND_FIRST


@pytest.mark.parametrize(
    ("known", "over"),
    [
        (None, False),
        (TOLD, True),
        (replace(TOLD, over_at=NOW), False),
        (replace(TOLD, sent_at=None), False),
        (replace(TOLD, claimed_until=NOW + 30 * SECOND), False),
    ],
)
def test_the_end_is_told_once_to_those_who_were_told(
    known: NoticeRecord | None, over: bool
) -> None:
    expected = replace(TOLD, over_at=NOW + SECOND) if over else None
    assert ended(known, NOW + SECOND) == expected


def test_a_claim_keeps_what_is_known_of_a_matter_that_goes_on() -> None:
    until = NOW + HOUR + 30 * SECOND
    assert claimed(TOLD, OUTAGE, "new", NOW + HOUR, until) == replace(TOLD, claimed_until=until)


@pytest.mark.parametrize(
    ("known", "version"),
    [(None, 0), (replace(TOLD, over_at=NOW), 3), (replace(TOLD, sent_at=None), 3)],
)
def test_a_claim_of_a_matter_that_begins_starts_anew(
    known: NoticeRecord | None, version: int
) -> None:
    until = NOW + 2 * HOUR
    expected = NoticeRecord(
        "outage:okta", Kind.OUTAGE, "new", NOW + HOUR, claimed_until=until, version=version
    )
    assert claimed(known, OUTAGE, "new", NOW + HOUR, until) == expected
    began = replace(OUTAGE, since=NOW)
    assert claimed(known, began, "new", NOW + HOUR, until).since == NOW


def test_what_was_told_while_the_store_was_away_counts() -> None:
    remembered = replace(TOLD, sent_at=NOW + HOUR, version=0)
    assert fresher(None, remembered, NOW) == remembered
    assert fresher(TOLD, remembered, NOW) == replace(remembered, version=TOLD.version)
    assert fresher(TOLD, None, NOW) is TOLD
    assert fresher(TOLD, replace(TOLD, sent_at=None), NOW) is TOLD
    assert fresher(None, None, NOW) is None
    newer = replace(TOLD, sent_at=NOW + 2 * HOUR)
    assert fresher(newer, remembered, NOW) is newer
    over = replace(TOLD, over_at=NOW + 2 * HOUR)
    assert fresher(over, remembered, NOW) is over
    over_at_once = replace(TOLD, over_at=NOW)
    assert fresher(over_at_once, TOLD, NOW) is over_at_once
    assert fresher(replace(TOLD, sent_at=None), TOLD, NOW) == TOLD


def test_another_hosts_claim_comes_before_what_this_one_remembers() -> None:
    ended_here = replace(TOLD, over_at=NOW + SECOND)
    assert fresher(CLAIMED, ended_here, NOW + 2 * SECOND) is CLAIMED
    assert fresher(CLAIMED, ended_here, NOW + HOUR) == ended_here


@given(st.lists(st.integers(0, 30), min_size=1, max_size=200))
def test_a_matter_that_goes_on_is_told_once_in_each_pause(steps: list[int]) -> None:
    """However often it is raised: between two messages lies a pause, and none is left out."""
    known, now, sent = None, NOW, []
    for minutes in steps:
        now += timedelta(minutes=minutes)
        if judge(known, OUTAGE, now, HOUR) is not Sending.SILENT:
            sent.append(now)
            claim = claimed(known, OUTAGE, "s", now, now + 30 * SECOND)
            known = replace(claim, sent_at=now, claimed_until=None)
    assert all(later - earlier >= HOUR for earlier, later in pairwise(sent))
    assert now - sent[-1] < HOUR
