"""A browser for tests: cookies by the rules that matter to SAML, redirects, forms; no script.

httpx knows Secure but no SameSite, and the cross-site POST of SAML is where SameSite bites. So the
cookie policy here is that of today's browsers: a cookie without SameSite counts as Lax, Lax and
Strict stay at home on a cross-site POST, and SameSite=None needs Secure.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Self
from urllib.parse import urljoin, urlsplit

import httpx
from lxml import html

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping
    from http.cookiejar import Cookie
    from types import TracebackType
    from urllib.request import Request

_STEPS = 20
_SAML_FIELDS = frozenset({"SAMLRequest", "SAMLResponse"})
_TYPED = frozenset({"text", "email"})


class BrowserError(Exception):
    """The pages went round in circles, or a form that should be there is not."""


@dataclass(frozen=True, slots=True)
class Form:
    """A form on a page. `kinds` maps the name of an input to its type."""

    method: str
    action: str
    fields: Mapping[str, str]
    kinds: Mapping[str, str]

    @property
    def password_field(self) -> str | None:
        """The name of the password input, if there is one."""
        return next((name for name, kind in self.kinds.items() if kind == "password"), None)

    @property
    def user_field(self) -> str | None:
        """The name of the first input that takes a typed line."""
        return next((name for name, kind in self.kinds.items() if kind in _TYPED), None)

    @property
    def carries_saml(self) -> bool:
        """Whether this is the auto-posting form of HTTP-POST."""
        return bool(_SAML_FIELDS & self.fields.keys())


@dataclass(frozen=True, slots=True)
class Page:
    """What the person sees. `visited` are the addresses on the way, this one last."""

    url: str
    status: int
    headers: httpx.Headers
    body: str
    visited: tuple[str, ...]

    @property
    def document(self) -> html.HtmlElement:
        """The parsed page."""
        return html.document_fromstring(self.body or "<html></html>")

    @property
    def title(self) -> str:
        """The title of the page."""
        return str(self.document.findtext(".//title") or "").strip()

    @property
    def text(self) -> str:
        """The visible text, blanks folded."""
        body = self.document.find("body")
        if body is None:
            return ""
        for hidden in body.xpath(".//script | .//style"):
            hidden.drop_tree()
        return " ".join(str(body.text_content()).split())

    @property
    def forms(self) -> tuple[Form, ...]:
        """Every form, its action made absolute."""
        return tuple(_read_form(form, self.url) for form in self.document.forms)


@dataclass(slots=True)
class Browser:
    """One person's browser. Use as a context manager.

    `secure_cookies` off sends Secure cookies over plain http too; `cookies_on` off refuses all of
    them; `verify` is how TLS is checked; `transport` takes the place of the network; `history`
    grows by every address asked, redirects included.
    """

    secure_cookies: bool = True
    cookies_on: bool = True
    language: str = "en"
    verify: ssl.SSLContext | bool = True
    timeout_s: float = 10.0
    transport: httpx.BaseTransport | None = None
    history: list[str] = field(default_factory=list)
    _policy: _CookiePolicy = field(init=False, repr=False)
    _client: httpx.Client = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._policy = _CookiePolicy(insecure=not self.secure_cookies, refuse=not self.cookies_on)
        self._client = httpx.Client(
            cookies=CookieJar(self._policy),
            verify=self.verify,
            timeout=self.timeout_s,
            transport=self.transport,
            trust_env=False,
            follow_redirects=False,
            headers={"accept-language": self.language, "accept": "text/html"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    @property
    def cookies(self) -> dict[str, Cookie]:
        """The cookies in the jar, by name."""
        return {cookie.name: cookie for cookie in self._client.cookies.jar}

    def visited(self, origin: str) -> bool:
        """Whether any page of `origin` was asked for."""
        return any(url == origin or url.startswith(f"{origin}/") for url in self.history)

    def forget_cookies(self) -> None:
        """Empty the jar."""
        self._client.cookies.jar.clear()

    def get(self, url: str) -> Page:
        """Open an address, as typed into the address bar or chosen from bookmarks."""
        return self._walk("GET", url, None, from_url=None)

    def follow(self, page: Page, link: str) -> Page:
        """Click the first link with this text. Raises `BrowserError` without one."""
        for anchor in page.document.iter("a"):
            if link in str(anchor.text_content()):
                target = urljoin(page.url, anchor.get("href", ""))
                return self._walk("GET", target, None, from_url=page.url)
        raise BrowserError(f"no link {link!r} on {page.title!r}")

    def submit(self, page: Page, form: Form, filled: Mapping[str, str] | None = None) -> Page:
        """Submit a form of `page` with its own values, and those `filled` in."""
        values = {**form.fields, **(filled or {})}
        if form.method == "GET":
            target = str(httpx.URL(form.action).copy_merge_params(values))
            return self._walk("GET", target, None, from_url=page.url)
        return self._walk("POST", form.action, values, from_url=page.url)

    def login(self, start_url: str, user: str, password: str) -> Page:
        """From `start_url` through every auto-posting page and one login form, to the end.

        A login form that comes back (wrong password) is the end too.
        """
        return self.type_login(self.continue_login(self.get(start_url)), user, password)

    def type_login(self, page: Page, user: str, password: str) -> Page:
        """Fill in the login form of `page`, and go on to the end; `page` itself if it has none."""
        form = next((form for form in page.forms if form.password_field), None)
        if form is None or form.user_field is None:
            return page
        filled = {form.user_field: user, str(form.password_field): password}
        return self.continue_login(self.submit(page, form, filled))

    def rehearse(self, link: str, user: str, password: str) -> Page:
        """Open the link of `idp-proxy rehearse`, press its button and log in, to the last page."""
        page = self.get(link)
        if len(page.forms) != 1:
            raise BrowserError(f"no button on {page.title!r}: {page.text[:200]}")
        asked = self.continue_login(self.submit(page, page.forms[0]))
        return self.type_login(asked, user, password)

    def continue_login(self, page: Page) -> Page:
        """Press the button of each auto-posting page until there is another page."""
        for _ in range(_STEPS):
            form = next((form for form in page.forms if form.carries_saml), None)
            if form is None:
                return page
            page = self.submit(page, form)
        raise BrowserError(f"more than {_STEPS} auto-posting pages in a row, last {page.url}")

    def _walk(
        self, method: str, url: str, values: Mapping[str, str] | None, from_url: str | None
    ) -> Page:
        visited: list[str] = []
        for _ in range(_STEPS):
            visited.append(url)
            self.history.append(url)
            self._policy.initiator = None if from_url is None else site(from_url)
            answer = self._send(method, url, values)
            location = answer.headers.get("location")
            if not answer.is_redirect or location is None:
                return Page(url, answer.status_code, answer.headers, answer.text, tuple(visited))
            url = urljoin(url, location)
            if answer.status_code not in {307, 308}:
                method, values = "GET", None
        raise BrowserError(f"more than {_STEPS} redirects, last {url}")

    def _send(self, method: str, url: str, values: Mapping[str, str] | None) -> httpx.Response:
        request = self._client.build_request(method, url, data=values)
        if values is not None:
            # A form without a field is a form too; httpx would not say so.
            request.headers.setdefault("content-type", "application/x-www-form-urlencoded")
        # httpx chooses cookies through a copy of the jar that has lost the policy: choose again.
        request.headers.pop("cookie", None)
        self._client.cookies.set_cookie_header(request)
        return self._client.send(request)


def site(url: str) -> str:
    """What SameSite compares: the scheme and the last two labels of the host, or its address."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        host = ".".join(host.split(".")[-2:])
    return f"{parts.scheme}://{host}"


class _CookiePolicy(DefaultCookiePolicy):
    """Cookie rules of a browser; `initiator` is the site that the present request comes from."""

    def __init__(self, *, insecure: bool, refuse: bool) -> None:
        protocols = ("https", "wss", "http") if insecure else ("https", "wss")
        super().__init__(secure_protocols=protocols)
        self._refuse = refuse
        self.initiator: str | None = None

    def set_ok(self, cookie: Cookie, request: Request) -> bool:
        if self._refuse:
            return False
        if _same_site(cookie) == "none" and not cookie.secure:
            return False
        if cookie.name.startswith("__Host-") and not _may_be_host_cookie(cookie):
            return False
        return super().set_ok(cookie, request)

    def return_ok(self, cookie: Cookie, request: Request) -> bool:
        cross_site = self.initiator is not None and self.initiator != site(request.full_url)
        policy = _same_site(cookie)
        if cross_site and policy == "strict":
            return False
        if cross_site and policy == "lax" and request.get_method() != "GET":
            return False
        return super().return_ok(cookie, request)


def _same_site(cookie: Cookie) -> str:
    for name in ("SameSite", "samesite", "Samesite"):
        if cookie.has_nonstandard_attr(name):
            return str(cookie.get_nonstandard_attr(name)).lower()
    return "lax"


def _may_be_host_cookie(cookie: Cookie) -> bool:
    """RFC 6265bis 4.1.3.2: Secure, no Domain, Path=/."""
    return cookie.secure and not cookie.domain_specified and cookie.path == "/"


def _read_form(form: html.FormElement, page_url: str) -> Form:
    kinds: dict[str, str] = {}
    values: dict[str, str] = {}
    for entry in form.iter("input", "textarea", "select"):
        name = entry.get("name")
        kind = "text" if entry.tag != "input" else (entry.get("type") or "text").lower()
        if not name or kind in {"submit", "button", "image", "reset"}:
            continue
        if kind in {"checkbox", "radio"} and "checked" not in entry.attrib:
            continue
        kinds[name] = kind
        values[name] = entry.get("value") or (entry.text or "" if entry.tag == "textarea" else "")
    return Form(
        method=(form.get("method") or "get").upper(),
        action=urljoin(page_url, form.get("action") or page_url),
        fields=values,
        kinds=kinds,
    )
