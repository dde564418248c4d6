"""The page behind the link that `idp-proxy rehearse` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from idp_proxy.web.intake import came_by, demand_our_form
from idp_proxy.web.next_steps import Way
from idp_proxy.web.onward import send_on
from idp_proxy.web.wording import choose_language

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from idp_proxy.rehearsal import Rehearsal
    from idp_proxy.transaction import CookieStyle
    from idp_proxy.web.pages import Pages
    from idp_proxy.web.threads import JourneyThreads


def route(rehearsal: Rehearsal, pages: Pages, style: CookieStyle, threads: JourneyThreads) -> Route:
    """`/rehearse/TOKEN`: GET shows what will happen, the form on that page begins it."""

    async def opened(request: Request) -> Response:
        came_by(request, Way.LINK)
        token: str = request.path_params["token"]
        if request.method == "POST":
            await demand_our_form(request)
            sent = await threads.run(rehearsal.begin, token)
            return send_on(request, sent, pages, style)
        ticket = await threads.run(rehearsal.look, token)
        language = choose_language(request.headers.get("accept-language", ""))
        return pages.question(
            "rehearse", ticket.kind.value, {"upstream": ticket.upstream}, "any-https", language
        )

    found = Route("/rehearse/{token}", opened)
    found.methods = {"GET", "POST"}  # to methods that it is told, Route adds HEAD
    return found
