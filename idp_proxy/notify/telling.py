"""Tells people about matters: judged first, claimed on record, sent, and confirmed.

While the store is away messages still go out; then this process alone knows what it has told.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from idp_proxy.decision.notices import EVENTS, REMINDERS, Sending, claimed, ended, fresher, judge
from idp_proxy.errors import StoreError
from idp_proxy.notify import channels as sending
from idp_proxy.notify import records
from idp_proxy.notify.channels import Result
from idp_proxy.notify.records import short_key
from idp_proxy.notify.texts import write, write_over

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from sqlalchemy import Connection

    from idp_proxy.decision.notices import Kind, Notice, NoticeRecord
    from idp_proxy.notify.channels import Channel
    from idp_proxy.notify.texts import Language, Message

#: How often `turn` should be called, and a channel that failed be tried again.
TURN: Final = timedelta(seconds=30)
#: A record is read again after this long: another host may have told, or seen the end.
_TRUSTED: Final = timedelta(seconds=30)
#: What a host may take beyond the channels' deadline before another one sends in its place.
_CLAIM_MARGIN: Final = timedelta(seconds=20)
#: A message that no channel took for so long is given up.
_GIVE_UP: Final = timedelta(hours=24)
_KEPT: Final = timedelta(days=90)
_MOST_REMEMBERED: Final = 1024
_AWAY: Final = (StoreError, SQLAlchemyError)

_log = structlog.get_logger("idp_proxy.notify")


@dataclass(frozen=True, slots=True)
class Manner:
    """How people are told. `repeat` is the pause between two messages about one matter,
    `held_reminder` that of a switch held by hand. `status_command` is the command to copy where a
    notice has none; `source` says in each message who speaks.
    """

    language: Language = "en"
    repeat: timedelta = timedelta(hours=1)
    held_reminder: timedelta = timedelta(hours=4)
    timeout: timedelta = timedelta(seconds=10)
    status_command: str = "idp-proxy status"
    source: str = "idp-proxy"

    def pause(self, kind: Kind) -> timedelta:
        """The pause between two messages about a matter of this kind."""
        return self.held_reminder if kind in REMINDERS else self.repeat


@dataclass(frozen=True, slots=True)
class _Remembered:
    """What this process last knew of a matter."""

    record: NoticeRecord | None
    read_at: datetime

    def is_trusted(self, now: datetime) -> bool:
        return abs(now - self.read_at) < _TRUSTED


@dataclass(frozen=True, slots=True)
class _Unsent:
    """A message that these channels did not take; `moot_at_end`: not worth it once it is over."""

    message: Message
    channels: tuple[Channel, ...]
    until: datetime
    moot_at_end: bool


@dataclass(frozen=True, slots=True)
class _Undelivered:
    """A notice that no channel took."""

    notice: Notice
    again_at: datetime
    until: datetime


class Telling:
    """One host's way to tell people; for one thread at a time.

    `transaction` gives a write transaction of the database that has the table `notice`:
    `engine.begin`, or what stands for it in a store.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        transaction: Callable[[], AbstractContextManager[Connection]],
        manner: Manner,
    ) -> None:
        self._channels = tuple(channels)
        self._transaction = transaction
        self._manner = manner
        self._memory: dict[str, _Remembered] = {}
        self._unsent: dict[str, _Unsent] = {}
        self._undelivered: dict[str, _Undelivered] = {}
        self._tidied_at: datetime | None = None

    @property
    def is_done(self) -> bool:
        """Whether every channel took every message."""
        return not self._unsent and not self._undelivered

    def tell(self, notice: Notice, now: datetime) -> None:
        """Send `notice` if it is due; what a channel does not take is tried again by `turn`."""
        notice = replace(notice, key=short_key(notice.key))
        waiting = self._undelivered.get(notice.key)
        if waiting is not None and now < waiting.again_at:
            return
        pause = self._manner.pause(notice.kind)
        known = self._trusted(notice.key, now)
        if known is not None and judge(known.record, notice, now, pause) is Sending.SILENT:
            return
        record = self._claim(notice, now, pause)
        if record is None:
            self._undelivered.pop(notice.key, None)
        else:
            self._send_claimed(notice, record, now)

    def end(self, key: str, now: datetime) -> None:
        """Say that a matter is over, if anybody was told that it stood. An event is never over."""
        key = short_key(key)
        self._drop_moot(key)
        known = self._trusted(key, now)
        if known is not None and (known.record is None or known.record.is_settled):
            return
        record = self._close(key, now)
        if record is None:
            return
        manner = self._manner
        message = write_over(
            record, manner.language, now=now, fallback=manner.status_command, source=manner.source
        )
        _log.info("notice_over", kind=record.kind.value, key=key)
        missing = self._send(message, self._channels)
        if missing:
            self._unsent[key] = _Unsent(message, missing, now + _GIVE_UP, moot_at_end=False)

    def turn(self, now: datetime) -> None:
        """Try again what channels did not take, and once a day forget old matters."""
        for key, unsent in list(self._unsent.items()):
            missing = self._send(unsent.message, unsent.channels) if now < unsent.until else ()
            if missing:
                self._unsent[key] = replace(unsent, channels=missing)
            else:
                del self._unsent[key]
        for key, waiting in list(self._undelivered.items()):
            if now < waiting.until:
                self.tell(waiting.notice, now)
            else:
                del self._undelivered[key]
                _log.error("notice_given_up", kind=waiting.notice.kind.value, key=key)
        self._tidy(now)

    def standing(self) -> dict[str, Kind]:
        """The matters that people were told of and that nobody has ended; none while the store
        cannot be read.
        """
        try:
            with self._transaction() as connection:
                return records.standing(connection)
        except _AWAY as error:
            _log.warning("notices_not_read", error=type(error).__name__)
            return {}

    def _drop_moot(self, key: str) -> None:
        """What was not sent yet about a matter that is over need not be sent any more."""
        waiting, unsent = self._undelivered.get(key), self._unsent.get(key)
        if waiting is not None and waiting.notice.kind not in EVENTS:
            del self._undelivered[key]
        if unsent is not None and unsent.moot_at_end:
            del self._unsent[key]

    def _trusted(self, key: str, now: datetime) -> _Remembered | None:
        """What is remembered of a matter, as long as that need not be read again."""
        known = self._memory.get(key)
        return known if known is not None and known.is_trusted(now) else None

    def _claim(self, notice: Notice, now: datetime, pause: timedelta) -> NoticeRecord | None:
        """The record of a notice that this host is to send; None when it is silent."""
        memory = self._memory.get(notice.key)
        remembered = None if memory is None else memory.record
        until = now + self._manner.timeout + _CLAIM_MARGIN
        subject = self._write(notice, now).subject
        try:
            with self._transaction() as connection:
                stored = records.find(connection, notice.key)
                known = fresher(stored, remembered, now)
                if judge(known, notice, now, pause) is Sending.SILENT:
                    self._remember(notice.key, known, now)
                    return None
                return records.put(connection, claimed(known, notice, subject, now, until))
        except _AWAY as error:
            _log.warning("notice_without_store", key=notice.key, error=type(error).__name__)
        if judge(remembered, notice, now, pause) is Sending.SILENT:
            self._remember(notice.key, remembered, now)
            return None
        return replace(claimed(remembered, notice, subject, now, until), version=0)

    def _send_claimed(self, notice: Notice, record: NoticeRecord, now: datetime) -> None:
        message = self._write(notice, record.since)
        _log.warning("notice", kind=notice.kind.value, key=notice.key, subject=message.subject)
        missing = self._send(message, self._channels)
        nobody = bool(missing) and len(missing) == len(self._channels)
        told = replace(record, claimed_until=None)
        if not nobody:
            told = replace(told, sent_at=now)
        self._remember(notice.key, self._put_if_there(told), now)
        if not nobody:
            self._undelivered.pop(notice.key, None)
            self._unsent.pop(notice.key, None)
            if missing:
                until = now + self._manner.pause(notice.kind)
                moot_at_end = notice.kind not in EVENTS
                self._unsent[notice.key] = _Unsent(message, missing, until, moot_at_end)
            return
        first = self._undelivered.get(notice.key)
        until = now + _GIVE_UP if first is None else first.until
        self._undelivered[notice.key] = _Undelivered(notice, now + TURN, until)

    def _close(self, key: str, now: datetime) -> NoticeRecord | None:
        """The record of a matter whose end this host is to tell; None when it is silent."""
        memory = self._memory.get(key)
        remembered = None if memory is None else memory.record
        try:
            with self._transaction() as connection:
                known = fresher(records.find(connection, key), remembered, now)
                over = ended(known, now)
                written = None if over is None else records.put(connection, over)
        except _AWAY as error:
            _log.warning("notice_without_store", key=key, error=type(error).__name__)
            known = remembered
            over = written = ended(known, now)
        self._remember(key, written or over or known, now)
        return written

    def _put_if_there(self, record: NoticeRecord) -> NoticeRecord:
        """Write what became of a claim; if that fails, the claim runs out by itself."""
        if record.version == 0:
            return record
        try:
            with self._transaction() as connection:
                return records.put(connection, record) or record
        except _AWAY as error:
            _log.warning("notice_without_store", key=record.key, error=type(error).__name__)
            return record

    def _write(self, notice: Notice, since: datetime) -> Message:
        manner = self._manner
        return write(
            notice,
            manner.language,
            since=since,
            fallback=manner.status_command,
            source=manner.source,
        )

    def _send(self, message: Message, channels: Iterable[Channel]) -> tuple[Channel, ...]:
        """Send, and give back the channels that did not take it and may do so later."""
        by_index = {channel.index: channel for channel in channels}
        deliveries = sending.send(by_index.values(), message, self._manner.timeout.total_seconds())
        failed = [delivery for delivery in deliveries if not delivery.sent]
        for one in failed:
            _log.error(
                "notice_not_sent", channel=one.index, code=one.result.value, status=one.http_status
            )
        return tuple(by_index[one.index] for one in failed if one.result is not Result.UNUSABLE)

    def _remember(self, key: str, record: NoticeRecord | None, now: datetime) -> None:
        """Keep what is known. A claim says nothing about what this process has told itself."""
        before = self._memory.pop(key, None)
        told_here = before is not None and before.record is not None and before.record.sent_at
        if before is not None and told_here and record is not None and record.sent_at is None:
            record = before.record
        self._memory[key] = _Remembered(record, now)
        while len(self._memory) > _MOST_REMEMBERED:
            del self._memory[next(iter(self._memory))]

    def _tidy(self, now: datetime) -> None:
        if self._tidied_at is not None and now - self._tidied_at < timedelta(days=1):
            return
        self._tidied_at = now
        try:
            with self._transaction() as connection:
                records.prune(connection, now - _KEPT)
        except _AWAY as error:
            _log.warning("notices_not_pruned", error=type(error).__name__)
