"""Where upstreams post their answers: one assertion consumer service for each of them (FO-12).

Which journey an answer belongs to is told by the cookie that came with it; whether it does, by the
seal of that cookie, which opens for its own journey only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from starlette.routing import Route

from idp_proxy.errors import NotFound
from idp_proxy.saml.bindings import read_post_response
from idp_proxy.web.intake import came_by, form_body
from idp_proxy.web.next_steps import Way
from idp_proxy.web.wording import choose_language

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from idp_proxy.login import Login
    from idp_proxy.rehearsal import Rehearsal
    from idp_proxy.saml.bindings import ResponseMessage
    from idp_proxy.transaction import CookieStyle
    from idp_proxy.web.enroll import Enrolments
    from idp_proxy.web.pages import Pages
    from idp_proxy.web.threads import JourneyThreads

_log = structlog.get_logger("idp_proxy.web")


@dataclass(frozen=True, slots=True)
class Rehearsals:
    """The journey that ends on a page of ours, and how its cookies are named."""

    journey: Rehearsal
    style: CookieStyle


def route(
    login: Login,
    rehearsals: Rehearsals,
    enrolments: Enrolments | None,
    pages: Pages,
    style: CookieStyle,
    threads: JourneyThreads,
) -> Route:
    """`/upstream/NAME/acs`: complete a login and post the Response to Mattermost, or complete a
    rehearsal and say so, or open the pages for a second step.

    The cookie stays until it expires: who goes back and posts again is told that the login was
    used, which the store knows, instead of that it is not known here.
    """

    async def answered(request: Request) -> Response:
        name: str = request.path_params["name"]
        if name not in login.upstreams:
            raise NotFound("no such upstream")
        message = read_post_response(await form_body(request))
        if _is_of(rehearsals.style, request, message, style):
            return await rehearsed(request, name, message)
        if enrolments is not None and _is_of(enrolments.style, request, message, style):
            return await enrolled(enrolments, request, name, message)
        cookies = request.cookies
        issued = await threads.run(
            login.complete, name, message, lambda tid: cookies.get(style.name(tid))
        )
        _log.info(issued.outcome, upstream=issued.upstream, tid=(message.relay_state or "")[:8])
        fields = {"SAMLResponse": issued.saml_response}
        if issued.relay_state is not None:
            fields["RelayState"] = issued.relay_state
        language = choose_language(request.headers.get("accept-language", ""))
        return pages.auto_post(issued.acs_url, fields, "sp", language)

    async def rehearsed(request: Request, name: str, message: ResponseMessage) -> Response:
        came_by(request, Way.LINK)
        cookies, named = request.cookies, rehearsals.style.name
        done = await threads.run(
            rehearsals.journey.complete, name, message, lambda tid: cookies.get(named(tid))
        )
        _log.info(done.kind.value, upstream=done.upstream, tid=(message.relay_state or "")[:8])
        language = choose_language(request.headers.get("accept-language", ""))
        return pages.rehearsed(done, language)

    async def enrolled(
        enrolments: Enrolments, request: Request, name: str, message: ResponseMessage
    ) -> Response:
        came_by(request, Way.ENROLMENT)
        cookies, named = request.cookies, enrolments.style.name
        sealed = await threads.run(
            enrolments.journey.complete, name, message, lambda tid: cookies.get(named(tid))
        )
        _log.info("enrolment_begun", upstream=name, tid=(message.relay_state or "")[:8])
        return enrolments.admitted(sealed)

    return Route("/upstream/{name}/acs", answered, methods=["POST"])


def _is_of(
    other: CookieStyle, request: Request, message: ResponseMessage, login: CookieStyle
) -> bool:
    """Whether only a cookie of that kind came for this RelayState; a login's comes first."""
    tid = message.relay_state or ""
    return other.name(tid) in request.cookies and login.name(tid) not in request.cookies
