"""`/enroll`: a person sets up a second step behind a fresh login at the active."""

from __future__ import annotations

from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from starlette.responses import Response
from starlette.routing import Route

from idp_proxy.decision.second_factor import ENROLMENT_LASTS
from idp_proxy.errors import MalformedMessage
from idp_proxy.web import enrol_pages
from idp_proxy.web.intake import came_by, our_fields
from idp_proxy.web.next_steps import Way
from idp_proxy.web.onward import send_on
from idp_proxy.web.wording import choose_language

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request

    from idp_proxy.enrolment import Enrolment
    from idp_proxy.factor_desk import FactorDesk
    from idp_proxy.transaction import CookieStyle
    from idp_proxy.web.pages import Pages
    from idp_proxy.web.threads import JourneyThreads
    from idp_proxy.web.wording import Language

_LIST: Final = "/enroll/factors"


@dataclass(frozen=True, slots=True)
class Enrolments:
    """The journey to the pass, and how its cookies are named."""

    journey: Enrolment
    style: CookieStyle

    @property
    def cookie(self) -> str:
        """The name of the pass's cookie; no transaction's has it."""
        return replace(self.style, purpose="enrolled").prefix + "pass"

    def pass_header(self, value: str, max_age_s: int) -> str:
        """A Set-Cookie value. Other sites' forms do not carry it (SameSite=Lax, WEB-02)."""
        secure = "" if self.style.insecure else "Secure; "
        return f"{self.cookie}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; {secure}SameSite=Lax"

    def admitted(self, sealed: str) -> Response:
        """On to the list, with the pass: the page is one that may be loaded again."""
        headers = {"Location": _LIST, "Cache-Control": "no-store"}
        response = Response(status_code=HTTPStatus.SEE_OTHER, headers=headers)
        lasts = int(ENROLMENT_LASTS.total_seconds())
        response.headers.append("Set-Cookie", self.pass_header(sealed, lasts))
        return response


def routes(
    enrolments: Enrolments, desk: FactorDesk, pages: Pages, threads: JourneyThreads
) -> list[Route]:
    """`/enroll` begins the login, `/enroll/factors` is what it opens."""
    counter = _Counter(enrolments, desk, pages, threads)
    found = [Route("/enroll", counter.door), Route(_LIST, counter.factors)]
    for one in found:
        one.methods = {"GET", "POST"}  # to methods that it is told, Route adds HEAD
    return found


@dataclass(frozen=True, slots=True)
class _Counter:
    """Takes the requests, and gives the pages."""

    enrolments: Enrolments
    desk: FactorDesk
    pages: Pages
    threads: JourneyThreads

    async def door(self, request: Request) -> Response:
        came_by(request, Way.ENROLMENT)
        journey = self.enrolments.journey
        if request.method == "POST":
            await our_fields(request)
            sent = await self.threads.run(journey.begin)
            return send_on(request, sent, self.pages, self.enrolments.style)
        await self.threads.run(journey.look)
        return self.pages.question("enroll", "begin", {}, "any-https", _language(request))

    async def factors(self, request: Request) -> Response:
        came_by(request, Way.ENROLMENT)
        cookie = request.cookies.get(self.enrolments.cookie)
        if request.method == "GET":
            return await self._list(request, cookie, done=request.query_params.get("done", ""))
        fields = await our_fields(request)
        act = self._acts().get(fields.get("do", ""))
        if act is None:
            raise MalformedMessage("XML-03", "a form of /enroll without anything to do")
        return await act(request, cookie, fields)

    def _acts(
        self,
    ) -> Mapping[str, Callable[[Request, str | None, Mapping[str, str]], Awaitable[Response]]]:
        return {
            "code": self._new_code,
            "code-confirm": self._confirm_code,
            "passkey": self._new_passkey,
            "passkey-confirm": self._confirm_passkey,
            "recovery": self._new_recovery,
            "remove": self._remove,
            "leave": self._leave,
        }

    async def _list(
        self, request: Request, cookie: str | None, *, done: str = "", problem: str = ""
    ) -> Response:
        visit = await self.threads.run(self.desk.look, cookie)
        return enrol_pages.enrolled(
            self.pages,
            visit,
            _language(request),
            with_passkeys=self.desk.party is not None,
            done=done,
            problem=problem,
        )

    async def _new_code(
        self, request: Request, cookie: str | None, fields: Mapping[str, str]
    ) -> Response:
        made = await self.threads.run(self.desk.prepare_code, cookie, _token(fields))
        return enrol_pages.new_code(self.pages, made, _language(request), wrong=False)

    async def _confirm_code(
        self, request: Request, cookie: str | None, fields: Mapping[str, str]
    ) -> Response:
        token, kept = _token(fields), fields.get("kept", "")
        code = fields.get("code", "")
        if await self.threads.run(self.desk.add_code, cookie, token, kept, code):
            return _done("code")
        made = await self.threads.run(self.desk.again, cookie, token, kept)
        return enrol_pages.new_code(self.pages, made, _language(request), wrong=True)

    async def _new_passkey(
        self, request: Request, cookie: str | None, fields: Mapping[str, str]
    ) -> Response:
        made = await self.threads.run(self.desk.prepare_passkey, cookie, _token(fields))
        return enrol_pages.new_passkey(self.pages, made, _language(request))

    async def _confirm_passkey(
        self, request: Request, cookie: str | None, fields: Mapping[str, str]
    ) -> Response:
        kept, answer = fields.get("kept", ""), fields.get("answer", "")
        if await self.threads.run(self.desk.add_passkey, cookie, _token(fields), kept, answer):
            return _done("passkey")
        return await self._list(request, cookie, problem="passkey")

    async def _new_recovery(
        self, request: Request, cookie: str | None, fields: Mapping[str, str]
    ) -> Response:
        codes = await self.threads.run(self.desk.renew_recovery, cookie, _token(fields))
        return enrol_pages.new_recovery(self.pages, codes, _language(request))

    async def _remove(
        self, request: Request, cookie: str | None, fields: Mapping[str, str]
    ) -> Response:
        del request
        factor = fields.get("factor", "")
        await self.threads.run(self.desk.remove, cookie, _token(fields), factor)
        return _done("remove")

    async def _leave(
        self, request: Request, cookie: str | None, fields: Mapping[str, str]
    ) -> Response:
        await self.threads.run(self.desk.enter, cookie, _token(fields))
        page = enrol_pages.left(self.pages, _language(request))
        page.headers.append("Set-Cookie", self.enrolments.pass_header("", 0))
        return page


def _token(fields: Mapping[str, str]) -> str:
    return fields.get("token", "")


def _language(request: Request) -> Language:
    return choose_language(request.headers.get("accept-language", ""))


def _done(what: str) -> Response:
    """Back to the list by a redirect: to load that page again does nothing again."""
    headers = {"Location": f"{_LIST}?done={what}", "Cache-Control": "no-store"}
    return Response(status_code=HTTPStatus.SEE_OTHER, headers=headers)
