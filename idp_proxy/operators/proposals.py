"""Proposals as they are kept: made by one person, agreed to by others, used once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from idp_proxy.audit.chain import Event
from idp_proxy.decision.approval import Act
from idp_proxy.decision.proposal import Proposal, ProposalState
from idp_proxy.errors import StoreConflict
from idp_proxy.operators.accounts import actor_of
from idp_proxy.operators.tables import proposal

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping

    from idp_proxy.audit.chain import Fact
    from idp_proxy.operators.accounts import Recorder


def add(connection: Connection, new: Proposal, record: Recorder, *, actor: str) -> None:
    """Keep a new proposal, made by `actor`."""
    connection.execute(
        insert(proposal).values(
            id=new.id,
            act=new.act,
            target=new.target,
            reason=new.reason,
            epoch=new.epoch,
            created_at=new.created_at,
            expires_at=new.expires_at,
            people=list(new.people),
            state=new.state,
            version=new.version,
        )
    )
    record(connection, _event("proposed", new, actor, new.created_at))


def find(connection: Connection, proposal_id: str) -> Proposal | None:
    """The proposal of this id, expired or used ones too."""
    row = (
        connection.execute(select(proposal).where(proposal.c.id == proposal_id)).mappings().first()
    )
    return None if row is None else _from(row)


def waiting(connection: Connection, now: datetime) -> tuple[Proposal, ...]:
    """The open proposals that have not expired, oldest first."""
    rows = connection.execute(
        select(proposal)
        .where(proposal.c.state == ProposalState.OPEN, proposal.c.expires_at > now)
        .order_by(proposal.c.created_at)
    )
    return tuple(_from(row) for row in rows.mappings())


def agree(
    connection: Connection,
    before: Proposal,
    after: Proposal,
    *,
    by: str,
    now: datetime,
    record: Recorder,
) -> None:
    """Write that `by` agreed, if `before` is still what is there.

    Raises `StoreConflict` when somebody else agreed or used it first.
    """
    done = connection.execute(
        update(proposal)
        .where(
            proposal.c.id == before.id,
            proposal.c.state == ProposalState.OPEN,
            proposal.c.version == before.version,
        )
        .values(people=list(after.people), state=after.state, version=after.version)
    )
    if done.rowcount != 1:
        raise StoreConflict(f"proposal {before.id} was confirmed by somebody else just now")
    record(connection, _event("proposal_confirmed", after, actor_of(by), now))


def prune(connection: Connection, before: datetime) -> int:
    """Forget proposals that expired before then; returns how many. The audit remembers them."""
    return connection.execute(delete(proposal).where(proposal.c.expires_at < before)).rowcount


def _from(row: RowMapping) -> Proposal:
    return Proposal(
        id=row["id"],
        act=Act(row["act"]),
        target=row["target"],
        reason=row["reason"],
        epoch=row["epoch"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        people=tuple(row["people"]),
        state=ProposalState(row["state"]),
        version=row["version"],
    )


def _event(kind: str, about: Proposal, actor: str, now: datetime) -> Event:
    facts: dict[str, Fact] = {
        "id": about.id,
        "act": about.act.value,
        "target": about.target,
        "cause": about.reason,
        "state": about.state.value,
    }
    return Event(kind, actor, now, facts=facts)
