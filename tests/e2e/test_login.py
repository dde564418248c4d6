"""Logins through the proxy: real identity providers before it, real service providers behind it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from lxml import etree

from tests.e2e.journeys import (
    SENT_ATTRIBUTES,
    answer_of,
    as_described_by_active,
    log_in,
)
from tests.e2e.peers.mellon import Mellon
from tests.e2e.peers.shibboleth import ShibbolethSp
from tests.support.people import ALICE, CAROL, DAVE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.journeys import NewStack, Stack
    from tests.e2e.peers.authority import Authority
    from tests.e2e.peers.service_provider import ServiceProvider
    from tests.support.browser import Browser, Page

pytestmark = pytest.mark.e2e

_ASSERTION = "{urn:oasis:names:tc:SAML:2.0:assertion}"
_SIGNATURE = "{http://www.w3.org/2000/09/xmldsig#}Signature"


@pytest.fixture(
    scope="module",
    params=[
        ("mellon", False),
        ("mellon", True),
        ("shibboleth", False),
        ("shibboleth", True),
    ],
    ids=["mellon", "mellon-encrypted", "shibboleth", "shibboleth-encrypted"],
)
def stack(
    request: pytest.FixtureRequest, rigs: Path, authority: Authority, new_stack: NewStack
) -> Iterator[Stack]:
    """Requests are unsigned where Responses are only signed, signed where they are encrypted."""
    kind, encrypt = request.param
    name = f"{kind}-{'encrypted' if encrypt else 'signed'}"
    party: ServiceProvider
    if kind == "mellon":
        party = Mellon(rigs, name, authority, sign_requests=encrypt)
    else:
        party = ShibbolethSp(rigs, name, authority, SENT_ATTRIBUTES, sign_requests=encrypt)
    with new_stack(party, encrypt=encrypt) as running:
        yield running


def test_the_service_provider_sees_one_person_whoever_answered(
    stack: Stack, new_browser: Callable[[], Browser]
) -> None:
    people = (ALICE, CAROL, DAVE)
    pages: dict[str, list[Page]] = {}
    for step, provider in (
        ("active", stack.active),
        ("standby", stack.standby),
        ("active again", stack.active),
    ):
        stack.proxy.serve_by(step.split()[0])
        pages[step] = []
        for person in people:
            with new_browser() as browser:
                pages[step].append(log_in(browser, stack.party, provider, person))

    expected = [as_described_by_active(person) for person in people]
    for step, ended in pages.items():
        shown = [stack.party.shown(page.body) for page in ended]
        assert shown == expected, f"{step}: {[page.text for page in ended]}"


def test_the_response_is_signed_and_encrypted_as_configured(
    stack: Stack, new_browser: Callable[[], Browser]
) -> None:
    stack.proxy.serve_by("active")
    with new_browser() as browser:
        answer = answer_of(browser, stack.party, stack.active, ALICE)
        ours = browser.submit(answer, answer.forms[0])
    message = base64.b64decode(ours.forms[0].fields["SAMLResponse"])
    response = etree.fromstring(message)

    assert ours.url.startswith(stack.proxy.public_url)
    assert response[1].tag == _SIGNATURE
    if stack.proxy.encrypt:
        assert response.find(f"{_ASSERTION}Assertion") is None
        assert response.find(f"{_ASSERTION}EncryptedAssertion") is not None
        assert ALICE.mail.encode() not in message
    else:
        assertion = response.find(f"{_ASSERTION}Assertion")
        assert assertion is not None
        assert assertion[1].tag == _SIGNATURE


def test_the_operator_sees_what_was_done_and_an_unbroken_audit_chain(stack: Stack) -> None:
    stack.proxy.serve_by("standby")
    status = stack.proxy.status()
    verified = stack.proxy.command("verify-audit")

    assert status["serving"] == "standby"
    assert verified.returncode == 0, f"{verified.stdout}\n{verified.stderr}"
