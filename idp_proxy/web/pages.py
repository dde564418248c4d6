"""Every page a person sees, with the headers that keep it safe.

No page needs JavaScript: the one script there is submits a form a moment earlier than a person
would. Script and style stand in the page and are allowed by their hash only (CSP level 3, section
2.3.1), so that injected markup can neither run, nor load, nor post anything elsewhere (WEB-02).
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from idp_proxy.errors import ConfigError, Internal, ProxyError, WrongMethod
from idp_proxy.web.form import MARK, FormPage
from idp_proxy.web.next_steps import Way, next_step
from idp_proxy.web.wording import Language, error_wording, texts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from idp_proxy.decision.drill import Drill
    from idp_proxy.rehearsal import Rehearsed

REFRESH_S: Final = 60
"""Seconds after which /status asks again by itself."""

RETRY_AFTER_S: Final = 30
"""Seconds a client is asked to wait after a 503 (RFC 9110 section 10.2.3)."""

FormAction = Literal["sp", "any-https"]
LoginState = Literal["works", "fails", "unknown"]

_TEMPLATES: Final = Environment(
    loader=PackageLoader("idp_proxy.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)


def source_of(template: str) -> str:
    """The CSP source that allows exactly this inline script or style (CSP 3 section 2.3.1)."""
    octets = _TEMPLATES.get_template(template).render().encode()
    return f"'sha256-{base64.b64encode(hashlib.sha256(octets).digest()).decode()}'"


_STYLE: Final = source_of("page.css")
_SCRIPT: Final = source_of("submit.js")

_START_OF_SAML: Final = "/login/sso/saml"
_HOST: Final = re.compile(r"[a-z0-9.-]+|[0-9a-f:.]+")
_LOOPBACK: Final = re.compile(r"http://(?:127\.0\.0\.1|localhost)(?::[0-9]+)?")
_LOOPBACK_SOURCES: Final = ("http://127.0.0.1:*", "http://localhost:*")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def origin(url: str) -> str:
    """The origin of a web address, as a CSP source: `https://chat.example.org`, port if not usual.

    Raises `ValueError` for anything that is no absolute http or https address.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    if parts.scheme not in _DEFAULT_PORTS or not _HOST.fullmatch(host):
        raise ValueError(f"not an absolute http or https address: {url!r}")
    shown = f"[{host}]" if ":" in host else host
    usual = port in {None, _DEFAULT_PORTS[parts.scheme]}
    return f"{parts.scheme}://{shown}" if usual else f"{parts.scheme}://{shown}:{port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """The pages of one proxy.

    `support_url` may be empty or a web, `mailto:` or `tel:` address; `login_url` is where
    Mattermost begins a SAML login; `allowed_form_origins` are the origins of the ACS and of SiteURL
    (browsers hold the redirect after a posted form against `form-action` too). `hsts` stands for
    "reached by https". `insecure_loopback` lets forms go to http addresses of this machine.
    Raises `ConfigError` for addresses that may not stand in a page.
    """

    support_url: str
    login_url: str
    allowed_form_origins: tuple[str, ...]
    hsts: bool
    insecure_loopback: bool = False

    def __post_init__(self) -> None:
        problems = [*_support_problems(self.support_url)]
        addresses = [("service_provider.login_url", self.login_url)]
        addresses += [("service_provider.acs_url", value) for value in self.allowed_form_origins]
        for field, value in addresses:
            try:
                origin(value)
            except ValueError as error:
                problems.append(f"{field}: {error}")
        if problems:
            raise ConfigError(problems)

    @property
    def mattermost_url(self) -> str:
        """SiteURL, where people are sent who need no SAML login (now)."""
        site, start, rest = self.login_url.partition(_START_OF_SAML)
        return f"{site}/" if start and not rest else f"{origin(self.login_url)}/"

    def auto_post(
        self,
        action: str,
        fields: Mapping[str, str],
        form_action: FormAction,
        language: Language = Language.EN,
    ) -> Response:
        """The page that posts `fields` to `action` (HTTP-POST binding, SAML bindings 3.5.4).

        `form_action` says who is posted to: "sp" is Mattermost, whose origins alone are allowed;
        "any-https" an upstream, which may redirect the post to other hosts of its own. Raises
        `RelayStateRefused` where the RelayState would not arrive byte for byte (WEB-03), `Internal`
        for an address or field that this page may not carry.
        """
        return _form_page(self, action, form_action, language).with_fields(fields)

    def error(
        self,
        error: ProxyError,
        error_id: str,
        language: Language = Language.EN,
        *,
        from_app: bool = False,
        came: Way = Way.MATTERMOST,
    ) -> Response:
        """The page for `error`: its public text, what to do, and `error_id` for the help desk.

        Nothing of the instance is shown, so neither its `detail` nor anything a client sent. A link
        opened from Mattermost's app would log in the browser instead, so an app gets none; nor does
        who `came` by a link, and not from Mattermost.
        """
        response = self.page(
            "error.html",
            language,
            csp="form-action 'none'",
            status=error.http_status,
            error=error_wording(type(error), language),
            code=type(error).code,
            error_id=error_id,
            step=next_step(type(error), came).value,
            from_app=from_app,
        )
        if isinstance(error, WrongMethod):
            response.headers["Allow"] = ", ".join(error.allow)
        if error.http_status == HTTPStatus.SERVICE_UNAVAILABLE:
            response.headers["Retry-After"] = str(RETRY_AFTER_S)
        return response

    def question(
        self,
        topic: str,
        kind: str,
        values: Mapping[str, str],
        form_action: Literal["self", "any-https"],
        language: Language = Language.EN,
    ) -> Response:
        """The page behind a link: the texts `kind` of `topic` with `values` in them, and one button
        that posts to this very address. "any-https" if that leads on to an upstream.
        """
        sources = ["'self'", *(self._upstream_sources() if form_action == "any-https" else ())]
        return self.page(
            "question.html",
            language,
            csp=f"form-action {' '.join(sources)}",
            story=texts(language)[topic][kind],
            values=values,
        )

    def rehearsed(self, done: Rehearsed, language: Language = Language.EN) -> Response:
        """The end of a rehearsal: that the login works, since when, and what is not so."""
        return self.page(
            "rehearsed.html",
            language,
            csp="form-action 'none'",
            done=done,
            at=done.at.astimezone(UTC),
            refusal=None if done.refusal is None else done.refusal.value,
        )

    def joined(self, drill: Drill, language: Language = Language.EN) -> Response:
        """What a browser that takes part in a drill will see, and until when."""
        return self.page(
            "joined.html",
            language,
            csp="form-action 'none'",
            upstream=drill.upstream,
            until=drill.until.astimezone(UTC),
        )

    def status(
        self,
        *,
        affected: bool | None,
        login: LoginState,
        proven_at: datetime | None,
        now: datetime,
        language: Language = Language.EN,
        refresh: bool = True,
    ) -> Response:
        """The public /status: what is affected, what to do, when it is updated; no name, no reason.

        `affected` says whether people may notice a disturbance (None: not known), `login` what is
        proven, `proven_at` when a login was last seen to work. While `refresh`, the page comes
        again every minute; a link stops that (WCAG 2.2, success criterion 2.2.1).
        """
        response = self.page(
            "status.html",
            language,
            csp="form-action 'none'",
            state=_state(affected=affected, login=login),
            login=login,
            proven_at=proven_at.astimezone(UTC) if proven_at else None,
            now=now.astimezone(UTC),
            refresh=refresh,
            refresh_s=REFRESH_S,
        )
        if refresh:
            response.headers["Refresh"] = str(REFRESH_S)
        return response

    def _form_sources(self, action: str, form_action: FormAction) -> tuple[str, ...]:
        """The CSP sources a form may be posted to; `Internal` if they would not allow `action`."""
        try:
            target = origin(action)
        except ValueError as error:
            raise Internal(f"a form cannot be posted there: {error}") from error
        if form_action == "sp":
            sources = tuple(dict.fromkeys(origin(value) for value in self.allowed_form_origins))
            allowed = target in sources
        else:
            sources = self._upstream_sources()
            local = self.insecure_loopback and _LOOPBACK.fullmatch(target)
            allowed = bool(target.startswith("https:") or local)
        if not allowed:
            raise Internal(f"a form may not be posted to {target}: allowed is {' '.join(sources)}")
        return sources

    def _upstream_sources(self) -> tuple[str, ...]:
        """The CSP sources of whatever an upstream may redirect a form to."""
        return ("https:", *(_LOOPBACK_SOURCES if self.insecure_loopback else ()))

    def form_page(self, action: str, form_action: FormAction, language: Language) -> FormPage:
        """`auto_post` before it has its fields. Raises `Internal`."""
        sources = self._form_sources(action, form_action)
        page = self.page(
            "auto_post.html",
            language,
            csp=f"script-src {_SCRIPT}; form-action {' '.join(sources)}",
            action=action,
            fields=MARK,
            wording=texts(language)["auto_post"][form_action],
        )
        return FormPage.around_mark(page)

    def page(
        self, template: str, language: Language, *, csp: str, status: int = 200, **context: object
    ) -> Response:
        """A page of `template`; `csp` says what it may post to, and which script is in it."""
        body = _TEMPLATES.get_template(template).render(
            language=language.value,
            shared=texts(language)["shared"],
            texts=texts(language),
            support_url=self.support_url,
            login_url=self.login_url,
            mattermost_url=self.mattermost_url,
            application=urlsplit(self.login_url).netloc,
            **context,
        )
        return HTMLResponse(body, status_code=status, headers=self._headers(language, csp))

    def _headers(self, language: Language, csp: str) -> dict[str, str]:
        """The headers of every page (WEB-01, WEB-02).

        The Referrer is withheld because our address can hold a SAMLRequest; an ACS must not need
        one, since SAML knows none. `img-src data:` is for the icon in the page, without which
        browsers ask for /favicon.ico and report a violation.
        """
        headers = {
            "Cache-Control": "no-store",
            "Content-Language": language.value,
            "Content-Security-Policy": (
                f"default-src 'none'; style-src {_STYLE}; img-src data:; {csp};"
                " base-uri 'none'; frame-ancestors 'none'"
            ),
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "Vary": "Accept-Language",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
        }
        if self.hsts:
            headers["Strict-Transport-Security"] = "max-age=31536000"
        return headers


@lru_cache(maxsize=64)
def _form_page(pages: Pages, action: str, form_action: FormAction, language: Language) -> FormPage:
    """One for each language and each address that a form goes to, all of which are configured."""
    return pages.form_page(action, form_action, language)


def _support_problems(support_url: str) -> tuple[str, ...]:
    """Why this may not stand behind a link: nothing but contact, and no `javascript:`."""
    usable = re.fullmatch(r"(?:https?://|mailto:|tel:)[^\s\"'<>]+", support_url)
    if not support_url or usable:
        return ()
    return (f"proxy.support_url: not a https:, mailto: or tel: address: {support_url!r}",)


def _state(*, affected: bool | None, login: LoginState) -> str:
    """Which of the five stories of /status is true."""
    if login == "fails":
        return "fails"
    if login == "works":
        return "limited" if affected else "works"
    return "disturbed" if affected else "unknown"
