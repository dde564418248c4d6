"""How the store's values become rows and come back; nothing here knows a database."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from idp_proxy.decision.drill import Drill
from idp_proxy.decision.roster import RosterRow
from idp_proxy.decision.switching import Departure, Left, Mode, SwitchState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from idp_proxy.decision.roster import AdmittedByHand
    from idp_proxy.store.base import UsedId

_PERSON_TIMES = ("confirmed_at", "imported_at")


def used_id_digest(used: UsedId) -> bytes:
    """What an id is known by: SHA-256 over kind, issuer and value, each apart from the others."""
    parts = json.dumps([used.kind, used.issuer, used.value])
    return hashlib.sha256(parts.encode("ascii")).digest()


def person_record(row: RosterRow) -> dict[str, Any]:
    """The columns of `row`."""
    return {
        "id": row.id,
        "link_key": row.link_key,
        "lookup_key": row.lookup_key,
        "email": row.email,
        "username": row.username,
        "attributes": dict(row.attributes),
        "source": row.source,
        "confirmed_at": row.confirmed_at,
        "imported_at": row.imported_at,
        "conflict": row.conflict,
        "blocks": sorted(row.blocks),
        "roles": sorted(row.roles),
    }


def person_from(record: Mapping[str, Any]) -> RosterRow:
    """The roster row with these columns."""
    sets = {name: frozenset(record[name]) for name in ("blocks", "roles")}
    return RosterRow(**{**record, **sets})


def person_text(row: RosterRow) -> str:
    """`row` as JSON, for the spool's journal."""
    record = person_record(row)
    times = {name: record[name] and record[name].isoformat() for name in _PERSON_TIMES}
    return json.dumps(record | times)


def person_from_text(text: str) -> RosterRow:
    """The roster row that `person_text` wrote."""
    # One of a version before imports has less; it holds a login, which blocks nobody.
    record = {"imported_at": None, "blocks": [], "roles": []} | json.loads(text)
    record.pop("blocked", None)
    times = {name: record[name] and datetime.fromisoformat(record[name]) for name in _PERSON_TIMES}
    return person_from(record | times)


def admission_record(admission: AdmittedByHand) -> dict[str, Any]:
    """The columns of `admission`."""
    return {
        "person": admission.person,
        "at": admission.at,
        "actor": admission.actor,
        "reason": admission.reason,
        "privileged": admission.privileged,
    }


def state_record(state: SwitchState) -> dict[str, Any]:
    """The columns of `state`; times within JSON are ISO 8601 with their zone."""
    return {
        "epoch": state.epoch,
        "serving": state.serving,
        "mode": state.mode.value,
        "since": state.since,
        "cause": state.cause,
        "actor": state.actor,
        "disabled": sorted(state.disabled),
        "left_at": {
            name: {"at": left.at.isoformat(), "how": left.how.value}
            for name, left in state.left.items()
        },
        "hold_until": state.hold_until,
        "held_since": state.held_since,
        "recent_switches": [at.isoformat() for at in state.recent_switches],
    }


def drill_record(drill: Drill) -> dict[str, Any]:
    """The columns of `drill`."""
    return {
        "id": drill.id,
        "version": drill.version,
        "upstream": drill.upstream,
        "serving": drill.serving,
        "since": drill.since,
        "started_at": drill.started_at,
        "until": drill.until,
        "people": sorted(drill.people),
        "actor": drill.actor,
        "reason": drill.reason,
        "ended_at": None if drill.ended is None else drill.ended.at,
        "ended_how": None if drill.ended is None else drill.ended.how.value,
        "why_ended": drill.why_ended,
    }


def drill_from(record: Mapping[str, Any]) -> Drill:
    """The drill with these columns."""
    at, how = record["ended_at"], record["ended_how"]
    same = record.keys() - {"row", "ended_at", "ended_how", "people"}
    return Drill(
        **{name: record[name] for name in same},
        people=frozenset(record["people"]),
        ended=None if at is None else Left(at, Departure(how)),
    )


def state_from(record: Mapping[str, Any]) -> SwitchState:
    """The switch state with these columns."""
    return SwitchState(
        epoch=record["epoch"],
        serving=record["serving"],
        mode=Mode(record["mode"]),
        since=record["since"],
        cause=record["cause"],
        actor=record["actor"],
        disabled=frozenset(record["disabled"]),
        left={
            name: Left(datetime.fromisoformat(left["at"]), Departure(left["how"]))
            for name, left in record["left_at"].items()
        },
        hold_until=record["hold_until"],
        held_since=record["held_since"],
        recent_switches=tuple(datetime.fromisoformat(at) for at in record["recent_switches"]),
    )
