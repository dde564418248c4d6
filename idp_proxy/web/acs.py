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
from idp_proxy.web.intake import by_link, form_body
from idp_proxy.web.wording import choose_language

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from idp_proxy.login import Login
    from idp_proxy.rehearsal import Rehearsal
    from idp_proxy.saml.bindings import ResponseMessage
    from idp_proxy.transaction import CookieStyle
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
    pages: Pages,
    style: CookieStyle,
    threads: JourneyThreads,
) -> Route:
    """`/upstream/NAME/acs`: complete a login and post the Response to Mattermost, or complete a
    rehearsal and say so.

    The cookie stays until it expires: who goes back and posts again is told that the login was
    used, which the store knows, instead of that it is not known here.
    """

    async def answered(request: Request) -> Response:
        name: str = request.path_params["name"]
        if name not in login.upstreams:
            raise NotFound("no such upstream")
        message = read_post_response(await form_body(request))
        if _is_rehearsal(request, message, style, rehearsals.style):
            return await rehearsed(request, name, message)
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
        by_link(request)
        cookies, named = request.cookies, rehearsals.style.name
        done = await threads.run(
            rehearsals.journey.complete, name, message, lambda tid: cookies.get(named(tid))
        )
        _log.info(done.kind.value, upstream=done.upstream, tid=(message.relay_state or "")[:8])
        language = choose_language(request.headers.get("accept-language", ""))
        return pages.rehearsed(done, language)

    return Route("/upstream/{name}/acs", answered, methods=["POST"])


def _is_rehearsal(
    request: Request, message: ResponseMessage, login: CookieStyle, rehearsal: CookieStyle
) -> bool:
    """Whether only a rehearsal's cookie came for this RelayState; a login's comes first."""
    tid = message.relay_state or ""
    return rehearsal.name(tid) in request.cookies and login.name(tid) not in request.cookies
