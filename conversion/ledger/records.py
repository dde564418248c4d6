"""The ledger's values as records: dictionaries for the tables, JSON for the mirror."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from conversion.decision.account import Binding, Source
from conversion.decision.lifecycle import RowState
from conversion.ledger.base import Campaign, InventoryRow, Row
from idp_proxy.audit.chain import Event, instant

if TYPE_CHECKING:
    from collections.abc import Mapping

    #: What a table or the mirror holds of one value, by column name.
    Record = Mapping[Any, Any]

_TIMES: Final = frozenset(
    {
        "at",
        "closed_at",
        "learnt_at",
        "opened_at",
        "prepared_at",
        "seen_at",
        "stored_at",
        "updated_at",
    }
)

_ENCODER: Final = json.JSONEncoder(sort_keys=True)
_NONE: Final = "{}"
_STATES: Final = {state.value: state for state in RowState}
_SOURCES: Final = {source.value: source for source in Source}


def row_record(row: Row) -> dict[str, Any]:
    """`row` for the table."""
    return {
        "campaign": row.campaign,
        "user_id": row.user_id,
        "state": row.state.value,
        "version": row.version,
        "auth_data": row.binding.auth_data,
        "source": row.binding.source.value,
        "learnt_at": row.binding.learnt_at,
        "mfa_active": row.mfa_active,
        "updated_at": row.updated_at,
        "note": row.note,
        "facts": _ENCODER.encode(dict(row.facts)) if row.facts else _NONE,
    }


def row_of(
    campaign: str,
    user_id: str,
    state: str,
    version: int,
    auth_data: str,
    source: str,
    learnt_at: datetime,
    mfa_active: bool,
    updated_at: datetime,
    note: str,
    facts: str,
) -> Row:
    """The row that the table's columns hold, in their order."""
    return Row(
        campaign,
        user_id,
        _STATES[state],
        version,
        Binding(auth_data, _SOURCES[source], learnt_at),
        mfa_active,
        updated_at,
        note,
        json.loads(facts) if facts != _NONE else {},
    )


def inventory_record(row: InventoryRow, prepared_at: datetime) -> dict[str, Any]:
    """`row` for the table, as found by the run of `prepared_at`."""
    known = row.binding
    return {
        "user_id": row.user_id,
        "username": row.username,
        "email": row.email,
        "auth_data": None if known is None else known.auth_data,
        "source": None if known is None else known.source.value,
        "learnt_at": None if known is None else known.learnt_at,
        "roles": " ".join(sorted(row.roles)),
        "active": row.active,
        "is_bot": row.is_bot,
        "mfa_active": row.mfa_active,
        "seen_at": row.seen_at,
        "prepared_at": prepared_at,
    }


def inventory_from(record: Record) -> InventoryRow:
    """The row of the inventory that a record holds."""
    binding = None
    if record["auth_data"] is not None:
        binding = Binding(record["auth_data"], Source(record["source"]), record["learnt_at"])
    return InventoryRow(
        user_id=record["user_id"],
        username=record["username"],
        email=record["email"],
        binding=binding,
        roles=frozenset(record["roles"].split()),
        active=record["active"],
        is_bot=record["is_bot"],
        mfa_active=record["mfa_active"],
        seen_at=record["seen_at"],
    )


def campaign_record(campaign: Campaign) -> dict[str, Any]:
    """`campaign` for the table."""
    return {
        "id": campaign.id,
        "opened_at": campaign.opened_at,
        "envelope": campaign.envelope,
        "closed_at": campaign.closed_at,
    }


def campaign_from(record: Record) -> Campaign:
    """The campaign that a record holds."""
    return Campaign(record["id"], record["opened_at"], record["envelope"], record["closed_at"])


def event_record(event: Event) -> dict[str, Any]:
    """`event` for the mirror."""
    return {
        "kind": event.kind,
        "actor": event.actor,
        "at": event.at,
        "person": event.person,
        "facts": dict(event.facts),
    }


def event_from(record: Record) -> Event:
    """The event that a record holds."""
    return Event(record["kind"], record["actor"], record["at"], record["person"], record["facts"])


def as_json(record: Record) -> dict[str, Any]:
    """`record` with its times as text. Raises `ValueError` on a naive time."""
    return {
        name: instant(value) if isinstance(value, datetime) else value
        for name, value in record.items()
    }


def from_json(stored: Record) -> dict[str, Any]:
    """The record that `as_json` made."""
    return {
        name: datetime.fromisoformat(value) if name in _TIMES and value is not None else value
        for name, value in stored.items()
    }
