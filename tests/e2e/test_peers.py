"""The real parts among themselves: when these hold, a failure elsewhere is the proxy's."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from tests.e2e.peers.mellon import Mellon
from tests.e2e.peers.rendering import demand, program
from tests.e2e.peers.shibboleth import ShibbolethSp
from tests.e2e.peers.simplesamlphp import SimpleSamlPhp
from tests.support.people import ALICE, DAVE, OID_ATTRIBUTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.peers.authority import Authority
    from tests.e2e.peers.service_provider import ServiceProvider
    from tests.support.browser import Browser
    from tests.support.people import Person

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def provider(rigs: Path, authority: Authority) -> Iterator[SimpleSamlPhp]:
    people = {person.uid: person for person in (ALICE, DAVE)}
    with SimpleSamlPhp(rigs, "direct", authority, people) as running:
        yield running


@pytest.fixture(scope="module", params=["mellon", "shibboleth"])
def party(
    request: pytest.FixtureRequest,
    rigs: Path,
    authority: Authority,
    provider: SimpleSamlPhp,
) -> Iterator[ServiceProvider]:
    """A service provider that trusts SimpleSAMLphp directly, and signs its requests."""
    made: ServiceProvider
    if request.param == "mellon":
        made = Mellon(rigs, "direct-mellon", authority, sign_requests=True)
    else:
        made = ShibbolethSp(
            rigs, "direct-shibboleth", authority, tuple(OID_ATTRIBUTES), sign_requests=True
        )
    made.start(provider.entity_id, provider.saved_metadata)
    provider.trust(str(request.param), made.metadata())
    yield made
    made.stop()


@pytest.mark.parametrize("person", [ALICE, DAVE], ids=lambda person: str(person.uid))
def test_a_person_logs_in_without_the_proxy(
    party: ServiceProvider, new_browser: Callable[[], Browser], person: Person
) -> None:
    with new_browser() as browser:
        page = browser.login(party.protected_url, person.uid, person.password)

    shown = party.shown(page.body)
    assert shown is not None, page.text
    assert shown.name_id == person.employee_number
    assert dict(shown.attributes) == person.attributes(OID_ATTRIBUTES)


def test_a_missing_package_is_named_with_the_way_to_install_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"shibd is missing; run tests/e2e/install\.sh"):
        program(str(tmp_path / "shibd"))
    with pytest.raises(FileNotFoundError, match=r"package libapache2-mod-shib\) is missing"):
        demand(tmp_path / "mod_shib.so", "libapache2-mod-shib")


def test_a_wrong_password_is_asked_again(
    party: ServiceProvider, new_browser: Callable[[], Browser]
) -> None:
    with new_browser() as browser:
        page = browser.login(party.protected_url, ALICE.uid, "wrong")

    assert any(form.password_field for form in page.forms)
    assert party.shown(page.body) is None


def test_a_service_provider_refuses_a_changed_answer(
    party: ServiceProvider, new_browser: Callable[[], Browser]
) -> None:
    with new_browser() as browser:
        asked = browser.get(party.protected_url)
        typed = {"username": ALICE.uid, "password": ALICE.password}
        answer = browser.submit(asked, asked.forms[0], typed)
        message = base64.b64decode(answer.forms[0].fields["SAMLResponse"])
        changed = message.replace(b"alice@example.org", b"admin@example.org")
        assert changed != message
        forged = {"SAMLResponse": base64.b64encode(changed).decode()}
        page = browser.submit(answer, answer.forms[0], forged)

    assert page.status in {400, 500}
    assert party.shown(page.body) is None
