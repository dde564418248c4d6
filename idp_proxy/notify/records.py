"""The record of each matter, changed by compare-and-swap: of several hosts one may send.

A host *claims* a notice before it sends it and *confirms* it behind. A host that dies between the
two leaves a claim that runs out, and then another one sends.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from idp_proxy.decision.notices import EVENTS, Kind, NoticeRecord
from idp_proxy.notify.tables import KEY_LENGTH, notice

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection


def find(connection: Connection, key: str) -> NoticeRecord | None:
    """What is on record of a matter."""
    row = connection.execute(select(notice).where(notice.c.key == key)).one_or_none()
    if row is None:
        return None
    return NoticeRecord(
        key=row.key,
        kind=Kind(row.kind),
        subject=row.subject,
        since=row.since,
        sent_at=row.sent_at,
        over_at=row.over_at,
        claimed_until=row.claimed_until,
        version=row.version,
    )


def short_key(key: str) -> str:
    """`key` as the table can hold it; of a longer one the digest keeps two apart."""
    if len(key) <= KEY_LENGTH:
        return key
    digest = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
    return f"{key[: KEY_LENGTH - len(digest) - 1]}:{digest}"


def standing(connection: Connection) -> dict[str, Kind]:
    """Every matter that people were told of and that did not end, with its kind."""
    found = connection.execute(
        select(notice.c.key, notice.c.kind).where(
            notice.c.sent_at.is_not(None), notice.c.over_at.is_(None)
        )
    )
    kinds = {row.key: Kind(row.kind) for row in found}
    return {key: kind for key, kind in kinds.items() if kind not in EVENTS}


def untold(connection: Connection, since: datetime) -> int:
    """How many matters came up since then of which no channel took the message."""
    wanted = select(func.count()).where(
        notice.c.sent_at.is_(None), notice.c.over_at.is_(None), notice.c.since >= since
    )
    return connection.execute(wanted).scalar_one()


def put(connection: Connection, record: NoticeRecord) -> NoticeRecord | None:
    """Write `record` if its row is still at the version that it was read at (0: not there).

    Returns it at its new version; None when another host was first, and nothing changed.
    """
    new = replace(record, version=record.version + 1)
    written = _insert(connection, new) if record.version == 0 else _update(connection, record, new)
    return new if written else None


def prune(connection: Connection, before: datetime) -> int:
    """Forget matters that ended, or were last told, before `before`; returns how many."""
    return connection.execute(
        delete(notice).where(
            notice.c.since < before,
            or_(notice.c.sent_at.is_(None), notice.c.sent_at < before),
            or_(notice.c.over_at.is_(None), notice.c.over_at < before),
            or_(notice.c.claimed_until.is_(None), notice.c.claimed_until < before),
        )
    ).rowcount


def _insert(connection: Connection, new: NoticeRecord) -> bool:
    try:
        with connection.begin_nested():
            connection.execute(insert(notice).values(_values(new)))
    except IntegrityError:
        # Another host met the same matter a moment ago: it sends.
        return False
    return True


def _update(connection: Connection, old: NoticeRecord, new: NoticeRecord) -> bool:
    changed = connection.execute(
        update(notice)
        .where(notice.c.key == old.key, notice.c.version == old.version)
        .values(_values(new))
    )
    return changed.rowcount == 1


def _values(record: NoticeRecord) -> dict[str, Any]:
    return {
        "key": record.key,
        "kind": record.kind.value,
        "subject": record.subject,
        "since": record.since,
        "sent_at": record.sent_at,
        "over_at": record.over_at,
        "claimed_until": record.claimed_until,
        "version": record.version,
    }
