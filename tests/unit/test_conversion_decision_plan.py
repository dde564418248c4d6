"""Plans: octets that two people can compare, how long they are valid, who is still as planned."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversion.decision.account import SAML, Account, Binding, Source
from conversion.decision.plan import (
    VALID,
    Envelope,
    Plan,
    Planned,
    digest,
    envelope_text,
    octets,
    parse,
    parse_envelope,
    recheck,
    stale,
)

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
ENVELOPE = Envelope(frozenset({"oncall", "board"}), 50, frozenset({"u9"}), NOW + timedelta(days=1))


def person(user_id: str = "u1", auth_data: str = "NameID-1", **changes: object) -> Planned:
    found = Planned(
        user_id, f"name-{user_id}", Binding(auth_data, Source.API, NOW), mfa_active=False
    )
    return replace(found, **changes)  # type: ignore[arg-type]  # fields by name


def plan(*people: Planned) -> Plan:
    return Plan("https://chat.example.org", NOW, NOW - timedelta(hours=2), ENVELOPE, people)


def account(**changes: object) -> Account:
    found = Account("u1", "p", "p@example.org", SAML, "NameID-1", frozenset({"system_user"}))
    return replace(found, **changes)  # type: ignore[arg-type]  # fields by name


def test_the_digest_is_over_the_octets_and_does_not_depend_on_the_order_of_people() -> None:
    one, two = person("u1"), person("u2", "NameID-2")
    assert octets(plan(one, two)) == octets(plan(two, one))
    assert digest(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert len(digest(octets(plan(one)))) == 64


def test_times_of_another_zone_make_the_same_plan() -> None:
    berlin = timezone(timedelta(hours=1))
    there = replace(plan(person()), created_at=NOW.astimezone(berlin))
    assert octets(there) == octets(plan(person()))


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
    assert digest(octets(plan(other))) != digest(octets(plan(person())))


@given(
    st.lists(
        st.tuples(st.text(min_size=1), st.text(), st.text(), st.sampled_from(Source)),
        unique_by=lambda one: one[0],
    )
)
def test_a_plan_is_read_back_as_it_was_to_the_byte(
    people: list[tuple[str, str, str, Source]],
) -> None:
    made = plan(
        *(
            Planned(user_id, name, Binding(auth_data, source, NOW), mfa_active=True)
            for user_id, name, auth_data, source in sorted(people)
        )
    )
    assert parse(octets(made)) == made


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"envelope":null}',
        octets(plan(person())) + b" ",
        octets(plan(person())).replace(b'"api"', b'"guess"'),
        octets(plan(person())).replace(b'"user_id":"u1"', b'"user_id":"u1","more":1'),
        octets(plan(person())).replace(b"+00:00", b""),
        octets(plan(person())).replace(b'"format":1', b'"format":2'),
    ],
)
def test_octets_that_no_plan_wrote_are_refused(stored: bytes) -> None:
    with pytest.raises(ValueError, match="the stored plan"):
        parse(stored)


def test_a_naive_time_makes_no_plan() -> None:
    with pytest.raises(ValueError, match="time zone"):
        octets(replace(plan(), created_at=datetime(2026, 3, 1)))  # noqa: DTZ001  # the point


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
    found = stale(plan(), NOW + age)
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
