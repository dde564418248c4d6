"""What stands against a plan: each objection alone, its people, its answer or that it has none."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from conversion.decision.account import SAML, Account, Binding, Source
from conversion.decision.objections import (
    Candidate,
    Circumstances,
    breaches,
    objections,
    unanswered,
)
from conversion.decision.plan import Envelope, Planned

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
BINDING = Binding("NameID-1", Source.API, NOW)
CALM = Circumstances(saml_accounts=1000, inventory_at=NOW - timedelta(hours=2), now=NOW)
ENVELOPE = Envelope(frozenset({"oncall"}), 3, frozenset({"u9"}), NOW + timedelta(hours=1))


def somebody(**changes: object) -> Candidate:
    found = Account("u1", "p", "p@example.org", SAML, "NameID-1", frozenset({"system_user"}))
    return Candidate(replace(found, **changes), BINDING)  # type: ignore[arg-type]  # by name


ADMIN = somebody(roles=frozenset({"system_user", "system_admin"}))
CASES = [
    (somebody(), CALM, None, False),
    (somebody(is_bot=True), CALM, "bot", True),
    (somebody(is_remote=True), CALM, "bot", True),
    (somebody(deleted_at=NOW), CALM, "inactive", True),
    (ADMIN, CALM, "admin", True),
    (ADMIN, replace(CALM, named=frozenset({"u1"})), None, False),
    (ADMIN, replace(CALM, named=frozenset({"u2"})), "admin", True),
    (somebody(roles=frozenset({"system_guest"})), CALM, "guest", False),
    (somebody(email=""), CALM, "no_mail", True),
    (replace(somebody(), binding=None), CALM, "unknown_binding", True),
    (
        replace(somebody(), binding=replace(BINDING, source=Source.EMAIL_FALLBACK)),
        CALM,
        "fallback_binding",
        False,
    ),
    (somebody(mfa_active=True), CALM, None, False),
    (somebody(mfa_active=True), replace(CALM, mfa_enabled=True), "mfa_leftover", False),
    (somebody(), replace(CALM, mfa_enabled=True), None, False),
    (somebody(), replace(CALM, mfa_enforced=True), "mfa_enrolment", False),
    (somebody(mfa_active=True), replace(CALM, mfa_enforced=True), None, False),
    (somebody(), replace(CALM, standby_healthy=True), "standby_healthy", False),
    (somebody(), replace(CALM, standby_healthy=False), None, False),
    (somebody(), replace(CALM, saml_accounts=4), None, False),
    (somebody(), replace(CALM, saml_accounts=3), "too_many", False),
    (somebody(), replace(CALM, inventory_at=NOW - timedelta(hours=27)), "inventory_age", False),
    (somebody(), replace(CALM, inventory_at=NOW + timedelta(hours=1)), "inventory_age", False),
]


@pytest.mark.parametrize(("who", "given", "code", "final"), CASES)
def test_each_reason_is_an_objection_of_its_own(
    who: Candidate, given: Circumstances, code: str | None, final: bool
) -> None:
    found = objections([who], given)
    assert [one.code for one in found] == ([] if code is None else [code])
    for one in found:
        assert one.final is final
        assert one.way_out in str(one)
        assert unanswered(found, frozenset({one.code})) == (found if final else ())
        assert unanswered(found, frozenset({"another"})) == found


def test_a_plan_of_nobody_is_refused() -> None:
    assert [one.code for one in objections([], CALM)] == ["nobody"]


def test_objections_name_the_people_and_the_first_few_in_the_text() -> None:
    bots = [somebody(id=f"b{n}", username=f"bot{n}", is_bot=True) for n in range(7)]
    (found,) = objections([*bots, somebody()], CALM)
    assert found.people == tuple(f"bot{n}" for n in range(7))
    assert "7 bots" in found.says
    assert "bot4 and 2 more" in found.says


def test_those_without_an_answer_come_first() -> None:
    guest_without_mail = somebody(roles=frozenset({"system_guest"}), email="", is_bot=True)
    codes = [one.code for one in objections([guest_without_mail], CALM)]
    assert codes == ["bot", "no_mail", "guest"]


def planned(user_id: str, *groups: str) -> Planned:
    return Planned(user_id, f"n-{user_id}", BINDING, mfa_active=False, groups=frozenset(groups))


@pytest.mark.parametrize(
    ("people", "moved", "now", "said"),
    [
        ([planned("u1", "oncall")], 0, NOW, []),
        ([planned("u1", "oncall")], 2, NOW, []),
        ([planned("u1", "oncall")], 3, NOW, ["4 people"]),
        ([planned("u1", "sales")], 0, NOW, ["in no group"]),
        ([planned("u1")], 0, NOW, ["in no group"]),
        ([planned("u9", "oncall", "sales")], 0, NOW, ["excluded"]),
        ([planned("u1", "oncall")], 0, ENVELOPE.until, ["ended"]),
        ([planned("u9")], 9, ENVELOPE.until, ["ended", "10 people", "excluded", "in no group"]),
    ],
)
def test_a_plan_that_leaves_the_confirmed_envelope_is_told_how(
    people: list[Planned], moved: int, now: datetime, said: list[str]
) -> None:
    found = breaches(ENVELOPE, people, moved, now)
    assert len(found) == len(said)
    assert all(part in text for part, text in zip(said, found, strict=True))


def test_an_envelope_without_groups_lets_everybody_in_who_is_not_excluded() -> None:
    wide = replace(ENVELOPE, groups=frozenset())
    assert breaches(wide, [planned("u1")], 0, NOW) == ()
    assert breaches(wide, [planned("u9")], 0, NOW) == ("excluded by the envelope: n-u9",)
