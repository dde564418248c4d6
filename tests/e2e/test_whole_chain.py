"""The whole way in Chromium, over https and across sites: mod_auth_mellon in Mattermost's place,
the proxy, a real OpenLDAP as the standby under a floor above a password, and the second step.

Alice sets it up at /enroll behind a login at SimpleSAMLphp, and is the same person afterwards.
"""

from __future__ import annotations

import base64
import hashlib
import json
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Error as BrowserError
from playwright.sync_api import expect
from pyotp import TOTP
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from idp_proxy.adapters import open_store
from idp_proxy.config import load
from idp_proxy.saml.names import PASSWORD_PROTECTED_TRANSPORT, REFEDS_MFA
from idp_proxy.web.wording import Language, texts
from tests.e2e.journeys import as_described_by_active, log_in
from tests.e2e.peers.mellon import Mellon
from tests.e2e.peers.proxy import Proxy, UpstreamChoice
from tests.e2e.phone import Phone
from tests.e2e.test_browser import NARROW, Witness, fill_password, launched
from tests.support.directory import BASE, PASSWORD, READER, Certificates, Slapd, running
from tests.support.people import ALICE, BOB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser as Chromium
    from playwright.sync_api import BrowserContext

    from tests.e2e.peers.authority import Authority
    from tests.e2e.peers.simplesamlphp import SimpleSamlPhp
    from tests.support.browser import Browser
    from tests.support.people import Person

pytestmark = pytest.mark.e2e

#: Until the watch has seen the active often enough, on a busy machine.
UP_WITHIN_S = 30
WORD = "the directory's word"
_SETTINGS = """
[upstream.assurance.contexts]
"{by_active}" = "mfa"

[[upstream]]
name = "corp"
kind = "ldap"

[upstream.attributes]
link_key = "employeeNumber"

[upstream.directory]
urls = ["{url}"]
tls_ca = "{ca}"
bind_dn = "{reader}"
bind_password = "file:{word}"
base = "{base}"
user_filter = "(&(objectClass=inetOrgPerson)(uid={{username}}))"
probe_user = "alice"

[upstream.assurance.contexts]
"{by_step}" = "mfa"

[assurance]
levels = ["password", "mfa"]
floor = "mfa"

[failover]
profile = "fast"
"""


def entry(uid: str, number: str, word: str) -> str:
    lines = (
        f"dn: cn={uid},{BASE}",
        "objectClass: inetOrgPerson",
        f"cn: {uid}",
        # What else the directory says of her is not what Mattermost is told.
        "sn: Elsewhere",
        f"mail: {uid}@partner.example",
        f"uid: {uid}",
        f"employeeNumber: {number}",
        f"userPassword: {word}",
    )
    return "\n".join(lines) + "\n\n"


@pytest.fixture(scope="module")
def directory(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[tuple[Slapd, Path]]:
    """Alice and Bob by a password that SimpleSAMLphp does not know; with it, our account's word."""
    folder = tmp_path_factory.mktemp("corp")
    own = authority.server
    tls = Certificates(authority.bundle, own.certificate, own.key)
    people = "".join(entry(one.uid, one.employee_number, WORD) for one in (ALICE, BOB))
    word = folder / "reader"
    word.touch(mode=0o600)
    word.write_text(PASSWORD)
    with running(Slapd(folder, people, tls)) as slapd:
        yield slapd, word


@dataclass(frozen=True, slots=True)
class Chain:
    """Everything between Mattermost and the directory."""

    proxy: Proxy
    party: Mellon

    def wait_until_open(self) -> None:
        """The watch sees the active work: second factors can be set up."""
        waiting = Retrying(
            stop=stop_after_delay(UP_WITHIN_S),
            wait=wait_fixed(0.3),
            retry=retry_if_result(lambda verdict: verdict != "UP"),
        )
        waiting(self.verdict)

    def wrong_codes(self) -> int:
        """Of Alice, in a row."""
        with closing(open_store(load(self.proxy.configuration))) as store:
            return store.factor_tries_of(ALICE.employee_number).failures

    def verdict(self) -> str:
        known = self.proxy.status()["upstreams"]
        return str(next(one for one in known if one["name"] == "active")["verdict"]).upper()


@pytest.fixture(scope="module")
def chain(
    rigs: Path, authority: Authority, active: SimpleSamlPhp, directory: tuple[Slapd, Path]
) -> Iterator[Chain]:
    slapd, word = directory
    settings = _SETTINGS.format(
        by_active=PASSWORD_PROTECTED_TRANSPORT,
        by_step=REFEDS_MFA,
        url=slapd.urls[1],
        ca=authority.bundle,
        reader=READER,
        word=word,
        base=BASE,
    )
    party = Mellon(rigs, "chain", authority)
    upstreams = (UpstreamChoice("active", active),)
    with Proxy(rigs, "proxy-chain", authority, party, upstreams, more_settings=settings) as proxy:
        proxy.introduce()
        yield Chain(proxy, party)
        party.stop()


@pytest.fixture(scope="module")
def trusting(authority: Authority) -> Iterator[Chromium]:
    """A browser for which the parties' certificate is good: passkeys take no exception for one."""
    certificate = x509.load_pem_x509_certificate(authority.server.certificate.read_bytes())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    known = base64.b64encode(hashlib.sha256(key).digest()).decode()
    with launched(f"--ignore-certificate-errors-spki-list={known}") as browser:
        yield browser


@dataclass(kw_only=True)
class Alice(Phone):
    """In one language, at the pages of the chain."""

    chain: Chain
    language: Language
    witness: Witness

    @classmethod
    def reads(cls, chain: Chain, context: BrowserContext, language: Language) -> Alice:
        context.set_default_timeout(15_000)
        page = context.new_page()
        witness = Witness(chain.proxy.public_url)
        witness.watch(page)
        cdp = context.new_cdp_session(page)
        return cls(page, cdp, chain=chain, language=language, witness=witness)

    def say(self, *where: str) -> str:
        """What our pages say there in her language."""
        found: Any = texts(self.language)
        for name in where:
            found = found[name]
        return str(found).format(upstream="corp")

    def has_the_passkey(self, kept: dict[str, Any]) -> None:
        """Her device is at hand in this browser too, and counts on from where it stood: else it
        would be taken for a copy.
        """
        kept["signCount"] += 1
        passkey = {"authenticatorId": self.has_a_device(), "credential": kept}
        self.cdp.send("WebAuthn.addCredential", passkey)

    def see(self, name: str, *title: str) -> None:
        """The page has this heading, is fine, and is the same when it is loaded again."""
        expect(self.page.get_by_role("heading", level=1)).to_have_text(self.say(*title))
        self.look(f"chain-{name}-{self.language.value}")

    def reload(self, *title: str) -> None:
        """In the midst: what was typed is gone, and nothing else."""
        self.page.reload()
        expect(self.page.get_by_role("heading", level=1)).to_have_text(self.say(*title))

    def demand_logged_in(self) -> None:
        """At the service provider, as the very person whom the active described."""
        self.page.wait_for_url(f"{self.chain.party.origin}/**")
        shown = self.chain.party.shown(self.page.content())
        assert shown == as_described_by_active(ALICE), self.page.content()
        assert [one for one in self.witness.complaints if "status of 4" not in one] == []

    def log_in_at_active(self) -> None:
        self.page.goto(self.chain.party.protected_url)
        fill_password(self.page, ALICE)
        self.demand_logged_in()

    def go_to_the_directory(self) -> None:
        self.page.goto(self.chain.party.protected_url)
        assert self.page.url.startswith(f"{self.chain.proxy.public_url}/upstream/corp/login?")
        self.see("password", "directory_login", "title")
        self.reload("directory_login", "title")

    def give_password(self, word: str = WORD, of: Person = ALICE) -> None:
        self.write(username=of.uid, password=word)
        self.enter()

    def go_to_the_step(self) -> None:
        """By a wrong password and the right one, with a look at each page."""
        self.go_to_the_directory()
        self.give_password("wrong")
        alert = self.page.get_by_role("alert")
        expect(alert).to_have_text(self.say("directory_login", "problem"))
        self.see("password-wrong", "directory_login", "title")
        self.give_password()
        self.see("step", "factor_step", "title")
        self.reload("factor_step", "title")

    def demand_nothing_behind(self) -> None:
        """Back from Mattermost: nothing that was typed, and no message, is shown again."""
        for _ in range(2):
            with suppress(BrowserError):  # our pages are no-store: nothing of a form was kept
                self.page.go_back()
            shown = self.page.content()
            assert WORD not in shown
            assert "SAMLResponse" not in shown


@pytest.fixture(scope="module")
def enrolled(
    chain: Chain,
    trusting: Chromium,
    active: SimpleSamlPhp,
    new_browser: Callable[[], Browser],
) -> tuple[str, dict[str, Any]]:
    """Alice has set up an app and a passkey while the active served, Bob has not, and then it
    failed: the app's secret, and the passkey as her device keeps it.
    """
    chain.wait_until_open()
    with new_browser() as browser:
        log_in(browser, chain.party, active, BOB)
    with trusting.new_context(viewport=NARROW, locale="en-GB") as context:
        alice = Alice.reads(chain, context, Language.EN)
        alice.log_in_at_active()
        device = alice.has_a_device()
        page = alice.page
        page.goto(f"{chain.proxy.public_url}/enroll")
        alice.see("enroll", "enroll", "begin", "title")
        alice.reload("enroll", "begin", "title")
        alice.press(alice.say("enroll", "begin", "button"))
        # It is asked for a fresh login, though she just logged in there.
        fill_password(page, ALICE)
        page.wait_for_url("**/enroll/factors")
        alice.reload("enroll", "list", "title")
        secret = set_up_app(alice)
        alice.press(alice.say("enroll", "list", "passkey"))
        alice.see("enroll-passkey", "enroll", "passkey", "title")
        alice.press(alice.say("enroll", "passkey", "button"))
        expect(page.get_by_role("status")).to_have_text(alice.say("enroll", "done", "passkey"))
        alice.see("enrolled", "enroll", "list", "title")
        kept = alice.cdp.send("WebAuthn.getCredentials", {"authenticatorId": device})
        (passkey,) = kept["credentials"]
        assert alice.witness.complaints == []
    chain.proxy.serve_by("corp")
    return secret, passkey


def set_up_app(alice: Alice) -> str:
    page = alice.page
    alice.press(alice.say("enroll", "list", "code"))
    alice.see("enroll-app", "enroll", "code", "title")
    secret = page.locator("main code").inner_text().replace(" ", "")
    alice.type_code(TOTP(secret).now())
    expect(page.get_by_role("status")).to_have_text(alice.say("enroll", "done", "code"))
    page.reload()  # and nothing is sent again
    return secret


def test_a_password_and_a_code_lead_to_mattermost_as_the_same_person(
    chain: Chain, trusting: Chromium, enrolled: tuple[str, dict[str, Any]]
) -> None:
    with trusting.new_context(viewport=NARROW, locale="en-GB") as context:
        alice = Alice.reads(chain, context, Language.EN)
        alice.go_to_the_step()
        alice.type_code("000000")
        wrong = alice.page.get_by_role("alert").first
        expect(wrong).to_have_text(alice.say("factor_step", "problem", "wrong"))
        alice.see("step-wrong", "factor_step", "title")
        alice.reload("factor_step", "title")
        assert chain.wrong_codes() == 1
        # The code that set the app up is used up by that: the next one counts.
        ahead = datetime.now(UTC) + timedelta(seconds=30)
        alice.write(code=TOTP(enrolled[0]).at(ahead))
        alice.page.keyboard.press("Enter")
        alice.demand_logged_in()
        alice.demand_nothing_behind()


def test_a_password_and_a_passkey_do_so_too(
    chain: Chain, trusting: Chromium, enrolled: tuple[str, dict[str, Any]]
) -> None:
    with trusting.new_context(viewport=NARROW, locale="de-DE") as context:
        alice = Alice.reads(chain, context, Language.DE)
        alice.has_the_passkey(enrolled[1])
        alice.go_to_the_step()
        alice.press(alice.say("factor_step", "use_passkey"), moves=False)
        alice.demand_logged_in()
        alice.demand_nothing_behind()
    log = chain.proxy.process.log.read_text()
    assert WORD not in log
    assert enrolled[0] not in log


def test_a_rehearsal_goes_the_same_way_and_ends_on_a_page_of_ours(
    chain: Chain, trusting: Chromium, enrolled: tuple[str, dict[str, Any]]
) -> None:
    done = chain.proxy.command("rehearse", "corp", "--no-wait", "--json")
    assert "a second step" in done.stderr
    with trusting.new_context(viewport=NARROW, locale="de-DE") as context:
        alice = Alice.reads(chain, context, Language.DE)
        alice.has_the_passkey(enrolled[1])
        alice.page.goto(json.loads(done.stdout)["link"])
        alice.see("rehearse", "rehearse", "rehearsal", "title")
        alice.press(alice.say("rehearse", "rehearsal", "button"))
        alice.see("rehearse-password", "directory_login", "rehearsal_title")
        alice.give_password()
        alice.see("rehearse-step", "factor_step", "title")
        alice.reload("factor_step", "title")
        alice.press(alice.say("factor_step", "use_passkey"), moves=False)
        alice.page.get_by_role("status").wait_for()
        alice.see("rehearsed", "rehearsed", "title")
        assert alice.witness.complaints == []
    known = chain.proxy.status()["upstreams"]
    assert next(one for one in known if one["name"] == "corp")["proven_at"]


def test_who_set_nothing_up_reads_why(
    chain: Chain,
    trusting: Chromium,
    enrolled: tuple[str, dict[str, Any]],
) -> None:
    assert enrolled  # and with it: the directory serves
    with trusting.new_context(viewport=NARROW, locale="de-DE") as context:
        bob = Alice.reads(chain, context, Language.DE)
        bob.page.goto(chain.party.protected_url)
        bob.give_password(of=BOB)
        bob.see("missing", "errors", "second_factor_missing", "title")
