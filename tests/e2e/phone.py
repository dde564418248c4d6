"""Somebody without a mouse, on a phone: every page is reached by keys, looked at, and kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from axe_playwright_python.sync_playwright import Axe

from tests.e2e.test_browser import NARROW, SCREENSHOTS

if TYPE_CHECKING:
    from playwright.sync_api import CDPSession, Page

_TABS = 25


@dataclass  # no slots: playwright keeps its wrappers of the listeners here
class Phone:
    """One page of a browser on 360 pixels, by the keyboard alone."""

    page: Page
    cdp: CDPSession
    complaints: list[str] = field(default_factory=list)

    def press(self, name: str, *, moves: bool = True) -> None:
        """Go to a button by the tab key, and press it by the enter key."""
        self._tab_to(
            f"(document.activeElement.innerText || '').startsWith({name!r})", f"button {name!r}"
        )
        self.enter(moves=moves)

    def enter(self, *, moves: bool = True) -> None:
        """The enter key, and on to the page behind it."""
        if not moves:
            self.page.keyboard.press("Enter")
            return
        with self.page.expect_navigation():
            self.page.keyboard.press("Enter")

    def write(self, **fields: str) -> None:
        """Type into fields of these names, in their order; the first may have the focus already."""
        for name, text in fields.items():
            if not self._is_at(f"document.activeElement.name === {name!r}"):
                self._tab_to(f"document.activeElement.name === {name!r}", f"field {name!r}")
            self.page.keyboard.press("Control+A")
            self.page.keyboard.type(text)

    def type_code(self, code: str) -> None:
        """Give the code that a page asks for."""
        self.write(code=code)
        self.enter()

    def look(self, name: str) -> None:
        """The page fits, is accessible by axe-core, and is photographed."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
        wide = self.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= NARROW["width"], f"{name} is {wide} pixels wide"
        found = Axe().run(self.page)
        assert found.violations_count == 0, found.generate_report()

    def has_a_device(self, *, verifies: bool = True) -> str:
        """A virtual authenticator, as Chromium has for tests."""
        self.cdp.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasUserVerification": True,
            "isUserVerified": verifies,
            "automaticPresenceSimulation": True,
        }
        made = self.cdp.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        return str(made["authenticatorId"])

    def _tab_to(self, there: str, what: str) -> None:
        for _ in range(_TABS):
            self.page.keyboard.press("Tab")
            if self._is_at(there):
                return
        raise AssertionError(f"no {what} within reach of the keyboard on {self.page.url}")

    def _is_at(self, there: str) -> bool:
        return bool(self.page.evaluate(there))
