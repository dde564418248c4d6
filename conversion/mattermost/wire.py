"""One call to the server: deadline, pace, retries, typed errors, one line of log.

Only what reads is repeated after a failure. A change is repeated after a 429 alone, which is given
before anything is done; after anything else nobody knows, and `Unreachable` says so.
"""

from __future__ import annotations

import json
import time
from contextlib import closing
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeVar

import httpx
import structlog
from pydantic import ValidationError
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_before_delay, wait_random

from conversion.errors import RateLimited, Unreachable
from conversion.mattermost.answers import error_of, shown
from conversion.mattermost.pace import Pace, asked_wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pydantic import TypeAdapter

    from conversion.mattermost.access import Access

T = TypeVar("T")

#: Octets of one answer at most: a page of 200 accounts has about 200 KiB.
MAX_ANSWER: Final = 32 * 1024 * 1024
#: How often a read is tried when the server does not answer.
ATTEMPTS: Final = 4

_log = structlog.get_logger("conversion.mattermost")


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `route` names it in logs and errors, without the ids of people in `path`."""

    method: str
    route: str
    path: str
    params: Mapping[str, str | int | bool] | None = None
    body: Any = field(repr=False, default=None)

    @property
    def reads(self) -> bool:
        """Whether repeating it changes nothing (RFC 9110 section 9.2.1)."""
        return self.method == "GET"

    def __str__(self) -> str:
        return f"{self.method} {self.route}"


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx. The body is not represented: some answers of 5.37 hold a password hash."""

    call: Call
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def read(self, shape: TypeAdapter[T]) -> T:
        """The body in this shape. Raises `Unreachable`: half an answer is none."""
        try:
            return shape.validate_json(self.body)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
            raise Unreachable(
                f"{self.call}: the answer is not what Mattermost answers"
                f" ({shown(where) or 'no JSON'}); look at what stands before the server",
                request_id=shown(self.headers.get("X-Request-Id", "")),
            ) from None


class _Refused(RateLimited):
    """A 429, with the seconds it asks for."""

    wait_s = 0.0


class _TookTooLong(Exception):
    """An answer that came too slowly or never ends; it becomes `Unreachable`."""


class Wire:
    """The way to one server, for all threads together. Close it."""

    def __init__(
        self,
        access: Access,
        pace: Pace,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._deadline = access.deadline_s
        self._pace = pace
        self._base = access.base
        self._headers = access.headers()
        self._headers_of_changes = [
            (b"Host", httpx.URL(access.base).netloc),
            *self._headers.raw,
            (b"Content-Type", b"application/json"),
        ]
        self._extensions = {"timeout": access.timeouts()}
        self._transport = transport or access.transport()
        self._retrying = Retrying(
            sleep=sleep,
            stop=stop_before_delay(access.patience_s),
            retry=retry_if_exception(lambda error: isinstance(error, _Refused)),
            wait=_wait,
            reraise=True,
        )
        self._reading = self._retrying.copy(retry=_may_read_again)

    def close(self) -> None:
        """Give back the connections."""
        self._transport.close()

    def ask(self, call: Call) -> Answer:
        """Raises the errors of `conversion.errors.MattermostError`."""
        retrying = self._reading if call.reads else self._retrying
        return retrying(self._once, call)

    def pieces(self, call: Call, deadline_s: float) -> Iterator[bytes]:
        """The body of a 200 piece by piece, within `deadline_s` altogether; never repeated."""
        self._pace.wait()
        started = time.monotonic()
        try:
            with closing(self._sent(call)) as response:
                self._pace.learn(response.headers)
                if response.status_code != HTTPStatus.OK:
                    raise self._failed(call, response, self._body(response, started))
                yield from _in_time(response, started + deadline_s)
        except (httpx.HTTPError, _TookTooLong) as error:
            raise _unreachable(call, error) from error

    def _once(self, call: Call) -> Answer:
        self._pace.wait()
        started = time.monotonic()
        try:
            with closing(self._sent(call)) as response:
                body = self._body(response, started)
        except (httpx.HTTPError, _TookTooLong) as error:
            raise _unreachable(call, error) from error
        self._pace.learn(response.headers)
        if not response.is_success:
            raise self._failed(call, response, body)
        if not response.headers.get("Content-Type", "").startswith("application/json"):
            # A portal or a proxy that says 200 to everything: nothing reached Mattermost.
            raise Unreachable(
                f"{call}: {response.status_code} that is not Mattermost's own;"
                " look at what stands before the server"
            )
        _told(call, response, started)
        return Answer(call, response.headers, body)

    def _sent(self, call: Call) -> httpx.Response:
        """Straight to the transport: no cookies are kept, no redirect can be followed with the
        token, and a call costs a third less processor time than by `httpx.Client`.
        """
        url = f"{self._base}{call.path}"
        if call.body is None:
            request = httpx.Request(
                call.method,
                url,
                params=call.params,
                headers=self._headers,
                extensions=self._extensions,
            )
            return self._transport.handle_request(request)
        # A change, ten thousand times: with its headers given, httpx has none to work out.
        content = json.dumps(call.body, ensure_ascii=False, separators=(",", ":")).encode()
        request = httpx.Request(
            call.method,
            url,
            headers=[*self._headers_of_changes, (b"Content-Length", b"%d" % len(content))],
            stream=httpx.ByteStream(content),
            extensions=self._extensions,
        )
        return self._transport.handle_request(request)

    def _body(self, response: httpx.Response, started: float) -> bytes:
        body = bytearray()
        for piece in _in_time(response, started + self._deadline):
            body += piece
            if len(body) > MAX_ANSWER:
                raise _TookTooLong(f"the answer is longer than {MAX_ANSWER} octets")
        return bytes(body)

    def _failed(self, call: Call, response: httpx.Response, body: bytes) -> Exception:
        error = error_of(str(call), response.status_code, body)
        _log.warning(
            "mattermost_refused",
            call=str(call),
            status=response.status_code,
            error_id=error.error_id,
            request_id=error.request_id or shown(response.headers.get("X-Request-Id", "")),
        )
        if not isinstance(error, RateLimited):
            return error
        refused = _Refused(error.detail)
        refused.wait_s = asked_wait(response.headers)
        self._pace.hold(refused.wait_s)
        return refused


def _in_time(response: httpx.Response, until: float) -> Iterator[bytes]:
    # Encoded though we asked for plain octets: httpx decodes. Else straight from the connection.
    encoded = "Content-Encoding" in response.headers
    for piece in response.iter_bytes() if encoded else _stream(response):
        if time.monotonic() > until:
            raise _TookTooLong("the answer did not end before the deadline")
        yield piece


def _stream(response: httpx.Response) -> Iterable[bytes]:
    if not isinstance(response.stream, httpx.SyncByteStream):
        raise TypeError("a transport of this client answers by a stream that is not awaited")
    return response.stream


def _may_read_again(state: RetryCallState) -> bool:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, Unreachable):
        return state.attempt_number < ATTEMPTS
    return isinstance(error, _Refused)


_JITTER: Final = wait_random(0.0, 0.25)


def _wait(state: RetryCallState) -> float:
    """What the server asks for, else 0.25 s doubled each time; a little more for each thread."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.wait_s if isinstance(error, _Refused) else 0.25 * 2 ** (state.attempt_number - 1)
    return asked + _JITTER(state)


def _unreachable(call: Call, error: Exception) -> Unreachable:
    reason = shown(str(error)) or "no reason given"
    _log.warning("mattermost_unreachable", call=str(call), reason=type(error).__name__)
    return Unreachable(f"{call}: {type(error).__name__}: {reason}")


def _told(call: Call, response: httpx.Response, started: float) -> None:
    say = _log.debug if call.reads else _log.info
    say(
        "mattermost_call",
        call=str(call),
        status=response.status_code,
        request_id=shown(response.headers.get("X-Request-Id", "")),
        ms=round((time.monotonic() - started) * 1000, 1),
    )
