"""What machines and the public ask: health, readiness, /status, and our own metadata."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from idp_proxy.errors import NotFound
from idp_proxy.web.wording import choose_language

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from idp_proxy.decision.standing import Standing
    from idp_proxy.web.pages import Pages

_METADATA = "application/samlmetadata+xml"
_READING = ["GET", "HEAD"]
_NO_STORE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def router(
    pages: Pages,
    standing: Callable[[], Standing],
    now: Callable[[], datetime],
    metadata: Mapping[str, bytes],
) -> APIRouter:
    """`metadata` has our documents by path and query, as `/saml/metadata?next=1`."""
    routes = APIRouter()

    @routes.api_route("/healthz", methods=_READING)
    async def alive() -> Response:
        return JSONResponse({"alive": True}, headers=_NO_STORE)

    @routes.api_route("/readyz", methods=_READING)
    async def ready() -> Response:
        found = await run_in_threadpool(standing)
        status = HTTPStatus.OK if found.ready else HTTPStatus.SERVICE_UNAVAILABLE
        return JSONResponse({"ready": found.ready}, status_code=status, headers=_NO_STORE)

    @routes.api_route("/status", methods=_READING)
    async def status(request: Request) -> Response:
        found = await run_in_threadpool(standing)
        if request.query_params.get("format") == "json":
            proven = found.proven_at.isoformat() if found.proven_at else None
            body = {"login": found.login.value, "proven_at": proven}
            return JSONResponse(body, headers=_NO_STORE)
        return pages.status(
            affected=found.affected,
            login=found.login.value,
            proven_at=found.proven_at,
            now=now(),
            language=choose_language(request.headers.get("accept-language", "")),
            refresh=request.query_params.get("refresh") != "off",
        )

    @routes.api_route("/saml/metadata", methods=_READING)
    async def identity_provider(request: Request) -> Response:
        successor = request.query_params.get("next") == "1"
        return document("/saml/metadata?next=1" if successor else "/saml/metadata")

    @routes.api_route("/upstream/{name}/metadata", methods=_READING)
    async def service_provider(name: str) -> Response:
        return document(f"/upstream/{name}/metadata")

    def document(path: str) -> Response:
        if path not in metadata:
            raise NotFound("no metadata there")
        return Response(metadata[path], media_type=_METADATA, headers=_NO_STORE)

    return routes
