"""Where a canary may go. Its password is worth nothing to people, and still goes to no stranger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import httpx

from idp_proxy.config.addresses import url_problem
from idp_proxy.upstream.looking import quoted, shortened

_HTTPS: Final = 443


@dataclass(frozen=True, slots=True)
class Origins:
    """Where a canary may go: the sign-on endpoint's own origin, and the configured hosts."""

    own: tuple[str, int]
    hosts: frozenset[str]
    insecure_loopback: bool

    @classmethod
    def of(cls, address: str, hosts: tuple[str, ...], *, insecure_loopback: bool) -> Origins:
        """For a login that begins at `address`."""
        return cls(host_and_port(httpx.URL(address)), frozenset(hosts), insecure_loopback)

    def problem(self, url: httpx.URL) -> str | None:
        """None, or why nothing may be sent there."""
        if url_problem(str(url), loopback_http=self.insecure_loopback) is not None:
            return f"to what is no https address: {quoted(str(url))}"
        host, port = host_and_port(url)
        named = {f"{host}:{port}"} | ({host} if port == _HTTPS else set())
        if (host, port) == self.own or named & self.hosts:
            return None
        where = shortened(host if port == _HTTPS else f"{host}:{port}")
        return f"to another host: {where}; if it belongs to the login, add it to hosts"


def host_and_port(url: httpx.URL) -> tuple[str, int]:
    """What makes two addresses one origin, with the scheme that `Origins` demands."""
    host = url.raw_host.decode("ascii")
    return f"[{host}]" if ":" in host else host, url.port or (
        _HTTPS if url.scheme == "https" else 80
    )
