"""A login in a cookie: what it holds, how it is named, and which are dropped."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idp_proxy.errors import RelayStateRefused
from idp_proxy.seal import KeyRing
from idp_proxy.transaction import (
    MAX_COOKIES,
    MAX_SEALED,
    CookieStyle,
    LoginTransaction,
    demand_returnable,
    is_tid,
    seal,
    surplus,
    unseal,
)

RING = KeyRing([b"k" * 32], "login")
SECURE, INSECURE = CookieStyle(), CookieStyle(insecure=True)
LOGIN = LoginTransaction(
    tid="A" * 22,
    started_at=datetime(2026, 3, 1, 12, 0, 7, tzinfo=UTC),
    sp_request_id="_mattermost",
    relay_state="state",
    acs_url="https://chat.example.org/login/sso/saml",
    upstream="okta",
    entity_id="https://okta.example.com/metadata",
    epoch=7,
    request_id="_ours",
    force_authn=True,
    is_passive=False,
)

returnable = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=500).filter(
    lambda text: len(text.encode()) <= 2048
)


@settings(deadline=None)
@given(
    relay_state=st.none() | returnable,
    force_authn=st.booleans(),
    is_passive=st.booleans(),
    epoch=st.integers(0, 2**62),
)
def test_a_login_comes_out_as_it_went_in(
    relay_state: str | None, *, force_authn: bool, is_passive: bool, epoch: int
) -> None:
    demand_returnable(relay_state)
    login = replace(
        LOGIN,
        relay_state=relay_state,
        force_authn=force_authn,
        is_passive=is_passive,
        epoch=epoch,
    )
    assert unseal(seal(login, RING), login.tid, RING) == login


def test_a_relay_state_that_looks_like_the_end_of_the_facts_is_only_a_relay_state() -> None:
    login = replace(LOGIN, relay_state='"}\\0{"up":"entra"}')
    assert unseal(seal(login, RING), login.tid, RING) == login


@settings(deadline=None)
@given(st.text(max_size=80) | st.binary(max_size=80).map(lambda raw: "1." + raw.hex()))
def test_no_other_cookie_is_a_login(cookie: str) -> None:
    assert unseal(cookie, LOGIN.tid, RING) is None


def test_a_cookie_is_a_login_of_its_own_id_only() -> None:
    assert unseal(seal(LOGIN, RING), "B" * 22, RING) is None


def test_a_login_longer_than_a_cookie_is_refused() -> None:
    fits = replace(LOGIN, relay_state="x" * 2048)
    name = SECURE.name(LOGIN.tid)
    assert len(SECURE.header(name, seal(fits, RING))) <= 4096
    longest = replace(LOGIN, relay_state="", sp_request_id="_" * MAX_SEALED)
    with pytest.raises(RelayStateRefused, match="sealed"):
        seal(longest, RING)


@pytest.mark.parametrize("relay_state", ["x" * 2049, "ü" * 1025, "a\r\nb", "\0", "\t", "\x7f"])
def test_what_could_not_be_returned_is_refused(relay_state: str) -> None:
    with pytest.raises(RelayStateRefused):
        demand_returnable(relay_state)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("A" * 22, True),
        ("abcXYZ019-_" * 2, True),
        (None, False),
        ("", False),
        ("A" * 21, False),
        ("A" * 23, False),
        ("A" * 22 + "\n", False),
        ("é" * 22, False),
        ("\u0660" * 22, False),
    ],
)
def test_an_id_has_22_characters_of_base64url(text: str | None, *, is_one: bool) -> None:
    assert is_tid(text) is is_one


def test_cookies_are_named_and_marked_for_where_they_live() -> None:
    tid = "abcdefghijklmnopqrstuv"
    assert SECURE.name(tid) == "__Host-login-abcdefgh"
    assert INSECURE.name(tid) == "login-abcdefgh"
    assert SECURE.header("n", "v") == ("n=v; Path=/; Max-Age=600; HttpOnly; Secure; SameSite=None")
    assert INSECURE.header("n", "v") == "n=v; Path=/; Max-Age=600; HttpOnly; SameSite=Lax"
    assert SECURE.removal("n") == "n=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=None"


def test_the_oldest_are_dropped_and_nobody_elses() -> None:
    mine = [(f"__Host-login-{n}", f"{1000 - n}.x") for n in range(7)]
    others = [("login-1", "1.x"), ("MMAUTHTOKEN", "1"), ("__Host-other", "1.x")]
    assert surplus([*others, *mine], SECURE) == [f"__Host-login-{n}" for n in (6, 5, 4)]
    assert surplus(mine[: MAX_COOKIES - 1], SECURE) == []


@pytest.mark.parametrize("value", ["", "x", ".", "-5.x", "9" * 13 + ".x", "\u0665.x"])
def test_a_cookie_without_a_time_goes_first(value: str) -> None:
    young = [(f"__Host-login-{n}", "1000.x") for n in range(4)]
    assert surplus([*young, ("__Host-login-junk", value)], SECURE) == ["__Host-login-junk"]
