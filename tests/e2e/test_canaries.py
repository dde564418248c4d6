"""Canaries against a real SimpleSAMLphp over TLS: by forms and in Chromium, working and broken."""

from __future__ import annotations

import asyncio
import http.server
import ssl
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from idp_proxy.adapters import open_canaries, open_upstreams
from idp_proxy.config import CanarySettings, load
from idp_proxy.decision.health import Outcome
from tests.e2e.journeys import AT_ACTIVE, SHORT_SOURCES, assert_our_page
from tests.e2e.journeys import log_in as run_login
from tests.e2e.peers.mellon import Mellon
from tests.e2e.peers.proxy import Proxy, UpstreamChoice
from tests.e2e.peers.simplesamlphp import SimpleSamlPhp
from tests.support.browser import Browser
from tests.support.people import CAROL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from idp_proxy.upstream.probing import Probed
    from tests.e2e.journeys import NewStack, Stack
    from tests.e2e.peers.authority import Authority

pytestmark = pytest.mark.e2e

BROKEN, REFUSED, PASSED = Outcome.BROKEN, Outcome.REFUSED, Outcome.PASSED
KINDS = pytest.mark.parametrize("kind", ["form", "browser"])


@pytest.fixture(scope="module")
def stack(rigs: Path, authority: Authority, new_stack: NewStack) -> Iterator[Stack]:
    """A stack whose active may be frozen and stopped."""
    own_active = SimpleSamlPhp(rigs, "canaried", authority, AT_ACTIVE)
    party = Mellon(rigs, "canaried-party", authority)
    with own_active, new_stack(party, own_active=own_active) as running:
        yield running


def log_in(stack: Stack, kind: str, timeout_s: float = 20, **account: Any) -> Probed:
    """One login of a canary at the active, opened as `serve` would open it."""
    usual: dict[str, Any] = {
        "name": "staff",
        "kind": kind,
        "username": CAROL.uid,
        "password": CAROL.password,
        "subject": CAROL.employee_number,
        "chromium": Path("/usr/bin/chromium") if kind == "browser" else None,
    }
    settings = load(stack.proxy.configuration)
    first, *others = settings.upstreams
    failover = settings.failover
    times = replace(failover.canary_times, timeout=timedelta(seconds=timeout_s))
    settings = replace(
        settings,
        upstreams=(replace(first, canaries=(CanarySettings(**usual | account),)), *others),
        failover=replace(failover, canary_times=times),
    )
    (canary,) = open_canaries(settings, open_upstreams(settings))
    return asyncio.run(canary.log_in(datetime.now(UTC)))


def told(seen: Probed) -> tuple[Outcome, str]:
    return seen.outcome, seen.reason


@KINDS
def test_it_logs_in_and_says_no_to_what_is_wrong(stack: Stack, kind: str) -> None:
    assert told(log_in(stack, kind)) == (PASSED, "logs in, and the answer is verified")
    wrong = log_in(stack, kind, password="no-such-password")
    assert wrong.outcome is REFUSED
    assert wrong.reason.startswith("asks for the password again after the password")
    other = log_in(stack, kind, subject="e-9999")
    assert (other.outcome, "somebody else" in other.reason) == (REFUSED, True)


@KINDS
def test_a_frozen_a_dead_and_a_wrong_server_are_broken(
    stack: Stack, authority: Authority, kind: str
) -> None:
    stack.active.freeze()
    frozen = log_in(stack, kind, timeout_s=5)
    stack.active.stop()
    dead = log_in(stack, kind, timeout_s=5)
    with maintenance(stack.active, authority):
        wrong = log_in(stack, kind, timeout_s=8)
    stack.active.start()
    back = log_in(stack, kind)

    assert frozen.outcome is BROKEN
    assert frozen.reason.startswith("no answer within ")
    assert told(dead) == (BROKEN, "takes no connection")
    assert told(wrong) == (BROKEN, "shows no login form")
    assert back.outcome is PASSED


SERVED = """
[[upstream.canary]]
name = "staff"
username = "carol"
password = "file:keys/canary.pw"
subject = "e-1003"

[failover]
canary_retry_s = 1
canary_timeout_s = 10
"""


def test_serve_runs_it_and_nobody_logs_in_as_it(
    rigs: Path, authority: Authority, active: SimpleSamlPhp, standby: SimpleSamlPhp
) -> None:
    party = Mellon(rigs, "served-party", authority)
    upstreams = (
        UpstreamChoice("active", active),
        UpstreamChoice("standby", standby, SHORT_SOURCES),
    )
    proxy = Proxy(rigs, "served", authority, party, upstreams, more_settings=SERVED)
    password = proxy.folder / "keys" / "canary.pw"
    password.touch(mode=0o600)
    password.write_text(CAROL.password)
    with proxy:
        proxy.introduce()
        seen = passed(proxy)
        proxy.serve_by("standby")
        with Browser(verify=authority.client_context()) as browser:
            page = run_login(browser, party, standby, CAROL)
        party.stop()

    assert (seen["upstream"], seen["name"], seen["host"]) == ("standby", "staff", "served")
    assert seen["reason"] == "logs in, and the answer is verified"
    assert_our_page(page, proxy, 403, "canary_account")


def passed(proxy: Proxy) -> dict[str, Any]:
    """The proxy's canary, once it has passed."""
    for _ in range(150):
        (canary,) = proxy.status()["canaries"]
        if canary["passed_at"] is not None:
            return dict(canary)
        time.sleep(0.2)
    raise AssertionError(canary)


class Maintenance(http.server.BaseHTTPRequestHandler):
    """A page with status 200 and nothing to log in by."""

    def do_GET(self) -> None:
        body = b"<html><title>Back soon</title><h1>We are working on it</h1></html>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


@contextmanager
def maintenance(instead_of: SimpleSamlPhp, authority: Authority) -> Iterator[None]:
    """Another server on the address of a stopped provider, with a certificate that is trusted."""
    port = urlsplit(instead_of.base_url).port or 443
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.server.certificate, authority.server.key)
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Maintenance) as running:
        running.socket = context.wrap_socket(running.socket, server_side=True)
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        yield
        running.shutdown()
        thread.join()
