"""Attacks on the state around a message: cookies, transactions, used ids, switches, the clock.

The messages are honest here; what is wrong is who brings them, when, where, or how often.
"""

from __future__ import annotations

import base64
from collections import Counter
from html import unescape
from typing import TYPE_CHECKING

import pytest

from tests.attacks.attack import Policy, Registration, Sent
from tests.attacks.messages import ASSERTION, put, said
from tests.attacks.requests import octets_of, plain, posted, redirected
from tests.attacks.stage import PUBLIC, Stage, issued
from tests.support.keys import rsa_pair

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import httpx

    from tests.attacks.stage import Begun, Journal

HONEST = said()
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def assert_refused(stage: Stage, response: httpx.Response, code: str) -> None:
    """A refusal of this kind; nobody was logged in."""
    line = stage.journal.last
    assert (line["code"], response.status_code // 100) == (code, 4), line
    assert line["detail"] == "" or line["detail"] not in response.text
    assert issued(response) is None
    assert stage.logins() == 0


def flipped(cookie: str) -> str:
    """The cookie with one bit of its sealed content turned."""
    name, _, value = cookie.partition("=")
    at, _, sealed = value.partition(".")
    octets = bytearray(base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4)))
    octets[len(octets) // 2] ^= 1
    return f"{name}={at}.{base64.urlsafe_b64encode(octets).decode().rstrip('=')}"


def renamed(cookie: str, tid: str) -> str:
    """The cookie's content under the name that belongs to another transaction."""
    return f"__Host-login-{tid[:8]}={cookie.partition('=')[2]}"


COOKIES: dict[str, Callable[[Begun, Begun], str]] = {
    "none": lambda _mine, _other: "",
    "an empty one": lambda mine, _: f"{mine.cookie.partition('=')[0]}=",
    "of another login": lambda _, other: other.cookie,
    "of another login, renamed": lambda mine, other: renamed(other.cookie, mine.tid),
    "cut": lambda mine, _: mine.cookie[:-20],
    "cut to its time": lambda mine, _: mine.cookie.partition(".")[0] + ".",
    "a bit turned": lambda mine, _: flipped(mine.cookie),
    "of no base64": lambda mine, _: mine.cookie + "!",
    "under another name": lambda mine, _: renamed(mine.cookie, "x" * 22),
    "without its prefix": lambda mine, _: mine.cookie.removeprefix("__Host-"),
}


@pytest.mark.parametrize("name", COOKIES)
def test_an_answer_counts_only_with_the_cookie_of_its_own_login(name: str, stage: Stage) -> None:
    mine, other = stage.begin(), stage.begin()

    response = stage.answer(mine, HONEST(mine.login), cookie=COOKIES[name](mine, other) or " ")

    assert_refused(stage, response, "login_unknown")


def test_a_cookie_that_another_proxy_sealed_is_worth_nothing(
    stage: Stage, journal: Journal, tmp_path: Path
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere = Stage(folder, journal, Policy.ASSERTION, Registration.WITHOUT_KEYS)
    begun = elsewhere.begin()

    response = stage.answer(begun, HONEST(begun.login))

    assert_refused(stage, response, "login_unknown")
    elsewhere.close()


@pytest.mark.parametrize("tid", ["", "x", "x" * 22 + "\n", "x" * 23, "ж" * 22, "../../etc/passwd"])
def test_a_relay_state_that_is_none_of_ours_is_an_unsolicited_answer(
    tid: str, stage: Stage
) -> None:
    begun = stage.begin()

    response = stage.answer(begun, HONEST(begun.login), relay_state=tid)

    assert_refused(stage, response, "login_unsolicited")


def test_an_answer_in_another_login_of_the_same_browser_is_refused(stage: Stage) -> None:
    """Login CSRF with both cookies at hand: the attacker's answer in the victim's transaction."""
    mine, other = stage.begin(), stage.begin()

    response = stage.answer(
        mine,
        HONEST(other.login),
        cookie=f"{mine.cookie}; {other.cookie}",
    )

    assert_refused(stage, response, "answer_refused")
    assert stage.journal.last["rule"] == "SP-03"


def test_an_answer_is_taken_only_at_the_acs_of_the_upstream_that_was_asked(stage: Stage) -> None:
    begun = stage.begin()

    response = stage.answer(begun, HONEST(begun.login), acs_url=begun.login.standby_acs_url)

    assert_refused(stage, response, "login_not_asked")


def test_the_standby_cannot_answer_what_the_active_was_asked(stage: Stage) -> None:
    begun = stage.begin()
    swapped = said(
        put(".", "Destination", begun.login.standby_acs_url),
    )

    response = stage.answer(begun, swapped(begun.login), acs_url=begun.login.standby_acs_url)

    assert_refused(stage, response, "login_not_asked")


def test_an_answer_of_an_upstream_that_was_disabled_meanwhile_is_refused(stage: Stage) -> None:
    begun = stage.begin()
    stage.switchboard.disable("active", "broken into", "host:test")

    response = stage.answer(begun, HONEST(begun.login), worker=stage.worker())

    assert_refused(stage, response, "login_not_asked")


def test_after_a_planned_switch_a_login_under_way_ends_within_its_life_and_not_later(
    stage: Stage,
) -> None:
    early, late = stage.begin(), stage.begin()
    stage.switchboard.to("standby", "maintenance", "host:test")
    worker = stage.worker()

    stage.clock.advance(200)
    accepted = stage.answer(early, HONEST(early.login), worker=worker)
    stage.clock.advance(81)
    refused = stage.answer(late, HONEST(late.login), worker=worker)

    assert issued(accepted) is not None
    assert issued(refused) is None
    assert stage.journal.last["code"] == "login_expired"


def test_a_stranger_to_the_active_cannot_come_in_by_the_standby(stage: Stage) -> None:
    stage.switchboard.to("standby", "outage", "host:test")
    worker = stage.worker()
    begun = stage.begin(worker)
    assert "/upstream/standby/" in begun.login.acs_url

    response = stage.answer(begun, HONEST(begun.login), worker=worker)

    assert_refused(stage, response, "person_unknown")


@pytest.mark.parametrize("seconds", [281, 3600, -121])
def test_an_answer_out_of_its_time_is_refused(seconds: int, stage: Stage) -> None:
    begun = stage.begin()
    stage.clock.advance(seconds)

    response = stage.answer(begun, HONEST(begun.login))

    assert_refused(stage, response, "login_expired")


def test_an_answer_counts_once(stage: Stage) -> None:
    begun = stage.begin()
    message = HONEST(begun.login)

    first, second = stage.answer(begun, message), stage.answer(begun, message)

    assert issued(first) is not None
    assert (issued(second), second.status_code) == (None, 409)
    assert stage.journal.last["code"] == "login_repeated"
    assert stage.logins() == 1


def test_of_many_at_the_same_moment_exactly_one_counts(stage: Stage) -> None:
    begun = stage.begin()
    posting = stage.posting(begun, HONEST(begun.login))

    responses = stage.browser.send_at_once(*[posting] * 12)

    assert Counter(response.status_code for response in responses) == {200: 1, 409: 11}
    assert sum(issued(response) is not None for response in responses) == 1
    assert stage.logins() == 1


def test_two_workers_at_the_same_moment_accept_it_once(stage: Stage) -> None:
    from concurrent.futures import ThreadPoolExecutor

    begun = stage.begin()
    posting = stage.posting(begun, HONEST(begun.login))
    workers = [stage.worker() for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        responses = list(pool.map(lambda worker: worker.send(*posting), workers))

    assert Counter(response.status_code for response in responses) == {200: 1, 409: 3}
    assert stage.logins() == 1


def test_an_assertion_counts_once_whatever_it_answers(stage: Stage) -> None:
    """The same assertion ID in a second login: an upstream that repeats itself, or is replayed."""
    repeated = said(put(ASSERTION, "ID", "_the-same"))
    first, second = stage.begin(), stage.begin()

    stage.answer(first, repeated(first.login))
    response = stage.answer(second, repeated(second.login))

    assert response.status_code == 409
    assert stage.logins() == 1


def test_a_request_of_mattermost_is_answered_once(stage: Stage) -> None:
    asking = stage.asking
    first, second = stage.begin(asking=asking), stage.begin(asking=asking)

    stage.answer(first, HONEST(first.login))
    response = stage.answer(second, HONEST(second.login))

    assert response.status_code == 409
    assert stage.logins() == 1


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
        ("POST", "/upstream/active/acs", b"SAMLResponse=x&SAMLResponse=y", "", "request_invalid"),
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
