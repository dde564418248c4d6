"""The operators as they are kept: enrolled, enabled, disabled. Every change is in the audit.

Functions take a connection, whose owner commits: a change is on record exactly if it is made.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError

from idp_proxy.audit.chain import Event
from idp_proxy.decision.approval import Person, Role, named
from idp_proxy.operators import attempts
from idp_proxy.operators.factor import step_of
from idp_proxy.operators.passwords import check_password
from idp_proxy.operators.refusals import OperatorInvalid
from idp_proxy.operators.tables import operator
from idp_proxy.seal import KeyRing

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from idp_proxy.operators.passwords import Passwords

#: For what the factors are sealed.
PURPOSE: Final = "operator"
#: How the names of the host's users begin; no operator's name can.
_BY_HOST: Final = "host:"
#: ASCII and lower case only: no two names look alike.
_NAME: Final = re.compile(r"[a-z][a-z0-9._-]{1,31}", re.ASCII)


class Recorder(Protocol):
    """What writes the audit in the caller's transaction: `audit.log.AuditLog.append`."""

    def __call__(self, connection: Connection, event: Event, /) -> object:
        """Append `event`, or raise."""


class State(enum.StrEnum):
    """Whether an operator counts. A pending one waits for a second person's consent."""

    PENDING = "pending"
    ENABLED = "enabled"
    DISABLED = "disabled"


#: What may become of whom. Nobody is ever removed: the audit keeps saying who they were.
STEPS: Final[Mapping[State, frozenset[State]]] = {
    State.PENDING: frozenset({State.PENDING, State.ENABLED, State.DISABLED}),
    State.ENABLED: frozenset({State.DISABLED}),
    State.DISABLED: frozenset({State.PENDING, State.ENABLED}),
}


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator, without anything secret. `proposal` is what a pending one waits for."""

    name: str
    roles: frozenset[Role]
    state: State
    created_at: datetime
    created_by: str
    last_login: datetime | None
    proposal: str | None = None

    @property
    def person(self) -> Person:
        """This operator as `decision.approval` counts them."""
        return Person(self.name, self.roles, enabled=self.state is State.ENABLED)

    @property
    def actor(self) -> str:
        """How the audit names them: never like a host's user or a part of the proxy."""
        return actor_of(self.name)


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Somebody who chose a password and showed one code of their new device; nothing is stored."""

    name: str
    roles: frozenset[Role]
    password_hash: str = field(repr=False)
    factor: bytes = field(repr=False)
    step: int = field(repr=False)


def actor_of(name: str) -> str:
    """The audit's name for an operator; one of the host is named `host:USER` already."""
    return name if name.startswith(_BY_HOST) else f"operator:{name}"


def key_ring(keys: Sequence[bytes]) -> KeyRing:
    """What the factors of operators are sealed by, from the state keys: the first one seals."""
    return KeyRing(keys, PURPOSE)


def is_name(name: str) -> bool:
    """Whether an operator may be called like this."""
    return _NAME.fullmatch(name) is not None


def check_name(name: str) -> None:
    """Raises `OperatorInvalid` unless an operator may be called like this."""
    if not is_name(name):
        raise OperatorInvalid(
            f"{name!a} is no operator's name: 2 to 32 characters, a-z first, then a-z, 0-9, "
            "dot, hyphen or underscore"
        )


def enrol(
    name: str,
    roles: Collection[Role],
    password: str,
    secret: str,
    code: str,
    *,
    passwords: Passwords,
    ring: KeyRing,
    now: datetime,
) -> Enrolment:
    """Check what somebody typed and hash it. `code` shows that their device holds `secret`.

    Raises `OperatorInvalid`. Takes a tenth of a second, so no transaction should wait for it.
    """
    check_name(name)
    if not roles:
        raise OperatorInvalid(f"a role is needed: {named(set(Role))}")
    check_password(password, name)
    step = step_of(secret, code, now)
    if step is None:
        raise OperatorInvalid(
            "that is not the code of this secret: look at the clock of the device, and begin again"
        )
    return Enrolment(
        name,
        frozenset(roles),
        passwords.hash(password),
        ring.seal(name, secret.encode("ascii")),
        step,
    )


def add(
    connection: Connection,
    new: Enrolment,
    *,
    by: str,
    now: datetime,
    record: Recorder,
    proposal: str | None = None,
) -> Operator:
    """Keep a new operator: enabled, or pending until `proposal` is confirmed.

    One who is disabled or pending may be enrolled again; one who is enabled may not. The first of
    all must be able to act. Raises `OperatorInvalid`.
    """
    if not exist(connection) and not new.roles & {Role.OPERATOR, Role.APPROVER}:
        raise OperatorInvalid(
            "the first operator needs role operator or approver: else nobody could act"
        )
    state = State.ENABLED if proposal is None else State.PENDING
    values: dict[str, Any] = {
        "roles": sorted(new.roles),
        "state": state,
        "password_hash": new.password_hash,
        "factor": new.factor,
        "last_step": new.step,
        "proposal": proposal,
        "created_at": now,
        "created_by": by,
        "last_login": None,
    }
    _put(connection, new.name, values, state)
    # Who enrols again is not locked out by what was tried before.
    attempts.forget(connection, new.name)
    facts = {"operator": new.name, "roles": ",".join(sorted(new.roles)), "state": state.value}
    record(connection, Event("operator_added", by, now, facts=facts))
    return Operator(new.name, new.roles, state, now, by, None, proposal)


def _put(connection: Connection, name: str, values: Mapping[str, Any], state: State) -> None:
    """Insert the row, or replace that of somebody who may become `state`."""
    again = connection.execute(
        update(operator)
        .where(operator.c.name == name, operator.c.state.in_(_that_may_become(state)))
        .values(**values)
    )
    if again.rowcount:
        return
    try:
        with connection.begin_nested():
            connection.execute(insert(operator).values(name=name, **values))
    except IntegrityError:
        raise OperatorInvalid(
            f"there is an operator {name} already: disable them first to enrol them again"
        ) from None


def confirm(
    connection: Connection, name: str, proposal: str, *, by: str, now: datetime, record: Recorder
) -> None:
    """Enable the operator whose enrolment waits for this very `proposal`.

    Raises `OperatorInvalid` when it does not: it was replaced by another one, or withdrawn.
    """
    done = connection.execute(
        update(operator)
        .where(
            operator.c.name == name,
            operator.c.state == State.PENDING,
            operator.c.proposal == proposal,
        )
        .values(state=State.ENABLED, proposal=None)
    )
    if done.rowcount != 1:
        raise OperatorInvalid(f"{name} does not wait for proposal {proposal} any more: begin again")
    record(connection, Event("operator_enabled", by, now, facts={"operator": name}))


def disable(
    connection: Connection, name: str, reason: str, *, by: str, now: datetime, record: Recorder
) -> None:
    """From now on `name` neither signs in nor counts. Raises `OperatorInvalid`."""
    done = connection.execute(
        update(operator)
        .where(operator.c.name == name, operator.c.state.in_(_that_may_become(State.DISABLED)))
        .values(state=State.DISABLED, proposal=None)
    )
    if done.rowcount != 1:
        raise OperatorInvalid(why_not_disabled(find(connection, name), name))
    facts = {"operator": name, "cause": reason}
    record(connection, Event("operator_disabled", by, now, facts=facts))


def why_not_disabled(found: Operator | None, name: str) -> str:
    """Why `disable` changes nothing; empty when it would."""
    if found is None:
        return f"there is no operator {name!a}: idp-proxy operator list"
    if found.state is State.DISABLED:
        return f"{name} is disabled already"
    return ""


def find(connection: Connection, name: str) -> Operator | None:
    """The operator of this name, exact to the letter."""
    row = connection.execute(select(operator).where(operator.c.name == name)).first()
    return None if row is None else operator_from(row._asdict())


def person_of(connection: Connection, name: str) -> Person:
    """What the database says of somebody now: who is not there any more does not count."""
    if name.startswith(_BY_HOST):
        return Person(name, by_host=True)
    found = find(connection, name)
    return Person(name, enabled=False) if found is None else found.person


def everyone(connection: Connection) -> tuple[Operator, ...]:
    """All operators by name, the disabled ones too."""
    rows = connection.execute(select(operator).order_by(operator.c.name))
    return tuple(operator_from(row._asdict()) for row in rows)


def exist(connection: Connection) -> bool:
    """Whether there was ever an operator: from then on the host's user does not act alone.

    A disabled one counts too: disabling the last must not switch the approvals off. A pending one
    does not: they never could sign in.
    """
    wanted = select(func.count()).select_from(operator).where(operator.c.state != State.PENDING)
    return connection.execute(wanted).scalar_one() > 0


def approvers_enabled(connection: Connection) -> int:
    """How many enabled operators hold the role approver."""
    return sum(
        one.state is State.ENABLED and Role.APPROVER in one.roles for one in everyone(connection)
    )


def unreadable(connection: Connection, ring: KeyRing) -> frozenset[str]:
    """Whose factor no configured state key opens: they cannot sign in until they enrol again."""
    rows = connection.execute(select(operator.c.name, operator.c.factor))
    return frozenset(row.name for row in rows if ring.open(row.name, row.factor) is None)


def operator_from(record: Mapping[str, Any]) -> Operator:
    """The operator of a row."""
    return Operator(
        name=record["name"],
        roles=frozenset(Role(one) for one in record["roles"]),
        state=State(record["state"]),
        created_at=record["created_at"],
        created_by=record["created_by"],
        last_login=record["last_login"],
        proposal=record["proposal"],
    )


def _that_may_become(state: State) -> list[State]:
    return [before for before, after in STEPS.items() if state in after]
