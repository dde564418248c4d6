"""What SimpleSAMLphp may sign and encrypt, and what is refused without the administrator's word."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.e2e.journeys import AT_ACTIVE, as_described_by_active, assert_our_page, log_in
from tests.e2e.peers.mellon import Mellon
from tests.e2e.peers.proxy import Proxy, UpstreamChoice
from tests.e2e.peers.simplesamlphp import SimpleSamlPhp, Style
from tests.support.people import ALICE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.peers.authority import Authority
    from tests.support.browser import Browser

pytestmark = pytest.mark.e2e


@dataclass(frozen=True, slots=True)
class Case:
    """One upstream: how it answers, and what the configuration expects of it."""

    style: Style
    require_signed: str = "both"
    decrypt: bool = False
    allow_aes_cbc: bool = False


_CBC = Style(encrypt=True)  # SimpleSAMLphp 1.19 encrypts with AES-128-CBC only

ACCEPTED = {
    "assertion-signed": Case(Style(sign_response=False), "assertion"),
    "response-signed": Case(Style(sign_assertion=False), "response"),
    "cbc-opted-in": Case(_CBC, decrypt=True, allow_aes_cbc=True),
}
REFUSED = {
    "nothing-signed": Case(Style(sign_response=False, sign_assertion=False), "assertion"),
    "assertion-unsigned": Case(Style(sign_assertion=False), "both"),
    "response-unsigned": Case(Style(sign_response=False), "both"),
    "cbc-not-opted-in": Case(_CBC, decrypt=True),
}


@pytest.fixture(scope="module")
def providers(rigs: Path, authority: Authority) -> Iterator[dict[str, SimpleSamlPhp]]:
    """One SimpleSAMLphp for each case."""
    made = {
        name: SimpleSamlPhp(rigs, name, authority, AT_ACTIVE, case.style)
        for name, case in (ACCEPTED | REFUSED).items()
    }
    for each in made.values():
        each.start()
    yield made
    for each in made.values():
        each.stop()


@pytest.fixture(scope="module")
def proxy(
    rigs: Path,
    authority: Authority,
    active: SimpleSamlPhp,
    providers: dict[str, SimpleSamlPhp],
    new_browser: Callable[[], Browser],
) -> Iterator[Proxy]:
    """One proxy with every case as a standby, and Alice in its roster."""
    party = Mellon(rigs, "styles", authority)
    upstreams = [UpstreamChoice("active", active)]
    for name, case in (ACCEPTED | REFUSED).items():
        upstreams.append(
            UpstreamChoice(
                name,
                providers[name],
                require_signed=case.require_signed,
                decrypt=case.decrypt,
                allow_aes_cbc=case.allow_aes_cbc,
            )
        )
    with Proxy(rigs, "proxy-styles", authority, party, upstreams) as running:
        running.introduce()
        for name, provider in providers.items():
            _let_have_its_way(running, name, provider)
        with new_browser() as browser:
            page = log_in(browser, party, active, ALICE)
        assert party.shown(page.body) == as_described_by_active(ALICE), page.text
        yield running
        party.stop()


def _let_have_its_way(proxy: Proxy, name: str, provider: SimpleSamlPhp) -> None:
    """SimpleSAMLphp obeys WantAssertionsSigned; here it shall answer as its own style says."""
    metadata = proxy.get(f"/upstream/{name}/metadata").text
    wanted = "true" if provider.style.sign_assertion else "false"
    changed, times = re.subn(
        r'WantAssertionsSigned="\w+"', f'WantAssertionsSigned="{wanted}"', metadata
    )
    assert times == 1
    provider.trust(proxy.name, changed)


@pytest.mark.parametrize("name", ACCEPTED)
def test_an_answer_in_the_agreed_style_is_accepted(
    proxy: Proxy,
    providers: dict[str, SimpleSamlPhp],
    new_browser: Callable[[], Browser],
    name: str,
) -> None:
    proxy.serve_by(name)
    with new_browser() as browser:
        page = log_in(browser, proxy.party, providers[name], ALICE)

    assert proxy.party.shown(page.body) == as_described_by_active(ALICE), page.text


@pytest.mark.parametrize("name", REFUSED)
def test_an_answer_in_a_weaker_style_is_refused(
    proxy: Proxy,
    providers: dict[str, SimpleSamlPhp],
    new_browser: Callable[[], Browser],
    name: str,
) -> None:
    proxy.serve_by(name)
    with new_browser() as browser:
        page = log_in(browser, proxy.party, providers[name], ALICE)

    assert_our_page(page, proxy, 403, "answer_refused")
