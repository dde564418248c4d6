"""Where Mattermost sends people: the single sign-on service, by HTTP-Redirect and HTTP-POST."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

from idp_proxy.saml.bindings import read_post_request, read_redirect
from idp_proxy.transaction import CookieStyle, surplus
from idp_proxy.upstream.base import Redirect
from idp_proxy.web.intake import form_body, query
from idp_proxy.web.wording import choose_language

if TYPE_CHECKING:
    from starlette.requests import Request

    from idp_proxy.login import Begun, Login
    from idp_proxy.web.pages import Pages
    from idp_proxy.web.threads import JourneyThreads


def route(login: Login, pages: Pages, style: CookieStyle, threads: JourneyThreads) -> Route:
    """`/saml/sso`: begin a login and send the browser on.

    Nothing is logged here: whoever likes may begin logins, and would fill the log with them.
    """

    async def asked(request: Request) -> Response:
        if request.method == "POST":
            message = read_post_request(await form_body(request))
        else:
            message = read_redirect(query(request))
        begun = await threads.run(login.begin, message)
        return with_cookie(sent_on(request, begun), request, begun)

    def sent_on(request: Request, begun: Begun) -> Response:
        if isinstance(begun.way, Redirect):
            headers = {"Location": begun.way.url, "Cache-Control": "no-store"}
            return Response(status_code=HTTPStatus.FOUND, headers=headers)
        language = choose_language(request.headers.get("accept-language", ""))
        return pages.auto_post(begun.way.action, begun.way.fields, "any-https", language)

    def with_cookie(response: Response, request: Request, begun: Begun) -> Response:
        for name in surplus(request.cookies.items(), style):
            response.headers.append("Set-Cookie", style.removal(name))
        response.headers.append("Set-Cookie", style.header(style.name(begun.tid), begun.sealed))
        return response

    # One route for both: of two, a refusal of another method would name only the first one's.
    found = Route("/saml/sso", asked)
    found.methods = {"GET", "POST"}  # to methods that it is told, Route adds HEAD
    return found
