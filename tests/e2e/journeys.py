"""What people do in these tests, and who they are to each party."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from tests.e2e.peers.service_provider import Shown
from tests.support.people import ALICE, BOB, CAROL, DAVE, Person

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tests.e2e.peers.proxy import Proxy
    from tests.e2e.peers.service_provider import ServiceProvider
    from tests.e2e.peers.simplesamlphp import SimpleSamlPhp
    from tests.support.browser import Browser, Page

#: Somebody whom only the standby knows.
ERIN = Person("erin", "e-2001", "erin@example.org", "Erin", "Elsewhere", "erin-pass")

AT_ACTIVE = {person.uid: person for person in (ALICE, BOB, CAROL, DAVE)}

#: The standby describes people otherwise; the employee number is all that both have.
AT_STANDBY = {
    name: replace(person, uid=f"{name}.elsewhere", mail=f"{name}@partner.example", given_name="X")
    for name, person in AT_ACTIVE.items()
} | {"erin": ERIN}

SHORT_SOURCES = {
    "id": "employeeNumber",
    "email": "mail",
    "username": "uid",
    "first_name": "givenName",
    "last_name": "sn",
}

#: How the proxy names its attributes to the service provider (see files/proxy/idp-proxy.toml.j2).
SENT_ATTRIBUTES = ("id", "email", "username", "firstname", "lastname")


@dataclass(frozen=True, slots=True)
class Stack:
    """A proxy between one service provider and two SimpleSAMLphp."""

    proxy: Proxy
    party: ServiceProvider
    active: SimpleSamlPhp
    standby: SimpleSamlPhp


class NewStack(Protocol):
    """Runs a stack for one service provider, which is started and stopped with it."""

    def __call__(
        self,
        party: ServiceProvider,
        *,
        encrypt: bool = False,
        own_active: SimpleSamlPhp | None = None,
    ) -> AbstractContextManager[Stack]:
        """A context manager of the running stack; an active of its own may be stopped."""


def as_described_by_active(person: Person) -> Shown:
    """What the service provider's application must see of a person, whoever answered."""
    return Shown(
        person.employee_number,
        {
            "id": person.employee_number,
            "email": person.mail.lower(),
            "username": person.uid,
            "firstname": person.given_name,
            "lastname": person.surname,
        },
    )


def answer_of(
    browser: Browser, party: ServiceProvider, provider: SimpleSamlPhp, person: Person
) -> Page:
    """Start at the service provider, log in at `provider`: the page that posts its answer."""
    asked = browser.continue_login(browser.get(party.protected_url))
    assert asked.url.startswith(provider.base_url), f"{asked.status} {asked.url}: {asked.text}"
    typed = {"username": person.uid, "password": person.password}
    return browser.submit(asked, asked.forms[0], typed)


def log_in(
    browser: Browser, party: ServiceProvider, provider: SimpleSamlPhp, person: Person
) -> Page:
    """The whole login, to the page where it ends."""
    return browser.continue_login(answer_of(browser, party, provider, person))


def assert_our_page(page: Page, proxy: Proxy, status: int, code: str) -> None:
    """A page of ours with this code, that carries no SAML message on."""
    assert page.url.startswith(proxy.public_url), page.url
    assert page.status == status, f"{page.status}: {page.text}"
    assert code in {node.text for node in page.document.iter("code")}, page.text
    assert not any(form.carries_saml for form in page.forms)
