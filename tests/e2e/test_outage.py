"""The active is gone: the operator's switch, and a start while every upstream is down."""

from __future__ import annotations

import shlex
from functools import partial
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.e2e.journeys import (
    AT_ACTIVE,
    AT_STANDBY,
    SHORT_SOURCES,
    as_described_by_active,
    log_in,
)
from tests.e2e.peers.mellon import Mellon
from tests.e2e.peers.proxy import Proxy, UpstreamChoice
from tests.e2e.peers.simplesamlphp import SimpleSamlPhp, Style
from tests.support.browser import Browser
from tests.support.people import ALICE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.e2e.journeys import NewStack
    from tests.e2e.peers.authority import Authority

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("fault", [SimpleSamlPhp.stop, SimpleSamlPhp.freeze])
def test_people_log_in_by_the_standby_while_the_active_is_gone(
    rigs: Path, authority: Authority, new_stack: NewStack, fault: Callable[[SimpleSamlPhp], None]
) -> None:
    name = fault.__name__
    new_browser = partial(Browser, verify=authority.client_context(), timeout_s=2)
    own_active = SimpleSamlPhp(rigs, f"own-{name}", authority, AT_ACTIVE)
    party = Mellon(rigs, f"outage-{name}", authority)
    with own_active, new_stack(party, own_active=own_active) as stack:
        with new_browser() as browser:
            before = log_in(browser, party, own_active, ALICE)
        fault(own_active)
        with new_browser() as browser, pytest.raises(httpx.TransportError):
            browser.get(party.protected_url)
        stack.proxy.serve_by("standby")
        with new_browser() as browser:
            during = log_in(browser, party, stack.standby, ALICE)
        own_active.stop()
        own_active.start()
        stack.proxy.serve_by("active")
        with new_browser() as browser:
            after = log_in(browser, party, own_active, ALICE)

    expected = as_described_by_active(ALICE)
    assert [party.shown(page.body) for page in (before, during, after)] == [expected] * 3


@pytest.mark.parametrize("by_url", [False, True], ids=["metadata-file", "last-good-copy"])
def test_the_proxy_starts_while_every_upstream_is_down(
    rigs: Path, authority: Authority, new_browser: Callable[[], Browser], *, by_url: bool
) -> None:
    kind = "url" if by_url else "file"
    first = SimpleSamlPhp(rigs, f"first-{kind}", authority, AT_ACTIVE)
    second = SimpleSamlPhp(rigs, f"second-{kind}", authority, AT_STANDBY, Style(oid_names=False))
    party = Mellon(rigs, f"start-{kind}", authority)
    with first, second:
        upstreams = (
            UpstreamChoice("active", first, by_url=by_url),
            UpstreamChoice("standby", second, SHORT_SOURCES, by_url=by_url),
        )
        proxy = Proxy(rigs, f"proxy-start-{kind}", authority, party, upstreams)
        with proxy:
            if by_url:
                approve_metadata(proxy)
            proxy.introduce()
            with new_browser() as browser:
                before = log_in(browser, party, first, ALICE)
        first.stop()
        second.stop()
        with proxy:
            ready = proxy.get("/readyz").status_code
            proxy.serve_by("standby")
            second.start()
            with new_browser() as browser:
                during = log_in(browser, party, second, ALICE)
        party.stop()

    assert ready == 200
    expected = as_described_by_active(ALICE)
    assert [party.shown(page.body) for page in (before, during)] == [expected] * 2


def approve_metadata(proxy: Proxy) -> None:
    """As an administrator does after comparing the keys: run the command that was proposed."""
    for upstream in proxy.upstreams:
        shown = proxy.command("metadata", "diff", upstream.name)
        proposed = shlex.split(shown.stdout.splitlines()[-1])
        assert proposed[:5] == ["next:", "idp-proxy", "metadata", "approve", upstream.name]
        approved = proxy.command(*proposed[2:])
        assert approved.returncode == 0, f"{approved.stdout}\n{approved.stderr}"
