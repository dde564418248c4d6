"""Journey: write off. A person stays at a password for good, and the campaign may end without them.

It is the only way out of a campaign that does not lead back to SSO, so it takes two operators, and
it is written for exactly the people whom both of them named.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from conversion.decision.lifecycle import Event, advance
from conversion.errors import LedgerConflict, LedgerError
from conversion.ledger.base import LEFT_BY, Change
from idp_proxy.audit.chain import Event as AuditEvent

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from conversion.ledger.base import Ledger, Row

_SHOWN = 16


@dataclass(frozen=True, slots=True)
class Subjects:
    """The rows that are to be given up. `target` tells them apart from any others without a name:
    it stands in the proposal and in the audit.
    """

    campaign: str
    rows: tuple[Row, ...]

    @property
    def target(self) -> str:
        """Campaign, number of people, and a digest over their ids."""
        ids = "\n".join(row.user_id for row in self.rows)
        digest = hashlib.sha256(ids.encode()).hexdigest()[:_SHOWN]
        return f"{self.campaign}: {len(self.rows)} people, {digest}"


def subjects(ledger: Ledger, user_ids: Iterable[str]) -> Subjects:
    """The rows of these people. Raises `LedgerConflict` naming everybody who cannot be given up."""
    campaign = ledger.current_campaign()
    if campaign is None:
        raise LedgerError("no campaign is open: there is nobody to write off")
    rows: list[Row] = []
    problems: list[str] = []
    for user_id in sorted(set(user_ids)):
        row = ledger.row(campaign.id, user_id)
        if row is None:
            problems.append(f"{user_id[:64]}: no such person in campaign {campaign.id}")
        elif advance(row.state, Event.WRITE_OFF) is None:
            problems.append(f"{user_id}: is {row.state.value}, which cannot be written off")
        else:
            rows.append(row)
    if problems:
        raise LedgerConflict("\n".join(problems))
    return Subjects(campaign.id, tuple(rows))


def write_off(
    ledger: Ledger, given_up: Subjects, actor: str, reason: str, now: datetime
) -> tuple[Row, ...]:
    """Write them off; gives those whose row changed meanwhile and stays as it is.

    `actor` names both operators. Raises `LedgerBusy` and `LedgerError`.
    """
    with ledger.lock("write-off", actor, now):
        return ledger.commit([_given_up(row, actor, reason, now) for row in given_up.rows])


def _given_up(row: Row, actor: str, reason: str, now: datetime) -> Change:
    to = advance(row.state, Event.WRITE_OFF)
    if to is None:
        raise LedgerConflict(f"{row.user_id}: is {row.state.value}, which cannot be written off")
    changed = replace(
        row,
        state=to,
        version=row.version + 1,
        updated_at=now,
        note=reason,
        facts={**row.facts, LEFT_BY: actor},
    )
    told = {"campaign": row.campaign, "was": row.state.value, "cause": Event.WRITE_OFF.name.lower()}
    event = AuditEvent(f"row_{to.value}", actor, now, row.user_id, told)
    return Change(changed, row.state, event)
