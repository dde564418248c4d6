"""Overrides as they are kept: each one stays open until somebody else has reviewed it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
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
    """An open one was used, or may have been; a stopped one did nothing; a reviewed one is over."""

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
    state: OverrideState = OverrideState.OPEN
    reviewed_at: datetime | None = None
    reviewed_by: str | None = None
    review: str | None = None


def begin(connection: Connection, new: Override, record: Recorder) -> None:
    """Put an override on record before its countdown begins: open, to be reviewed."""
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


def stop(connection: Connection, of: Override, by: str, now: datetime, record: Recorder) -> None:
    """Put on record that the countdown was stopped and nothing was done."""
    _step(connection, of, state=OverrideState.STOPPED)
    record(connection, _event("override_stopped", of, by, now))


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
    found = find(connection, override_id)
    if found is None:
        raise ApprovalRefused(f"there is no override {override_id!a}: idp-proxy override list")
    if found.state is not OverrideState.OPEN:
        raise ApprovalRefused(f"override {found.id} is {found.state} already")
    if (why_not := why_not_reviewer(found.people, by)) is not None:
        raise ApprovalRefused(why_not)
    _step(
        connection,
        found,
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


def everything(connection: Connection) -> tuple[Override, ...]:
    """All overrides, newest first."""
    rows = connection.execute(select(override).order_by(override.c.at.desc()))
    return tuple(_from(row) for row in rows.mappings())


def _step(connection: Connection, of: Override, **values: object) -> None:
    """Leave `OPEN`, once. Raises `ApprovalRefused` when somebody was faster."""
    done = connection.execute(
        update(override)
        .where(override.c.id == of.id, override.c.state == OverrideState.OPEN)
        .values(**values)
    )
    if done.rowcount != 1:
        raise ApprovalRefused(f"override {of.id} is not open any more: idp-proxy override list")


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
