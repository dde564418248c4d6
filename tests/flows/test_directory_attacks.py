"""What a stranger tries at the directory's page: to learn who is there, to log somebody in as
somebody else, to bring the page under another site, and to send what no form of ours does.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

import pytest

from idp_proxy import errors, links
from idp_proxy.web import pace
from tests.flows.stage import RELAY_STATE, code_of, demand_refusal, form_of
from tests.flows.test_directory_login import Visitor, asked, corp, serving, stage
from tests.support.people import ALICE, BOB, CAROL

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from tests.flows.conftest import Builder
    from tests.flows.stage import Stage
    from tests.support.ldap_people import PeopleDirectory

__all__ = ["corp", "stage"]

FORM = "application/x-www-form-urlencoded"
RIGHT = {"username": ALICE.uid, "password": ALICE.password}


def token_of(visitor: Visitor) -> str:
    return form_of(visitor.look()).fields["token"]


def told(answer: httpx.Response) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Everything that an answer says."""
    return answer.status_code, answer.headers.raw, answer.content


# --- who is there ---------------------------------------------------------------------------------


def test_neither_body_status_nor_headers_tell_who_is_there(
    stage: Stage, corp: PeopleDirectory
) -> None:
    corp.entries[2].failures = corp.lockout  # Bob is locked
    visitor = Visitor(stage)
    tries = [
        (ALICE.uid, "wrong"),
        ("nobody", "wrong"),
        (BOB.uid, "wrong"),
        (BOB.uid, BOB.password),
        ("alice)(uid=*", "wrong"),
        ("alice\0", ALICE.password),
        (ALICE.uid, "\0"),
        ("", ""),
        ("a" * 300, "wrong"),
    ]
    answers = [visitor.type(name, password) for name, password in tries]
    assert len({str(told(one)) for one in answers}) == 1
    pages = [visitor.client.get(one.headers["location"]) for one in answers]
    assert len({str(told(one)) for one in pages}) == 1
    for name in ("alice", "bob", "nobody", "aaaa"):
        assert name not in pages[0].text


def test_too_many_tries_are_told_like_a_wrong_password(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    visitor = Visitor(stage)
    answers = [visitor.type(ALICE.uid, "wrong") for _ in range(6)]
    answers.append(visitor.type(ALICE.uid, ALICE.password))
    assert len({str(told(one)) for one in answers}) == 1
    assert "too many failures" in capsys.readouterr().out


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the page waited for; no time goes by."""
    seconds: list[float] = []

    async def pause(wanted: float) -> None:
        seconds.append(wanted)

    monkeypatch.setattr(pace, "PADDED_TO_S", 0.5)
    monkeypatch.setattr(pace, "pause", pause)
    return seconds


@pytest.mark.parametrize(
    ("name", "password"),
    [
        (ALICE.uid, ALICE.password),
        (ALICE.uid, "wrong"),
        ("nobody", "wrong"),
        ("nobody", ""),
        (CAROL.uid, CAROL.password),  # the directory has her, the roster does not
    ],
)
def test_the_time_tells_nothing_but_half_seconds(
    stage: Stage, corp: PeopleDirectory, waited: list[float], name: str, password: str
) -> None:
    for directory_takes, wanted in ((0.0, 0.5), (0.1, 0.5), (0.49, 0.5), (0.51, 1.0), (1.2, 1.5)):
        stage.clock.pass_by(hours=1)
        visitor = Visitor(stage)
        token = token_of(visitor)
        corp.before_bind = partial(_take, stage, directory_takes)
        began = stage.clock.monotonic()
        sent = {"token": token, "username": name, "password": password}
        visitor.client.post(visitor.address, data=sent)
        taken = stage.clock.monotonic() - began + waited.pop()
        assert taken == pytest.approx(wanted if password else 0.5)
        assert waited == []


def _take(stage: Stage, seconds: float, name: str) -> None:
    if not name.startswith("cn=reader"):
        stage.clock.pass_by(seconds=seconds)


def test_a_directory_that_fails_is_padded_too(
    stage: Stage, corp: PeopleDirectory, waited: list[float]
) -> None:
    visitor = Visitor(stage)
    token = token_of(visitor)
    corp.entries[0].password = "another one"
    answer = visitor.client.post(visitor.address, data={**RIGHT, "token": token})
    demand_refusal(answer, errors.UpstreamUnavailable)
    assert waited == [0.5]


LOOK_LIKE_ALICE = (
    "\u0430lice",  # Cyrillic a
    "al\u0456ce",
    "alice\u200b",
    "\u202ealice",
    "a\u0301lice",
    "\uff41\uff4c\uff49\uff43\uff45",  # full width
    "alice@example.org",
    "uid=alice,ou=people,dc=corp",
    "alice\\00",
    "alice\\2a",
    "al*",
    "alice alice",
    "a" * 256,
    "\U0001f600" * 200,
    "%61lice",
    "alice;bob",
)


def test_a_name_that_only_looks_like_another_is_nobody(stage: Stage, corp: PeopleDirectory) -> None:
    for name in LOOK_LIKE_ALICE:
        stage.clock.pass_by(hours=1)
        answer = Visitor(stage).type(name, ALICE.password)
        assert answer.headers["location"].endswith("&problem=1"), name
    assert "uid=alice,ou=people,dc=corp" not in asked(corp)


# --- somebody else's login ------------------------------------------------------------------------


def test_another_site_cannot_log_somebody_in_by_its_own_password(
    stage: Stage, corp: PeopleDirectory
) -> None:
    """Login CSRF: whoever is logged in as the attacker writes to the attacker."""
    victim = Visitor(stage)
    sent = {**RIGHT, "token": token_of(victim)}
    for site in ("cross-site", "same-site", "none", "", "same-origin,cross-site"):
        answer = victim.client.post(victim.address, data=sent, headers={"sec-fetch-site": site})
        demand_refusal(answer, links.LinkFollowed)
    assert asked(corp) == []


def test_an_older_browser_is_protected_by_the_token_alone(
    stage: Stage, corp: PeopleDirectory
) -> None:
    victim, attacker = Visitor(stage), Visitor(stage)
    del victim.client.headers["sec-fetch-site"]
    for token in (token_of(attacker), "", "0" * 64, "\u00e9", token_of(victim).upper()):
        answer = victim.client.post(victim.address, data={**RIGHT, "token": token})
        demand_refusal(answer, links.LinkFollowed)
    assert asked(corp) == []
    victim.accepted(victim.type(ALICE.uid, ALICE.password))


def test_the_attacker_s_address_does_nothing_in_the_victim_s_browser(
    stage: Stage, corp: PeopleDirectory
) -> None:
    victim, attacker = Visitor(stage), Visitor(stage)
    token = token_of(attacker)
    demand_refusal(victim.client.get(attacker.address), errors.LoginUnknown)
    answer = victim.client.post(attacker.address, data={**RIGHT, "token": token})
    demand_refusal(answer, errors.LoginUnknown)
    assert asked(corp) == []


def test_a_cookie_under_another_login_s_name_opens_nothing(stage: Stage) -> None:
    """Fixation: an attacker's cookie in the place of the victim's own."""
    victim, attacker = Visitor(stage), Visitor(stage)
    name = f"__Host-login-{victim.tid[:8]}"
    theirs = attacker.client.cookies[f"__Host-login-{attacker.tid[:8]}"]
    victim.client.cookies.set(name, theirs, domain="sso.example.org", path="/")
    demand_refusal(victim.look(), errors.LoginUnknown)


def test_a_stale_token_of_the_same_browser_is_none(stage: Stage, corp: PeopleDirectory) -> None:
    visitor = Visitor(stage)
    stale = token_of(visitor)
    visitor.accepted(visitor.type(ALICE.uid, ALICE.password))
    before = len(asked(corp))
    sent = visitor.client.get(f"/saml/sso?{stage.sso_query(stage.request(), RELAY_STATE)}")
    answer = visitor.client.post(sent.headers["location"], data={**RIGHT, "token": stale})
    demand_refusal(answer, links.LinkFollowed)
    assert len(asked(corp)) == before


def test_two_tabs_end_their_own_logins_in_any_order(stage: Stage) -> None:
    first = Visitor(stage)
    second = Visitor(stage, first.client)
    assert token_of(first) != token_of(second)
    for tab in (second, first):
        accepted = tab.accepted(tab.type(ALICE.uid, ALICE.password))
        assert accepted.in_response_to == tab.request_id


def test_a_login_that_was_sent_elsewhere_takes_no_password_here(
    stage: Stage, corp: PeopleDirectory
) -> None:
    """Mix-up: the transaction names the one upstream that was asked (FO-01)."""
    stage.switch("active")
    begun = stage.begin()
    page = begun.client.get(f"/upstream/corp/login?login={begun.tid}")
    demand_refusal(page, errors.LoginNotAsked)
    assert asked(corp) == []


def test_there_is_no_such_page_for_what_is_no_directory(stage: Stage) -> None:
    visitor = Visitor(stage)
    for upstream in ("active", "standby", "nobody", "CORP", "corp%00", "corp%2f..%2fcorp"):
        page = visitor.client.get(f"/upstream/{upstream}/login?login={visitor.tid}")
        demand_refusal(page, errors.NotFound)


def test_the_login_s_cookie_is_not_for_other_sites_and_the_page_not_for_frames(
    stage: Stage,
) -> None:
    visitor = Visitor(stage)
    for page in (visitor.look(), stage.client().get(visitor.address)):
        policy = page.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "default-src 'none'" in policy
        assert "base-uri 'none'" in policy
        assert page.headers["x-frame-options"] == "DENY"
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["cross-origin-resource-policy"] == "same-origin"
        assert "max-age=" in page.headers["strict-transport-security"]
        assert "<script" not in page.text
        assert not re.search(r'(?:src|href)="https?://(?!help\.|chat\.)', page.text)
    refused = visitor.type(ALICE.uid, "wrong")
    assert refused.headers["cache-control"] == "no-store"


# --- what no form of ours sends -------------------------------------------------------------------


def test_other_methods_are_refused_by_name(stage: Stage, corp: PeopleDirectory) -> None:
    visitor = Visitor(stage)
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE"):
        answer = visitor.client.request(method, visitor.address)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
    assert asked(corp) == []


NO_FORMS_OF_OURS: tuple[tuple[bytes, str, type[errors.ProxyError]], ...] = (
    (b'{"username": "alice"}', "application/json", errors.MalformedMessage),
    (b"username=alice", "text/plain", errors.MalformedMessage),
    (b"username=alice", "multipart/form-data; boundary=x", errors.MalformedMessage),
    (b"username=alice", "", errors.MalformedMessage),
    (b"username=al\xffice", FORM, errors.MalformedMessage),
    (b"username=a&username=b", FORM, errors.MalformedMessage),
    (b"token=a&token=b", FORM, errors.MalformedMessage),
    (b"&".join(b"f%d=x" % number for number in range(40)), FORM, errors.MalformedMessage),
    (b"username=" + b"x" * 9000, FORM, errors.TooLarge),
    (b"x" * 300_000, FORM, errors.TooLarge),
    (b"", FORM, links.LinkFollowed),
    (b"username", FORM, links.LinkFollowed),
)


def test_what_is_no_form_of_ours_is_not_read(stage: Stage, corp: PeopleDirectory) -> None:
    visitor = Visitor(stage)
    for content, kind, refusal in NO_FORMS_OF_OURS:
        answer = visitor.client.post(
            visitor.address, content=content, headers={"content-type": kind} if kind else {}
        )
        demand_refusal(answer, refusal)
    assert asked(corp) == []


NO_LOGINS = (
    "",
    "login=",
    "login=x",
    "login=" + "A" * 22,
    "login=" + "A" * 5000,
    "login=%0d%0aSet-Cookie:%20a=b",
    "login=..%2f..%2fetc",
    "login[]=x",
    "problem=1",
    "problem=%3Cscript%3E",
)


def test_an_address_of_no_login_shows_no_form(stage: Stage) -> None:
    visitor = Visitor(stage)
    for query in NO_LOGINS:
        page = visitor.client.get(f"/upstream/corp/login?{query}")
        assert code_of(page) in {"login_unknown", "login_unsolicited"}, query
        assert "<form" not in page.text
        assert "set-cookie" not in page.headers


def test_nothing_that_was_sent_comes_back_in_headers_or_pages(stage: Stage) -> None:
    visitor = Visitor(stage)
    hostile = "x\r\nSet-Cookie: a=b\r\n\r\n<script>alert(1)</script>"
    headers: Mapping[str, str] = {
        "host": "evil.example",
        "x-forwarded-host": "evil.example",
        "x-forwarded-proto": "http",
        "forwarded": "host=evil.example",
        "referer": "https://evil.example/",
        "origin": "https://evil.example",
        "accept-language": "de,<script>alert(1)</script>",
    }
    sent = {"token": token_of(visitor), "username": hostile, "password": hostile}
    answer = visitor.client.post(visitor.address, data=sent, headers=headers)
    page = visitor.client.get(f"{visitor.address}&problem={'<b>' * 3}", headers=headers)
    for one in (answer, page):
        shown = f"{one.headers.raw!r}{one.text}"
        assert "evil" not in shown
        assert "set-cookie" not in one.headers
        assert "alert(1)" not in shown
        assert "<b>" not in one.text
    assert answer.headers["location"].startswith("/upstream/corp/login?")


def test_a_password_in_the_address_is_not_tried(stage: Stage, corp: PeopleDirectory) -> None:
    visitor = Visitor(stage)
    page = visitor.client.get(f"{visitor.address}&username=alice&password={ALICE.password}")
    assert page.status_code == 200
    assert ALICE.password not in page.text
    assert asked(corp) == []


def test_a_stranger_s_tries_reach_no_further_than_the_budget(
    set_up: Builder, corp: PeopleDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From many logins of many browsers: it is the person and the source that are counted."""
    monkeypatch.setattr(pace, "PADDED_TO_S", 0.01)
    stage = serving(set_up, corp)
    for number in range(12):
        Visitor(stage).type(ALICE.uid, f"guess {number}")
    assert len(asked(corp)) < 8
