"""What HTTP itself lets one try: methods, forms, headers, relay states; what our pages promise."""

from __future__ import annotations

import base64
from html import unescape

import pytest

from tests.attacks.attack import Sent
from tests.attacks.messages import said
from tests.attacks.requests import octets_of, plain, posted, redirected
from tests.attacks.stage import PUBLIC, Stage, assert_refused
from tests.support.keys import rsa_pair

HONEST = said()
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    "relay_state",
    ['"><script>alert(1)</script>', "' onload='alert(1)", "{{ 7 * 7 }}", "a+b/c= &amp;", "жизнь"],
)
def test_a_relay_state_comes_back_as_it_was_and_runs_nowhere(
    relay_state: str, stage: Stage
) -> None:
    begun = stage.begin(relay_state=relay_state)

    response = stage.answer(begun, HONEST(begun.login))

    value = response.text.partition('name="RelayState" value="')[2].partition('"')[0]
    assert unescape(value) == relay_state
    assert "<script>alert" not in response.text
    assert relay_state not in begun.tid


@pytest.mark.parametrize(
    "relay_state", [b"x" * 2049, b"a%00b", b"a%0d%0aSet-Cookie:%20x=y", b"%7f", b"a%0ab", b"%09"]
)
def test_a_relay_state_that_could_not_come_back_is_refused(
    relay_state: bytes, stage: Stage
) -> None:
    response = stage.send(redirected(octets_of(plain(stage.asking)), b"RelayState=" + relay_state))

    assert_refused(stage, response, "relay_state_refused")


@pytest.mark.parametrize(
    ("method", "path", "body", "kind", "code"),
    [
        ("GET", "/upstream/active/acs", b"", "", "wrong_method"),
        ("PUT", "/upstream/active/acs", b"x", "", "wrong_method"),
        ("DELETE", "/saml/sso", b"", "", "wrong_method"),
        ("PUT", "/saml/sso", b"SAMLRequest=x", "", "wrong_method"),
        ("POST", "/upstream/nobody/acs", b"SAMLResponse=x", "", "not_found"),
        ("POST", "/upstream/%2e%2e/acs", b"SAMLResponse=x", "", "not_found"),
        ("POST", "/upstream/active%00/acs", b"SAMLResponse=x", "", "not_found"),
        ("POST", "/upstream/ACTIVE/acs", b"SAMLResponse=x", "", "not_found"),
        ("POST", "/saml/sso", b'{"SAMLRequest": "x"}', "application/json", "malformed_message"),
        ("POST", "/upstream/active/acs", b"{}", "application/json", "malformed_message"),
        ("POST", "/upstream/active/acs", b"<x/>", "text/xml", "malformed_message"),
        (
            "POST",
            "/upstream/active/acs",
            b"--x\r\n\r\n--x--",
            "multipart/form-data; boundary=x",
            "malformed_message",
        ),
        ("POST", "/upstream/active/acs", b"SAMLResponse=x", "text/plain", "malformed_message"),
        ("POST", "/upstream/active/acs", b"", "", "malformed_message"),
        ("POST", "/upstream/active/acs", b"SAMLResponse=%ff", "", "malformed_message"),
        ("POST", "/upstream/active/acs", b"SAMLResponse=%4", "", "malformed_message"),
        ("POST", "/upstream/active/acs", b"a=b&" * 40 + b"SAMLResponse=x", "", "malformed_message"),
        ("POST", "/upstream/active/acs", b"SAMLResponse=x&SAMLResponse=y", "", "malformed_message"),
        ("POST", "/upstream/active/acs", b"SAMLResponse=x&SAMLRequest=y", "", "malformed_message"),
        ("POST", "/upstream/active/acs", b"x" * 1_100_000, "", "too_large"),
        ("POST", "/saml/sso", b"x" * 1_100_000, "", "too_large"),
    ],
)
def test_what_is_no_login_message_is_refused_in_words(
    method: str, path: str, body: bytes, kind: str, code: str, stage: Stage
) -> None:
    headers = {"Content-Type": kind} if kind else FORM

    response = stage.browser.send(method, path, body, headers)

    assert_refused(stage, response, code)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"},
        {"Forwarded": "host=evil.example"},
        {"Cookie": "upstream=standby"},
        {"X-Original-URL": "/status"},
    ],
)
def test_no_header_chooses_the_upstream_or_our_address(
    headers: dict[str, str], stage: Stage
) -> None:
    sent = redirected(octets_of(plain(stage.asking)), b"upstream=standby", b"idp=standby")

    response = stage.browser.send("GET", f"/saml/sso?{sent.query.decode()}", headers=headers)

    assert response.headers["location"].startswith("https://active.example.org/sso?")
    assert "evil" not in response.text + str(response.headers)


def test_a_post_request_is_bounded_and_read_once(stage: Stage) -> None:
    honest = posted(octets_of(plain(stage.asking)))

    accepted = stage.send(honest)
    refused = stage.send(Sent("POST", body=honest.body + b"&SAMLRequest=x"))

    assert accepted.status_code == 302
    assert_refused(stage, refused, "request_invalid")


def test_the_page_that_posts_may_post_to_mattermost_only(stage: Stage) -> None:
    begun = stage.begin()

    response = stage.answer(begun, HONEST(begun.login))

    policy = response.headers["content-security-policy"]
    assert "form-action https://chat.example.org;" in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert response.headers["cache-control"] == "no-store"
    assert PUBLIC not in response.text.partition("<form")[2].partition(">")[0]


def test_the_flow_cookie_is_for_this_host_and_no_script(stage: Stage) -> None:
    response = stage.send(redirected(octets_of(plain(stage.asking))))

    cookie = response.headers["set-cookie"]
    assert cookie.startswith("__Host-login-")
    for mark in ("Secure", "HttpOnly", "SameSite=None", "Path=/", "Max-Age=600"):
        assert mark in cookie
    assert "Domain" not in cookie


def test_the_sealed_cookie_shows_nothing_of_the_login(stage: Stage) -> None:
    begun = stage.begin(relay_state="tell-nobody")

    _, _, sealed = begun.cookie.partition(".")
    octets = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))

    for secret in ("tell-nobody", "active", begun.login.request_id):
        assert secret.encode() not in octets


def test_a_key_of_our_own_is_not_an_upstreams(stage: Stage) -> None:
    """Each role has its own key: none of ours vouches for anybody (KEY-01)."""
    from dataclasses import replace

    for ours in ("idp", "active-sp", "active-enc", "mattermost"):
        begun = stage.begin()

        response = stage.answer(begun, HONEST(replace(begun.login, keys=rsa_pair(ours))))

        assert_refused(stage, response, "answer_refused")
        assert stage.journal.last["rule"] == "SP-01"
