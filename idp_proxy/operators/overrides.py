"""Overrides as they are kept: a countdown that may be stopped, then open until it is reviewed."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from idp_proxy.audit.chain import Event
from idp_proxy.decision.approval import Act, Person
from idp_proxy.decision.proposal import why_not_reviewer
from idp_proxy.operators.accounts import actor_of
from idp_proxy.operators.refusals import ApprovalRefused
from idp_proxy.operators.tables import override

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping

    from idp_proxy.audit.chain import Fact
    from idp_proxy.operators.accounts import Recorder


class OverrideState(enum.StrEnum):
    """A counting one has done nothing yet, and may be stopped; an open one was used, or may have
    been; a stopped one did nothing; a reviewed one is over.
    """

    COUNTING = "counting"
    OPEN = "open"
    STOPPED = "stopped"
    REVIEWED = "reviewed"


@dataclass(frozen=True, slots=True)
class Override:
    """One override: who set the rule aside, what for, and who looked at it afterwards."""

    id: str
    act: Act
    target: str
    reason: str
    people: tuple[str, ...]
    at: datetime
    state: OverrideState = OverrideState.COUNTING
    reviewed_at: datetime | None = None
    reviewed_by: str | None = None
    review: str | None = None


def begin(connection: Connection, new: Override, record: Recorder) -> None:
    """Put an override on record before its countdown begins."""
    connection.execute(
        insert(override).values(
            id=new.id,
            act=new.act,
            target=new.target,
            reason=new.reason,
            people=list(new.people),
            at=new.at,
            state=new.state,
        )
    )
    record(connection, _event("override", new, new.people[0], new.at))


def use(connection: Connection, of: Override) -> None:
    """The countdown is over: from now on it waits for a review. To be committed with what is done.

    Raises `ApprovalRefused` if somebody stopped it.
    """
    try:
        _step(connection, of, OverrideState.COUNTING, state=OverrideState.OPEN)
    except ApprovalRefused:
        why = f"override {of.id} was stopped by somebody else; nothing was done"
        raise ApprovalRefused(why) from None


def stop(
    connection: Connection, of: Override, by: str, now: datetime, record: Recorder, why: str = ""
) -> None:
    """Put on record that the countdown was stopped and nothing was done. Raises `ApprovalRefused`
    if it was stopped already, or is over.
    """
    _step(connection, of, OverrideState.COUNTING, state=OverrideState.STOPPED)
    event = _event("override_stopped", of, by, now)
    record(connection, replace(event, facts={**event.facts, "why": why}) if why else event)


def review(
    connection: Connection,
    override_id: str,
    by: Person,
    note: str,
    *,
    now: datetime,
    record: Recorder,
) -> Override:
    """Close an override that somebody else used. Raises `ApprovalRefused`."""
    found = demand(connection, override_id)
    if found.state is OverrideState.COUNTING:
        raise ApprovalRefused(
            f"override {found.id} counts down, and has done nothing yet: review it afterwards, or "
            f"stop it: idp-proxy override stop {found.id} --reason TEXT"
        )
    if found.state is not OverrideState.OPEN:
        raise ApprovalRefused(f"override {found.id} is {found.state} already")
    if (why_not := why_not_reviewer(found.people, by)) is not None:
        raise ApprovalRefused(why_not)
    _step(
        connection,
        found,
        OverrideState.OPEN,
        state=OverrideState.REVIEWED,
        reviewed_at=now,
        reviewed_by=by.name,
        review=note,
    )
    record(connection, _event("override_reviewed", found, by.name, now))
    return found


def find(connection: Connection, override_id: str) -> Override | None:
    """The override of this id."""
    row = (
        connection.execute(select(override).where(override.c.id == override_id)).mappings().first()
    )
    return None if row is None else _from(row)


def demand(connection: Connection, override_id: str) -> Override:
    """The override of this id. Raises `ApprovalRefused` if there is none."""
    found = find(connection, override_id)
    if found is None:
        raise ApprovalRefused(f"there is no override {override_id!a}: idp-proxy override list")
    return found


def everything(connection: Connection) -> tuple[Override, ...]:
    """All overrides, newest first."""
    rows = connection.execute(select(override).order_by(override.c.at.desc()))
    return tuple(_from(row) for row in rows.mappings())


def _step(connection: Connection, of: Override, leaves: OverrideState, **values: object) -> None:
    """Leave a state, once. Raises `ApprovalRefused` when somebody was faster."""
    done = connection.execute(
        update(override).where(override.c.id == of.id, override.c.state == leaves).values(**values)
    )
    if done.rowcount != 1:
        raise ApprovalRefused(f"override {of.id} is not {leaves} any more: idp-proxy override list")


def _from(row: RowMapping) -> Override:
    return Override(
        id=row["id"],
        act=Act(row["act"]),
        target=row["target"],
        reason=row["reason"],
        people=tuple(row["people"]),
        at=row["at"],
        state=OverrideState(row["state"]),
        reviewed_at=row["reviewed_at"],
        reviewed_by=row["reviewed_by"],
        review=row["review"],
    )


def _event(kind: str, about: Override, by: str, now: datetime) -> Event:
    facts: dict[str, Fact] = {
        "id": about.id,
        "act": about.act.value,
        "target": about.target,
        "cause": about.reason,
        "people": ",".join(about.people),
    }
    return Event(kind, actor_of(by), now, facts=facts)
