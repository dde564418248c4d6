"""Tells people that a campaign lasts too long: reminder, deadline, and that it is over.

It tells, and never returns anybody. What was told stands in the ledger, so that cron may ask every
few minutes and people hear of it once, and again after each pause.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from conversion.decision.deadline import Due
from conversion.decision.situation import alarm_of, is_overdue
from idp_proxy.notify import DETAIL, Kind, Manner, Notice, open_channels
from idp_proxy.notify.tables import metadata
from idp_proxy.notify.telling import Telling

if TYPE_CHECKING:
    from datetime import datetime

    from conversion.config import NotifySettings
    from conversion.decision.deadline import Deadlines
    from conversion.decision.situation import OpenCampaign
    from conversion.ledger.sql import SqlLedger

_PREFIX: Final = "deadline:"


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


def tell(
    ledger: SqlLedger, settings: NotifySettings, notice: Notice | None, now: datetime, command: str
) -> bool:
    """Tell of `notice` where it is due, and of every campaign that is over by now.

    Returns whether every channel took what there was to tell. Raises `LedgerError`.
    """
    with ledger.database.writing() as connection:
        metadata.create_all(connection)
    manner = Manner(
        settings.language,
        settings.repeat,
        timeout=settings.timeout,
        status_command=command,
        source="sso-conversion",
    )
    channels = open_channels(settings.urls, settings.timeout.total_seconds())
    telling = Telling(channels, ledger.database.writing, manner)
    campaign = ledger.current_campaign()
    lasting = f"{_PREFIX}{campaign.id}:" if campaign is not None else None
    for key in telling.standing():
        is_over = lasting is None or not key.startswith(lasting)
        if key.startswith(_PREFIX) and is_over:
            telling.end(key, now)
    if notice is not None:
        telling.tell(notice, now)
    if not telling.is_done:
        # A channel takes one message at a time, and two matters may have ended together.
        telling.turn(now)
    return telling.is_done
