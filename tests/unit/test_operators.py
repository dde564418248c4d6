"""Operators come and go: enrolment, names, passwords, roles and states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idp_proxy.decision.approval import Role
from idp_proxy.operators import accounts, passwords
from idp_proxy.operators.accounts import STEPS, State
from idp_proxy.operators.attempts import FAILURES
from idp_proxy.operators.factor import enrolment_uri, new_secret
from idp_proxy.operators.passwords import check_password
from idp_proxy.operators.refusals import OperatorInvalid, Why
from idp_proxy.store.schema import migrate
from tests.unit.operators_desk import CHEAP, LOG, NOW, SECRET, Desk, desk, enrolment, url

if TYPE_CHECKING:
    from pathlib import Path


__all__ = ["desk", "url"]


def test_a_disabled_operator_does_not_sign_in(desk: Desk) -> None:
    desk.add()
    desk.disable()
    assert desk.why() is Why.NOT_ENABLED
    assert desk.kinds()[:2] == ["operator_added", "operator_disabled"]
    with desk.database.reading() as connection:
        assert accounts.exist(connection)
        assert accounts.approvers_enabled(connection) == 0


def test_a_pending_operator_does_not_sign_in_until_their_own_proposal_is_confirmed(
    desk: Desk,
) -> None:
    desk.add("bob", proposal="p1")
    with desk.database.reading() as connection:
        assert not accounts.exist(connection)
    assert desk.why(name="bob") is Why.NOT_ENABLED
    desk.add("bob", Role.APPROVER, proposal="p2")
    facts: dict[str, Any] = {"by": "operator:alice", "now": NOW, "record": LOG.append}
    with pytest.raises(OperatorInvalid, match="p1"), desk.database.writing() as connection:
        accounts.confirm(connection, "bob", "p1", **facts)
    with desk.database.writing() as connection:
        accounts.confirm(connection, "bob", "p2", **facts)
    assert desk.enter("bob").roles == {Role.APPROVER}
    with pytest.raises(OperatorInvalid), desk.database.writing() as connection:
        accounts.confirm(connection, "bob", "p2", **facts)


def test_enrolling_again_takes_another_factor_and_lifts_the_lock(desk: Desk) -> None:
    desk.add()
    for _ in range(FAILURES):
        desk.why(password="a wrong password")
    with pytest.raises(OperatorInvalid, match="there is an operator alice already"):
        desk.add()
    desk.disable()
    desk.add("alice", Role.VIEWER)
    assert desk.enter().roles == {Role.VIEWER}


@pytest.mark.parametrize(("name", "why"), [("bob", "no operator 'bob'"), ("alice", "disabled alr")])
def test_disabling_nobody_or_twice_is_refused(desk: Desk, name: str, why: str) -> None:
    desk.add()
    desk.disable()
    with pytest.raises(OperatorInvalid, match=why):
        desk.disable(name)


def test_every_state_is_left_only_as_the_table_says() -> None:
    assert set(STEPS) == set(State)
    assert State.PENDING not in STEPS[State.ENABLED]
    assert all(STEPS[state] for state in State)


@pytest.mark.parametrize(
    "name",
    ["", "a", "Alice", "1alice", "a" * 33, "al ice", "alice\n", "ali*e", "\u0430lice", "host:x"],
)
def test_a_name_that_looks_like_another_is_no_name(name: str) -> None:
    with pytest.raises(OperatorInvalid, match="is no operator's name") as caught:
        enrolment(name, Role.VIEWER)
    assert caught.value.detail.isascii()


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short", "too short"),
        ("ﬃ" * 3, "too short|repeats"),
        ("x" * 257, "too long"),
        ("correct\thorse battery", "control character"),
        ("Alice in wonderland", "operator's name"),
        ("aaaabbbbaaaa", "repeats itself"),
    ],
)
def test_a_password_that_does_not_protect_is_refused(password: str, why: str) -> None:
    with pytest.raises(OperatorInvalid, match=why):
        check_password(password, "alice")


def test_a_password_is_the_same_however_its_letters_are_composed() -> None:
    composed, apart = "Zo\u00eb und Zo\u00eb 1", "Zoe\u0308 und Zoe\u0308 1"
    assert CHEAP.verify(CHEAP.hash(composed), apart)


@settings(deadline=None, max_examples=50)
@given(st.text(min_size=1, max_size=60))
def test_any_text_may_be_tried_as_a_password_and_none_raises(password: str) -> None:
    kept = CHEAP.hash(password)
    assert CHEAP.verify(kept, password)
    assert not CHEAP.verify(kept, password + "x")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"code": "000000"}, "not the code of this secret"),
        ({"password": "short"}, "too short"),
    ],
)
def test_an_enrolment_that_shows_nothing_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(OperatorInvalid, match=why):
        enrolment("alice", Role.OPERATOR, **changes)


def test_an_enrolment_without_roles_is_refused() -> None:
    with pytest.raises(OperatorInvalid, match="viewer or helpdesk or operator or approver"):
        enrolment("alice")


@pytest.mark.parametrize("role", [Role.VIEWER, Role.HELPDESK, Role.SECURITY])
def test_the_first_operator_must_be_able_to_act(desk: Desk, role: Role) -> None:
    with pytest.raises(OperatorInvalid, match="the first operator needs role"):
        desk.add("alice", role)
    with desk.database.reading() as connection:
        assert not accounts.exist(connection)
    desk.add("bob", Role.OPERATOR)
    desk.add("alice", role)


def test_what_a_device_scans_names_us_and_the_operator() -> None:
    uri = enrolment_uri(SECRET, "alice", "sso.example.org")
    assert uri.startswith("otpauth://totp/sso.example.org:alice?secret=")
    assert len(new_secret(lambda count: b"x" * count)) == 32


def test_a_migrated_database_is_what_the_operators_need(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    migrate(url)
    desk = Desk(url)
    desk.add()
    assert desk.enter().name == "alice"
    assert passwords.SHORTEST == 12
    desk.database.close()
