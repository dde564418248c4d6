"""On to an upstream: the way there, and the cookie with which the answer comes back."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.responses import Response

from idp_proxy.transaction import CookieStyle, surplus
from idp_proxy.upstream.base import Redirect
from idp_proxy.web.wording import choose_language

if TYPE_CHECKING:
    from starlette.requests import Request

    from idp_proxy.upstream.base import SentOn
    from idp_proxy.web.pages import Pages


def send_on(request: Request, sent: SentOn, pages: Pages, style: CookieStyle) -> Response:
    """Send the browser to the upstream. Of cookies of this style it keeps only a few."""
    response = _way(request, sent, pages)
    for name in surplus(request.cookies.items(), style):
        response.headers.append("Set-Cookie", style.removal(name))
    response.headers.append("Set-Cookie", style.header(style.name(sent.tid), sent.sealed))
    return response


def _way(request: Request, sent: SentOn, pages: Pages) -> Response:
    if isinstance(sent.way, Redirect):
        headers = {"Location": sent.way.url, "Cache-Control": "no-store"}
        return Response(status_code=HTTPStatus.FOUND, headers=headers)
    language = choose_language(request.headers.get("accept-language", ""))
    return pages.auto_post(sent.way.action, sent.way.fields, "any-https", language)
