"""What a spool keeps of a login, and what the roster makes of it later."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idp_proxy.decision.roster import BY_OPERATOR, RosterRow, learn_late
from idp_proxy.store.base import UsedId
from idp_proxy.store.journal import Entry, Proof, read, written

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATE = RosterRow(
    id="p-1",
    link_key="Ada",
    lookup_key="ada",
    email="ada@example.org",
    username="ada",
    attributes={"id": "p-1"},
    source="okta",
    confirmed_at=NOW,
)
BEFORE = replace(LATE, confirmed_at=NOW - timedelta(days=1))
OTHER = replace(BEFORE, id="p-2")


@pytest.mark.parametrize(
    ("known", "holder", "expected"),
    [
        (None, None, (LATE,)),
        (BEFORE, BEFORE, (LATE,)),
        (replace(BEFORE, lookup_key="old"), None, (LATE,)),
        (
            replace(BEFORE, blocks=frozenset({BY_OPERATOR})),
            BEFORE,
            (replace(LATE, blocks=frozenset({BY_OPERATOR})),),
        ),
        (replace(BEFORE, conflict=True), BEFORE, (replace(LATE, conflict=True),)),
        (replace(BEFORE, conflict=True, lookup_key="old"), None, (LATE,)),
        (
            None,
            OTHER,
            (replace(OTHER, conflict=True), replace(LATE, lookup_key=None, conflict=True)),
        ),
        (
            replace(BEFORE, lookup_key="old", blocks=frozenset({BY_OPERATOR})),
            OTHER,
            (
                replace(OTHER, conflict=True),
                replace(LATE, lookup_key=None, conflict=True, blocks=frozenset({BY_OPERATOR})),
            ),
        ),
        (replace(LATE, confirmed_at=NOW + timedelta(seconds=1)), None, ()),
    ],
    ids=[
        "never seen",
        "confirmed again",
        "a new key retires the old",
        "a block stays",
        "a conflict about this key stays",
        "a conflict about another key ends with it",
        "somebody else holds the key",
        "somebody else holds the new key of a blocked person",
        "a newer login is known",
    ],
)
def test_what_the_roster_makes_of_a_late_login(
    known: RosterRow | None, holder: RosterRow | None, expected: tuple[RosterRow, ...]
) -> None:
    assert learn_late(LATE, known, holder) == expected


WORDS = st.text(max_size=30)


@settings(deadline=None)
@given(kind=WORDS, issuer=WORDS, value=WORDS, at=st.datetimes(timezones=st.just(UTC)))
def test_the_journal_gives_back_what_was_written(
    kind: str, issuer: str, value: str, at: datetime
) -> None:
    person = replace(LATE, id=value, attributes={kind: issuer}, confirmed_at=at)
    for what in (UsedId(kind, issuer, value, at, kind), Proof(issuer, at), person):
        assert read(Entry(1, "host/spool/1", 2, **written(what))) == what


def test_a_spool_of_a_version_that_gave_attempts_no_name_is_read_too() -> None:
    body = '["request", "mm", "_1", "2026-03-01T12:00:00+00:00"]'
    found = read(Entry(1, "host/spool/1", 2, "used", body))
    assert isinstance(found, UsedId)
    assert (found.value, found.attempt) == ("_1", "")
