"""People who are logged in at the upstream already, and service providers that say what of it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from lxml import etree

from tests.e2e.journeys import SENT_ATTRIBUTES, as_described_by_active, log_in
from tests.e2e.peers.shibboleth import ShibbolethSp
from tests.support.people import ALICE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.journeys import NewStack, Stack
    from tests.e2e.peers.authority import Authority
    from tests.support.browser import Browser

pytestmark = pytest.mark.e2e

_NO_PASSIVE = "urn:oasis:names:tc:SAML:2.0:status:NoPassive"
_PROTOCOL = "{urn:oasis:names:tc:SAML:2.0:protocol}"
_SIGNATURE = "{http://www.w3.org/2000/09/xmldsig#}Signature"


@pytest.fixture(scope="module")
def stack(rigs: Path, authority: Authority, new_stack: NewStack) -> Iterator[Stack]:
    party = ShibbolethSp(rigs, "sessions", authority, SENT_ATTRIBUTES)
    with new_stack(party) as running:
        yield running


def test_who_has_a_session_at_the_upstream_is_not_asked_again(
    stack: Stack, new_browser: Callable[[], Browser]
) -> None:
    with new_browser() as browser:
        log_in(browser, stack.party, stack.active, ALICE)
        again = browser.continue_login(browser.get(login_of(stack, stack.party.protected_url)))

    assert stack.party.shown(again.body) == as_described_by_active(ALICE), again.text


def test_a_fresh_authentication_is_passed_on_to_the_upstream(
    stack: Stack, new_browser: Callable[[], Browser]
) -> None:
    forced = login_of(stack, stack.party.protected_url, forceAuthn="true")
    with new_browser() as browser:
        log_in(browser, stack.party, stack.active, ALICE)
        asked = browser.continue_login(browser.get(forced))
        assert asked.forms[0].password_field, asked.text
        typed = {"username": ALICE.uid, "password": ALICE.password}
        page = browser.continue_login(browser.submit(asked, asked.forms[0], typed))

    assert stack.party.shown(page.body) == as_described_by_active(ALICE), page.text


def test_a_passive_login_with_a_session_shows_no_page(
    stack: Stack, new_browser: Callable[[], Browser]
) -> None:
    passive = login_of(stack, stack.party.protected_url, isPassive="true")
    with new_browser() as browser:
        log_in(browser, stack.party, stack.active, ALICE)
        page = browser.continue_login(browser.get(passive))

    assert stack.party.shown(page.body) == as_described_by_active(ALICE), page.text


def test_a_passive_login_without_a_session_goes_back_with_a_signed_no_passive(
    stack: Stack, new_browser: Callable[[], Browser]
) -> None:
    open_page = f"{stack.party.origin}/"
    with new_browser() as browser:
        answer = browser.get(login_of(stack, open_page, isPassive="true"))
        ours = browser.submit(answer, answer.forms[0])
        back = browser.continue_login(ours)
    response = etree.fromstring(base64.b64decode(ours.forms[0].fields["SAMLResponse"]))

    assert ours.url.startswith(stack.proxy.public_url)
    assert response[1].tag == _SIGNATURE
    assert _NO_PASSIVE in [code.get("Value") for code in response.iter(f"{_PROTOCOL}StatusCode")]
    assert (back.url, back.status) == (open_page, 200)
    assert stack.party.shown(back.body) is None


def login_of(stack: Stack, target: str, **wishes: str) -> str:
    """Where Shibboleth begins a login with wishes of its own (its session initiator)."""
    return f"{stack.party.origin}/Shibboleth.sso/Login?{urlencode({'target': target, **wishes})}"
