"""The one map from an error to a page: whatever fails, a person gets words and the log a reason."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from idp_proxy.errors import (
    Internal,
    LoginRefused,
    MalformedMessage,
    NotFound,
    PersonNotInDrill,
    ProxyError,
    SamlError,
    TooLarge,
    WrongMethod,
)
from idp_proxy.web.intake import from_app, loggable_path, way_of
from idp_proxy.web.wording import choose_language

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI
    from starlette.requests import Request

    from idp_proxy.web.pages import Pages

_log = structlog.get_logger("idp_proxy.web")


def install(app: FastAPI, pages: Pages, new_id: Callable[[], str], end_of_pass: str) -> None:
    """Answer every error of `app` with its page; the error's id joins the page and the log.

    `end_of_pass` is the Set-Cookie that ends a drill's pass: whoever met somebody else's starts
    again as everybody does, and is not kept out until the drill is over.
    """

    def shown(request: Request, error: ProxyError) -> Response:
        error_id = new_id()[:12]
        _note(request, error, error_id)
        language = choose_language(request.headers.get("accept-language", ""))
        page = pages.error(
            error,
            error_id,
            language,
            from_app=from_app(request),
            came=way_of(request),
        )
        if isinstance(error, PersonNotInDrill):
            page.headers.append("Set-Cookie", end_of_pass)
        return page

    async def refused(request: Request, error: Exception) -> Response:
        if not isinstance(error, ProxyError):
            raise error
        return shown(request, error)

    async def by_http(request: Request, error: Exception) -> Response:
        return shown(request, _of_http(request, error))

    async def gone(_request: Request, _error: Exception) -> Response:
        return Response(status_code=HTTPStatus.BAD_REQUEST)

    async def unforeseen(request: Request, error: Exception) -> Response:
        return shown(request, Internal(f"{type(error).__name__}: {error}"))

    app.add_exception_handler(ProxyError, refused)
    app.add_exception_handler(HTTPException, by_http)
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(Exception, unforeseen)


def _of_http(request: Request, error: Exception) -> ProxyError:
    """What the framework refused, in our words; a client's fault never becomes a 500."""
    status = getattr(error, "status_code", HTTPStatus.INTERNAL_SERVER_ERROR)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        allow = (getattr(error, "headers", None) or {}).get("Allow", "")
        return WrongMethod(sorted(allow.split(", ")), request.method[:20])
    if status == HTTPStatus.NOT_FOUND:
        return NotFound(loggable_path(request))
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return TooLarge(f"HTTP status {status}")
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return MalformedMessage("XML-03", f"HTTP status {status}")
    return Internal(f"HTTP status {status}")


def _note(request: Request, error: ProxyError, error_id: str) -> None:
    """The log's side of a refusal: rule and detail, no parameter and no cookie of the request."""
    level = _log.error if error.http_status >= HTTPStatus.INTERNAL_SERVER_ERROR else _log.warning
    level(
        "refused",
        code=error.code,
        rule=error.rule if isinstance(error, SamlError | LoginRefused) else None,
        detail=error.detail[:1000],
        error_id=error_id,
        method=request.method[:20],
        path=loggable_path(request),
    )
