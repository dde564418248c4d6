"""Fetching a small document from an address in the configuration, and nothing beyond it.

Deadlines, certificate authorities and the outbound proxy are explicit: the environment of the
process (`HTTPS_PROXY`, `SSL_CERT_FILE`) changes nothing. Redirects are not followed, for the
address that answers would not be the one that was configured.
"""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpx

from idp_proxy.config.addresses import is_direct

if TYPE_CHECKING:
    from idp_proxy.config import Outbound

#: Seconds for each connect, write, read, and for the whole answer together.
STEP_TIMEOUT: Final = 5.0
WHOLE_TIMEOUT: Final = 20.0


class FetchFailed(Exception):
    """The document did not arrive; the text says why and is for operators."""


def fetch(url: str, outbound: Outbound, limit: int) -> bytes:
    """The body of a plain 200, at most `limit` octets. Raises `FetchFailed`."""
    deadline = time.monotonic() + WHOLE_TIMEOUT
    try:
        with _client(url, outbound) as client, client.stream("GET", url) as response:
            if response.status_code != httpx.codes.OK:
                raise FetchFailed(f"{url} answered {response.status_code}, not 200")
            if response.headers.get("content-encoding", "identity") != "identity":
                raise FetchFailed(f"{url} answered compressed, which was not asked for")
            return _body(url, response, limit, deadline)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        raise FetchFailed(f"{url}: {type(error).__name__}: {error}") from error


def _body(url: str, response: httpx.Response, limit: int, deadline: float) -> bytes:
    body = bytearray()
    for piece in response.iter_raw():
        body += piece
        if len(body) > limit:
            raise FetchFailed(f"{url} is larger than {limit} octets")
        if time.monotonic() > deadline:
            raise FetchFailed(f"{url} did not arrive within {WHOLE_TIMEOUT:.0f} s")
    return bytes(body)


def _client(url: str, outbound: Outbound) -> httpx.Client:
    through = outbound.proxy and not is_direct(urlsplit(url).hostname or "", outbound.no_proxy)
    context: ssl.SSLContext | bool = True
    if outbound.tls_ca is not None:
        context = ssl.create_default_context(cafile=str(outbound.tls_ca))
    return httpx.Client(
        verify=context,
        proxy=outbound.proxy if through else None,
        trust_env=False,
        follow_redirects=False,
        timeout=STEP_TIMEOUT,
        headers={"Accept-Encoding": "identity", "User-Agent": "idp-proxy"},
    )
