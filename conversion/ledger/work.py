"""A write to the ledger: first on the mirror's disk, then committed with its audit events.

Every writer first carries over what the mirror has and the ledger has not: what a process wrote
that died between the two. Nobody was told of it, but it is true, and an intent among it is settled
like any other.
"""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import structlog
from sqlalchemy import bindparam, insert, or_, select, update

from conversion.errors import LedgerError
from conversion.ledger import inventory, plans
from conversion.ledger.auditing import append_all
from conversion.ledger.records import (
    as_json,
    campaign_record,
    event_from,
    event_record,
    from_json,
)
from conversion.ledger.tables import campaign, ledger_mirror, person, upsert

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from conversion.ledger.base import Campaign
    from conversion.ledger.mirror import Group, Mirror
    from idp_proxy.audit.chain import Event
    from idp_proxy.audit.log import AuditLog

_log = structlog.get_logger("conversion.ledger")

_KNOWN = select(ledger_mirror).where(ledger_mirror.c.host == bindparam("of_host"))
_MOVE_END = (
    update(ledger_mirror)
    .where(ledger_mirror.c.host == bindparam("of_host"))
    .values(mirror_end=bindparam("to_end"))
)
CLOSE = (
    update(campaign).where(campaign.c.id == bindparam("of_id")).values(closed_at=bindparam("to"))
)
ENVELOPE = (
    update(campaign).where(campaign.c.id == bindparam("of_id")).values(envelope=bindparam("to"))
)


class Work:
    """One write transaction: what is done to the tables is noted here for the mirror.

    `host` says whose mirror it is in a shared database; it is empty for a file.
    """

    def __init__(
        self,
        connection: Connection,
        mirror: Mirror,
        audit: AuditLog,
        crash: Callable[[str], None],
        host: str = "",
    ) -> None:
        self.connection = connection
        self._mirror = mirror
        self._audit = audit
        self._crash = crash
        self._host = host
        self._begin = self._end = catch_up(connection, mirror, audit, host)
        self._operations: list[tuple[str, dict[str, Any]]] = []
        self._events: list[Event] = []

    def note(self, operations: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """What was done to the tables, as `person_done` and its like word it."""
        self._operations.extend(operations)

    def event(self, *events: Event) -> None:
        """What the audit shall say of it."""
        self._events.extend(events)

    def flush(self) -> None:
        """Bring what was noted so far onto the mirror's disk, as a line of its own.

        A process that dies behind it leaves a part of its transaction to be carried over: only what
        is true by itself may be flushed ahead of the rest.
        """
        if not self._operations and not self._events:
            return
        append_all(self.connection, self._audit, self._events)
        group = {
            "operations": self._operations,
            "events": [as_json(event_record(event)) for event in self._events],
        }
        self._end = self._mirror.append(self._end, group)
        self._operations, self._events = [], []

    def finish(self) -> None:
        """Bring it onto the mirror's disk; the caller's transaction may be committed then."""
        self.flush()
        if self._end == self._begin:
            return
        self.connection.execute(_MOVE_END, {"of_host": self._host, "to_end": self._end})
        self._crash("before_commit")


def person_done(record: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The row of this record was added, or is now as it is here."""
    return "person", as_json(record)


def campaign_done(opened: Campaign) -> tuple[str, dict[str, Any]]:
    """A campaign was opened."""
    return "campaign", as_json(campaign_record(opened))


def close_done(campaign_id: str, at: datetime) -> tuple[str, dict[str, Any]]:
    """A campaign was closed."""
    return "close", as_json({"id": campaign_id, "at": at})


def envelope_done(campaign_id: str, envelope: str) -> tuple[str, dict[str, Any]]:
    """A campaign has this envelope from now on."""
    return "envelope", {"id": campaign_id, "envelope": envelope}


def catch_up(connection: Connection, mirror: Mirror, audit: AuditLog, host: str) -> int:
    """Carry over what only the mirror has, drop its torn end; returns where the mirror ends.

    Raises `LedgerError` when the two do not belong together.
    """
    known = connection.execute(_KNOWN, {"of_host": host}).one_or_none()
    size = mirror.size()
    if known is None or known.mirror_id != mirror.id or size < known.mirror_end:
        raise LedgerError(
            "[ledger] mirror names the mirror of another ledger, or an old copy: name the right "
            "file; or move this one away, then a new one is made from the ledger"
        )
    end: int = known.mirror_end
    groups = 0
    if size == end:
        return size
    for behind, group in mirror.groups(end):
        _carry_over(connection, group, audit)
        end, groups = behind, groups + 1
    connection.execute(_MOVE_END, {"of_host": host, "to_end": end})
    if end < size:
        mirror.cut(end)
    _log.warning("ledger_caught_up_with_mirror", groups=groups, torn_octets_dropped=size - end)
    return end


def _carry_over(connection: Connection, group: Group, audit: AuditLog) -> None:
    operations: Sequence[tuple[str, Mapping[str, Any]]] = group["operations"]
    for kind, alike in groupby(operations, itemgetter(0)):
        _CARRY[kind](connection, [from_json(stored) for _, stored in alike])
    append_all(connection, audit, [event_from(from_json(event)) for event in group["events"]])


def _carry_people(connection: Connection, records: Sequence[dict[str, Any]]) -> None:
    connection.execute(upsert(connection.dialect.name, person, newer="version"), records)


def _carry_campaigns(connection: Connection, records: Sequence[dict[str, Any]]) -> None:
    """In a shared database another host may have opened one meanwhile; in this one is nobody."""
    for record in records:
        there = campaign.c.id == record["id"]
        if record["closed_at"] is None:
            there = or_(there, campaign.c.closed_at.is_(None))
        if connection.execute(select(campaign.c.id).where(there)).first() is None:
            connection.execute(insert(campaign), record)


def _carry_closes(connection: Connection, records: Sequence[dict[str, Any]]) -> None:
    connection.execute(CLOSE, [{"of_id": one["id"], "to": one["at"]} for one in records])


def _carry_envelopes(connection: Connection, records: Sequence[dict[str, Any]]) -> None:
    connection.execute(ENVELOPE, [{"of_id": one["id"], "to": one["envelope"]} for one in records])


_CARRY: Final[Mapping[str, Callable[[Connection, Sequence[dict[str, Any]]], None]]] = {
    "person": _carry_people,
    "campaign": _carry_campaigns,
    "close": _carry_closes,
    "envelope": _carry_envelopes,
    "plan": plans.carry,
    "plan_part": plans.carry_parts,
    "inventory": inventory.carry,
    "inventory_run": inventory.carry_run,
}
