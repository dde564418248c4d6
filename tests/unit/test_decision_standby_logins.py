"""Which account is a person's, and which sessions a login by a standby made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from idp_proxy.decision.standby_logins import (
    AFTER,
    BEFORE,
    DESKTOP,
    NotFound,
    StandbyLogin,
    Theirs,
    Wanted,
    account_of,
    could_be,
    fo_13_forgotten_before,
    fo_13_kept_until,
    fo_13_session_end,
    settled_at,
    to_end,
)
from idp_proxy.mattermost import Session, User
from idp_proxy.saml.response import BACKDATED, LIFETIME

AT = datetime(2026, 12, 1, 2, tzinfo=UTC)
NOW = AT + timedelta(hours=3)
ANN = Wanted("e-ann", "ann@example.org", "ann")


def test_sessions_are_looked_for_as_long_as_a_response_is_accepted() -> None:
    assert (BACKDATED, LIFETIME + timedelta(seconds=30) + DESKTOP) == (BEFORE, AFTER)


def account(number: int, auth_data: str | None, **other: object) -> User:
    values: dict[str, object] = {
        "id": f"{number:026d}",
        "username": "ann",
        "email": "Ann@Example.org",
        "auth_service": "saml",
        "auth_data": auth_data,
        "roles": (),
        "delete_at": 0,
    }
    return User(**values | other)  # type: ignore[arg-type] # a table of fields


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        ([account(1, "e-ann")], account(1, None).id),
        ([account(1, "e-ann"), account(2, None)], account(1, None).id),
        ([account(1, None)], account(1, None).id),
        ([account(1, None), account(1, None)], account(1, None).id),
        ([], "no account"),
        ([account(1, None), account(2, None)], "2 accounts"),
        ([account(1, "e-eve")], "bound to somebody else"),
        ([account(1, "E-ANN")], "bound to somebody else"),
    ],
)
def test_an_account_is_a_person_s_only_when_nothing_else_is_possible(
    candidates: list[User], expected: str
) -> None:
    found = account_of(candidates, ANN)
    if isinstance(found, NotFound):
        assert expected in found.reason
    else:
        assert found == Theirs(expected, any_login=True)


@pytest.mark.parametrize(
    ("one", "any_login"),
    [
        (account(1, None, email="old@example.org"), True),
        (account(1, None, auth_service=""), True),
        (account(1, None, auth_service="", email="other@example.org"), False),
        (account(1, None, auth_service="", username="other"), False),
    ],
    ids=["SAML, other address", "moved to a password since", "same name only", "same mail only"],
)
def test_somebody_else_of_the_same_name_loses_no_login_by_password(
    one: User, any_login: bool
) -> None:
    assert account_of([one], ANN) == Theirs(one.id, any_login)


@pytest.mark.parametrize(
    ("one", "looked_at"),
    [
        (account(1, "e-ann", username="x", email="x"), True),
        (account(1, None, username="x"), True),
        (account(1, None, email="x"), True),
        (account(1, None, username="x", email="x"), False),
        (account(1, "e-ann", is_bot=True), False),
    ],
)
def test_who_is_looked_at(one: User, looked_at: bool) -> None:
    assert could_be(one, ANN) is looked_at


def test_nobody_is_found_by_an_empty_address_or_name() -> None:
    assert not could_be(account(1, None, username="", email=""), Wanted("e-ann", "", ""))


def ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def session(made: datetime = AT, **other: object) -> Session:
    values: dict[str, object] = {
        "id": "s" * 26,
        "create_at": ms(made),
        "expires_at": ms(NOW + timedelta(days=30)),
        "is_saml": True,
        "is_token": False,
    }
    return Session(**values | other)  # type: ignore[arg-type] # a table of fields


@pytest.mark.parametrize(
    ("one", "ends"),
    [
        (session(), True),
        (session(expires_at=0), True),
        (session(AT - timedelta(seconds=120)), True),
        (session(AT + timedelta(seconds=510)), True),
        (session(AT - timedelta(seconds=121)), False),
        (session(AT + timedelta(seconds=511)), False),
        (session(is_saml=False), True),
        (session(is_token=True), False),
        (session(is_oauth=True), False),
        (session(expires_at=ms(NOW)), False),
    ],
)
def test_only_what_that_login_made_ends(one: Session, ends: bool) -> None:
    assert to_end([one], [AT], NOW, any_login=True) == ((one,) if ends else ())


def test_of_an_account_that_may_be_another_s_only_what_saml_made_ends() -> None:
    rows = [session(is_saml=False), session()]
    assert to_end(rows, [AT], NOW, any_login=False) == (rows[1],)


def test_logins_are_settled_when_no_response_of_theirs_can_be_used_any_more() -> None:
    logins = [StandbyLogin("e-ann", "entra", 2, AT - timedelta(hours=hours)) for hours in (0, 1)]
    assert settled_at(logins) == AT + timedelta(seconds=630)


@pytest.mark.parametrize("days", [1, 90, 400])
def test_fo_13_a_login_is_kept_for_as_long_as_its_session_can_live_unused(days: int) -> None:
    """And not a moment longer: what is kept until now is the first that is forgotten behind it."""
    kept = timedelta(days=days)
    until = fo_13_kept_until(AT, kept)
    assert until >= settled_at([StandbyLogin("e-ann", "entra", 2, AT)]) - BEFORE + kept
    assert fo_13_forgotten_before(until, kept) == AT
    assert fo_13_forgotten_before(until + timedelta(seconds=1), kept) > AT


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (None, NOW + timedelta(hours=8)),
        (NOW + timedelta(hours=1), NOW + timedelta(hours=1)),
        (NOW + timedelta(hours=8), NOW + timedelta(hours=8)),
        (NOW + timedelta(days=30), NOW + timedelta(hours=8)),
    ],
)
def test_fo_13_a_session_by_a_standby_is_never_longer_than_ours(
    said: datetime | None, told: datetime
) -> None:
    assert fo_13_session_end(said, NOW, timedelta(hours=8)) == told
