"""Where Mattermost sends people: the single sign-on service, by HTTP-Redirect and HTTP-POST."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from idp_proxy.saml.bindings import read_post_request, read_redirect
from idp_proxy.web.intake import form_body, query
from idp_proxy.web.onward import send_on

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from idp_proxy.login import Login
    from idp_proxy.transaction import CookieStyle
    from idp_proxy.web.pages import Pages
    from idp_proxy.web.threads import JourneyThreads


def route(
    login: Login, pages: Pages, style: CookieStyle, drill_cookie: str, threads: JourneyThreads
) -> Route:
    """`/saml/sso`: begin a login and send the browser on. `drill_cookie` names a drill's pass.

    Nothing is logged here: whoever likes may begin logins, and would fill the log with them.
    """

    async def asked(request: Request) -> Response:
        if request.method == "POST":
            message = read_post_request(await form_body(request))
        else:
            message = read_redirect(query(request))
        drill_pass = request.cookies.get(drill_cookie)
        sent = await threads.run(login.begin, message, drill_pass)
        return send_on(request, sent, pages, style)

    # One route for both: of two, a refusal of another method would name only the first one's.
    found = Route("/saml/sso", asked)
    found.methods = {"GET", "POST"}  # to methods that it is told, Route adds HEAD
    return found
