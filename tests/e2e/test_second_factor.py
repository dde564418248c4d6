"""A second factor in a real browser: set up at /enroll, and used behind a right password.

Proxy and active are on localhost: there passkeys, and cookies that are not Secure, need no TLS.
Both are served from this process.
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from playwright.sync_api import expect
from pyotp import TOTP

from idp_proxy.adapters import new_id, open_switchboard, open_upstreams, utc_now
from idp_proxy.app import build
from idp_proxy.decision.fleet import HostReport
from idp_proxy.decision.health import Track, Verdict
from idp_proxy.decision.subject import Evidence, Subject
from idp_proxy.password_proven import PURPOSE as STEP
from idp_proxy.password_proven import PasswordProven, sealed_proof
from idp_proxy.saml.names import PASSWORD_PROTECTED_TRANSPORT
from idp_proxy.seal import KeyRing
from idp_proxy.seen_contexts import ContextMeter
from idp_proxy.store.memory import MemoryStore
from idp_proxy.traffic import TrafficMeter
from idp_proxy.transaction import CookieStyle, LoginTransaction, seal
from idp_proxy.web.pages import Pages
from tests.e2e.phone import Phone
from tests.e2e.test_browser import NARROW, chromium
from tests.flows import configuration
from tests.flows.configuration import MATTERMOST_PATH, SITE, Wanted
from tests.flows.stage import described
from tests.flows.test_enrolment import _DIRECTORY, LEVELS, worth
from tests.support import identity_provider as idp
from tests.support.identity_provider import IdentityProvider, Provider
from tests.support.keys import rsa_pair, tls_pair
from tests.support.people import ALICE
from tests.support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser as Chromium
    from playwright.sync_api import BrowserContext, Route

    from idp_proxy.config import Settings

__all__ = ["chromium"]
pytestmark = pytest.mark.e2e


@contextmanager
def served(app: Any, port: int) -> Iterator[None]:
    """`app` on loopback, in a thread of this process."""
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=port, log_level="critical", lifespan="off")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(10)


@dataclass(slots=True)
class Place:
    """The proxy, what it knows, and the people's way to it."""

    url: str
    settings: Settings
    store: MemoryStore
    alarmed: list[str] = field(default_factory=list)

    def see(self, verdict: Verdict = Verdict.UP) -> None:
        now = self.store.clock()
        tracks = {"active": Track(verdict, passes=9, since=now, at=now, passed_at=now)}
        self.store.publish(HostReport("sso1", now, tracks))

    def serve(self, upstream: str) -> None:
        """Send new logins there, as a switch does."""
        state = self.store.switch_state()
        assert state is not None
        with self.store.transaction() as tx:
            tx.swap(state.epoch, replace(state, epoch=state.epoch + 1, serving=upstream))
        time.sleep(1.1)  # a worker's view is that old at most

    def password_was_right(self, context: BrowserContext) -> str:
        """What the directory's page leaves behind in a browser; the address of the step."""
        keys, now, tid = self.settings.proxy.state_keys, datetime.now(UTC), new_id()
        evidence = Evidence(now, PASSWORD_PROTECTED_TRANSPORT, ("https://corp",))
        subject = Subject("corp", ALICE.employee_number, {}, evidence)
        login = LoginTransaction(
            tid=tid,
            started_at=now.replace(microsecond=0),
            sp_request_id=f"_{new_id()}",
            relay_state="relay",
            acs_url=MATTERMOST_PATH,
            upstream="corp",
            entity_id=f"{self.url}/upstream/corp",
            epoch=1,
            request_id=f"_{new_id()}",
            force_authn=False,
            is_passive=False,
        )
        style = CookieStyle(insecure=True)
        proof = sealed_proof(PasswordProven(tid, "corp", subject, now), KeyRing(keys, STEP))
        values = {
            style.name(tid): seal(login, KeyRing(keys, "login")),
            replace(style, purpose="factor").name(tid): proof,
        }
        context.add_cookies(
            [{"name": name, "value": value, "url": self.url} for name, value in values.items()]
        )
        return f"{self.url}/upstream/corp/factor?login={tid}"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    port, at_active = free_port(), free_port()
    base, url = f"http://localhost:{at_active}", f"http://localhost:{port}"
    provider = Provider(f"{base}/metadata", f"{base}/sso", rsa_pair("idp-active"))
    tls_pair("localhost").write(tmp_path / "keys", "directory-ca")
    wanted = Wanted(
        public=url,
        proxy="insecure_loopback = true",
        directory=worth("mfa") + _DIRECTORY + LEVELS,
        metadata={"active": idp.metadata(provider)},
    )
    settings = configuration.write(tmp_path, wanted)
    store, upstreams = MemoryStore("sso1"), open_upstreams(settings)
    open_switchboard(store, upstreams, utc_now).current()
    app = build(settings, store, None, upstreams, TrafficMeter(), ContextMeter())
    active = IdentityProvider(provider, [lambda: described(upstreams["active"])], sessions=True)
    with ExitStack() as running:
        running.enter_context(served(app, port))
        running.enter_context(served(active.app, at_active))
        found = Place(url, settings, store)
        found.see()
        with store.transaction() as tx:
            tx.save_person(_alice())
        yield found


def _alice() -> Any:
    from idp_proxy.decision.roster import RosterRow

    said = {"id": ALICE.employee_number, "email": ALICE.mail, "username": ALICE.uid}
    return RosterRow(
        id=ALICE.employee_number,
        link_key=ALICE.employee_number,
        lookup_key=ALICE.employee_number.lower(),
        email=ALICE.mail,
        username=ALICE.uid,
        attributes=said | {"first_name": ALICE.given_name},
        source="active",
        confirmed_at=datetime.now(UTC),
    )


@dataclass(kw_only=True)
class Person(Phone):
    """Alice in Chromium."""

    place: Place
    posted: list[str] = field(default_factory=list)

    def log_in_for_it(self) -> None:
        self.page.goto(f"{self.place.url}/enroll")
        self.press("Go to the login")
        self.write(username=ALICE.uid, password=ALICE.password)
        self.page.keyboard.press("Enter")
        self.page.wait_for_url("**/enroll/factors")

    def secret(self) -> str:
        return self.page.locator("main code").inner_text().replace(" ", "")

    def set_up_app(self) -> str:
        self.press("Set up an authenticator app")
        secret = self.secret()
        self.type_code(TOTP(secret).now())
        expect(self.page.get_by_role("status")).to_contain_text("is set up")
        return secret


@pytest.fixture
def person(place: Place, chromium: Chromium) -> Iterator[Person]:
    context = chromium.new_context(viewport=NARROW, locale="en-GB")
    context.set_default_timeout(10_000)
    page = context.new_page()
    alice = Person(page, context.new_cdp_session(page), place=place)

    def mattermost(route: Route) -> None:
        alice.posted.append(route.request.post_data or "")
        route.fulfill(status=200, content_type="text/html", body="<title>in</title>")

    context.route(f"{SITE}/**", mattermost)
    page.on(
        "console",
        lambda said: alice.complaints.append(said.text) if said.type == "error" else None,
    )
    yield alice
    assert [one for one in alice.complaints if "Content Security" in one] == []
    context.close()


def test_everything_is_set_up_by_keyboard_on_a_phone(person: Person) -> None:
    page = person.page
    page.goto(f"{person.place.url}/enroll")
    person.look("enroll-begin")
    person.log_in_for_it()
    person.look("enroll-nothing-yet")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_contain_text("second step")
    person.press("Set up an authenticator app")
    person.look("enroll-code")
    secret = person.secret()
    person.type_code("000000")
    expect(page.get_by_role("alert")).to_contain_text("not of the app")
    person.look("enroll-code-wrong")
    person.type_code(TOTP(secret).now())
    expect(page.get_by_role("status")).to_contain_text("is set up")
    person.has_a_device()
    person.press("Set up a passkey")
    person.look("enroll-passkey")
    person.press("Make the passkey")
    expect(page.get_by_role("status")).to_contain_text("passkey is set up")
    person.press("Make new recovery codes")
    assert page.locator(".codes code").count() == 10
    person.look("enroll-recovery")
    person.press("I have kept them")
    person.look("enroll-all")
    person.press("I am done")
    person.look("enroll-left")
    page.goto(f"{person.place.url}/enroll/factors")
    expect(page.get_by_role("heading", level=1)).to_contain_text("log in once more")
    person.look("enroll-over")


def test_a_passkey_that_asks_for_no_pin_is_not_made(person: Person) -> None:
    person.log_in_for_it()
    person.has_a_device(verifies=False)
    person.press("Set up a passkey")
    person.press("Make the passkey", moves=False)
    expect(person.page.locator("#passkey-problem")).to_be_visible()
    person.look("enroll-passkey-problem")
    assert person.place.store.factors_of(ALICE.employee_number) == ()


def test_in_an_outage_the_page_says_so(person: Person) -> None:
    person.place.see(Verdict.DOWN)
    person.page.goto(f"{person.place.url}/enroll")
    expect(person.page.get_by_role("heading", level=1)).to_contain_text("right now")
    person.look("enroll-closed")


def test_who_set_nothing_up_or_is_locked_reads_why(person: Person) -> None:
    place, page = person.place, person.page
    place.serve("corp")
    page.goto(place.password_was_right(page.context))
    expect(page.get_by_role("heading", level=1)).to_contain_text("no second step")
    person.look("factor-missing")
    place.serve("active")
    place.see()
    person.log_in_for_it()
    person.set_up_app()
    place.serve("corp")
    page.goto(place.password_was_right(page.context))
    for _ in range(5):
        person.type_code("000000")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Too many")
    person.look("factor-locked")


def test_the_pages_that_were_there_before_are_accessible_too(person: Person) -> None:
    page = person.page
    for name, path in (("page-status", "/status"), ("page-error", "/nowhere")):
        page.goto(f"{person.place.url}{path}")
        person.look(name)
    posting = Pages(
        support_url="",
        login_url=MATTERMOST_PATH,
        allowed_form_origins=(SITE,),
        hsts=False,
    ).auto_post(MATTERMOST_PATH, {"SAMLResponse": "eA=="}, "sp")
    page.set_content(bytes(posting.body).decode().partition("<script>")[0])
    person.look("page-auto-post")


def test_without_scripts_codes_still_work(place: Place, chromium: Chromium) -> None:
    context = chromium.new_context(viewport=NARROW, locale="de-DE", java_script_enabled=False)
    context.set_default_timeout(10_000)
    page = context.new_page()
    page.goto(f"{place.url}/enroll")
    assert "Zweiten Schritt" in page.inner_text("h1")
    page.get_by_role("button").click()
    page.fill("input[type=password]", ALICE.password)
    page.fill("input[name=username], input[type=text]", ALICE.uid)
    with page.expect_navigation():
        page.keyboard.press("Enter")
    page.get_by_role("button").click()
    page.wait_for_url("**/enroll/factors")
    page.get_by_role("button", name="Passkey einrichten").click()
    assert "JavaScript" in page.inner_text("noscript")
    context.close()
