"""Where upstreams post their answers: one assertion consumer service for each of them (FO-12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from starlette.routing import Route

from idp_proxy.errors import NotFound
from idp_proxy.saml.bindings import read_post_response
from idp_proxy.web.intake import form_body
from idp_proxy.web.wording import choose_language

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from idp_proxy.login import Login
    from idp_proxy.transaction import CookieStyle
    from idp_proxy.web.pages import Pages
    from idp_proxy.web.threads import JourneyThreads

_log = structlog.get_logger("idp_proxy.web")


def route(login: Login, pages: Pages, style: CookieStyle, threads: JourneyThreads) -> Route:
    """`/upstream/NAME/acs`: complete a login and post the Response to Mattermost.

    The cookie stays until it expires: who goes back and posts again is told that the login was
    used, which the store knows, instead of that it is not known here.
    """

    async def answered(request: Request) -> Response:
        name: str = request.path_params["name"]
        if name not in login.upstreams:
            raise NotFound("no such upstream")
        message = read_post_response(await form_body(request))
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

    return Route("/upstream/{name}/acs", answered, methods=["POST"])
