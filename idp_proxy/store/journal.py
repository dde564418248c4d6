"""The journal of a spool: writes that wait for the store, as text, and what becomes of them there.

Audit rows are not among them: they have their chain.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from idp_proxy.audit.chain import Event
from idp_proxy.decision.roster import RosterRow, learn_late
from idp_proxy.errors import ReplayDetected
from idp_proxy.store.base import UsedId
from idp_proxy.store.records import person_from_text, person_text

if TYPE_CHECKING:
    from idp_proxy.store.base import Transaction


@dataclass(frozen=True, slots=True)
class Proof:
    """A verified login at an upstream."""

    upstream: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """One write; it is merged with row `seq` of the spool's `chain`."""

    number: int
    chain: str
    seq: int
    kind: str
    body: str


def written(what: RosterRow | UsedId | Proof) -> dict[str, str]:
    """The kind and the text of a write."""
    match what:
        case RosterRow():
            return {"kind": "person", "body": person_text(what)}
        case UsedId(kind, issuer, value, expires_at, attempt):
            body = json.dumps([kind, issuer, value, expires_at.isoformat(), attempt])
            return {"kind": "used", "body": body}
        case Proof(upstream, at):
            return {"kind": "proof", "body": json.dumps([upstream, at.isoformat()])}


def read(entry: Entry) -> RosterRow | UsedId | Proof:
    """What `written` made a text of. Raises `ValueError` or `TypeError` on any other text."""
    if entry.kind == "person":
        return person_from_text(entry.body)
    fields = json.loads(entry.body)
    if entry.kind == "used":
        # Four in a spool of a version that gave attempts no name.
        kind, issuer, value, expires_at, *attempt = fields
        return UsedId(kind, issuer, value, datetime.fromisoformat(expires_at), *attempt)
    upstream, at = fields
    return Proof(upstream, datetime.fromisoformat(at))


def replay(transaction: Transaction, entry: Entry, now: datetime) -> bool:
    """Do in the store what was done on the host, as far as it still holds there.

    Returns whether it was a double use: an id that counted elsewhere too. Raises `ValueError` or
    `TypeError` when the entry cannot be read.
    """
    match read(entry):
        case RosterRow() as late:
            _relearn(transaction, late)
        case Proof(upstream, at):
            transaction.note_proof(upstream, at)
        case UsedId() as used:
            try:
                transaction.consume(used)
            except ReplayDetected:
                transaction.record(_double_use(used, entry, now))
                return True
    return False


def _relearn(transaction: Transaction, late: RosterRow) -> None:
    holder = None if late.lookup_key is None else transaction.person_by_lookup_key(late.lookup_key)
    for row in learn_late(late, transaction.person(late.id), holder):
        transaction.save_person(row)


def _double_use(used: UsedId, entry: Entry, now: datetime) -> Event:
    """An id that counted on this host and elsewhere too: the price of logins without the store."""
    return Event(
        "replay_found_at_merge",
        "idp-proxy",
        now,
        facts={
            "id_kind": used.kind,
            "issuer": used.issuer,
            "spool": entry.chain,
            "spool_seq": entry.seq,
        },
    )
