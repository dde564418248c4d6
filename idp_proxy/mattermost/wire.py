"""One call to Mattermost: deadline, size, repeats of what may be repeated, typed errors.

Every call here may be made twice: what reads, the end of a session, which is over then, and what
sets a value. The environment of the process changes nothing, no redirect is followed, and neither
the token nor what a server says at length reaches an error.
"""

from __future__ import annotations

import math
import ssl
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeVar

import httpx
from pydantic import ValidationError
from tenacity import RetryCallState, Retrying, stop_before_delay

from idp_proxy.config.addresses import is_direct
from idp_proxy.errors import (
    ConfigError,
    MattermostBusy,
    MattermostError,
    MattermostFaulty,
    MattermostNotFound,
    MattermostRefused,
    MattermostUnauthorized,
    MattermostUnreachable,
)
from idp_proxy.mattermost.rows import PROBLEM

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import TypeAdapter

    from idp_proxy.config.mattermost import ApiSettings

T = TypeVar("T")

#: Octets of one answer at most: a page of 200 people has about 200 KiB.
MAX_ANSWER: Final = 16 * 1024 * 1024
#: How often a call is tried when no answer comes, and how long all waiting for it may take.
ATTEMPTS: Final = 3
PATIENCE_S: Final = 60.0
_CONNECT_S: Final = 5.0
_SHOWN: Final = 160
_NO_ROUTE: Final = "api.context.404.app_error"


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `route` names it in errors, without the ids of people in `path`. `body` is JSON;
    `files` is a form of files instead, by field.
    """

    method: str
    route: str
    path: str
    params: Mapping[str, str | int | bool] | None = None
    body: Any = None
    files: Mapping[str, tuple[str, bytes]] | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.route}"


class Wire:
    """The way to one server. Close it. `transport` is for tests."""

    def __init__(
        self,
        api: ApiSettings,
        token: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._base = f"{api.url}/api/v4"
        self._token = token
        self._timeout = api.timeout.total_seconds()
        self._client = httpx.Client(
            transport=transport or _transport(api),
            timeout=httpx.Timeout(self._timeout, connect=min(_CONNECT_S, self._timeout)),
            follow_redirects=False,
            trust_env=False,
            headers={
                "Authorization": f"Bearer {token}",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": "idp-proxy",
            },
        )
        self._retrying = Retrying(
            sleep=sleep,
            stop=stop_before_delay(PATIENCE_S),
            retry=_worth_another,
            wait=_wait,
            reraise=True,
        )

    def close(self) -> None:
        """Give back the connections."""
        self._client.close()

    def ask(self, call: Call, shape: TypeAdapter[T]) -> T:
        """The answer in this shape. Raises the kinds of `MattermostError`."""
        body = self._retrying(self._once, call)
        try:
            return shape.validate_json(body)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
            raise MattermostUnreachable(
                f"{call}: not what Mattermost answers ({self._shown(where) or 'no JSON'}); "
                "look at what stands before the server"
            ) from None

    def _once(self, call: Call) -> bytes:
        until = time.monotonic() + self._timeout
        try:
            with self._client.stream(
                call.method,
                f"{self._base}{call.path}",
                params=call.params,
                json=call.body,
                files=call.files,
            ) as response:
                body = _read(call, response, until)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            # The text of some errors holds addresses with what was sent: the kind says enough.
            raise MattermostFaulty(
                f"{call}: no answer from {self._base} ({type(error).__name__}); is "
                "service_provider.api.url right, and are tls_ca and outbound_proxy?"
            ) from None
        if not response.is_success:
            raise self._error(call, response, body)
        if not response.headers.get("Content-Type", "").startswith("application/json"):
            raise MattermostUnreachable(
                f"{call}: {response.status_code} that is not Mattermost's own; "
                "look at what stands before the server"
            )
        return body

    def _error(self, call: Call, response: httpx.Response, body: bytes) -> MattermostError:
        status = response.status_code
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            return MattermostBusy(
                f"{call}: Mattermost's rate limit goes on refusing; try again later",
                _asked_wait(response.headers.get("Retry-After", "")),
            )
        if response.is_redirect:
            return MattermostUnreachable(
                f"{call}: {status}, a redirect, which is not followed with the token; set "
                "service_provider.api.url to Mattermost's own address"
            )
        return self._said_no(call, status, body)

    def _said_no(self, call: Call, status: int, body: bytes) -> MattermostError:
        """What Mattermost's own words mean; they are translated, so that its ids decide."""
        try:
            problem = PROBLEM.validate_json(body)
        except ValidationError:
            text = f"{call}: {status} that is not Mattermost's own; look at what stands before it"
            return MattermostFaulty(text)
        said = self._shown(problem.id)
        text = f"{call}: {status} {said}: {self._shown(problem.message)}"
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            return MattermostUnauthorized(
                f"{text}; service_provider.api.token must be a system administrator's personal "
                "access token that is neither revoked nor expired",
                said,
            )
        if status == HTTPStatus.NOT_FOUND and problem.id != _NO_ROUTE:
            return MattermostNotFound(text, said)
        unavailable = status >= HTTPStatus.INTERNAL_SERVER_ERROR
        if unavailable and status != HTTPStatus.NOT_IMPLEMENTED:
            return MattermostFaulty(text, said)
        return MattermostRefused(text, said)

    def _shown(self, text: str) -> str:
        """Words of the server as one short line, without control characters and our token."""
        plain = text.replace(self._token, "[token]")
        return "".join(one if one.isprintable() else " " for one in plain[:_SHOWN])


def _transport(api: ApiSettings) -> httpx.HTTPTransport:
    outbound, host = api.outbound, httpx.URL(api.url).host
    try:
        trusted = (
            httpx.create_ssl_context(trust_env=False)
            if outbound.tls_ca is None
            else ssl.create_default_context(cafile=outbound.tls_ca)
        )
    except (OSError, ssl.SSLError) as error:
        raise ConfigError([f"service_provider.api.tls_ca: {outbound.tls_ca}: {error}"]) from error
    trusted.minimum_version = ssl.TLSVersion.TLSv1_2
    through = outbound.proxy if not is_direct(host, outbound.no_proxy) else ""
    return httpx.HTTPTransport(
        verify=trusted, trust_env=False, proxy=httpx.Proxy(through) if through else None
    )


def _read(call: Call, response: httpx.Response, until: float) -> bytes:
    body = bytearray()
    for piece in response.iter_bytes():
        body += piece
        if len(body) > MAX_ANSWER:
            raise MattermostUnreachable(f"{call}: the answer is longer than {MAX_ANSWER} octets")
        if time.monotonic() > until:
            raise MattermostFaulty(f"{call}: the answer did not end in time")
    return bytes(body)


def _worth_another(state: RetryCallState) -> bool:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, MattermostFaulty):
        return state.attempt_number < ATTEMPTS
    return isinstance(error, MattermostBusy)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, MattermostBusy):
        return error.wait_s
    return 0.5 * float(2 ** (state.attempt_number - 1))


def _asked_wait(text: str) -> float:
    """Seconds, as Mattermost says them (RFC 9110 section 10.2.3); one for anything else."""
    try:
        asked = float(text)
    except ValueError:
        return 1.0
    return min(max(asked, 0.1), PATIENCE_S) if math.isfinite(asked) else 1.0
