"""Connections for looking at an upstream: fresh ones, on its own path, that no resolver can hang.

A probe says something only if it takes the way a login's metadata takes: the upstream's outbound
proxy and certificate authorities, nothing from the environment of the process. Names are resolved
in a few threads of their own: a resolver that hangs holds up nobody but who asked it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

import httpcore
import httpx

from idp_proxy.config.addresses import is_direct

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta
    from pathlib import Path

    from idp_proxy.config import Outbound

#: Threads that ask the resolver for one upstream, and addresses of a name that are tried.
_RESOLVING: Final = 4
_TRIED: Final = 4


class Resolve(Protocol):
    """How a name becomes addresses: the system's resolver, or a double of it."""

    def __call__(self, host: str, port: int) -> list[str]:
        """The addresses of `host`, best first. Raises `OSError`."""


def system_resolve(host: str, port: int) -> list[str]:
    """What the system's resolver answers (RFC 6724 orders it). Raises `OSError`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in found))


class NameUnresolved(OSError):
    """The resolver knows no address of a host, or cannot be asked."""


class ProxyUnreachable(httpx.ConnectError):
    """The outbound proxy itself takes no connection."""


class Dialler:
    """Makes clients for looks at one upstream. Keeps threads and TLS rules, never a connection.

    Without `Outbound.tls_ca` the usual authorities are trusted; with it this file alone, unless
    `beside_system` adds it to those of the system.
    """

    def __init__(
        self,
        outbound: Outbound,
        resolve: Resolve = system_resolve,
        *,
        beside_system: bool = False,
    ) -> None:
        self._outbound = outbound
        self._resolve = resolve
        self._beside_system = beside_system
        self._made: tuple[int, ssl.SSLContext] | None = None
        self._threads = ThreadPoolExecutor(_RESOLVING, "probe-resolver")

    def client(self, timeout: timedelta, connect: timedelta) -> httpx.AsyncClient:
        """A client for one look. Each step is bounded; the caller bounds the whole.

        Raises `OSError` if the certificate authorities cannot be read.
        """
        return httpx.AsyncClient(
            transport=_Transport(self, self.context()),
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(timeout.total_seconds(), connect=connect.total_seconds()),
            headers={"Accept-Encoding": "identity", "User-Agent": "idp-proxy"},
        )

    def context(self) -> ssl.SSLContext:
        """Made once for each version of the authorities' file: a replaced one counts at once."""
        authorities = self._outbound.tls_ca
        stamp = 0 if authorities is None else authorities.stat().st_mtime_ns
        if self._made is None or self._made[0] != stamp:
            self._made = (stamp, self._new_context(authorities))
        return self._made[1]

    def _new_context(self, authorities: Path | None) -> ssl.SSLContext:
        if authorities is None:
            context = httpx.create_ssl_context(trust_env=False)
        elif self._beside_system:
            context = ssl.create_default_context()
            context.load_verify_locations(authorities)
        else:
            context = ssl.create_default_context(cafile=authorities)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def proxy_for(self, host: str) -> str | None:
        """The outbound proxy on the way to `host`, if there is one."""
        outbound = self._outbound
        through = outbound.proxy and not is_direct(host, outbound.no_proxy)
        return outbound.proxy if through else None

    async def addresses(self, host: str, port: int) -> list[str]:
        """Where `host` is. Raises `NameUnresolved`."""
        return await asyncio.wrap_future(self._threads.submit(self._found, host, port))

    def addresses_within(self, host: str, port: int, seconds: float) -> list[str]:
        """As `addresses`, for a thread that waits so long. Raises `TimeoutError` behind it."""
        asked = self._threads.submit(self._found, host, port)
        try:
            return asked.result(seconds)
        except TimeoutError:
            asked.cancel()
            raise

    def _found(self, host: str, port: int) -> list[str]:
        try:
            found = self._resolve(host, port)
        except (OSError, ValueError) as error:
            raise NameUnresolved(f"name does not resolve: {host}") from error
        if not found:
            raise NameUnresolved(f"name does not resolve: {host}")
        return found[:_TRIED]


class _Remembering(httpcore.AsyncNetworkBackend):
    """Closes every connection in the end, also one whose TLS handshake was given up.

    httpcore drops such a socket without closing it when the wait is cancelled, and the loop holds
    on to it: an upstream that hangs would take one file descriptor of the watch at each look.
    """

    def __init__(self, backend: httpcore.AsyncNetworkBackend) -> None:
        self._backend = backend
        self._streams: list[httpcore.AsyncNetworkStream] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        stream = await self._backend.connect_tcp(host, port, timeout, local_address, socket_options)
        self._streams.append(stream)
        return stream

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)

    async def aclose(self) -> None:
        while self._streams:
            await self._streams.pop().aclose()


class _Transport(httpx.AsyncBaseTransport):
    """Connects to an address, and asks and verifies by name: Host, SNI and certificate."""

    def __init__(self, dialler: Dialler, context: ssl.SSLContext) -> None:
        self._dialler = dialler
        self._context = context
        self._opened: list[httpx.AsyncHTTPTransport | _Remembering] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        proxy = self._dialler.proxy_for(request.url.host)
        if proxy is not None:
            return await self._by_proxy(request, proxy)
        host = request.url.host
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        transport = self._open(None)
        refused: httpx.ConnectError | None = None
        for address in await self._dialler.addresses(host, port):
            try:
                return await transport.handle_async_request(_towards(request, address))
            except httpx.ConnectError as error:
                if tls_problem(error) is not None:
                    raise
                refused = error
        raise refused or NameUnresolved(f"name does not resolve: {host}")

    async def _by_proxy(self, request: httpx.Request, proxy: str) -> httpx.Response:
        """The outbound proxy resolves the upstream's name; its own is resolved here."""
        url = httpx.URL(proxy)
        if url.scheme == "http":
            try:
                found = await self._dialler.addresses(url.host, urlsplit(proxy).port or 80)
            except NameUnresolved as error:
                raise ProxyUnreachable(str(error)) from error
            url = url.copy_with(host=found[0])
        try:
            return await self._open(url).handle_async_request(request)
        except httpx.ConnectError as error:
            if tls_problem(error) is None:
                raise ProxyUnreachable(str(error)) from error
            raise

    def _open(self, proxy: httpx.URL | None) -> httpx.AsyncHTTPTransport:
        transport = httpx.AsyncHTTPTransport(
            verify=self._context,
            trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),
            proxy=None if proxy is None else httpx.Proxy(proxy),
        )
        pool = transport._pool  # noqa: SLF001 - httpx has no parameter for the backend, and is pinned
        backend = _Remembering(pool._network_backend)  # noqa: SLF001 - as above: it stands behind
        pool._network_backend = backend  # noqa: SLF001 - as above: it is put in front
        self._opened += [transport, backend]
        return transport

    async def aclose(self) -> None:
        for opened in self._opened:
            await opened.aclose()
        self._opened.clear()


def _towards(request: httpx.Request, address: str) -> httpx.Request:
    """The same request to one address: the Host header is set, the certificate's name stays."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": request.url.host},
    )


def tls_problem(error: BaseException) -> ssl.SSLError | None:
    """What TLS itself complained of, if that is behind `error`."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None
