"""A real browser over https: us on localhost, everybody else on 127.0.0.1, so each hop is
cross-site and only cookies that are really SameSite=None arrive."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest
from playwright.sync_api import Error as BrowserError
from playwright.sync_api import ViewportSize, sync_playwright

from tests.e2e.journeys import ERIN, as_described_by_active
from tests.e2e.peers.mellon import Mellon
from tests.e2e.peers.rendering import program
from tests.support.people import ALICE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser as Chromium
    from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, Response

    from tests.e2e.journeys import NewStack, Stack
    from tests.e2e.peers.authority import Authority
    from tests.support.people import Person

pytestmark = pytest.mark.e2e

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
WIDE = ViewportSize(width=1280, height=800)
NARROW = ViewportSize(width=360, height=740)
_TABS = 12


@dataclass  # no slots: playwright keeps its wrappers of the listeners here
class Witness:
    """What went wrong on our pages, as the browser itself reports it, and what it sent to us."""

    public_url: str
    complaints: list[str] = field(default_factory=list)
    posts: list[Request] = field(default_factory=list)
    answers: list[Response] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        """Listen to a page from now on."""
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._note_request)
        page.on("response", self._note_response)

    def _hear(self, message: ConsoleMessage) -> None:
        where = str(message.location.get("url", ""))
        ours = where.startswith(self.public_url) or "Content Security Policy" in message.text
        if ours and message.type in {"error", "warning"}:
            self.complaints.append(f"{where}: {message.text}")

    def _note_request(self, request: Request) -> None:
        if request.method == "POST" and request.url.startswith(self.public_url):
            self.posts.append(request)

    def _note_response(self, response: Response) -> None:
        if response.url.startswith(self.public_url):
            self.answers.append(response)


class NewContext(Protocol):
    """Makes a fresh browser profile."""

    def __call__(self, *, locale: str = "en-GB", scripts: bool = True) -> BrowserContext:
        """A profile for a person who reads that language, with JavaScript on or off."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with launched() as browser:
        yield browser


@contextmanager
def launched(*more: str) -> Iterator[Chromium]:
    """Debian's Chromium, which finds nobody but this machine; `more` are switches of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program("/usr/bin/chromium"),
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
                *more,
            ],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def stack(rigs: Path, authority: Authority, new_stack: NewStack) -> Iterator[Stack]:
    with new_stack(Mellon(rigs, "browser", authority)) as running:
        yield running


@pytest.fixture
def new_context(chromium: Chromium) -> Iterator[NewContext]:
    """Makes fresh browser profiles; the servers check TLS by the authority, Chromium does not."""
    opened: list[BrowserContext] = []

    def make(*, locale: str = "en-GB", scripts: bool = True) -> BrowserContext:
        context = chromium.new_context(
            ignore_https_errors=True, viewport=WIDE, locale=locale, java_script_enabled=scripts
        )
        context.set_default_timeout(10_000)
        opened.append(context)
        return context

    yield make
    for context in opened:
        context.close()


@pytest.fixture
def witness(stack: Stack) -> Witness:
    stack.proxy.serve_by("active")
    return Witness(stack.proxy.public_url)


def test_a_whole_login_by_keyboard_alone(
    stack: Stack, new_context: NewContext, witness: Witness
) -> None:
    context = new_context()
    page = context.new_page()
    witness.watch(page)

    page.goto(stack.party.protected_url)
    waiting = context.cookies(stack.proxy.public_url)
    page.locator("input[name=username]").focus()
    page.keyboard.type(ALICE.uid)
    page.keyboard.press("Tab")
    page.keyboard.type(ALICE.password)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{stack.party.origin}/**")

    assert stack.party.shown(page.content()) == as_described_by_active(ALICE), page.content()
    assert witness.complaints == []
    assert len(waiting) == 1
    cookie = waiting[0]
    assert cookie["name"].startswith("__Host-login-")
    assert (cookie["sameSite"], cookie["secure"], cookie["httpOnly"]) == ("None", True, True)
    assert (cookie["domain"], cookie["path"]) == ("localhost", "/")
    assert [post.all_headers()["sec-fetch-site"] for post in witness.posts] == ["cross-site"]
    assert cookie["name"] in witness.posts[0].all_headers()["cookie"]


def test_without_javascript_one_button_carries_on(
    stack: Stack, new_context: NewContext, witness: Witness
) -> None:
    page = new_context(scripts=False).new_page()
    witness.watch(page)

    type_password(page, stack, ALICE)
    send_answer(page, stack)
    take_screenshots(page, "auto-post")
    assert_reached_by_tab(page, "button")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{stack.party.origin}/**")

    assert stack.party.shown(page.content()) == as_described_by_active(ALICE)
    assert witness.complaints == []


def test_back_and_reload_show_that_the_login_was_used(
    stack: Stack, new_context: NewContext, witness: Witness
) -> None:
    page = new_context(scripts=False).new_page()
    witness.watch(page)
    type_password(page, stack, ALICE)
    send_answer(page, stack)
    page.locator("button").click()
    page.wait_for_url(f"{stack.party.origin}/**")

    with pytest.raises(BrowserError, match="ERR_CACHE_MISS"):
        page.go_back()  # our page is no-store: nothing of it was kept
    page.wait_for_url("chrome-error://**")
    page.reload()

    assert page.url.startswith(stack.proxy.public_url)
    assert page.locator("input[name=SAMLResponse]").count() == 0
    assert witness.answers[-1].status == 409
    assert "login_repeated" in page.locator("code").all_inner_texts()
    assert_page_fits(page)
    take_screenshots(page, "login-used")


def test_two_tabs_finish_their_own_logins(
    stack: Stack, new_context: NewContext, witness: Witness
) -> None:
    context = new_context(scripts=False)
    tabs = [context.new_page() for _ in range(2)]
    for tab in tabs:
        witness.watch(tab)
        tab.goto(stack.party.protected_url)
    assert len(context.cookies(stack.proxy.public_url)) == 2
    for tab in reversed(tabs):
        fill_password(tab, ALICE)
        send_answer(tab, stack)
        assert tab.locator("input[name=SAMLResponse]").count() == 1
        tab.locator("button").click()
        tab.wait_for_url(f"{stack.party.origin}/**")

    for tab in tabs:
        assert stack.party.shown(tab.content()) == as_described_by_active(ALICE)
    assert witness.complaints == []


@pytest.mark.parametrize("locale", ["en-GB", "de-DE"])
def test_a_refusal_is_a_readable_page(
    stack: Stack, new_context: NewContext, witness: Witness, locale: str
) -> None:
    stack.proxy.serve_by("standby")
    page = new_context(locale=locale).new_page()
    witness.watch(page)

    type_password(page, stack, ERIN)
    page.wait_for_url(f"{stack.proxy.public_url}/**")
    language = locale.split("-", maxsplit=1)[0]
    take_screenshots(page, f"error-{language}")

    assert witness.answers[-1].status == 403
    assert page.locator("html").get_attribute("lang") == language
    assert "person_unknown" in page.locator("code").all_inner_texts()
    assert page.locator("h1").count() == 1
    assert_reached_by_tab(page, "a.button")
    assert only_the_refusal(witness.complaints)


def test_the_status_page_says_that_logins_work(
    stack: Stack, new_context: NewContext, witness: Witness
) -> None:
    page = new_context().new_page()
    type_password(page, stack, ALICE)
    page.wait_for_url(f"{stack.party.origin}/**")
    witness.watch(page)

    page.goto(f"{stack.proxy.public_url}/status")
    take_screenshots(page, "status")

    assert page.locator("[role=status]").count() == 1
    assert_reached_by_tab(page, "a.button")
    assert stack.proxy.get("/status?format=json").json()["login"] == "works"
    shown = page.content()
    assert not [name for name in ("active", "standby") if f">{name}<" in shown]
    assert witness.complaints == []


@pytest.mark.parametrize("locale", ["en-GB", "de-DE"])
def test_a_rehearsal_by_keyboard_alone(
    stack: Stack, new_context: NewContext, witness: Witness, locale: str
) -> None:
    """From our form by way of the standby and back to us: no policy of ours is in its way."""
    done = stack.proxy.command("rehearse", "standby", "--no-wait", "--json")
    context = new_context(locale=locale)
    page = context.new_page()
    witness.watch(page)

    page.goto(json.loads(done.stdout)["link"])
    language = locale.split("-", maxsplit=1)[0]
    take_screenshots(page, f"rehearse-{language}")
    assert_reached_by_tab(page, "button")
    page.keyboard.press("Enter")
    fill_password(page, ALICE)
    page.wait_for_url(f"{stack.proxy.public_url}/upstream/standby/acs")
    take_screenshots(page, f"rehearsed-{language}")

    assert page.locator("html").get_attribute("lang") == language
    assert page.locator("[role=status] h1").count() == 1
    assert page.locator("form").count() == 0
    assert [post.all_headers()["sec-fetch-site"] for post in witness.posts] == [
        "same-origin",
        "cross-site",
    ]
    assert {cookie["name"][:16] for cookie in context.cookies(stack.proxy.public_url)} == {
        "__Host-rehearse-"
    }
    assert witness.complaints == []


def test_another_site_cannot_follow_a_link_in_somebodys_name(
    stack: Stack, new_context: NewContext
) -> None:
    done = stack.proxy.command("rehearse", "standby", "--no-wait", "--json")
    link = json.loads(done.stdout)["link"]
    page = new_context().new_page()
    page.goto(stack.party.protected_url)
    page.set_content(f'<form method="post" action="{link}"><input name="begin"></form>')
    page.evaluate("document.forms[0].submit()")
    page.wait_for_url(f"{stack.proxy.public_url}/**")
    assert "link_followed" in page.locator("code").all_inner_texts()


def test_taking_part_in_a_drill(stack: Stack, new_context: NewContext, witness: Witness) -> None:
    first = new_context().new_page()
    type_password(first, stack, ALICE)
    first.wait_for_url(f"{stack.party.origin}/**")
    words = ("drill", "cohort", "--upstream", "standby", "--reason", "a test", "--json")
    done = stack.proxy.command(*words, "--person", ALICE.employee_number)
    (person,) = json.loads(done.stdout)["people"]
    context = new_context()
    page = context.new_page()
    witness.watch(page)
    try:
        page.goto(person["link"])
        take_screenshots(page, "drill-join")
        assert_reached_by_tab(page, "button")
        page.keyboard.press("Enter")
        page.locator("a.button").wait_for()
        take_screenshots(page, "drill-joined")
        (cookie,) = context.cookies(stack.proxy.public_url)
        assert cookie["name"] == "__Host-drill-pass"
        page.goto(stack.party.protected_url)
        assert page.url.startswith(stack.standby.base_url)
        fill_password(page, ALICE)
        page.wait_for_url(f"{stack.party.origin}/**")
        assert stack.party.shown(page.content()) == as_described_by_active(ALICE)
        assert witness.complaints == []
    finally:
        stack.proxy.command("drill", "stop", "--reason", "a test")


def test_the_browser_refuses_what_the_page_did_not_bring(
    stack: Stack, new_context: NewContext, witness: Witness
) -> None:
    """What an injection could add is not run, loaded or posted; and the witness hears of it."""
    page = new_context().new_page()
    witness.watch(page)
    page.goto(f"{stack.proxy.public_url}/status")
    elsewhere = f"{stack.party.origin}/injected"

    for injected in (
        "const add = document.createElement('script'); add.text = 'window.ran = 1'",
        f"const add = document.createElement('img'); add.src = '{elsewhere}'",
    ):
        page.evaluate(f"() => {{ {injected}; document.body.append(add) }}")
    with page.expect_console_message(lambda message: "form-action" in message.text):
        page.evaluate(
            f"""() => {{ const form = document.createElement('form'); form.action = '{elsewhere}';
            document.body.append(form); form.submit() }}"""
        )

    assert page.evaluate("window.ran") is None
    assert page.url == f"{stack.proxy.public_url}/status"
    for directive in ("script-src", "img-src", "form-action"):
        assert [each for each in witness.complaints if directive in each], witness.complaints


def fill_password(page: Page, person: Person) -> None:
    """Log in at SimpleSAMLphp's form."""
    page.fill("input[name=username]", person.uid)
    page.fill("input[name=password]", person.password)
    page.locator("input[name=password]").press("Enter")


def type_password(page: Page, stack: Stack, person: Person) -> None:
    """From the service provider to the identity provider, and through its form."""
    page.goto(stack.party.protected_url)
    fill_password(page, person)


def send_answer(page: Page, stack: Stack) -> None:
    """Press the button of SimpleSAMLphp's page that posts its answer to us, without JavaScript."""
    page.locator("input[name=SAMLResponse]").wait_for(state="attached")
    page.locator("button[type=submit]").click()
    page.wait_for_url(f"{stack.proxy.public_url}/**")


def take_screenshots(page: Page, name: str) -> None:
    """Keep the page for a person's eyes, wide and on a phone, and check that it fits both."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for size in (NARROW, WIDE):
        page.set_viewport_size(size)
        page.screenshot(path=SCREENSHOTS / f"{name}-{size['width']}.png", full_page=True)
        assert_page_fits(page)


def assert_page_fits(page: Page) -> None:
    """No horizontal scrolling (WCAG 2.2, success criterion 1.4.10)."""
    excess = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert excess == 0, f"{page.url} is {excess} px too wide"


def assert_reached_by_tab(page: Page, selector: str) -> None:
    """The Tab key alone comes to the one thing to do (WCAG 2.2, success criterion 2.1.1)."""
    for _ in range(_TABS):
        page.keyboard.press("Tab")
        if page.evaluate(f"document.activeElement.matches({selector!r})"):
            return
    raise AssertionError(f"{selector} on {page.url} is not reached by Tab")


def only_the_refusal(complaints: list[str]) -> bool:
    """Chromium itself reports the status 403 of a document in the console, and nothing else."""
    return all("status of 403" in each for each in complaints)
