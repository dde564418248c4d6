"""What a spool keeps of a login, and what the roster makes of it later."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from idp_proxy.decision.roster import RosterRow
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
