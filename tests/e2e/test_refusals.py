"""What must not become a login, on real parts: each refusal is a page of ours that says so."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit, urlunsplit

import pytest

from tests.e2e.journeys import ERIN, answer_of, assert_our_page, log_in
from tests.e2e.peers.mellon import Mellon
from tests.support.people import ALICE, BOB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.journeys import NewStack, Stack
    from tests.e2e.peers.authority import Authority
    from tests.support.browser import Browser

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def stack(rigs: Path, authority: Authority, new_stack: NewStack) -> Iterator[Stack]:
    """A service provider that must sign its requests."""
    with new_stack(Mellon(rigs, "refusals", authority, sign_requests=True)) as running:
        yield running


def test_somebody_the_active_never_named_is_refused_by_the_standby(
    stack: Stack, new_browser: Callable[[], Browser]
) -> None:
    stack.proxy.serve_by("standby")
    with new_browser() as browser:
        page = log_in(browser, stack.party, stack.standby, ERIN)

    assert_our_page(page, stack.proxy, 403, "person_unknown")


def test_an_answer_of_an_upstream_that_was_disabled_meanwhile_is_refused(
    stack: Stack, new_browser: Callable[[], Browser]
) -> None:
    stack.proxy.serve_by("active")
    with new_browser() as browser:
        assert stack.party.shown(log_in(browser, stack.party, stack.active, BOB).body)
    stack.proxy.serve_by("standby")
    with new_browser() as browser:
        answer = answer_of(browser, stack.party, stack.standby, BOB)
        stack.proxy.serve_by("active")
        stack.proxy.operate("upstream", "disable", "standby", "--reason", "compromised")
        page = browser.continue_login(answer)
    stack.proxy.operate("upstream", "enable", "standby", "--reason", "cleared")

    assert_our_page(page, stack.proxy, 409, "login_not_asked")


def test_an_answer_of_the_upstream_counts_once(
    stack: Stack, new_browser: Callable[[], Browser]
) -> None:
    stack.proxy.serve_by("active")
    with new_browser() as browser:
        answer = answer_of(browser, stack.party, stack.active, ALICE)
        first = browser.submit(answer, answer.forms[0])
        second = browser.submit(answer, answer.forms[0])

    assert first.forms[0].carries_saml
    assert_our_page(second, stack.proxy, 409, "login_repeated")


def test_an_answer_carried_to_another_browser_is_refused(
    stack: Stack, new_browser: Callable[[], Browser]
) -> None:
    stack.proxy.serve_by("active")
    with new_browser() as thief, new_browser() as victim:
        answer = answer_of(thief, stack.party, stack.active, ALICE)
        page = victim.submit(answer, answer.forms[0])

    assert_our_page(page, stack.proxy, 400, "login_unknown")


def test_an_answer_posted_to_another_upstreams_address_is_refused(
    stack: Stack, new_browser: Callable[[], Browser]
) -> None:
    stack.proxy.serve_by("active")
    with new_browser() as browser:
        answer = answer_of(browser, stack.party, stack.active, ALICE)
        elsewhere = answer.forms[0].action.replace("/upstream/active/", "/upstream/standby/")
        assert elsewhere != answer.forms[0].action
        page = browser.submit(answer, replace(answer.forms[0], action=elsewhere))

    assert_our_page(page, stack.proxy, 409, "login_not_asked")


def test_an_answer_that_an_upstream_sends_unasked_is_refused(
    stack: Stack, new_browser: Callable[[], Browser]
) -> None:
    """As a tile on the upstream's dashboard does."""
    stack.proxy.serve_by("active")
    ours = f"{stack.proxy.public_url}/upstream/active/metadata"
    tile = f"{stack.active.base_url}saml2/idp/SSOService.php?{urlencode({'spentityid': ours})}"
    with new_browser() as browser:
        page = browser.login(tile, ALICE.uid, ALICE.password)

    assert_our_page(page, stack.proxy, 400, "login_unsolicited")


def test_a_request_without_the_demanded_signature_is_refused(
    stack: Stack, new_browser: Callable[[], Browser]
) -> None:
    stack.proxy.serve_by("active")
    with new_browser() as browser:
        asked = browser.get(stack.party.protected_url)
        ours = next(url for url in asked.visited if url.startswith(stack.proxy.public_url))
        parts = urlsplit(ours)
        kept = [
            each
            for each in parts.query.split("&")
            if not each.startswith(("Signature=", "SigAlg="))
        ]
        unsigned = urlunsplit(parts._replace(query="&".join(kept)))
        page = browser.get(unsigned)

    assert "Signature=" in ours
    assert_our_page(page, stack.proxy, 400, "request_invalid")
