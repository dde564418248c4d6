"""`/upstream/NAME/login`: the page on which people log in at a directory (LDAP-04, WEB-02)."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import quote, urlencode

import structlog
from starlette.responses import Response
from starlette.routing import Route

from idp_proxy.decision.assurance import suffices
from idp_proxy.directory_login import NotProven
from idp_proxy.errors import LoginUnknown, NotFound, UpstreamUnavailable
from idp_proxy.links import LinkFollowed
from idp_proxy.password_proven import PasswordProven
from idp_proxy.saml.names import PASSWORD_PROTECTED_TRANSPORT
from idp_proxy.web.endings import ended
from idp_proxy.web.intake import came_by, our_fields
from idp_proxy.web.next_steps import Way
from idp_proxy.web.pace import padded
from idp_proxy.web.threads import JourneyThreads
from idp_proxy.web.wording import choose_language

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request

    from idp_proxy.decision.assurance import AssurancePolicy
    from idp_proxy.decision.subject import Subject
    from idp_proxy.directory_login import DirectoryLogin
    from idp_proxy.login import Issued, Login
    from idp_proxy.rehearsal import Rehearsed
    from idp_proxy.transaction import CookieStyle
    from idp_proxy.web.acs import Rehearsals
    from idp_proxy.web.pages import Pages

_log = structlog.get_logger("idp_proxy.web")
#: Octets of the form.
_LARGEST: Final = 8192
#: Passwords that are tried at once by one worker, and that may wait for it. They have threads of
#: their own: a directory that is slow holds up nobody else's login.
_AT_ONCE: Final = 16
_MOST_WAITING: Final = 64


class Step(Protocol):
    """The second step behind a right password."""

    def begin(self, proven: PasswordProven) -> Response:
        """On to its page. Raises `SecondFactorMissing` and its kin."""


class Steps(Protocol):
    """That of a login, and that of a rehearsal."""

    @property
    def login(self) -> Step:
        """It ends at Mattermost."""

    @property
    def rehearsal(self) -> Step:
        """It ends on a page of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryPages:
    """What the page needs. `address` is what the browser's address bar begins with."""

    directories: Mapping[str, DirectoryLogin]
    login: Login
    rehearsals: Rehearsals
    policy: AssurancePolicy
    steps: Steps
    pages: Pages
    style: CookieStyle
    address: str
    monotonic: Callable[[], float]


@dataclass(frozen=True, slots=True)
class _Visit:
    """Which login of which browser a request is of."""

    upstream: str
    tid: str
    rehearsal: bool
    sealed: str
    cookie_of: Callable[[str], str | None]

    @property
    def token(self) -> str:
        """What only the page of this browser's login knows: its cookie is never shown."""
        return hashlib.sha256(f"directory login {self.sealed}".encode()).hexdigest()


def route(wanted: DirectoryPages) -> Route:
    """GET shows the form, POST tries what was typed. What was wrong leads back to the form by its
    address: to load that page again does nothing again.
    """
    counter = _Counter(wanted)
    found = Route("/upstream/{name}/login", counter.visited)
    found.methods = {"GET", "POST"}  # to methods that it is told, Route adds HEAD
    return found


class _Counter:
    """Takes the requests of one worker."""

    def __init__(self, wanted: DirectoryPages) -> None:
        self._wanted = wanted
        self._threads = JourneyThreads(_AT_ONCE)
        self._waiting = 0

    async def visited(self, request: Request) -> Response:
        name: str = request.path_params["name"]
        if name not in self._wanted.directories:
            raise NotFound("no such directory")
        visit = self._visit(request, name)
        if visit.rehearsal:
            came_by(request, Way.LINK)
        if request.method == "GET":
            return await self._shown(request, visit)
        fields = await our_fields(request, _LARGEST)
        if not hmac.compare_digest(fields.get("token", "").encode(), visit.token.encode()):
            raise LinkFollowed("the form is not of this browser's login")
        return await padded(self._tried(request, visit, fields), self._wanted.monotonic)

    def _visit(self, request: Request, name: str) -> _Visit:
        """By the cookie that came; a login's comes first. Raises `LoginUnknown` without one."""
        tid, held = request.query_params.get("login", ""), request.cookies
        for style, rehearsal in (
            (self._wanted.style, False),
            (self._wanted.rehearsals.style, True),
        ):
            sealed = held.get(style.name(tid))
            if sealed is not None:
                return _Visit(name, tid, rehearsal, sealed, _cookies(held, style))
        raise LoginUnknown("the login's cookie did not come with the page")

    async def _shown(self, request: Request, visit: _Visit) -> Response:
        asked = await self._threads.run(self._asked, visit)
        if asked is not None:
            return ended(request, asked, visit.tid, self._wanted.pages)
        return self._wanted.pages.page(
            "directory_login.html",
            choose_language(request.headers.get("accept-language", "")),
            csp="form-action 'self'",
            token=visit.token,
            address=self._wanted.address,
            upstream=visit.upstream,
            rehearsal=visit.rehearsal,
            problem="problem" in request.query_params,
        )

    def _asked(self, visit: _Visit) -> Issued | None:
        """That the login goes on; its end, if no page may be shown."""
        if visit.rehearsal:
            journey = self._wanted.rehearsals.journey
            journey.asked_here(visit.upstream, visit.tid, visit.cookie_of)
            return None
        login = self._wanted.login
        transaction = login.asked_here(visit.upstream, visit.tid, visit.cookie_of)
        if not transaction.is_passive:
            return None
        return login.not_passive(visit.upstream, visit.tid, visit.cookie_of)

    async def _tried(self, request: Request, visit: _Visit, fields: Mapping[str, str]) -> Response:
        if self._waiting >= _MOST_WAITING:
            raise UpstreamUnavailable("too many passwords are being tried")
        self._waiting += 1
        try:
            source = None if request.client is None else request.client.host
            found = await self._threads.run(self._journey, visit, fields, source)
        finally:
            self._waiting -= 1
        if isinstance(found, NotProven):
            _log.info("password_refused", upstream=visit.upstream, tid=visit.tid[:8], why=found.why)
            return _again(visit)
        if isinstance(found, Response):
            return found
        return ended(request, found, visit.tid, self._wanted.pages)

    def _journey(
        self, visit: _Visit, fields: Mapping[str, str], source: str | None
    ) -> NotProven | Issued | Rehearsed | Response:
        """In a thread: the try, and what a right password leads to."""
        wanted = self._wanted
        if (end := self._asked(visit)) is not None:
            return end
        attempt = wanted.directories[visit.upstream].attempt
        proven = attempt(fields.get("username", ""), fields.get("password", ""), source)
        if isinstance(proven, NotProven):
            return proven
        if not suffices(wanted.policy, visit.upstream, PASSWORD_PROTECTED_TRANSPORT):
            return self._second_step(visit, proven)
        journey = wanted.rehearsals.journey if visit.rehearsal else wanted.login
        return journey.prove(visit.upstream, visit.tid, proven, visit.cookie_of)

    def _second_step(self, visit: _Visit, subject: Subject) -> Response:
        at, steps = subject.evidence.authn_instant, self._wanted.steps
        step = steps.rehearsal if visit.rehearsal else steps.login
        return step.begin(PasswordProven(visit.tid, visit.upstream, subject, at))


def _cookies(held: Mapping[str, str], style: CookieStyle) -> Callable[[str], str | None]:
    return lambda tid: held.get(style.name(tid))


def _again(visit: _Visit) -> Response:
    query = urlencode({"login": visit.tid, "problem": "1"})
    where = f"/upstream/{quote(visit.upstream)}/login?{query}"
    headers = {"Location": where, "Cache-Control": "no-store"}
    return Response(status_code=HTTPStatus.SEE_OTHER, headers=headers)
