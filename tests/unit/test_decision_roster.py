from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp_proxy.decision.roster import (
    BY_OPERATOR,
    CHECKS,
    Admitted,
    AdmittedByHand,
    Question,
    Refusal,
    Refused,
    Role,
    RoleRule,
    RosterPolicy,
    RosterRow,
    SecondAttribute,
    identity_of,
    judge_row,
    judge_standby,
    learn,
    learn_late,
    lookup_key,
)
from idp_proxy.decision.subject import Evidence, Subject
from idp_proxy.decision.switching import Departure, Left, Mode, SwitchState

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
EVIDENCE = Evidence(NOW, "urn:oasis:names:tc:SAML:2.0:ac:classes:Password", ("https://idp",))
POLICY = RosterPolicy()


def subject(
    person: str, link_key: str, email: str = "", username: str = "", **more: str
) -> Subject:
    attributes = {
        "id": person,
        "email": email or f"{person}@example.org",
        "username": username or person,
        **more,
    }
    return Subject("okta", link_key, attributes, EVIDENCE)


class People:
    """A roster, kept as the login journey keeps it."""

    def __init__(self) -> None:
        self.rows: dict[str, RosterRow] = {}

    def by_key(self, link_key: str) -> RosterRow | None:
        key = lookup_key(link_key)
        return next((row for row in self.rows.values() if row.lookup_key == key), None)

    def login_at_active(self, who: Subject, now: datetime = NOW) -> None:
        known = self.rows.get(who.attributes["id"])
        for row in learn(who, known, self.by_key(who.link_key), now):
            self.rows[row.id] = row
        keys = [row.lookup_key for row in self.rows.values() if row.lookup_key is not None]
        assert len(keys) == len(set(keys))

    def outcome(self, link_key: str, now: datetime = NOW) -> str:
        """The id who is let in by a standby, or the reason why nobody is."""
        judged = judge_standby(
            Subject("entra", link_key, {}, EVIDENCE), self.by_key(link_key), POLICY, now
        )
        return judged.row.id if isinstance(judged, Admitted) else judged.refusal.value


ALICE = subject("e-1001", "1001", "Alice@Example.org", "alice", first_name="Alice")
BOB = subject("e-1002", "1002")


@pytest.mark.parametrize(
    ("logins", "standby_says", "outcome"),
    [
        pytest.param([ALICE], "1001", "e-1001", id="the same person by both"),
        pytest.param([ALICE, BOB], "1002", "e-1002", id="each person by their own key"),
        pytest.param([ALICE], "9999", "person_unknown", id="never seen at the active"),
        pytest.param([], "1001", "person_unknown", id="an empty roster"),
        pytest.param([ALICE], "e-1001", "person_unknown", id="the id is not the link key"),
        pytest.param([ALICE], "", "person_unknown", id="no link key"),
        pytest.param([subject("a", "alice")], "ALICE", "a", id="another case"),
        pytest.param([subject("a", "Alice")], " alice ", "a", id="blanks around it"),
        pytest.param([subject("a", "straße")], "STRASSE", "a", id="sharp s"),
        pytest.param([subject("a", "jose\u0301")], "jos\u00e9", "a", id="composed or not"),
        pytest.param(
            [subject("a", "\uff11\uff10\uff10\uff11")], "1001", "a", id="full-width digits"
        ),
        pytest.param(
            [subject("a", "p\u0430ul")], "paul", "person_unknown", id="a Cyrillic look-alike"
        ),
        pytest.param([subject("a", "paul")], "pa\u200bul", "person_unknown", id="a hidden blank"),
        pytest.param([subject("a", "1001")], "01001", "person_unknown", id="a leading zero"),
        pytest.param([subject("a", "1001")], "100", "person_unknown", id="a beginning only"),
        pytest.param([subject("a", "%")], "1001", "person_unknown", id="no wildcard"),
        pytest.param(
            [subject("a", "1001"), subject("b", "1001")],
            "1001",
            "person_conflict",
            id="two people, one key",
        ),
        pytest.param(
            [subject("a", "Paul"), subject("b", "paul")],
            "PAUL",
            "person_conflict",
            id="two people whose keys differ in case",
        ),
        pytest.param(
            [subject("a", "1001"), subject("b", "1001"), subject("a", "1001")],
            "1001",
            "person_conflict",
            id="a conflict outlives the next login of its holder",
        ),
        pytest.param(
            [subject("a", "1001"), subject("b", "1001"), subject("b", "1001")],
            "1001",
            "person_conflict",
            id="a conflict outlives the next login of the other",
        ),
        pytest.param(
            [subject("a", "1001"), subject("b", "1001"), subject("b", "1002")],
            "1002",
            "b",
            id="who gets a key of their own is out of the conflict",
        ),
        pytest.param(
            [subject("a", "1001"), subject("b", "1001"), subject("b", "1002")],
            "1001",
            "person_conflict",
            id="the key once contested waits for an operator",
        ),
        pytest.param(
            [subject("a", "1001"), subject("a", "2001")], "2001", "a", id="a new key counts"
        ),
        pytest.param(
            [subject("a", "1001"), subject("a", "2001")],
            "1001",
            "person_unknown",
            id="the old key is retired",
        ),
        pytest.param(
            [subject("a", "1001"), subject("a", "2001"), subject("b", "1001")],
            "1001",
            "b",
            id="a retired key may be somebody else's",
        ),
        pytest.param(
            [subject("a", "1"), subject("b", "2"), subject("a", "2")],
            "1",
            "person_unknown",
            id="who takes another's key has lost the old one",
        ),
        pytest.param(
            [subject("a", "1", "x@example.org"), subject("b", "2", "x@example.org")],
            "2",
            "b",
            id="a reused email is no key",
        ),
        pytest.param(
            [subject("A", "1"), subject("a", "2")], "1", "A", id="ids are exact to the byte"
        ),
    ],
)
def test_whom_a_standby_lets_in(logins: list[Subject], standby_says: str, outcome: str) -> None:
    people = People()
    for who in logins:
        people.login_at_active(who)
    assert people.outcome(standby_says) == outcome


def test_somebody_without_a_key_is_found_by_nothing() -> None:
    people = People()
    people.login_at_active(subject("a", "\u3000"))
    assert people.rows["a"].lookup_key is None
    assert people.outcome("") == "person_unknown"
    people.login_at_active(subject("b", ""))
    assert not people.rows["b"].conflict


def test_a_person_leaves_byte_for_byte_as_the_active_said() -> None:
    people = People()
    people.login_at_active(ALICE)
    row = people.by_key(" 1001 ")
    assert row is not None
    assert row.link_key == "1001"
    by_standby = identity_of(row.attributes, frozenset())
    by_active = identity_of(ALICE.attributes, frozenset())
    assert by_standby == by_active
    assert by_standby.id == "e-1001"
    assert by_standby.attributes == {
        "id": "e-1001",
        "email": "alice@example.org",
        "username": "alice",
        "first_name": "Alice",
    }


def test_role_attributes_are_withheld() -> None:
    shown = identity_of({**ALICE.attributes, "role": "admin"}, frozenset({"role"}))
    assert "role" not in shown.attributes
    assert shown.attributes["first_name"] == "Alice"


def test_a_login_renews_what_is_known_and_when() -> None:
    people = People()
    people.login_at_active(ALICE)
    later = NOW + timedelta(days=30)
    people.login_at_active(subject("e-1001", "1001", "new@example.org", "alice2"), later)
    row = people.rows["e-1001"]
    assert (row.email, row.username, row.confirmed_at) == ("new@example.org", "alice2", later)
    assert row.source == "okta"
    assert "first_name" not in row.attributes


@pytest.mark.parametrize(
    ("age", "admitted"),
    [
        (timedelta(0), True),
        (timedelta(days=90), True),
        (timedelta(days=90, seconds=1), False),
        (timedelta(seconds=-5), True),
    ],
)
def test_a_person_counts_as_confirmed_for_ninety_days(age: timedelta, *, admitted: bool) -> None:
    people = People()
    people.login_at_active(ALICE)
    row = people.rows["e-1001"]
    judged = judge_row(Question(row, POLICY, NOW + age))
    assert judged == (
        Admitted(row)
        if admitted
        else Refused(
            Refusal.UNCONFIRMED,
            "FO-08: last login at the active 90 days ago, allowed 90; no import",
        )
    )


def test_a_blocked_person_stays_blocked_whatever_else_is_so() -> None:
    people = People()
    people.login_at_active(ALICE)
    people.rows["e-1001"] = replace(people.rows["e-1001"], blocks=frozenset({BY_OPERATOR}))
    people.login_at_active(ALICE, NOW + timedelta(days=1))
    assert people.outcome("1001") == "person_blocked"
    people.login_at_active(subject("e-1001", "2001"))
    assert people.outcome("2001") == "person_blocked"
    people.login_at_active(subject("b", "2001"))
    assert people.outcome("2001", NOW + timedelta(days=900)) == "person_blocked"
    assert not people.rows["b"].blocked


KEYS = st.sampled_from(["1", "2", "\uff13", "3", "a", "A", "ß", "ss", " a"])


@given(
    st.lists(st.tuples(st.sampled_from("abc"), KEYS), max_size=12),
    KEYS,
)
def test_a_standby_names_only_somebody_whose_latest_login_had_that_key(
    logins: list[tuple[str, str]], key: str
) -> None:
    people = People()
    latest: dict[str, str] = {}
    for person, link_key in logins:
        people.login_at_active(subject(person, link_key))
        latest[person] = lookup_key(link_key)
    outcome = people.outcome(key)
    if outcome in latest:
        assert latest[outcome] == lookup_key(key)
        assert people.rows[outcome].link_key in {k for p, k in logins if p == outcome}


@given(st.text())
def test_the_look_up_form_is_a_fixed_point(text: str) -> None:
    assert lookup_key(lookup_key(text)) == lookup_key(text)


# --- what else a standby's people are judged by --------------------------------------------------

ADMIN = RoleRule(Role.ADMIN, "is_admin", "true")
GUEST = RoleRule(Role.GUEST, "kind", "guest")
HAND = AdmittedByHand("a", NOW, "operator:ann", "on call")


def row_of(**changes: Any) -> RosterRow:
    (row,) = learn(subject("a", "1001", **changes.pop("said", {})), None, None, NOW)
    return replace(row, **changes)


@pytest.mark.parametrize(
    ("row", "policy", "said", "by_hand", "outcome"),
    [
        pytest.param(
            row_of(confirmed_at=None, imported_at=NOW - timedelta(days=7)),
            RosterPolicy(), {}, None, "a", id="an import confirms for seven days",
        ),
        pytest.param(
            row_of(confirmed_at=None, imported_at=NOW - timedelta(days=8)),
            RosterPolicy(), {}, None, "person_unconfirmed", id="not for eight",
        ),
        pytest.param(
            row_of(confirmed_at=NOW - timedelta(days=100), imported_at=NOW - timedelta(days=1)),
            RosterPolicy(), {}, None, "a", id="either evidence is enough",
        ),
        pytest.param(
            row_of(confirmed_at=NOW + timedelta(days=400)),
            RosterPolicy(), {}, None, "person_unconfirmed", id="evidence from the future is none",
        ),
        pytest.param(
            row_of(confirmed_at=None), RosterPolicy(), {}, HAND, "a", id="admitted by hand",
        ),
        pytest.param(
            row_of(confirmed_at=None, blocks=frozenset({"missing:csv"})),
            RosterPolicy(), {}, HAND, "person_blocked", id="a hand never lifts a block",
        ),
        pytest.param(
            row_of(conflict=True), RosterPolicy(), {}, HAND, "person_conflict",
            id="nor a conflict",
        ),
        pytest.param(
            row_of(said={"is_admin": "true"}), RosterPolicy(roles=(ADMIN,)), {}, None,
            "person_privileged", id="an administrator",
        ),
        pytest.param(
            row_of(said={"is_admin": "True"}), RosterPolicy(roles=(ADMIN,)), {}, None,
            "person_privileged", id="in whatever case",
        ),
        pytest.param(
            row_of(said={"is_admin": "false"}), RosterPolicy(roles=(ADMIN,)), {}, None, "a",
            id="another value is no administrator",
        ),
        pytest.param(
            row_of(roles=frozenset({"system_admin"})), RosterPolicy(roles=(ADMIN,)), {}, None,
            "person_privileged", id="an administrator by Mattermost's list",
        ),
        pytest.param(
            row_of(roles=frozenset({"system_admin"})), RosterPolicy(), {}, None, "a",
            id="whose role no login touches",
        ),
        pytest.param(
            row_of(said={"is_admin": "true"}),
            RosterPolicy(roles=(ADMIN,), privileged=frozenset({"a"})), {}, None, "a",
            id="an administrator who is named",
        ),
        pytest.param(
            row_of(said={"is_admin": "true"}), RosterPolicy(roles=(ADMIN,)), {}, HAND,
            "person_privileged", id="admitted, but not as an administrator",
        ),
        pytest.param(
            row_of(said={"is_admin": "true"}), RosterPolicy(roles=(ADMIN,)), {},
            replace(HAND, privileged=True), "a", id="admitted as an administrator",
        ),
        pytest.param(
            row_of(said={"kind": "guest"}), RosterPolicy(roles=(ADMIN, GUEST)), {}, None,
            "person_privileged", id="a guest",
        ),
        pytest.param(
            row_of(), RosterPolicy(second=SecondAttribute("username")), {"username": "A"}, None,
            "a", id="a second attribute agrees",
        ),
        pytest.param(
            row_of(), RosterPolicy(second=SecondAttribute("username")), {"username": "b"}, None,
            "person_mismatch", id="a reused address",
        ),
        pytest.param(
            row_of(), RosterPolicy(second=SecondAttribute("username")), {}, None,
            "person_mismatch", id="the standby gives no second attribute",
        ),
        pytest.param(
            row_of(attributes={}), RosterPolicy(second=SecondAttribute("username")), None, None,
            "person_mismatch", id="the roster has no second attribute",
        ),
        pytest.param(
            row_of(), RosterPolicy(second=SecondAttribute("username")), None, None, "a",
            id="in a forecast nobody says anything yet",
        ),
        pytest.param(
            row_of(), RosterPolicy(second=SecondAttribute(None)), {"username": "a"}, HAND,
            "person_mismatch", id="an address alone",
        ),
    ],
)  # fmt: skip
def test_what_else_somebody_is_judged_by(
    row: RosterRow,
    policy: RosterPolicy,
    said: dict[str, str] | None,
    by_hand: AdmittedByHand | None,
    outcome: str,
) -> None:
    judged = judge_row(Question(row, policy, NOW, said, by_hand))
    found = judged.row.id if isinstance(judged, Admitted) else judged.refusal.value
    assert found == outcome


def test_every_refusal_names_its_rule() -> None:
    for _, check in CHECKS:
        assert check.__name__.startswith(("fo_08_", "fo_09_", "fo_11_"))
    stale = Question(row_of(confirmed_at=None), RosterPolicy(), NOW)
    judged = judge_row(stale)
    assert isinstance(judged, Refused)
    assert judged.reason == "FO-08: no login at the active; no import"
    ahead = Question(row_of(confirmed_at=NOW + timedelta(days=2)), RosterPolicy(), NOW)
    judged = judge_row(ahead)
    assert isinstance(judged, Refused)
    assert "lies in the future" in judged.reason


STATE = SwitchState(7, "entra", Mode.AUTO, NOW, "the active died", "idp-proxy")


@pytest.mark.parametrize(
    ("serving", "left", "in_force"),
    [
        ("entra", {"okta": NOW - timedelta(minutes=5)}, True),
        ("third", {"okta": NOW - timedelta(minutes=5), "entra": NOW}, True),
        ("okta", {"entra": NOW}, False),
        ("okta", {"okta": NOW - timedelta(minutes=5)}, False),
        ("entra", {"okta": NOW + timedelta(minutes=5)}, False),
        ("entra", {}, False),
    ],
    ids=["the outage", "the next standby", "over", "odd", "the next outage", "never left"],
)
def test_an_admission_ends_with_its_outage(
    serving: str, left: dict[str, datetime], *, in_force: bool
) -> None:
    found = {name: Left(at, Departure.FAILOVER) for name, at in left.items()}
    assert HAND.in_force(replace(STATE, serving=serving, left=found), "okta") is in_force


def test_what_an_import_vouched_for_ends_with_the_key_it_named() -> None:
    before = row_of(imported_at=NOW, roles=frozenset({"system_user"}))
    (same,) = learn(subject("a", "1001"), before, before, NOW)
    (other,) = learn(subject("a", "2001"), before, None, NOW)
    assert (same.imported_at, other.imported_at) == (NOW, None)
    assert same.roles == other.roles == {"system_user"}
    assert same.is_by_login
    assert not replace(same, source="import:csv").is_by_login


LATE = row_of()
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
