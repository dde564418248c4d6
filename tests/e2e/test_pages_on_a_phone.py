"""Every page that a person can be shown, in Chromium on a phone, and the reports that are printed.

The refusals are those that the code itself has: a new one is looked at without being listed here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import ViewportSize

from conversion.decision.lifecycle import RowState
from conversion.report import Format, render
from idp_proxy import errors
from idp_proxy.decision.assurance import AssurancePolicy
from idp_proxy.decision.drill import Drill
from idp_proxy.decision.review import judge
from idp_proxy.decision.roster import Refusal
from idp_proxy.factor_step import Shown
from idp_proxy.rehearsal import Rehearsed
from idp_proxy.reviewing.html import as_html
from idp_proxy.store.base import Evidence
from idp_proxy.web.next_steps import Way, next_step
from idp_proxy.web.pages import Pages, source_of
from idp_proxy.web.wording import Language, texts
from tests.e2e.test_browser import NARROW, SCREENSHOTS, chromium
from tests.unit import test_conversion_report as campaigns
from tests.unit import test_conversion_sheet as plans
from tests.unit import test_review_report as reviews
from tests.unit.test_decision_review import directory
from tests.unit.test_pages_wording import every_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser as Chromium
    from playwright.sync_api import BrowserContext, Page, Route
    from starlette.responses import Response

__all__ = ["chromium"]
pytestmark = pytest.mark.e2e

NOW = datetime(2026, 5, 4, 10, 22, 33, tzinfo=UTC)
SSO = "https://sso.example.org"
LOGIN = "https://chat.example.org/login/sso/saml"
PAGES = Pages(
    support_url="https://help.example.org/sso",
    login_url=LOGIN,
    allowed_form_origins=("https://chat.example.org",),
    hsts=True,
)
#: What fits on A4 upright between margins of 15 mm, at 96 pixels an inch.
A4 = ViewportSize(width=680, height=1000)
_AXE = Axe().axe_script
_SWAP = """text => {
  const read = new DOMParser().parseFromString(text, "text/html");
  document.documentElement.lang = read.documentElement.lang;
  document.documentElement.innerHTML = read.documentElement.innerHTML;
  document.activeElement?.blur();
}"""
#: A long name makes a page no wider.
UPSTREAM = "corporate-directory-of-the-whole-group"
DRILL = Drill(
    id="5f0c9a11",
    version=1,
    upstream=UPSTREAM,
    serving="okta",
    since=NOW,
    started_at=NOW,
    until=NOW + timedelta(minutes=30),
    people=frozenset(),
    actor="operator:olga",
    reason="a test",
)


@dataclass
class Reader:
    """Somebody with a phone, and whatever the browser complains of."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    _shown: dict[str, Response] = field(default_factory=dict)

    def answer(self, route: Route) -> None:
        """In the place of the proxy: the page of this address, with its own headers."""
        page = self._shown.pop(route.request.url.removeprefix(f"{SSO}/"))
        headers = {name: value for name, value in page.headers.items() if name != "content-length"}
        route.fulfill(status=page.status_code, headers=headers, body=bytes(page.body))

    def open(self, name: str, page: Response) -> Page:
        """By a navigation where a script must run; else in the document that is there already,
        which has the same style and the same policy, and axe-core in it.
        """
        body = bytes(page.body).decode()
        if self.page.url == "about:blank" or "<script" in body:
            self._shown[name] = page
            self.page.goto(f"{SSO}/{name}")
        else:
            self.page.evaluate(_SWAP, body)
        return self.page

    def demand_readable(self, name: str) -> None:
        """It fits, axe-core has nothing against it, and there is something to do."""
        demand_fits(self.page, NARROW["width"], name)
        demand_accessible(self.page, name)
        assert self.complaints == [], name
        assert self.page.locator("h1").count() == 1, name


@pytest.fixture
def context(chromium: Chromium) -> Iterator[BrowserContext]:
    with chromium.new_context(viewport=NARROW) as made:
        made.set_default_timeout(10_000)
        yield made


@pytest.fixture
def reader(context: BrowserContext) -> Reader:
    found = Reader(context.new_page())
    context.route(f"{SSO}/**", found.answer)
    found.page.on(
        "console",
        lambda said: (
            found.complaints.append(said.text)
            if said.type == "error" and "the server responded with a status" not in said.text
            else None
        ),
    )
    return found


def demand_fits(page: Page, width: int, name: str) -> None:
    """Nothing must be scrolled sideways to be read (WCAG 2.2, success criterion 1.4.10)."""
    found = page.evaluate("document.documentElement.scrollWidth")
    assert found <= width, f"{name} is {found} pixels wide, {width} are there"


def demand_accessible(page: Page, name: str) -> None:
    if not page.evaluate("'axe' in window"):
        page.evaluate(_AXE)
    found = page.evaluate("axe.run().then(found => found.violations)")
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == [], name


def made(kind: type[errors.ProxyError]) -> errors.ProxyError:
    """One of this class, however it is made."""
    if issubclass(kind, errors.SamlError):
        return kind("SP-01", "why")
    if issubclass(kind, errors.WrongMethod):
        return kind(["GET", "POST"])
    return kind("why")


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", Language)
def test_every_refusal_says_what_to_do(reader: Reader, language: Language) -> None:
    for kind in every_error():
        name = f"refused-{kind.code}-{language.value}"
        page = reader.open(name, PAGES.error(made(kind), "7f3a9c1e2b4d", language))
        reader.demand_readable(name)
        demand_next_step(page, name)
        if kind in {errors.SecondFactorMissing, errors.PersonPrivileged, errors.AssuranceTooLow}:
            keep(page, name)


@pytest.mark.parametrize("language", Language)
def test_so_it_does_however_somebody_came(reader: Reader, language: Language) -> None:
    """Each thing that a page may offer, in a browser and in Mattermost's app, with and without
    somebody to ask.
    """
    seen = set()
    for kind, way, app in product(every_error(), Way, (False, True)):
        offered = next_step(kind, way), app
        if offered in seen:
            continue
        seen.add(offered)
        for pages in (PAGES, replace(PAGES, support_url="")):
            name = f"offers-{offered[0].value}-{app}-{bool(pages.support_url)}-{language.value}"
            shown = pages.error(made(kind), "7f3a9c1e2b4d", language, from_app=app, came=way)
            page = reader.open(name, shown)
            reader.demand_readable(name)
            demand_next_step(page, name)


def demand_next_step(page: Page, name: str) -> None:
    """One thing to do: a link that the keyboard comes to, or words that say it."""
    offered = page.locator("main .next")
    assert offered.count() == 1, name
    assert offered.inner_text().strip(), name
    link = offered.locator("a")
    if link.count():
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.matches('.next a')"), name
        assert link.get_attribute("href"), name


@pytest.mark.parametrize("language", Language)
def test_a_rehearsal_tells_whoever_would_be_refused_why(reader: Reader, language: Language) -> None:
    for kind, refusal in product(
        (Evidence.REHEARSAL, Evidence.FAILBACK_TEST),
        (None, *(one for one in Refusal if one is not Refusal.BLOCKED)),
    ):
        name = f"rehearsed-{kind.value}-{refusal and refusal.value}-{language.value}"
        reader.open(name, PAGES.rehearsed(Rehearsed(kind, UPSTREAM, NOW, refusal), language))
        reader.demand_readable(name)


@pytest.mark.parametrize("language", Language)
def test_status_says_what_is_affected_and_what_to_do(reader: Reader, language: Language) -> None:
    states: tuple[tuple[bool | None, Any], ...] = (
        (False, "works"),
        (True, "works"),
        (True, "fails"),
        (True, "unknown"),
        (None, "unknown"),
    )
    headings = set()
    for affected, login in states:
        name = f"status-{affected}-{login}-{language.value}"
        shown = PAGES.status(
            affected=affected,
            login=login,
            proven_at=NOW,
            now=NOW,
            language=language,
            refresh=affected is True,
        )
        page = reader.open(name, shown)
        reader.demand_readable(name)
        headings.add(page.inner_text("h1"))
        assert page.locator("main h2").first.inner_text() == texts(language)["status"]["what_to_do"]
    assert len(headings) == len(states)


# --- what is asked --------------------------------------------------------------------------------


@pytest.mark.parametrize("language", Language)
def test_what_a_person_is_asked_fits_whatever_went_wrong(
    reader: Reader, language: Language
) -> None:
    for name, page in questions(language):
        reader.open(f"{name}-{language.value}", page)
        reader.demand_readable(name)
        if name.startswith(("directory", "step")):
            keep(reader.page, f"{name}-{language.value}")


def questions(language: Language) -> Iterator[tuple[str, Response]]:
    """The pages of the directory and of the second step, and those behind a link."""
    to_us = "form-action 'self'"
    for problem, rehearsal in product((False, True), repeat=2):
        yield (
            f"directory-{problem}-{rehearsal}",
            PAGES.page(
                "directory_login.html",
                language,
                csp=to_us,
                token="t" * 64,
                address=SSO,
                upstream=UPSTREAM,
                rehearsal=rehearsal,
                problem=problem,
            ),
        )
    options = {"challenge": "AAAA", "rpId": "sso.example.org", "allowCredentials": []}
    shown = Shown(with_code=True, locked=False, options=options, kept="kept")
    problems = ("", *texts(language)["factor_step"]["problem"])
    steps = [(shown, problem, False) for problem in problems]
    steps += [
        (replace(shown, options=None), "", True),
        (replace(shown, with_code=False, locked=True), "wrong", False),
    ]
    for number, (asked, problem, rehearsal) in enumerate(steps):
        yield (
            f"step-{number}",
            PAGES.page(
                "factor_step.html",
                language,
                csp=f"script-src {source_of('passkey.js')}; {to_us}",
                shown=asked,
                upstream=UPSTREAM,
                rehearsal=rehearsal,
                problem=problem,
            ),
        )
    values = {"upstream": UPSTREAM, "until": "14:32 UTC"}
    for topic, kind in (
        ("rehearse", "rehearsal"),
        ("rehearse", "failback_test"),
        ("drill", "join"),
        ("enroll", "begin"),
    ):
        yield f"{topic}-{kind}", PAGES.question(topic, kind, values, "self", language)
    yield "joined", PAGES.joined(DRILL, language)


def keep(page: Page, name: str) -> None:
    """For a person's eyes."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


# --- reports --------------------------------------------------------------------------------------


def reports() -> dict[str, str]:
    """What commands write for a browser and a printer; each as bad as it gets."""
    blocked = replace(reviews.SEEN, upstreams=(*reviews.SEEN.upstreams, *directory().upstreams[1:]))
    exceptions = tuple(
        campaigns.exceptional(user_id="p" * 26, username=f"{'n' * 60}{number}", reason="why " * 40)
        for number in range(6)
    )
    counts = {state.value: 1234 for state in RowState}
    people = [plans.person(f"{number:026}", f"{'n' * 60}{number}") for number in range(9)]
    return {
        "review": as_html(reviews.report()),
        "review-blocked": as_html(
            reviews.report(
                seen=blocked,
                review=judge(blocked),
                signed=None,
                assurance=AssurancePolicy("okta", ("password", "mfa"), "mfa"),
            )
        ),
        "campaign": render(replace(campaigns.report(**counts), exceptions=exceptions), Format.HTML),
        "campaign-simple": render(campaigns.report(verified=4), Format.HTML),
        "plan": plans.written(plans.sheet(*people), Format.HTML),
        "plan-simple": plans.written(plans.sheet(answered=(), looked=False), Format.HTML),
    }


def test_a_report_can_be_read_on_a_phone_and_on_paper(context: BrowserContext) -> None:
    for name, text in reports().items():
        demand_printable(context, name, text)


def demand_printable(context: BrowserContext, name: str, text: str) -> None:
    page = context.new_page()
    loaded: list[str] = []
    page.on("request", lambda asked: loaded.append(asked.url))
    page.set_content(text)
    demand_fits(page, NARROW["width"], name)
    demand_accessible(page, name)
    keep(page, f"report-{name}-360")
    page.emulate_media(media="print")
    page.set_viewport_size(A4)
    demand_fits(page, A4["width"], f"{name} on paper")
    # On paper nothing can be scrolled: whatever is wider than its frame would be cut off.
    cut = page.evaluate(
        "[...document.querySelectorAll('main *')].filter("
        "one => one.scrollWidth > one.clientWidth + 1 && one.clientWidth > 0"
        " && getComputedStyle(one).display !== 'inline').map(one => one.outerHTML.slice(0, 80))"
    )
    assert cut == [], name
    keep(page, f"report-{name}-paper")
    page.emulate_media(media="screen", color_scheme="dark")
    demand_accessible(page, f"{name} in the dark")
    assert loaded == [], "a report fetches nothing"


def test_what_is_wrong_with_a_page_is_found(reader: Reader) -> None:
    """The checks above would see it: they are held against a page with every fault."""
    good = PAGES.error(errors.LoginExpired("why"), "7f3a9c1e2b4d")
    page = reader.open("good", good)
    for fault, demand in (
        ("main.innerHTML += '<img src=\"data:,\">'", demand_accessible),
        ("main.querySelector('p').style.color = '#eee'", demand_accessible),
        ("document.documentElement.lang = ''", demand_accessible),
        ("main.style.minWidth = '400px'", demand_fits_a_phone),
        ("main.querySelector('.next').remove()", demand_next_step),
        ("main.querySelector('.next a').setAttribute('tabindex', '-1')", demand_next_step),
    ):
        reader.open("good", good)
        page.evaluate(f"(() => {{ const main = document.querySelector('main'); {fault} }})()")
        with pytest.raises(AssertionError):
            demand(page, fault)


def demand_fits_a_phone(page: Page, name: str) -> None:
    demand_fits(page, NARROW["width"], name)
