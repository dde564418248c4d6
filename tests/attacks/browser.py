"""A browser without a memory: each request is sent as it is, over the application's own interface.

It keeps no cookies: what a login's cookie is worth in other hands is what the tests ask.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI


class Browser:
    """Speaks to one worker's application."""

    def __init__(self, app: FastAPI, origin: str) -> None:
        self._runner = asyncio.Runner()
        self._app = app
        self._origin = origin

    def send(
        self,
        method: str,
        path: str,
        body: bytes | str = b"",
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One request and its answer; redirects are not followed."""
        return self._runner.run(self._send([(method, path, body, headers or {})]))[0]

    def send_at_once(
        self, *requests: tuple[str, str, bytes | str, Mapping[str, str]]
    ) -> list[httpx.Response]:
        """Several requests at the same moment."""
        return self._runner.run(self._send(list(requests)))

    async def _send(
        self, requests: list[tuple[str, str, bytes | str, Mapping[str, str]]]
    ) -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=self._app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=self._origin) as client:
            return await asyncio.gather(
                *(
                    client.request(method, path, content=body, headers=dict(headers))
                    for method, path, body, headers in requests
                )
            )

    def close(self) -> None:
        """End the event loop."""
        self._runner.close()
