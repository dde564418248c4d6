"""The page behind the links that `idp-proxy drill cohort` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from starlette.routing import Route

from idp_proxy.web.intake import came_by, demand_our_form
from idp_proxy.web.next_steps import Way
from idp_proxy.web.wording import choose_language

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from idp_proxy.drill import Joining
    from idp_proxy.transaction import CookieStyle
    from idp_proxy.web.pages import Pages
    from idp_proxy.web.threads import JourneyThreads

_log = structlog.get_logger("idp_proxy.web")


def route(
    joining: Joining, pages: Pages, style: CookieStyle, cookie: str, threads: JourneyThreads
) -> Route:
    """`/drill/join/TOKEN`: GET says what taking part means, the form on that page takes part."""

    async def opened(request: Request) -> Response:
        came_by(request, Way.LINK)
        token: str = request.path_params["token"]
        language = choose_language(request.headers.get("accept-language", ""))
        if request.method == "GET":
            _, drill = await threads.run(joining.look, token)
            values = {"upstream": drill.upstream, "until": f"{drill.until:%H:%M} UTC"}
            return pages.question("drill", "join", values, "self", language)
        await demand_our_form(request)
        joined = await threads.run(joining.join, token)
        _log.info("drill_joined", drill=joined.drill.id, upstream=joined.drill.upstream)
        page = pages.joined(joined.drill, language)
        page.headers.append("Set-Cookie", style.header(cookie, joined.sealed, joined.seconds))
        return page

    found = Route("/drill/join/{token}", opened)
    found.methods = {"GET", "POST"}  # to methods that it is told, Route adds HEAD
    return found
