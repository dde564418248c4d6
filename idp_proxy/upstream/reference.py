"""A neutral address: does this host reach anything at all, on the path of an upstream."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx

from idp_proxy.decision.health import Reference

if TYPE_CHECKING:
    from datetime import datetime

    from idp_proxy.decision.health import Cadence
    from idp_proxy.upstream.dialling import Dialler


class NeutralReference:
    """One of `[health] references`; implements `probing.ReferenceProbe`.

    Any HTTP answer will do, also an error: it came from beyond this network. The outbound proxy's
    own refusal is none. TLS is verified, else a captive portal would answer for the world.
    """

    def __init__(self, url: str, dialler: Dialler) -> None:
        self._url = url
        self._dialler = dialler

    async def ask(self, cadence: Cadence, now: datetime) -> Reference:
        """Whether anything answered there. Never raises for what a network does."""
        host = httpx.URL(self._url).host
        whole = cadence.timeout.total_seconds()
        try:
            async with (
                asyncio.timeout(whole),
                self._dialler.client(cadence.timeout, cadence.connect) as client,
                client.stream("GET", self._url) as response,
            ):
                reason = f"{host} answers {response.status_code}"
                return Reference(answered=True, reason=reason, at=now)
        except (TimeoutError, httpx.TimeoutException):
            reason = f"{host} does not answer within {whole:g} s"
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            reason = f"{host} cannot be reached: {type(error).__name__}"
        return Reference(answered=False, reason=reason, at=now)
