"""What probes and canaries share: a peer's answer read within bounds, and words for what it did.

Nothing that was sent stands in these words: an address is quoted without its query.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpx

from idp_proxy.decision.health import Outcome
from idp_proxy.upstream.dialling import NameUnresolved, ProxyUnreachable, tls_problem
from idp_proxy.upstream.probing import Probed

if TYPE_CHECKING:
    from datetime import timedelta

#: Octets of a page that are looked at; the rest is not read.
MAX_PAGE: Final = 256 * 1024
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
#: RFC 9110 15.4: these keep the method; a question by POST is put again.
KEEP_METHOD: Final = frozenset({307, 308})
#: Characters of a reason (`probing.Probed`), and of what a peer may say in it.
_MAX_REASON: Final = 300
_MAX_QUOTED: Final = 120


class Wrong(Exception):
    """The upstream answers, but not as it should; the text is the reason, for people."""


#: What a network or a peer may raise.
NETWORK_ERRORS: Final = (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError)


async def read_body(response: httpx.Response, limit: int, *, cut: bool) -> bytes:
    """At most `limit` octets, as they are on the wire: nothing is unpacked. Raises `Wrong`."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise Wrong("answers compressed, which was not asked for")
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > limit:
            if cut:
                break
            raise Wrong(f"answers with more than {limit} octets")
    return bytes(body[:limit])


def broken(reason: str, refused_by_proxy: str | None = None) -> Probed:
    """BROKEN, with its reason in one line."""
    return Probed(Outcome.BROKEN, in_a_line(reason), refused_by_proxy)


def explained(error: Exception, whole: timedelta) -> Probed:
    """What went wrong on the way, of `NETWORK_ERRORS`; `whole` is what was allowed."""
    if isinstance(error, httpx.ProxyError | ProxyUnreachable):
        why = in_a_line(f"the outbound proxy refuses: {quoted(str(error))}")
        return broken(why, refused_by_proxy=why)
    # First, because a deadline that cuts a handshake has TLS behind it too.
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return broken(f"no answer within {whole.total_seconds():g} s")
    if (tls := tls_problem(error)) is not None:
        return broken(explained_tls(tls))
    if isinstance(error, NameUnresolved):
        return broken(str(error))
    if isinstance(error, httpx.ConnectError):
        return broken("takes no connection")
    return broken(f"answers no proper HTTP: {type(error).__name__}: {quoted(str(error))}")


def explained_tls(error: ssl.SSLError) -> str:
    """What TLS complained of, in words for people."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS certificate not trusted: {quoted(error.verify_message)}"
    return f"TLS fails: {quoted(str(error.reason or error))}"


def quoted(text: str) -> str:
    """What a peer said, cut short; the query of an address is left out, for it holds the login."""
    try:
        parts = urlsplit(text) if text.startswith(("http:", "https:")) else None
    except ValueError:
        return "an address that is none"
    return shortened(text if parts is None else f"{parts.scheme}://{parts.netloc}")


def shortened(text: str) -> str:
    """A name that a peer chose, in one line and cut short."""
    return _clean(text, _MAX_QUOTED)


def in_a_line(reason: str) -> str:
    """A reason as `probing.Probed` has it."""
    return _clean(reason, _MAX_REASON)


def _clean(text: str, length: int) -> str:
    """One line of printable characters."""
    line = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    return line if len(line) <= length else f"{line[: length - 3]}..."
