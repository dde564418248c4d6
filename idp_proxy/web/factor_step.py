"""`/upstream/NAME/factor`: the second step of a login at a directory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

from starlette.responses import Response
from starlette.routing import Route

from idp_proxy.decision.second_factor import PASSWORD_LASTS, Why
from idp_proxy.errors import NotFound
from idp_proxy.factor_step import Asked
from idp_proxy.web.endings import ended
from idp_proxy.web.intake import came_by, our_fields
from idp_proxy.web.next_steps import Way
from idp_proxy.web.pages import source_of
from idp_proxy.web.wording import choose_language, texts

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from starlette.requests import Request

    from idp_proxy.factor_step import FactorStep, Shown
    from idp_proxy.login import Issued
    from idp_proxy.password_proven import PasswordProven
    from idp_proxy.rehearsal import Rehearsed
    from idp_proxy.transaction import CookieStyle
    from idp_proxy.web.pages import Pages
    from idp_proxy.web.threads import JourneyThreads
    from idp_proxy.web.wording import Language

_TO_US: Final = "form-action 'self'"
#: What the page says of an answer that did not count, by where it came from.
_SAYS: Final = {Why.REPEATED: "repeated", Why.COPIED: "copied"}


@dataclass(frozen=True, slots=True)
class StepCookies:
    """What ties the second step to the right password before it: a cookie of this login only.

    `login` is how the login's own cookies are named, or the rehearsal's.
    """

    login: CookieStyle
    purpose: str = "factor"

    def name(self, tid: str) -> str:
        """The cookie's name."""
        return replace(self.login, purpose=self.purpose).name(tid)

    def on_to_the_step(self, upstream: str, tid: str, sealed: str) -> Response:
        """On from the right password, with the cookie; that page may be loaded again."""
        response = _redirect(upstream, tid)
        secure = "" if self.login.insecure else "Secure; "
        lasts = int(PASSWORD_LASTS.total_seconds())
        cookie = f"{self.name(tid)}={sealed}; Path=/; Max-Age={lasts}; HttpOnly; {secure}"
        response.headers.append("Set-Cookie", f"{cookie}SameSite=Lax")
        return response


@dataclass(frozen=True, slots=True)
class Step:
    """The second step of one kind of journey, and the cookies that go with it."""

    journey: FactorStep[Issued | Rehearsed]
    cookies: StepCookies

    def begin(self, proven: PasswordProven) -> Response:
        """On from a right password to the page of the step. Raises as `FactorStep.begin`."""
        sealed = self.journey.begin(proven)
        return self.cookies.on_to_the_step(proven.upstream, proven.tid, sealed)


@dataclass(frozen=True, slots=True)
class Steps:
    """The second step of a login, and that of a rehearsal."""

    login: Step
    rehearsal: Step

    def rehearses(self, request: Request, tid: str) -> bool:
        """Whether only a rehearsal's cookie came for this id; a login's comes first."""
        held = request.cookies
        is_login = self.login.cookies.login.name(tid) in held
        return not is_login and self.rehearsal.cookies.login.name(tid) in held


def route(
    steps: Steps, directories: Collection[str], pages: Pages, threads: JourneyThreads
) -> Route:
    """GET shows the page, its forms post the answer. `directories` are the upstreams that have it.

    The login's cookie stays until it expires, as at an ACS: who posts again is told that the login
    was used.
    """

    async def stepped(request: Request) -> Response:
        upstream: str = request.path_params["name"]
        if upstream not in directories:
            raise NotFound("no such directory")
        tid = request.query_params.get("login", "")
        rehearsal = steps.rehearses(request, tid)
        if rehearsal:
            came_by(request, Way.LINK)
        step = steps.rehearsal if rehearsal else steps.login
        asked = _asked(request, upstream, tid, step.cookies)
        if request.method == "GET":
            shown = await threads.run(step.journey.look, asked)
            return _page(request, shown, upstream, rehearsal=rehearsal)
        fields = await our_fields(request)
        found = await _answered(step.journey, asked, fields)
        if isinstance(found, Why):
            by_passkey = "answer" in fields and found not in _SAYS
            problem = "passkey" if by_passkey else _SAYS.get(found, "wrong")
            return _redirect(upstream, asked.tid, problem)
        return ended(request, found, asked.tid, pages)

    async def _answered(
        journey: FactorStep[Issued | Rehearsed], asked: Asked, fields: Mapping[str, str]
    ) -> Issued | Rehearsed | Why:
        if "answer" in fields:
            kept = fields.get("kept", "")
            return await threads.run(journey.by_passkey, asked, kept, fields["answer"])
        return await threads.run(journey.by_code, asked, fields.get("code", ""))

    def _page(request: Request, shown: Shown, upstream: str, *, rehearsal: bool) -> Response:
        script = f"script-src {source_of('passkey.js')}; " if shown.options is not None else ""
        problem = request.query_params.get("problem", "")
        known = texts(_language(request))["factor_step"]["problem"]
        return pages.page(
            "factor_step.html",
            _language(request),
            csp=script + _TO_US,
            shown=shown,
            upstream=upstream,
            rehearsal=rehearsal,
            problem=problem if problem in known else "",
        )

    found = Route("/upstream/{name}/factor", stepped)
    found.methods = {"GET", "POST"}  # to methods that it is told, Route adds HEAD
    return found


def _asked(request: Request, upstream: str, tid: str, cookies: StepCookies) -> Asked:
    held = request.cookies
    return Asked(
        upstream,
        tid,
        held.get(cookies.name(tid)),
        lambda tid: held.get(cookies.login.name(tid)),
    )


def _language(request: Request) -> Language:
    return choose_language(request.headers.get("accept-language", ""))


def _redirect(upstream: str, tid: str, problem: str = "") -> Response:
    """To the page, by its address alone: to load it again does nothing again."""
    query = {"login": tid} | ({"problem": problem} if problem else {})
    where = f"/upstream/{quote(upstream)}/factor?{urlencode(query)}"
    headers = {"Location": where, "Cache-Control": "no-store"}
    return Response(status_code=HTTPStatus.SEE_OTHER, headers=headers)
