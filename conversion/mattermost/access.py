"""Where the server is, and how a call leaves this host."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpx

from conversion.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

#: Seconds to connect. A server that needs longer is not one to change a thousand accounts on.
CONNECT_TIMEOUT: Final = 5.0
#: Seconds an idle connection is kept. Proxies and load balancers close theirs later than this, so
#: that a change seldom meets a connection which the other side is just closing.
KEEP_ALIVE: Final = 4.0


@dataclass(frozen=True, slots=True)
class Access:
    """`[mattermost]`: the server's address, a system administrator's token, the way there.

    `local_socket` is local mode's socket, the emergency door: no token, no TLS, no proxy.
    `deadline_s` bounds one call as a whole, `patience_s` all waiting for the rate limit and for
    repeats of one call, `connections` how many calls may run at once, `plain_connections` how many
    of them where the server hashes a password.
    """

    url: str
    token: str = field(repr=False, default="")
    tls_ca: Path | None = None
    outbound_proxy: str = field(repr=False, default="")
    local_socket: Path | None = None
    deadline_s: float = 30.0
    patience_s: float = 60.0
    connections: int = 16
    plain_connections: int = 2

    def __post_init__(self) -> None:
        problems = [*_address_problems(self), *_token_problems(self)]
        if problems:
            raise ConfigError(problems)

    @property
    def base(self) -> str:
        """Where the API begins."""
        url = self.url.rstrip("/") if self.local_socket is None else "http://local"
        return f"{url}/api/v4"

    def headers(self) -> httpx.Headers:
        """Of every call. Authorization is blanked by httpx wherever it represents headers."""
        headers = httpx.Headers(
            {
                "User-Agent": "sso-conversion",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
            }
        )
        if self.token and self.local_socket is None:
            headers["Authorization"] = f"Bearer {self.token}"
        return headers

    def timeouts(self) -> dict[str, float | None]:
        """Seconds for each step of a call."""
        connect = min(CONNECT_TIMEOUT, self.deadline_s)
        return httpx.Timeout(self.deadline_s, connect=connect).as_dict()

    def transport(self) -> httpx.HTTPTransport:
        """Connections for all threads together. Raises `ConfigError` for an unusable `tls_ca`.

        The environment of the process (`HTTPS_PROXY`, `SSL_CERT_FILE`) changes nothing.
        """
        limits = httpx.Limits(
            max_connections=self.connections,
            max_keepalive_connections=self.connections,
            keepalive_expiry=KEEP_ALIVE,
        )
        if self.local_socket is not None:
            return httpx.HTTPTransport(uds=str(self.local_socket), limits=limits, trust_env=False)
        return httpx.HTTPTransport(
            verify=self._trusted(),
            proxy=httpx.Proxy(self.outbound_proxy) if self.outbound_proxy else None,
            limits=limits,
            trust_env=False,
        )

    def _trusted(self) -> ssl.SSLContext | bool:
        if self.tls_ca is None:
            return True
        try:
            return ssl.create_default_context(cafile=str(self.tls_ca))
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                [f"mattermost.tls_ca: {self.tls_ca}: {error}; name a file of PEM certificates"]
            ) from error


def _address_problems(access: Access) -> list[str]:
    if access.local_socket is not None:
        return []
    if {"@", "?", "#"} & set(access.url):
        # Not repeated in the message: it may hold a password.
        return [
            "mattermost.url: leave out user, password, query and fragment; use mattermost.token"
        ]
    try:
        parts = urlsplit(access.url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        return [f"mattermost.url: {access.url!r}: {error}"]
    if parts.scheme not in {"http", "https"} or not host:
        return [f"mattermost.url: {access.url!r} is no address such as https://chat.example.org"]
    if parts.scheme == "http" and not _is_loopback(host):
        problem = (
            f"mattermost.url: {access.url!r} would send the token unencrypted; use https,"
            " or mattermost.local_socket on the server itself"
        )
        return [problem]
    return []


def _token_problems(access: Access) -> list[str]:
    if access.local_socket is not None or not access.token:
        return []
    if not access.token.isascii() or not access.token.isalnum():
        problem = (
            "mattermost.token: a token has letters and digits only;"
            " look for a line break or a blank in the file it comes from"
        )
        return [problem]
    return []


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
