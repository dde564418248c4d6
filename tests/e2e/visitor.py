"""A person with a browser that knows cookies, redirects and forms, but no scripts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self
from urllib.parse import urljoin

import httpx
import lxml.html

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

    from lxml.html import FormElement

_FEW_PAGES = 12


@dataclass(frozen=True, slots=True)
class Page:
    """What the browser shows now."""

    url: str
    status: int
    text: str
    headers: httpx.Headers = field(repr=False)

    @property
    def form(self) -> FormElement | None:
        """The first form; the pages of a login have one each."""
        if not self.text.strip():
            return None
        document = lxml.html.document_fromstring(self.text)
        return next(iter(document.iter("form")), None)

    @property
    def asks_password(self) -> bool:
        """Whether this is a login form."""
        form = self.form
        return form is not None and "password" in form.fields

    @property
    def posts_saml(self) -> bool:
        """Whether this page carries a SAML message to the next party."""
        form = self.form
        return form is not None and bool({"SAMLResponse", "SAMLRequest"} & set(form.fields))


class Visitor:
    """One browser session. `hosts_seen` is every address that was asked, in order."""

    def __init__(self, trust: ssl.SSLContext | None = None) -> None:
        self._client = httpx.Client(
            verify=trust or True, follow_redirects=True, timeout=15, trust_env=False
        )
        self.seen: list[str] = []

    def open(self, url: str) -> Page:
        """Go to an address and follow redirects."""
        return self._shown(self._client.get(url))

    def submit(self, page: Page, **typed: str) -> Page:
        """Press the button of the page's form, with these fields filled in."""
        form = page.form
        assert form is not None, f"no form on {page.url}: {page.text[:500]}"
        values = {name: value or "" for name, value in form.fields.items() if name} | typed
        target = urljoin(page.url, form.action or page.url)
        if form.method.upper() == "GET":
            return self._shown(self._client.get(target, params=values))
        return self._shown(self._client.post(target, data=values))

    def until_login(self, page: Page) -> Page:
        """Pass the pages that only carry a message on, until one asks for a password or none is."""
        return self._carry(page)

    def log_in(self, url: str, name: str, password: str) -> Page:
        """The whole way: open a page, give user name and password where asked, end at a page."""
        page = self._carry(self.open(url))
        assert page.asks_password, f"no login form at {page.url} ({page.status}): {page.text[:800]}"
        return self._carry(self.submit(page, username=name, password=password))

    def close(self) -> None:
        """Close the browser."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _carry(self, page: Page) -> Page:
        for _ in range(_FEW_PAGES):
            if not page.posts_saml:
                return page
            page = self.submit(page)
        raise AssertionError(f"posted from page to page without end, last {page.url}")

    def _shown(self, answer: httpx.Response) -> Page:
        self.seen += [str(step.url) for step in (*answer.history, answer)]
        return Page(str(answer.url), answer.status_code, answer.text, answer.headers)
