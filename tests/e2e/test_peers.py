"""The real parts among themselves: when these hold, a failure elsewhere is the proxy's."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

import pytest

from tests.e2e.peers.mellon import Mellon
from tests.e2e.peers.shibboleth import ShibbolethSp
from tests.e2e.peers.simplesamlphp import SimpleSamlPhp, Style
from tests.e2e.visitor import Visitor
from tests.support.people import ALICE, OID_ATTRIBUTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.peers.authority import Authority
    from tests.e2e.peers.service_provider import ServiceProvider

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def provider(rigs: Path) -> Iterator[SimpleSamlPhp]:
    with SimpleSamlPhp(rigs, "direct", {"alice": ALICE}) as running:
        yield running


@pytest.fixture(scope="module", params=["mellon", "shibboleth"])
def connected(
    request: pytest.FixtureRequest, rigs: Path, provider: SimpleSamlPhp
) -> Iterator[ServiceProvider]:
    party: ServiceProvider
    if request.param == "mellon":
        party = Mellon(rigs, "direct-mellon")
    else:
        party = ShibbolethSp(rigs, "direct-shibboleth", tuple(OID_ATTRIBUTES))
    with Visitor() as visitor:
        party.start(provider.entity_id, visitor.open(provider.entity_id).text)
    provider.trust(str(request.param), party.metadata())
    yield party
    party.stop()


def test_a_person_logs_in_without_the_proxy(connected: ServiceProvider) -> None:
    with Visitor() as visitor:
        page = visitor.log_in(connected.protected_url, "alice", ALICE.password)

    shown = connected.shown(page.text)
    assert shown is not None, page.text
    assert shown.name_id == ALICE.employee_number
    assert dict(shown.attributes) == ALICE.attributes(OID_ATTRIBUTES)


def test_a_wrong_password_is_asked_again(connected: ServiceProvider) -> None:
    with Visitor() as visitor:
        page = visitor.log_in(connected.protected_url, "alice", "wrong")

    assert page.asks_password
    assert connected.shown(page.text) is None


def test_a_service_provider_refuses_a_changed_answer(connected: ServiceProvider) -> None:
    with Visitor() as visitor:
        asked = visitor.until_login(visitor.open(connected.protected_url))
        answer = visitor.submit(asked, username="alice", password=ALICE.password)
        assert answer.posts_saml
        assert answer.form is not None
        message = base64.b64decode(answer.form.fields["SAMLResponse"])
        changed = re.sub(rb"alice@example\.org", b"admin@example.org", message)
        assert changed != message
        page = visitor.submit(answer, SAMLResponse=base64.b64encode(changed).decode())

    assert page.status in {400, 500}
    assert connected.shown(page.text) is None


def test_https_parts_work_together(rigs: Path, authority: Authority) -> None:
    trust = authority.client_context()
    provider = SimpleSamlPhp(rigs, "direct-tls", {"alice": ALICE}, Style(), authority)
    party = Mellon(rigs, "direct-mellon-tls", sign_requests=True, authority=authority)
    with provider, Visitor(trust) as visitor:
        party.start(provider.entity_id, visitor.open(provider.entity_id).text)
        provider.trust("mellon", party.metadata())
        page = visitor.log_in(party.protected_url, "alice", ALICE.password)
        party.stop()

    shown = party.shown(page.text)
    assert shown is not None, page.text
    assert shown.name_id == ALICE.employee_number
    assert all(url.startswith("https://") for url in visitor.seen)
