"""Journey: reconcile. Changes made behind the tool's back come onto its record.

Somebody set passwords by hand, before this tool was used or beside it: who was on SSO by the
inventory and is at email and password now gets a row, as if this tool had moved them. Rows of the
campaign are held against the list. The server is only read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from conversion.bulk import groups
from conversion.decision.account import Binding, Source
from conversion.decision.lifecycle import RowState
from conversion.decision.plan import Envelope, envelope_text
from conversion.ledger.base import MOVED, Campaign, Row
from conversion.truth import (
    look,
    refresh_converted_file,
    settle_everybody,
    strays,
    wait_for_calls_of_the_dead,
)
from idp_proxy.audit.chain import Event as AuditEvent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conversion.bulk import Bulk
    from conversion.decision.account import Account
    from conversion.ledger.base import InventoryRow
    from idp_proxy.audit.chain import Fact

_AT_ONCE = 500
_BY_HAND = "found at email and password: moved by hand"
_MAKESHIFT = f"{_BY_HAND}; no way back but the email: prepare from a richer source"


@dataclass(slots=True)
class Reconciled:
    """What was found. `campaign` is empty when nobody was moved at all; `makeshift` are user ids
    among `adopted` whose way back is their email for now; `settled` counts rows by new state.
    """

    campaign: str = ""
    adopted: tuple[str, ...] = ()
    makeshift: tuple[str, ...] = ()
    not_in_file: tuple[str, ...] = ()
    settled: Mapping[RowState, int] = field(default_factory=dict)
    counts: Mapping[RowState, int] = field(default_factory=dict)


def reconcile(bulk: Bulk) -> Reconciled:
    """Bring the ledger to what the server says. Raises `LedgerBusy`, and what the server says."""
    with bulk.ledger.lock("reconcile", bulk.actor, bulk.clock()):
        current = bulk.ledger.current_campaign()
        told = Reconciled("" if current is None else current.id)
        if current is not None:
            wait_for_calls_of_the_dead(bulk, current.id)
        accounts = look(bulk)
        if current is not None:
            told.settled = settle_everybody(bulk, current.id, accounts)
        _adopt(bulk, told, accounts)
        if told.campaign:
            told.not_in_file = refresh_converted_file(bulk, told.campaign)
            told.counts = bulk.ledger.counts(told.campaign)
        return told


def _adopt(bulk: Bulk, told: Reconciled, accounts: Mapping[str, Account]) -> None:
    found = sum(1 for _ in strays(bulk, told.campaign, accounts))
    if found and not told.campaign:
        told.campaign = _open_for(bulk, found)
    for some in groups(strays(bulk, told.campaign, accounts), _AT_ONCE):
        rows = [_adopted(bulk, told.campaign, known) for known in some]
        events = [
            AuditEvent(
                "row_adopted", bulk.actor, row.updated_at, row.user_id, {"campaign": row.campaign}
            )
            for row in rows
        ]
        bulk.ledger.add(rows, events)
        told.adopted += tuple(row.user_id for row in rows)
        told.makeshift += tuple(
            row.user_id for row in rows if row.binding.source is Source.EMAIL_FALLBACK
        )


def _open_for(bulk: Bulk, people: int) -> str:
    """A campaign that brings people back; who more may be moved, an envelope has to say first."""
    now = bulk.clock()
    envelope = Envelope(frozenset(), people, frozenset(), now)
    name = f"{now:%Y%m%d-%H%M%S}-reconciled"
    facts: dict[str, Fact] = {"campaign": name, "people": people}
    event = AuditEvent("campaign_opened", bulk.actor, now, facts=facts)
    bulk.ledger.open_campaign(Campaign(name, now, envelope_text(envelope)), event)
    return name


def _adopted(bulk: Bulk, campaign: str, known: InventoryRow) -> Row:
    now = bulk.clock()
    makeshift = Binding(known.email, Source.EMAIL_FALLBACK, known.seen_at)
    return Row(
        campaign,
        known.user_id,
        RowState.CONVERTED,
        1,
        known.binding or makeshift,
        known.mfa_active,
        now,
        _BY_HAND if known.binding else _MAKESHIFT,
        {MOVED: known.seen_at.isoformat()},
    )
