"""The figures of a campaign, from the ledger alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from conversion.decision.account import Source
from conversion.decision.lifecycle import OPEN, RowState
from conversion.decision.situation import UNTOUCHED
from conversion.ledger.base import LEFT_BY, REMARKS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from conversion.ledger.base import Campaign, Ledger, Row

#: Closed, and yet somebody will ask about them.
_TOLD: Final = frozenset({RowState.SKIPPED, RowState.WITHDRAWN, RowState.WRITTEN_OFF})
_NOBODY: Final = "nobody yet: set campaign.owner"
_FALLBACK: Final = "returned by email address: the next login by SSO binds the account anew"


@dataclass(frozen=True, slots=True)
class Exceptional:
    """Somebody who is not simply moved and back. `username` is as the inventory has it; `owner` is
    who answers for it: whoever the configuration names, else who ran the command that left it so.
    """

    user_id: str
    username: str
    state: RowState
    reason: str
    since: datetime
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """`moved` = `back` + `left` + `given_up`. `waiting` were planned and never touched."""

    campaign: str
    opened_at: datetime
    closed_at: datetime | None
    made_at: datetime
    counts: Mapping[RowState, int]
    exceptions: tuple[Exceptional, ...]

    @property
    def moved(self) -> int:
        """Everybody who was moved, or may have been."""
        return sum(people for state, people in self.counts.items() if state not in UNTOUCHED)

    @property
    def back(self) -> int:
        """Seen on SSO by their own binding, after the settle delay."""
        return self.counts.get(RowState.VERIFIED, 0)

    @property
    def given_up(self) -> int:
        """Left at a password by two signatures."""
        return self.counts.get(RowState.WRITTEN_OFF, 0)

    @property
    def left(self) -> int:
        """Moved, and not proven to be back."""
        return self.moved - self.back - self.given_up

    @property
    def waiting(self) -> int:
        """Planned, and never touched."""
        return sum(self.counts.get(state, 0) for state in UNTOUCHED & OPEN)


def report_of(ledger: Ledger, campaign: Campaign, now: datetime, owner: str = "") -> Report:
    """The report of `campaign` at `now`; `owner` answers for exceptions. Raises `LedgerError`."""
    exceptions = [
        _exceptional(row, owner) for row in ledger.rows(campaign.id) if _is_exception(row)
    ]
    wanted = {one.user_id for one in exceptions}
    names = {row.user_id: row.username for row in ledger.inventory() if row.user_id in wanted}
    return Report(
        campaign=campaign.id,
        opened_at=campaign.opened_at,
        closed_at=campaign.closed_at,
        made_at=now,
        counts=dict(ledger.counts(campaign.id)),
        exceptions=tuple(replace(one, username=names.get(one.user_id, "")) for one in exceptions),
    )


def _is_exception(row: Row) -> bool:
    by_email = row.binding.source is Source.EMAIL_FALLBACK
    is_back = row.state is RowState.VERIFIED and (by_email or REMARKS in row.facts)
    return row.state in OPEN or row.state in _TOLD or is_back


#: What is so where no step left a note.
_USUAL: Final = {
    RowState.PLANNED: "planned, and not touched",
    RowState.CONVERTING: "a call was under way",
    RowState.CONVERTED: "still at a password",
    RowState.RETURNING: "a call was under way",
    RowState.RETURNED: "back, and not yet seen to stay",
}


def _exceptional(row: Row, owner: str) -> Exceptional:
    remarks = row.facts[REMARKS].split("\n") if REMARKS in row.facts else []
    if row.state is not RowState.VERIFIED:
        remarks = [row.note or _USUAL.get(row.state, row.state.value), *remarks]
    elif row.binding.source is Source.EMAIL_FALLBACK:
        remarks = [_FALLBACK, *remarks]
    reason = "; ".join(remarks)
    answers = owner or row.facts.get(LEFT_BY, "") or _NOBODY
    return Exceptional(row.user_id, "", row.state, reason, row.updated_at, answers)
