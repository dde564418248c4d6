"""The network of a canary's Chromium: every request it makes is made by us, or not at all.

So TLS is verified by the upstream's authorities, its outbound proxy is used, no other origin is
reached, and the answer for our ACS goes no further than this module.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from html import escape
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

import httpx
import structlog

from idp_proxy.decision.canary import Given
from idp_proxy.decision.health import Outcome
from idp_proxy.upstream.canary import Answer, Halted
from idp_proxy.upstream.login_page import RELAY_STATE, SAML_RESPONSE
from idp_proxy.upstream.looking import (
    KEEP_METHOD,
    NETWORK_ERRORS,
    REDIRECTS,
    Wrong,
    read_body,
    shortened,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from playwright.async_api import Page, Request, Route

    from idp_proxy.upstream.canary import Progress
    from idp_proxy.upstream.canary_origins import Origins

_log = structlog.get_logger("idp_proxy.canary")

#: Octets of a document or a script; requests of one login.
_MAX_OCTETS: Final = 8 * 1024 * 1024
_MAX_REQUESTS: Final = 300
_MAX_REDIRECTS: Final = 5
#: What a page needs in order to work; an image from elsewhere is none of it.
_NEEDED: Final = frozenset({"document", "script", "xhr", "fetch", "stylesheet"})
#: What may still change it.
_AWAITED: Final = frozenset({"document", "script", "xhr", "fetch"})
#: Made anew for the request that we make.
_NOT_SENT: Final = frozenset({"host", "cookie", "accept-encoding", "content-length", "connection"})
#: Of the connection that the answer came by.
_NOT_PASSED_ON: Final = frozenset({"content-length", "transfer-encoding", "connection", "location"})


def post_page(action: str, fields: Mapping[str, str]) -> str:
    """A page that posts `fields` to `action` by itself."""
    inputs = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in fields.items()
    )
    return (
        f'<form method="post" action="{escape(action)}">{inputs}</form>'
        "<script>document.forms[0].submit()</script>"
    )


class BrowserNet:
    """Answers what Chromium asks for.

    `answer` is what the last page posted to our ACS, `failure` why the login cannot go on,
    `documents` how many pages it was led through, `status` that of the last one; `pending` is how
    much of what matters is on its way; `withheld` are the hosts that the present page wanted
    scripts of and did not get.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        origins: Origins,
        progress: Progress,
        acs_url: str,
        page: Page,
    ) -> None:
        self._client = client
        self._origins = origins
        self._progress = progress
        self._acs_url = acs_url
        self._page = page
        self._requests = 0
        self._running: set[asyncio.Future[None]] = set()
        self.answer: Answer | None = None
        self.failure: Exception | None = None
        self.documents = 0
        self.status = 200
        self.pending = 0
        self.withheld: set[str] = set()

    @property
    def is_open(self) -> bool:
        """Whether Chromium is still there."""
        browser = self._page.context.browser
        return browser is not None and browser.is_connected()

    def stranger(self, url: str) -> str | None:
        """Why nothing may be sent to `url`, or None."""
        return self._origins.problem(httpx.URL(url))

    async def end(self) -> None:
        """Answer nothing any more, and let what is under way come to its end."""
        with suppress(Exception):
            await self._page.context.unroute_all(behavior="ignoreErrors")
        for running in list(self._running):
            running.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def serve(self, route: Route, request: Request) -> None:
        """One request of Chromium's. Never raises: what goes wrong is `failure`."""
        matters = request.resource_type in _AWAITED
        running = asyncio.ensure_future(self._serve(route, request))
        self._running.add(running)
        self.pending += matters
        try:
            await running
        except asyncio.CancelledError:
            running.cancel()
        except Exception as error:  # noqa: BLE001 - Chromium went away; who looks at the page says so
            _log.debug("canary_browser_gone", error=type(error).__name__)
        finally:
            self.pending -= matters
            self._running.discard(running)

    async def _serve(self, route: Route, request: Request) -> None:
        is_page = request.is_navigation_request() and request.frame == self._page.main_frame
        if is_page:
            self.withheld.clear()
        try:
            fulfilled = await self._answered(request, is_page=is_page)
        except (Halted, Wrong, *NETWORK_ERRORS) as error:
            if is_page and self.failure is None:
                self.failure = error
            fulfilled = None
        if fulfilled is None:
            await route.abort()
            return
        if is_page:
            self.documents += 1
            self.status = fulfilled["status"]
        await route.fulfill(**fulfilled)

    async def _answered(self, request: Request, *, is_page: bool) -> dict[str, Any] | None:
        """What Chromium gets; None for nothing."""
        if request.url.partition("#")[0] == self._acs_url:
            self._take(request)
            return None
        url = httpx.URL(request.url)
        why = self._origins.problem(url)
        if why is not None:
            self._withhold(url, request, why, is_page=is_page)
            return None
        self._requests += 1
        if self._requests > _MAX_REQUESTS:
            raise Wrong(f"makes more than {_MAX_REQUESTS} requests")
        self._progress.at_work = False
        cookies = await self._page.context.cookies(request.url)
        headers = {n: v for n, v in request.headers.items() if n not in _NOT_SENT}
        if cookies:
            headers["cookie"] = "; ".join(f"{one['name']}={one['value']}" for one in cookies)
        body = request.post_data_buffer
        return await self._fetch(request.method, url, headers, body, is_page=is_page)

    async def _fetch(
        self,
        method: str,
        url: httpx.URL,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        is_page: bool,
    ) -> dict[str, Any]:
        """Ask for it; a page's redirect becomes a page that leads on, so that it is judged too."""
        for _ in range(_MAX_REDIRECTS):
            async with self._client.stream(method, url, headers=headers, content=body) as response:
                location = response.headers.get("location", "")
                if response.status_code not in REDIRECTS:
                    return {
                        "status": response.status_code,
                        "headers": _passed_on(response.headers),
                        "body": await read_body(response, _MAX_OCTETS, cut=False),
                    }
                if not location:
                    raise Wrong("redirects to nowhere")
                following = url.join(location)
                self._demand_own(following, response.status_code, has_body=body is not None)
                if is_page:
                    return _leading_on(following, response.headers)
                url, method, body = following, "GET", None
        raise Wrong(f"redirects more than {_MAX_REDIRECTS} times")

    def _demand_own(self, url: httpx.URL, status: int, *, has_body: bool) -> None:
        why = self._origins.problem(url)
        if why is not None:
            raise self._led_away(f"redirects {why}")
        if status in KEEP_METHOD and has_body:
            raise Halted(Outcome.REFUSED, "passes what was typed on to another address")

    def _led_away(self, reason: str) -> Halted:
        nothing = self._progress.given is Given.NOTHING
        return Halted(Outcome.BROKEN if nothing else Outcome.REFUSED, reason)

    def _withhold(self, url: httpx.URL, request: Request, why: str, *, is_page: bool) -> None:
        if is_page:
            raise self._led_away(f"leads {why}")
        if request.resource_type in _NEEDED:
            self.withheld.add(shortened(url.raw_host.decode("ascii")))

    def _take(self, request: Request) -> None:
        """The answer: what the browser would have posted to us."""
        values = parse_qs(request.post_data or "", keep_blank_values=True)
        message, relay_state = values.get(SAML_RESPONSE, []), values.get(RELAY_STATE, [None])
        if len(message) != 1 or len(relay_state) != 1:
            self.failure = Wrong("comes back without one SAMLResponse")
        else:
            self.answer = Answer(self._acs_url, message[0], relay_state[0])


def _passed_on(headers: httpx.Headers) -> dict[str, str]:
    """An answer's headers; several cookies are one value, a line for each."""
    passed = {name: value for name, value in headers.items() if name not in _NOT_PASSED_ON}
    if cookies := headers.get_list("set-cookie"):
        passed["set-cookie"] = "\n".join(cookies)
    return passed


def _leading_on(url: httpx.URL, headers: httpx.Headers) -> dict[str, Any]:
    """A page that goes to `url`: Chromium would follow a redirect past us."""
    kept = {"content-type": "text/html; charset=utf-8"}
    if cookies := headers.get_list("set-cookie"):
        kept["set-cookie"] = "\n".join(cookies)
    target = json.dumps(str(url)).replace("<", "\\u003c")
    return {"status": 200, "headers": kept, "body": f"<script>location.replace({target})</script>"}
