"""Consent: what is decided about a wish, and written with it, in one transaction.

Every function takes the connection of a transaction that began with `attempts.take_turn`: what the
database says of people and proposals then cannot change before the consequence is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from idp_proxy.decision import proposal as proposing
from idp_proxy.decision.approval import Act, Granted, Refused, Waits, judge
from idp_proxy.operators import accounts, overrides, proposals
from idp_proxy.operators.overrides import Override
from idp_proxy.operators.refusals import ApprovalRefused

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime

    from sqlalchemy import Connection

    from idp_proxy.decision.proposal import Proposal
    from idp_proxy.operators.accounts import Recorder


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to do. `target` stands in the audit and names no employee."""

    act: Act
    target: str
    reason: str


def decide(
    connection: Connection, act: Act, names: Iterable[str], *, override: bool = False
) -> Granted | Waits:
    """Whether these people suffice, by what the database says of them now.

    Raises `ApprovalRefused`.
    """
    verdict = judge(
        act,
        [accounts.person_of(connection, name) for name in names],
        approvers_enabled=accounts.approvers_enabled(connection),
        override=override,
        operators_exist=accounts.exist(connection),
    )
    if isinstance(verdict, Refused):
        raise ApprovalRefused(verdict.reason)
    return verdict


def propose(
    connection: Connection,
    proposal_id: str,
    wish: Wish,
    verdict: Waits,
    *,
    epoch: int | None,
    now: datetime,
    record: Recorder,
) -> Proposal:
    """Keep a wish that waits for somebody else. `epoch` is the switch's, where the act has one."""
    made = proposing.propose(
        proposal_id,
        wish.act,
        wish.target,
        wish.reason,
        epoch=epoch,
        people=verdict.people,
        now=now,
    )
    proposals.add(connection, made, record, actor=accounts.actor_of(made.people[0]))
    return made


def waiting(connection: Connection, wish: Wish, epoch: int, now: datetime) -> Proposal | None:
    """The proposal of the same at this epoch that waits already, whoever made it."""
    wanted = (wish.act, wish.target, epoch)
    found = proposals.waiting(connection, now)
    return next((one for one in found if (one.act, one.target, one.epoch) == wanted), None)


def propose_by_watch(
    connection: Connection,
    proposal_id: str,
    wish: Wish,
    *,
    actor: str,
    epoch: int,
    now: datetime,
    record: Recorder,
) -> Proposal:
    """Keep what the watch proposes. It agrees to nothing: whoever confirms it first begins it.

    One that waits for the same already is given back: all hosts propose one thing once.
    """
    known = waiting(connection, wish, epoch, now)
    if known is not None:
        return known
    made = proposing.propose(
        proposal_id, wish.act, wish.target, wish.reason, epoch=epoch, people=(), now=now
    )
    proposals.add(connection, made, record, actor=actor)
    return made


def wanted(
    connection: Connection, proposal_id: str, acts: Collection[Act], now: datetime
) -> Proposal:
    """The proposal of this id, about one of `acts`. Raises `ApprovalRefused`."""
    found = proposals.find(connection, proposal_id)
    if found is None:
        waiting = proposals.waiting(connection, now)
        names = ", ".join(f"{one.id} ({one.act} {one.target})" for one in waiting)
        raise ApprovalRefused(f"there is no proposal {proposal_id!a}; open are: {names or 'none'}")
    if found.act not in acts:
        raise ApprovalRefused(f"proposal {found.id} is about {found.act}: another command confirms")
    return found


def agree(
    connection: Connection,
    made: Proposal,
    by: str,
    *,
    epoch: int | None,
    now: datetime,
    record: Recorder,
) -> Granted | Waits:
    """`by` agrees to a proposal: it is granted and used up, or waits for one more.

    Raises `ApprovalRefused`, and `StoreConflict` when `made` is not what is there any more.
    """
    person = accounts.person_of(connection, by)
    why_not = proposing.why_not_confirmable(made, person, epoch=epoch, now=now)
    if why_not is not None:
        raise ApprovalRefused(why_not)
    verdict = decide(connection, made.act, (*made.people, by))
    after = proposing.agreed_to(made, verdict)
    proposals.agree(connection, made, after, by=by, now=now, record=record)
    return verdict


def begin_override(
    connection: Connection,
    override_id: str,
    wish: Wish,
    people: tuple[str, ...],
    reason: str,
    *,
    now: datetime,
    record: Recorder,
) -> Override:
    """Put an override on record before its countdown. `reason` is why nobody else was asked."""
    used = Override(override_id, wish.act, wish.target, reason, people, now)
    overrides.begin(connection, used, record)
    return used
