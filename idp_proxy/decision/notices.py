"""Whether a notice is sent: at first, again after a while, or not now.

A *matter* is what a key names (`outage:okta`); a *notice* says that it stands. Whoever watches
raises the notice at each look and says when the matter is over; one message goes out at the start,
one after each pause, and one at the end. Hosts that see the same matter share one record of it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

Fact = str | int | float | datetime

#: A claim that would last longer comes from a wrong clock and binds nobody.
LONGEST_CLAIM: Final = timedelta(minutes=5)


class Kind(enum.StrEnum):
    """What people are told about."""

    SWITCHED = "switched"
    PROPOSED = "proposed"
    LATCHED = "latched"
    OVERRIDE = "override"
    FINDING = "finding"
    EXPIRY = "expiry"
    CANARY = "canary"
    STORE = "store"
    OUTAGE = "outage"
    DECIDE = "decide"
    DISABLED = "disabled"
    UNPROTECTED = "unprotected"
    HELD = "held"
    ISOLATED = "isolated"
    CLOCK = "clock"
    L3 = "l3"
    DRILL = "drill"
    TEST = "test"
    DEADLINE = "deadline"
    WRITTEN_OFF = "written_off"
    HOSTS = "hosts"
    DOUBLE_USE = "double_use"
    INVENTORY = "inventory"


#: What each kind tells, by name. Nothing else leaves: no person, no secret. Beside these every
#: notice may have `detail`, a line of free text.
FACTS: Final[Mapping[Kind, frozenset[str]]] = MappingProxyType(
    {
        Kind.SWITCHED: frozenset({"origin", "target", "cause"}),
        Kind.PROPOSED: frozenset({"target", "cause"}),
        Kind.LATCHED: frozenset({"serving", "cause"}),
        Kind.OVERRIDE: frozenset({"what", "cause"}),
        Kind.FINDING: frozenset({"rule", "what"}),
        Kind.EXPIRY: frozenset({"what", "ends"}),
        Kind.CANARY: frozenset({"upstream", "outcome", "cause"}),
        Kind.STORE: frozenset({"cause"}),
        Kind.OUTAGE: frozenset({"serving", "cause"}),
        Kind.DECIDE: frozenset({"serving", "target", "cause"}),
        Kind.DISABLED: frozenset({"serving", "cause"}),
        Kind.UNPROTECTED: frozenset({"serving", "cause"}),
        Kind.HELD: frozenset({"serving", "cause"}),
        Kind.ISOLATED: frozenset({"host", "cause"}),
        Kind.CLOCK: frozenset({"host", "offset"}),
        Kind.L3: frozenset({"upstream", "share"}),
        Kind.DRILL: frozenset({"what"}),
        Kind.TEST: frozenset({"host"}),
        Kind.DEADLINE: frozenset({"campaign", "people", "ends"}),
        Kind.WRITTEN_OFF: frozenset({"campaign", "people", "cause"}),
        Kind.HOSTS: frozenset({"host", "cause"}),
        Kind.DOUBLE_USE: frozenset({"host", "ids"}),
        Kind.INVENTORY: frozenset({"age"}),
    }
)
DETAIL: Final = "detail"

#: What happened once and is told once; it does not go on, so that nothing repeats or ends.
EVENTS: Final = frozenset(
    {Kind.SWITCHED, Kind.OVERRIDE, Kind.DRILL, Kind.TEST, Kind.WRITTEN_OFF, Kind.DOUBLE_USE}
)
#: What somebody chose is no news: it is told only when it has lasted for a pause.
REMINDERS: Final = frozenset({Kind.HELD})


@dataclass(frozen=True, slots=True)
class Notice:
    """A matter stands. `key` tells one matter from another, `next` is one command to copy.

    `facts` are those that `FACTS` names for the kind. Of a matter that goes on, `since` says when
    it began; without it that is when it was first told.
    """

    kind: Kind
    key: str
    facts: Mapping[str, Fact] = field(default_factory=dict)
    next: str = ""
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class NoticeRecord:
    """What is known of one matter. `sent_at` None: nobody was told yet; `over_at`: it ended.

    Until `claimed_until` the host that claimed it is about to send. `version` counts changes of the
    row; 0 stands in no store.
    """

    key: str
    kind: Kind
    subject: str
    since: datetime
    sent_at: datetime | None = None
    over_at: datetime | None = None
    claimed_until: datetime | None = None
    version: int = 0

    @property
    def is_settled(self) -> bool:
        """Whether nobody waits to hear that it is over: it is already, or it was an event."""
        return self.over_at is not None or self.kind in EVENTS

    @property
    def changed_at(self) -> datetime:
        """When it was last known to begin, to be told, or to end."""
        times = (self.since, self.sent_at, self.over_at)
        return max(at for at in times if at is not None)


class Sending(enum.Enum):
    """What becomes of a notice."""

    SEND_FIRST = "send_first"
    REPEAT = "repeat"
    SILENT = "silent"


def judge(known: NoticeRecord | None, notice: Notice, now: datetime, repeat: timedelta) -> Sending:
    """Whether `notice` is sent now; `repeat` is the pause between two of its kind.

    A time in the record that lies further ahead than it can is a wrong clock's: better one message
    too many than none.
    """
    if known is not None and _is_claimed(known, now):
        return Sending.SILENT
    if known is None or known.over_at is not None or known.sent_at is None:
        chosen_at = notice.since if notice.kind in REMINDERS else None
        waits = chosen_at is not None and now - chosen_at < repeat
        return Sending.SILENT if waits else Sending.SEND_FIRST
    if notice.kind in EVENTS or abs(now - known.sent_at) < repeat:
        return Sending.SILENT
    return Sending.REPEAT


def ended(known: NoticeRecord | None, now: datetime) -> NoticeRecord | None:
    """The record of a matter that is over, if people are to be told so: once, and if they were told
    that it stood. Not while a host is about to send the opposite.
    """
    if known is None or known.is_settled or known.sent_at is None or _is_claimed(known, now):
        return None
    return replace(known, over_at=now, claimed_until=None)


def fresher(
    stored: NoticeRecord | None, remembered: NoticeRecord | None, now: datetime
) -> NoticeRecord | None:
    """Which of two records of a matter is true: the store's, unless this host has told since.

    That is so when it told while the store was away. The version stays that of the store.
    """
    if remembered is None or remembered.sent_at is None:
        return stored
    if stored is None:
        return replace(remembered, version=0)
    if _is_claimed(stored, now) or _newness(stored) >= _newness(remembered):
        return stored
    return replace(remembered, version=stored.version)


def claimed(
    known: NoticeRecord | None, notice: Notice, subject: str, now: datetime, until: datetime
) -> NoticeRecord:
    """The record of a host that is about to send `notice`, of a matter that goes on or begins."""
    if known is not None and known.sent_at is not None and known.over_at is None:
        return replace(known, claimed_until=until)
    return NoticeRecord(
        key=notice.key,
        kind=notice.kind,
        subject=subject,
        since=notice.since or now,
        claimed_until=until,
        version=0 if known is None else known.version,
    )


def _newness(record: NoticeRecord) -> tuple[datetime, bool, bool]:
    """What orders two records of a matter; at the same moment the one that says more is newer."""
    return record.changed_at, record.over_at is not None, record.sent_at is not None


def _is_claimed(known: NoticeRecord, now: datetime) -> bool:
    until = known.claimed_until
    return until is not None and now < until <= now + LONGEST_CLAIM
