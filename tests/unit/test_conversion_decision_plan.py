"""Plans: octets that two people can compare, how long they are valid, who is still as planned."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from operator import itemgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversion.decision.account import SAML, Account, Binding, Source
from conversion.decision.plan import (
    VALID,
    Envelope,
    Head,
    Planned,
    digest,
    envelope_text,
    lines,
    parse,
    parse_envelope,
    recheck,
    stale,
)
from conversion.decision.triage import Load

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
ENVELOPE = Envelope(frozenset({"oncall", "board"}), 50, frozenset({"u9"}), NOW + timedelta(days=1))


def person(user_id: str = "u1", auth_data: str = "NameID-1", **changes: object) -> Planned:
    found = Planned(
        user_id, f"name-{user_id}", Binding(auth_data, Source.API, NOW), mfa_active=False
    )
    return replace(found, **changes)  # type: ignore[arg-type]  # fields by name


def head(people: int) -> Head:
    return Head(
        "https://chat.example.org",
        NOW,
        NOW - timedelta(hours=2),
        ENVELOPE,
        people,
        ("too_many: 9 of 10 people; answer with --accept too_many",),
        (Load(timedelta(hours=8), 9, timedelta(minutes=54)),),
    )


def octets(*people: Planned) -> bytes:
    return b"".join(lines(head(len(people)), people))


def account(**changes: object) -> Account:
    found = Account("u1", "p", "p@example.org", SAML, "NameID-1", frozenset({"system_user"}))
    return replace(found, **changes)  # type: ignore[arg-type]  # fields by name


def test_the_digest_is_over_the_octets() -> None:
    assert digest(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert len(digest(octets(person("u1")))) == 64


def test_a_plan_is_a_head_and_a_line_for_each_person() -> None:
    written = octets(person("u1"), person("u2", "NameID-2")).splitlines()
    assert [json.loads(line).get("user_id") for line in written] == [None, "u1", "u2"]
    assert all(line == line.strip() for line in written)


def test_times_of_another_zone_make_the_same_plan() -> None:
    berlin = timezone(timedelta(hours=1))
    there = replace(head(1), created_at=NOW.astimezone(berlin))
    assert b"".join(lines(there, [person()])) == octets(person())


@pytest.mark.parametrize(
    ("count", "people"),
    [
        (1, []),
        (1, [person("u1"), person("u2")]),
        (2, [person("u2"), person("u1")]),
        (2, [person("u1"), person("u1", "NameID-2")]),
    ],
)
def test_people_out_of_order_twice_or_in_another_number_make_no_plan(
    count: int, people: list[Planned]
) -> None:
    with pytest.raises(ValueError, match="plan"):
        b"".join(lines(head(count), people))


@pytest.mark.parametrize(
    "other",
    [
        person(auth_data="nameid-1"),
        person("u2"),
        person(mfa_active=True),
        person(groups=frozenset({"oncall"})),
        person(standing="locked out now"),
        person(binding=Binding("NameID-1", Source.CSV, NOW)),
    ],
)
def test_every_field_of_a_person_is_under_the_digest(other: Planned) -> None:
    assert digest(octets(other)) != digest(octets(person()))


def pieces(stored: bytes, size: int) -> list[bytes]:
    return [stored[first : first + size] for first in range(0, len(stored), size)]


@given(
    st.lists(
        st.tuples(st.text(min_size=1), st.text(), st.text(), st.sampled_from(Source)),
        unique_by=lambda one: one[0],
    ),
    st.integers(1, 2000),
)
def test_a_plan_is_read_back_as_it_was_to_the_byte_in_whatever_pieces(
    people: list[tuple[str, str, str, Source]], size: int
) -> None:
    planned = [
        Planned(user_id, name, Binding(auth_data, source, NOW), mfa_active=True)
        for user_id, name, auth_data, source in sorted(people, key=itemgetter(0))
    ]
    stored = octets(*planned)
    made = parse(lambda: pieces(stored, size))
    assert made.head == head(len(planned))
    assert list(made.people()) == planned == list(made.people())


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"envelope":null}',
        octets(person()) + b" ",
        octets(person()) + b"\n",
        octets(person())[:-1],
        octets(person()).splitlines(keepends=True)[0],
        octets(person()) + octets(person("u2")).splitlines(keepends=True)[1],
        octets(person()).replace(b'"people":1', b'"people":2'),
        octets(person()).replace(b'"people":1', b'"people":"1"'),
        octets(person()).replace(b'"api"', b'"guess"'),
        octets(person()).replace(b'"user_id":"u1"', b'"user_id":"u1","more":1'),
        octets(person()).replace(b'"user_id":"u1"', b'"user_id": "u1"'),
        octets(person()).replace(b"+00:00", b""),
        octets(person()).replace(b'"format":2', b'"format":1'),
        b"[" * 100_000,
    ],
)
def test_octets_that_no_plan_wrote_are_refused(stored: bytes) -> None:
    with pytest.raises(ValueError, match="the stored plan"):
        parse(lambda: [stored])


def test_a_naive_time_makes_no_plan() -> None:
    with pytest.raises(ValueError, match="time zone"):
        b"".join(lines(replace(head(0), created_at=datetime(2026, 3, 1)), []))  # noqa: DTZ001  # the point


def test_an_envelope_is_read_back() -> None:
    assert parse_envelope(envelope_text(ENVELOPE)) == ENVELOPE
    assert json.loads(envelope_text(ENVELOPE))["groups"] == ["board", "oncall"]
    with pytest.raises(ValueError, match="envelope"):
        parse_envelope("{}")


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (timedelta(0), None),
        (VALID, None),
        (VALID + timedelta(microseconds=1), "valid for 60 minutes"),
        (-timedelta(seconds=1), "check the clock"),
    ],
)
def test_a_plan_is_valid_for_sixty_minutes(age: timedelta, said: str | None) -> None:
    found = stale(head(1), NOW + age)
    assert found is None if said is None else said in (found or "")


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (account(), None),
        (account(auth_data=None), None),
        (account(email="new@example.org", username="renamed"), None),
        (None, "not in the server's list"),
        (account(deleted_at=NOW), "deactivated"),
        (account(is_bot=True), "bot"),
        (account(is_remote=True), "another server"),
        (account(auth_service=""), "not on SAML"),
        (account(auth_service="ldap"), "not on SAML"),
        (account(auth_data="nameid-1"), "binding"),
        (account(auth_data=""), "binding"),
    ],
)
def test_who_changed_since_the_plan_is_left_out_with_the_reason(
    seen: Account | None, said: str | None
) -> None:
    found = recheck(person(), seen)
    assert found is None if said is None else said in (found or "")
