"""Tells people that a campaign lasts too long, or that nobody has learnt the ways back of late.

It tells, and never returns anybody. What was told stands in the ledger, so that cron may ask every
few minutes and people hear of it once, and again after each pause.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from conversion.decision.deadline import Due
from conversion.decision.situation import alarm_of, is_overdue
from idp_proxy.notify import DETAIL, Delivery, Kind, Manner, Notice, open_channels, send, write
from idp_proxy.notify.tables import metadata
from idp_proxy.notify.telling import Telling

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from conversion.config import NotifySettings
    from conversion.decision.deadline import Deadlines
    from conversion.decision.situation import OpenCampaign
    from conversion.ledger.sql import SqlLedger

_PREFIX: Final = "deadline:"
_INVENTORY: Final = "inventory"
#: What a look by cron finds standing or not.
WATCHED: Final = frozenset({_INVENTORY})
_SOURCE: Final = "sso-conversion"


def notice_of(
    campaign: OpenCampaign, deadlines: Deadlines, now: datetime, command: str
) -> Notice | None:
    """What there is to tell of the open campaign; None while nothing is due.

    A reminder and the deadline are two matters: the second is told at once, whatever was told of
    the first.
    """
    due = Due.ALARM if is_overdue(campaign, now) else campaign.waiting.due
    since = campaign.waiting.since
    if due is Due.NOTHING or since is None:
        return None
    ends = since + deadlines.alarm
    if campaign.until is not None:
        ends = min(ends, campaign.until)
    return Notice(
        Kind.DEADLINE,
        f"{_PREFIX}{campaign.id}:{due.name.lower()}",
        {
            "campaign": campaign.id,
            "people": campaign.left,
            "ends": ends,
            DETAIL: alarm_of(campaign, now),
        },
        next=command,
        since=since,
    )


def inventory_notice(
    age: timedelta | None, max_age: timedelta, now: datetime, command: str
) -> Notice | None:
    """That `prepare` has not come through for too long, or never; None while all is well."""
    if age is None:
        return Notice(Kind.INVENTORY, _INVENTORY, {"age": "there is none"}, next=command, since=now)
    if timedelta(0) <= age <= max_age:
        return None
    told = f"{age / timedelta(hours=1):.0f} h old, {max_age / timedelta(hours=1):g} h allowed"
    return Notice(Kind.INVENTORY, _INVENTORY, {"age": told}, next=command, since=now)


def written_off(campaign: str, people: int, now: datetime, command: str) -> Notice:
    """That people were given up, which two operators decided."""
    return Notice(
        Kind.WRITTEN_OFF,
        f"written_off:{campaign}:{now.isoformat()}",
        {"campaign": campaign, "people": people, "cause": "agreed by two operators"},
        next=command,
        since=now,
    )


def override_begun(override_id: str, what: str, reason: str, now: datetime, command: str) -> Notice:
    """That somebody does alone what takes two: whoever hears of it may step in."""
    facts = {"what": what, "cause": reason}
    return Notice(Kind.OVERRIDE, f"override:{override_id}", facts, next=command, since=now)


def try_out(
    settings: NotifySettings, host: str, now: datetime, command: str
) -> tuple[Delivery, ...]:
    """Send a message that nothing happened to every channel; what came of each."""
    timeout_s = settings.timeout.total_seconds()
    message = write(
        Notice(Kind.TEST, "test", {"host": host}, next=command),
        settings.language,
        since=now,
        fallback=command,
        source=_SOURCE,
    )
    return send(open_channels(settings.urls, timeout_s), message, timeout_s)


def tell(
    ledger: SqlLedger,
    settings: NotifySettings,
    notices: Sequence[Notice],
    now: datetime,
    command: str,
    *,
    watched: frozenset[str] = frozenset(),
) -> bool:
    """Tell of `notices` where they are due, and of what is over by now: every campaign, and what is
    `watched` and not among them.

    Returns whether every channel took what there was to tell. Raises `LedgerError`.
    """
    with ledger.database.writing() as connection:
        metadata.create_all(connection)
    manner = Manner(
        settings.language,
        settings.repeat,
        timeout=settings.timeout,
        status_command=command,
        source=_SOURCE,
    )
    channels = open_channels(settings.urls, settings.timeout.total_seconds())
    telling = Telling(channels, ledger.database.writing, manner)
    campaign = ledger.current_campaign()
    lasting = f"{_PREFIX}{campaign.id}:" if campaign is not None else None
    for key in telling.standing():
        is_over = lasting is None or not key.startswith(lasting)
        if (key.startswith(_PREFIX) and is_over) or key in watched - {one.key for one in notices}:
            telling.end(key, now)
    for notice in notices:
        telling.tell(notice, now)
    if not telling.is_done:
        # A channel takes one message at a time, and two matters may have ended together.
        telling.turn(now)
    return telling.is_done
