"""How requests reach the applications in this process: by host name, without a socket."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import httpx
from anyio.from_thread import start_blocking_portal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp


class Wire(httpx.BaseTransport):
    """Takes each request to the application that answers for its host; threads may share it.

    An error that the application did not foresee becomes its page with status 500, as in service.
    """

    def __init__(self, apps: Mapping[str, ASGIApp]) -> None:
        self._open = ExitStack()
        self._portal = self._open.enter_context(start_blocking_portal())
        self.apps = apps
        self._ways = {
            host: httpx.ASGITransport(app, raise_app_exceptions=False) for host, app in apps.items()
        }

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """See `httpx.BaseTransport`."""
        request.read()
        return self._portal.call(_answer, self._ways[request.url.host], request)

    def close(self) -> None:
        """Nothing: many clients share it."""

    def hang_up(self) -> None:
        """End the thread in which the applications run."""
        self._open.close()


async def _answer(app: httpx.ASGITransport, request: httpx.Request) -> httpx.Response:
    answer = await app.handle_async_request(request)
    body = await answer.aread()
    return httpx.Response(
        answer.status_code, headers=answer.headers.raw, stream=httpx.ByteStream(body)
    )
