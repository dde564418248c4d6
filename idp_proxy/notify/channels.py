"""The channels: Apprise sends, each channel in a thread of its own and within its own deadline.

A URL of Apprise's holds tokens. Neither it nor what Apprise says about it reaches the log; a
channel is known by its index in `[notify] urls`.
"""

from __future__ import annotations

import enum
import logging
import re
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from apprise import AppriseAsset, NotifyBase

    from idp_proxy.notify.texts import Message

#: Libraries under Apprise that write URLs, and with them tokens, into the log.
_TALKATIVE: Final = ("apprise", "urllib3", "requests", "requests_oauthlib", "oauthlib")
_STATUS: Final = re.compile(r"error=([1-5][0-9]{2})\b")
#: A channel that gave no answer in time is left alone for so long: what else there is to tell must
#: not wait for it again and again.
_REST_S: Final = 20.0
_heard = threading.local()


class Result(enum.StrEnum):
    """What became of a message on one channel."""

    SENT = "sent"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    BUSY = "busy"
    UNUSABLE = "unusable"


@dataclass(frozen=True, slots=True)
class Delivery:
    """How one channel did. `http_status` is what its server answered, where that is known."""

    index: int
    scheme: str
    result: Result
    http_status: int | None = None

    @property
    def sent(self) -> bool:
        """Whether the message was taken."""
        return self.result is Result.SENT

    @property
    def reason(self) -> str:
        """Why it was not sent, and the way out; it holds nothing of the URL."""
        match self.result:
            case Result.SENT:
                return ""
            case Result.UNUSABLE:
                return "Apprise cannot use this URL; compare it with Apprise's page of the service"
            case Result.TIMEOUT:
                return "no answer in time; is it reachable from this host, by its outbound proxy?"
            case Result.BUSY:
                return "an earlier message got no answer there; the next try is later"
            case Result.REFUSED if self.http_status is not None:
                return f"answered with HTTP status {self.http_status}; check the token in the URL"
            case Result.REFUSED:
                return "not reachable, or it refused; check address, port, certificate and token"


@dataclass(slots=True)
class Channel:
    """One URL. `service` is None when Apprise cannot use it; then nothing is ever sent."""

    index: int
    scheme: str
    service: NotifyBase | None = field(repr=False)
    _hanging: threading.Thread | None = field(default=None, repr=False)
    _rests_until: float = field(default=0.0, repr=False)

    def begin(self, message: Message) -> _Attempt:
        """Send in a thread. One that still hangs is not joined by a second one."""
        attempt = _Attempt(self)
        if self.service is None:
            attempt.settle(Result.UNUSABLE)
        elif self._rests():
            attempt.settle(Result.BUSY)
        else:
            self._hanging = threading.Thread(
                target=attempt.run,
                args=(self.service, message),
                name=f"notify {self.index}",
                daemon=True,
            )
            self._hanging.start()
        return attempt

    def rest(self) -> None:
        """Take no message for a while."""
        self._rests_until = time.monotonic() + _REST_S

    def _rests(self) -> bool:
        hangs = self._hanging is not None and self._hanging.is_alive()
        return hangs or time.monotonic() < self._rests_until


@dataclass(slots=True)
class _Attempt:
    """One message under way on one channel."""

    channel: Channel
    _result: Result = Result.TIMEOUT
    _http_status: int | None = None
    _settled: threading.Event = field(default_factory=threading.Event)

    def run(self, service: NotifyBase, message: Message) -> None:
        """In the channel's thread: hand the message to Apprise."""
        # Apprise takes a third of a second to import, which only who sends needs to wait for.
        from apprise import NotifyFormat, NotifyType  # noqa: PLC0415 - a third of a second

        _heard.status = None
        try:
            sent = service.notify(
                body=message.body,
                title=message.subject,
                notify_type=NotifyType(message.severity),
                body_format=NotifyFormat.TEXT,
            )
        except Exception:  # noqa: BLE001 - a plugin's fault may hold the URL and stays here
            sent = False
        self.settle(Result.SENT if sent else Result.REFUSED, _heard.status)

    def settle(self, result: Result, http_status: int | None = None) -> None:
        """Say how it ended."""
        self._result, self._http_status = result, http_status
        self._settled.set()

    def wait(self, until: float) -> Delivery:
        """How it ended, or that it did not before `until` (of the monotonic clock)."""
        done = self._settled.wait(max(0.0, until - time.monotonic()))
        if not done:
            self.channel.rest()
        return Delivery(
            self.channel.index,
            self.channel.scheme,
            self._result if done else Result.TIMEOUT,
            self._http_status if done else None,
        )


class _Listener(logging.Handler):
    """Takes the HTTP status out of Apprise's log lines, for the thread that wrote them."""

    def emit(self, record: logging.LogRecord) -> None:
        found = _STATUS.search(record.getMessage())
        if found is not None:
            _heard.status = int(found[1])


def open_channels(urls: Sequence[str], timeout_s: float) -> tuple[Channel, ...]:
    """A channel for each URL. One that Apprise cannot use is opened too, and never sends: a pager
    with a wrong address must not keep a proxy from starting.
    """
    if not urls:
        return ()
    from apprise import AppriseAsset  # noqa: PLC0415 - a third of a second

    _silence()
    asset = AppriseAsset(
        app_id="idp-proxy",
        app_desc="idp-proxy",
        image_url_mask=None,
        image_url_logo=None,
        http_redirects=False,
        pgp_autogen=False,
        pem_autogen=False,
    )
    return tuple(
        Channel(index, url.partition("://")[0].lower(), _service(url, asset, timeout_s))
        for index, url in enumerate(urls)
    )


def send(channels: Iterable[Channel], message: Message, timeout_s: float) -> tuple[Delivery, ...]:
    """Send to all channels at once; comes back after `timeout_s` at the latest."""
    until = time.monotonic() + timeout_s
    attempts = [channel.begin(message) for channel in channels]
    return tuple(attempt.wait(until) for attempt in attempts)


def problems(urls: Sequence[str]) -> list[str]:
    """What keeps Apprise from using each URL, with the field's path; the URL is not shown."""
    return [
        f"notify.urls[{channel.index}]: Apprise cannot use the {channel.scheme}:// URL there; "
        "compare it with Apprise's page of that service"
        for channel in open_channels(urls, 1)
        if channel.service is None
    ]


def _service(url: str, asset: AppriseAsset, timeout_s: float) -> NotifyBase | None:
    from apprise import Apprise  # noqa: PLC0415 - a third of a second

    try:
        service: Any = Apprise.instantiate(url, asset=asset)
    except Exception:  # noqa: BLE001 - whatever a URL does to Apprise, it names a channel at most
        return None
    if service is None or not service.verify_certificate:
        return None
    service.socket_connect_timeout = service.socket_read_timeout = timeout_s
    # Alarms are few, and Apprise would sleep between two of them for longer than the deadline.
    service.request_rate_per_sec = 0
    return service  # type: ignore[no-any-return]  # Any, to set what Apprise reads from the URL


def _silence() -> None:
    for name in _TALKATIVE:
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.setLevel(logging.WARNING)
        if not any(isinstance(handler, _Listener) for handler in logger.handlers):
            logger.addHandler(_Listener())
