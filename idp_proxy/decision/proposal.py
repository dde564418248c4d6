"""A proposal: an act that one person began and another one must agree to, in time.

And the review that every override waits for. What was agreed for one state of the switch is not
agreed for the next; what was used once is never used again.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from idp_proxy.decision.approval import (
    BOUND_TO_EPOCH,
    REVIEWERS,
    RULES,
    Act,
    Granted,
    Person,
    Waits,
    human_of,
    named,
)

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

#: How long a proposal waits for its second person.
PROPOSAL_LASTS: Final = timedelta(minutes=10)


class ProposalState(enum.StrEnum):
    """An open proposal waits; a confirmed one was used, and is never used again."""

    OPEN = "open"
    CONFIRMED = "confirmed"


@dataclass(frozen=True, slots=True)
class Proposal:
    """An act that waits for its second person.

    `target` never names an employee: it stands in the audit. `epoch` is the switch's at the time,
    for acts of `BOUND_TO_EPOCH`; `people` said yes so far, in order, nobody yet where the watch
    proposes; `version` counts changes.
    """

    id: str
    act: Act
    target: str
    reason: str
    epoch: int | None
    created_at: datetime
    expires_at: datetime
    people: tuple[str, ...]
    state: ProposalState = ProposalState.OPEN
    version: int = 1


def propose(
    proposal_id: str,
    act: Act,
    target: str,
    reason: str,
    *,
    epoch: int | None,
    people: tuple[str, ...],
    now: datetime,
) -> Proposal:
    """A new proposal, open for `PROPOSAL_LASTS`."""
    return Proposal(proposal_id, act, target, reason, epoch, now, now + PROPOSAL_LASTS, people)


def why_void(proposal: Proposal, *, epoch: int | None, now: datetime) -> str | None:
    """Why nobody can agree to `proposal` any more; None if somebody can. `epoch` is the switch's,
    now.
    """
    if proposal.state is not ProposalState.OPEN:
        return f"proposal {proposal.id} was confirmed already"
    if now >= proposal.expires_at:
        return f"proposal {proposal.id} expired at {proposal.expires_at:%H:%M:%S} UTC: begin again"
    if proposal.act in BOUND_TO_EPOCH and proposal.epoch != epoch:
        return (
            f"proposal {proposal.id} was made for epoch {proposal.epoch}, and the switch is at "
            f"{epoch} by now: look at the status and begin again"
        )
    return None


def why_not_confirmable(
    proposal: Proposal, by: Person, *, epoch: int | None, now: datetime
) -> str | None:
    """Why `by` cannot agree to `proposal` now; None if they can."""
    if (void := why_void(proposal, epoch=epoch, now=now)) is not None:
        return void
    if not proposal.people:
        return None  # the watch proposes: the first person begins it, and is judged as such
    confirm = RULES[proposal.act].confirm
    if by.by_host or not by.enabled or not by.roles & confirm:
        return f"to agree takes an operator's credential and role {named(confirm)}"
    if by.human in {human_of(name) for name in proposal.people}:
        return f"{by.name} has agreed to proposal {proposal.id} already: it takes somebody else"
    return None


def agreed_to(proposal: Proposal, verdict: Granted | Waits) -> Proposal:
    """`proposal` after one more person agreed and `judge` said `verdict`."""
    state = ProposalState.CONFIRMED if isinstance(verdict, Granted) else ProposalState.OPEN
    return replace(proposal, people=verdict.people, state=state, version=proposal.version + 1)


def why_not_reviewer(people: Collection[str], by: Person) -> str | None:
    """Why `by` cannot review the override that `people` used; None if they can."""
    if not by.enabled:
        return f"{by.name} is disabled"
    if by.by_host or not by.roles & REVIEWERS:
        return f"a review takes an operator's credential and role {named(REVIEWERS)}"
    if by.human in {human_of(name) for name in people}:
        return f"{by.name} used this override: somebody else reviews it"
    return None
