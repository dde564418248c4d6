"""What a canary's Chromium is answered, without a Chromium: its requests are played."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest

from idp_proxy.decision.canary import Given
from idp_proxy.decision.health import Outcome
from idp_proxy.upstream.browser_net import BrowserNet, post_page
from idp_proxy.upstream.canary import Answer, Halted, Progress
from idp_proxy.upstream.canary_origins import Origins
from idp_proxy.upstream.login_page import FieldNames, read_page
from idp_proxy.upstream.looking import Wrong

if TYPE_CHECKING:
    from playwright.async_api import Page, Request, Route

IDP = "https://idp.example.org"
ACS = "https://sso.example.org/upstream/okta/acs"


@dataclass(slots=True)
class Played:
    """A net over a provider that answers with `response`, and what came of each request."""

    response: dict[str, Any] = field(default_factory=dict)
    given: Given = Given.NOTHING
    asked: list[httpx.Request] = field(default_factory=list)
    fulfilled: list[dict[str, Any]] = field(default_factory=list)
    aborted: int = 0
    net: BrowserNet = field(init=False)
    frame: object = field(default_factory=object)

    def __post_init__(self) -> None:
        client = httpx.AsyncClient(transport=httpx.MockTransport(self._provider))
        origins = Origins.of(IDP, ("static.example.org",), insecure_loopback=False)
        context = SimpleNamespace(browser=None, cookies=self._cookies)
        page = SimpleNamespace(main_frame=self.frame, context=context)
        progress = Progress(self.given)
        self.net = BrowserNet(client, origins, progress, ACS, cast("Page", page))

    def _provider(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        usual: dict[str, Any] = {"status_code": 200, "stream": httpx.ByteStream(b"<p>hi")}
        return httpx.Response(**usual | self.response)

    async def _cookies(self, _url: str) -> list[dict[str, str]]:
        return [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]

    async def abort(self) -> None:
        self.aborted += 1

    async def fulfill(self, **answer: Any) -> None:
        self.fulfilled.append(answer)

    def asks(
        self,
        url: str,
        *,
        kind: str = "document",
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Played:
        """Chromium makes one request; a document is that of the page itself."""
        request = SimpleNamespace(
            url=url,
            method="GET" if body is None else "POST",
            headers=headers or {},
            resource_type=kind,
            post_data=None if body is None else body.decode(),
            post_data_buffer=body,
            frame=self.frame,
            is_navigation_request=lambda: kind == "document",
        )
        route = SimpleNamespace(abort=self.abort, fulfill=self.fulfill)
        asyncio.run(self.net.serve(cast("Route", route), cast("Request", request)))
        assert self.net.pending == 0
        return self


def test_a_page_is_asked_for_with_the_cookies_that_chromium_keeps() -> None:
    headers = {"host": "x", "cookie": "evil=1", "accept-encoding": "br", "origin": IDP}
    set_cookies = [("Set-Cookie", "k=1; Path=/"), ("Set-Cookie", "l=2; Path=/")]
    played = Played({"headers": [*set_cookies, ("Content-Length", "5"), ("X-Own", "y")]})
    played.asks(f"{IDP}/login", body=b"u=1", headers=headers)
    (asked,) = played.asked
    assert (asked.method, asked.content) == ("POST", b"u=1")
    assert asked.headers["cookie"] == "a=1; b=2"
    assert (asked.headers["host"], asked.headers["origin"]) == ("idp.example.org", IDP)
    assert asked.headers.get("accept-encoding") != "br"
    (answer,) = played.fulfilled
    assert (answer["status"], answer["body"]) == (200, b"<p>hi")
    assert answer["headers"] == {"set-cookie": "k=1; Path=/\nl=2; Path=/", "x-own": "y"}
    assert (played.net.documents, played.net.status, played.net.failure) == (1, 200, None)


def test_the_answer_ends_here_and_our_acs_is_never_reached() -> None:
    played = Played().asks(ACS, body=b"SAMLResponse=PHg%2B&RelayState=r")
    assert played.net.answer == Answer(ACS, "PHg+", "r")
    assert (played.asked, played.fulfilled, played.aborted) == ([], [], 1)


@pytest.mark.parametrize("body", [b"", b"SAMLResponse=a&SAMLResponse=b", b"RelayState=r", None])
def test_what_is_no_single_answer_is_none(body: bytes | None) -> None:
    played = Played().asks(ACS, body=body)
    assert played.net.answer is None
    assert isinstance(played.net.failure, Wrong)
    assert played.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "https://idp.example.org:8443/",
        "http://idp.example.org/",
        f"{ACS}/x",
        "https://sso.example.org/saml/sso",
        "file:///etc/passwd",
        "data:text/html,x",
        "https://u:p@idp.example.org/",
    ],
)
@pytest.mark.parametrize("kind", ["document", "script", "image", "fetch"])
def test_nobody_else_is_asked_for_anything(url: str, kind: str) -> None:
    played = Played().asks(url, kind=kind, body=b"password=geheim")
    assert (played.asked, played.fulfilled, played.aborted) == ([], [], 1)
    assert (played.net.failure is not None) == (kind == "document")
    assert bool(played.net.withheld) == (kind in {"script", "fetch"})


def test_what_is_withheld_belongs_to_its_page() -> None:
    played = Played().asks("https://cdn.example/x.js", kind="script")
    assert played.net.withheld == {"cdn.example"}
    assert played.asks(f"{IDP}/next").net.withheld == set()


@pytest.mark.parametrize(
    ("given", "outcome"), [(Given.NOTHING, Outcome.BROKEN), (Given.PASSWORD, Outcome.REFUSED)]
)
def test_a_redirect_away_is_judged_by_how_far_the_login_was(given: Given, outcome: Outcome) -> None:
    moved = {"status_code": 302, "headers": {"Location": "https://duo.example.com/"}}
    played = Played(moved, given).asks(f"{IDP}/")
    assert isinstance(played.net.failure, Halted)
    assert played.net.failure.ended.outcome is outcome
    assert played.fulfilled == []


def test_a_redirect_becomes_a_page_that_leads_on_and_breaks_out_of_nothing() -> None:
    location = "/next?a=</script><script>alert(1)</script>&b=\"'"
    headers = [("Location", location), ("Set-Cookie", "k=1"), ("Content-Type", "text/plain")]
    played = Played({"status_code": 302, "headers": headers}).asks(f"{IDP}/")
    (answer,) = played.fulfilled
    assert answer["body"].startswith('<script>location.replace("https://idp.example.org/next?a=')
    assert answer["body"].count("<") == 2
    assert answer["headers"] == {"content-type": "text/html; charset=utf-8", "set-cookie": "k=1"}


def test_a_script_is_followed_within_bounds() -> None:
    moved = {"status_code": 302, "headers": {"Location": "https://static.example.org/x.js"}}
    played = Played(moved).asks(f"{IDP}/x.js", kind="script")
    assert {one.url.host for one in played.asked} == {"idp.example.org", "static.example.org"}
    assert (len(played.asked), played.aborted, played.net.failure) == (5, 1, None)


def test_what_was_typed_is_not_passed_on() -> None:
    moved = {"status_code": 307, "headers": {"Location": "https://static.example.org/"}}
    played = Played(moved, Given.PASSWORD).asks(f"{IDP}/login", body=b"password=geheim")
    assert len(played.asked) == 1
    assert isinstance(played.net.failure, Halted)
    assert played.net.failure.ended.outcome is Outcome.REFUSED


def test_a_page_that_asks_without_end_is_stopped() -> None:
    played = Played()
    for _ in range(300):
        played.asks(f"{IDP}/x", kind="image")
    played.asks(f"{IDP}/")
    assert len(played.asked) == 300
    assert "more than 300 requests" in str(played.net.failure)


def test_the_page_that_asks_by_post_escapes_what_it_is_given() -> None:
    page = post_page(f'{IDP}/"><script>', {"SAMLRequest": '"><script>', "RelayState": "r"})
    form = read_page(IDP, 200, page.encode(), FieldNames()).form
    assert form is not None
    assert form.values == {"SAMLRequest": '"><script>', "RelayState": "r"}
    assert page.count("<script>") == 1
