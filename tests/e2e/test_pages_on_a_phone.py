"""Every page that a person can be shown, in Chromium on a phone, by axe-core and by its size.

The refusals are those that the code itself has: a new one is looked at without being listed here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from importlib.resources import files
from itertools import product
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe

from idp_proxy import errors
from idp_proxy.web.next_steps import Way, next_step
from idp_proxy.web.wording import Language, texts
from tests.e2e.every_page import (
    PAGES,
    SSO,
    Named,
    asked,
    posting,
    refusal,
    rehearsed,
    set_up,
    statuses,
)
from tests.e2e.test_browser import NARROW, SCREENSHOTS, chromium
from tests.unit.test_pages_wording import every_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser as Chromium
    from playwright.sync_api import BrowserContext, Page, Route
    from starlette.responses import Response

__all__ = ["chromium"]
pytestmark = pytest.mark.e2e

_AXE = Axe().axe_script
_WHOLE_WORDS = """() => {
  const heading = document.querySelector("h1");
  heading.style.overflowWrap = "normal";
  return heading.scrollWidth <= heading.clientWidth;
}"""
_SWAP = """text => {
  const read = new DOMParser().parseFromString(text, "text/html");
  document.documentElement.lang = read.documentElement.lang;
  document.documentElement.innerHTML = read.documentElement.innerHTML;
  document.activeElement?.blur();
}"""


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
        assert self.page.evaluate(_WHOLE_WORDS), f"{name}: a word of the heading is cut"
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


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", Language)
def test_every_refusal_says_what_to_do(reader: Reader, language: Language) -> None:
    for kind in every_error():
        name, shown = refusal(kind, language)
        page = reader.open(name, shown)
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
            _, shown = refusal(kind, language, pages, from_app=app, came=way)
            name = f"offers-{offered[0].value}-{app}-{bool(pages.support_url)}-{language.value}"
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


# --- all others -----------------------------------------------------------------------------------


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("pages", [asked, set_up, rehearsed, posting], ids=lambda one: one.__name__)
def test_a_page_can_be_read_whatever_it_has_to_say(
    reader: Reader, pages: Callable[[Language], Iterator[Named]], language: Language
) -> None:
    for name, shown in pages(language):
        page = reader.open(name, shown)
        reader.demand_readable(name)
        if name.startswith(("directory", "step", "enroll")):
            keep(page, f"{name}-{language.value}")


@pytest.mark.parametrize("language", Language)
def test_status_says_what_is_affected_and_what_to_do(reader: Reader, language: Language) -> None:
    headings = set()
    for name, shown in statuses(language):
        page = reader.open(name, shown)
        reader.demand_readable(name)
        headings.add(page.inner_text("h1"))
        assert page.locator("main h2").first.inner_text() == texts(language)["status"]["what_to_do"]
    assert len(headings) == 5


def test_no_page_is_left_out() -> None:
    """Each template that is a page of its own was looked at."""
    refusal(errors.LoginExpired, Language.EN)
    for pages in (asked, set_up, rehearsed, posting, statuses):
        assert list(pages(Language.EN))
    folder = files("idp_proxy.web") / "templates"
    known = {one.name for one in folder.iterdir() if "extends" in one.read_text()}
    assert PAGES.templates == known


def keep(page: Page, name: str) -> None:
    """For a person's eyes."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


# --- the checks themselves ------------------------------------------------------------------------


def test_what_is_wrong_with_a_page_is_found(reader: Reader) -> None:
    """The checks above would see it: they are held against a page with every fault."""
    _, good = refusal(errors.LoginExpired, Language.EN)
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
