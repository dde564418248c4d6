"""The other parties work, and refuse, among themselves: what a proxy between them must meet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote_plus

import pytest
from lxml import etree

from tests.support import keys, people
from tests.support import saml_wire as wire
from tests.support import xml_security as xs
from tests.support.browser import Browser
from tests.support.identity_provider import IdentityProvider, Provider, Sign
from tests.support.launch import address, in_thread, reserve
from tests.support.mattermost import DIRECT, Accounts, Mattermost, RelayStateForm, Settings, Signing
from tests.support.mattermost.authn_request import build
from tests.support.mattermost.metadata import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.browser import Page

ALICE = people.ALICE
_FLAGS = ("ForceAuthn", "IsPassive")


@dataclass(frozen=True, slots=True)
class _World:
    """An identity provider and Mattermost that know each other."""

    idp: IdentityProvider
    mattermost: Mattermost

    @property
    def start(self) -> str:
        return self.mattermost.settings.login_url

    def change_idp(self, **fields: object) -> None:
        self.idp.provider = replace(self.idp.provider, **fields)  # type: ignore[arg-type] # a table

    def change_mattermost(self, **fields: object) -> None:
        settings = replace(self.mattermost.settings, **fields)  # type: ignore[arg-type] # a table
        self.mattermost.settings = settings

    def login(self, user: str = "alice", password: str = "alice-pass") -> Page:
        with Browser() as browser:
            return browser.login(self.start, user, password)


@pytest.fixture(scope="module")
def shared() -> Iterator[_World]:
    idp_socket, sp_socket = reserve(), reserve()
    idp_url, sp_url = address(idp_socket), address(sp_socket)
    provider = Provider(
        entity_id=f"{idp_url}/metadata", sso_url=f"{idp_url}/sso", keys=keys.rsa_pair("idp")
    )
    settings = Settings(
        site_url=sp_url,
        idp_url=provider.sso_url,
        idp_descriptor_url=provider.entity_id,
        idp_certificate=provider.keys.certificate_pem,
        keys=keys.rsa_pair("sp"),
        attributes=DIRECT,
    )
    mattermost = Mattermost(settings)

    def service_provider() -> bytes:
        return metadata(mattermost.settings, now=mattermost.now())

    idp = IdentityProvider(provider, [service_provider])
    with in_thread(idp.app, idp_socket), in_thread(mattermost.app, sp_socket):
        yield _World(idp, mattermost)


@pytest.fixture
def world(shared: _World) -> Iterator[_World]:
    """Fresh accounts, and everything that the test changed put back after it."""
    provider, settings, now = shared.idp.provider, shared.mattermost.settings, shared.mattermost.now
    shared.mattermost.accounts = Accounts()
    shared.mattermost.failures.clear()
    yield shared
    shared.idp.provider, shared.mattermost.settings, shared.mattermost.now = provider, settings, now
    shared.idp.sessions = False


def test_the_right_password_logs_in_and_twice_is_the_same_account(world: _World) -> None:
    first, second = world.login(), world.login()
    assert first.title == second.title == "Welcome alice"
    assert first.text == second.text
    (account,) = [row for row in world.mattermost.accounts if row.username == "alice"]
    assert (account.auth_data, account.email) == (ALICE.employee_number, ALICE.mail)


def test_a_wrong_password_shows_the_form_again(world: _World) -> None:
    page = world.login(password="wrong")
    assert "User name or password is wrong." in page.text
    assert any(form.password_field for form in page.forms)


@pytest.mark.parametrize("sign", [Sign.ASSERTION, Sign.RESPONSE, Sign.BOTH])
@pytest.mark.parametrize("cipher", [None, xs.AES128_GCM, xs.AES256_GCM, xs.AES128_CBC])
def test_every_way_of_signing_and_encrypting_is_accepted(
    world: _World, sign: Sign, cipher: str | None
) -> None:
    world.change_idp(sign=sign, cipher=cipher)
    world.change_mattermost(encrypt=cipher is not None)
    assert world.login().title == "Welcome alice"


@pytest.mark.parametrize("signing", list(Signing))
@pytest.mark.parametrize("relay_state", list(RelayStateForm))
def test_every_way_of_asking_is_answered(
    world: _World, signing: Signing, relay_state: RelayStateForm
) -> None:
    world.change_mattermost(signing=signing, relay_state=relay_state)
    assert world.login().title == "Welcome alice"


@pytest.mark.parametrize(
    ("provider", "settings"),
    [
        ({"sign": Sign.NOTHING}, {}),
        ({"cipher": xs.AES128_GCM}, {"encrypt": False}),
        ({}, {"encrypt": True}),
        ({"cipher": xs.AES256_GCM}, {"encrypt": True, "version": (10, 8)}),
        ({"keys": keys.rsa_pair("another idp")}, {}),
        ({"entity_id": "https://somebody.example.org"}, {}),
        ({"attributes": {people.MAIL: "mail"}}, {}),
        ({"attributes": {}}, {}),
    ],
    ids=[
        "unsigned",
        "encrypted though Encrypt is off",
        "plain though Encrypt is on",
        "a cipher of 10.9 at 10.8",
        "another key",
        "another issuer",
        "without id",
        "without attributes",
    ],
)
def test_mattermost_refuses(
    world: _World, provider: dict[str, object], settings: dict[str, object]
) -> None:
    world.change_idp(**provider)
    world.change_mattermost(**settings)
    page = world.login()
    assert (page.title, page.status) == ("Error", 400)
    assert list(world.mattermost.accounts) == []
    assert len(world.mattermost.failures) == 1


def test_the_same_key_under_a_new_certificate_is_refused(world: _World) -> None:
    world.change_idp(keys=keys.certificate_again(world.idp.provider.keys))
    assert world.login().title == "Error"
    assert "trusted certs" in world.mattermost.failures[0].detail


def test_asking_without_an_encryption_certificate_gives_no_plaintext(world: _World) -> None:
    world.change_idp(cipher=xs.AES128_GCM)
    world.change_mattermost(keys=None)
    page = world.login()
    assert page.status == 500
    assert "no encryption certificate" in page.text


def test_an_unsigned_request_of_a_provider_that_signs_is_refused(world: _World) -> None:
    world.change_mattermost(signing=Signing.DETACHED)
    with Browser() as browser:
        honest = browser.get(world.start)
        assert any(form.password_field for form in honest.forms)
        stripped = honest.visited[-1].partition("&SigAlg")[0]
        assert "this one is unsigned" in browser.get(stripped).text
        changed = honest.visited[-1].replace("RelayState=", "RelayState=x")
        assert "signature in the query does not hold" in browser.get(changed).text


def test_force_authn_asks_again_and_is_passive_never_asks(world: _World) -> None:
    world.idp.sessions = True
    with Browser() as browser:
        browser.login(world.start, "alice", "alice-pass")
        forced, passive = (browser.get(_question(world, flag)) for flag in _FLAGS)
        assert [form.password_field for form in forced.forms] == ["password"]
        assert [form.carries_saml for form in passive.forms] == [True]
        assert browser.continue_login(passive).title == "Welcome alice"


def test_is_passive_without_a_session_is_answered_no_passive(world: _World) -> None:
    with Browser() as browser:
        (form,) = browser.get(_question(world, "IsPassive")).forms
    answer = wire.parse(wire.decode(form.fields["SAMLResponse"]))
    assert wire.NO_PASSIVE.encode() in wire.decode(form.fields["SAMLResponse"])
    assert xs.verifies(answer, world.idp.provider.keys.certificate_pem)
    assert answer.find("saml:Assertion", wire.NAMESPACES) is None


def test_a_relay_state_older_than_five_minutes_is_refused(world: _World) -> None:
    world.change_mattermost(relay_state=RelayStateForm.SEALED)
    with Browser() as browser:
        page = browser.get(world.start)
        form = next(form for form in page.forms if form.password_field)
        answer = browser.submit(page, form, {"username": "alice", "password": "alice-pass"})
        honest = world.mattermost.now
        world.mattermost.now = lambda: honest() + timedelta(minutes=6)
        assert browser.continue_login(answer).title == "Error"
        assert world.mattermost.failures[0].error_id == "relay_state.expired"


def test_a_response_before_its_time_is_refused_without_any_skew(world: _World) -> None:
    honest = world.mattermost.now
    world.mattermost.now = lambda: honest() - timedelta(minutes=1)
    assert world.login().title == "Error"
    assert "invalid_time" in world.mattermost.failures[-1].error_id


def _question(made: _World, flag: str) -> str:
    """The address of an AuthnRequest of Mattermost's with one more attribute."""
    request = build(made.mattermost.settings, now=made.mattermost.now())
    request.set(flag, "true")
    message = quote_plus(wire.deflate(etree.tostring(request)))
    return f"{made.idp.provider.sso_url}?SAMLRequest={message}"
