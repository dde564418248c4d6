"""Signing in: name, password and code, with the same answer and the same work whatever is wrong.

An attempt is counted as failed before it is judged, in a transaction of its own, and forgiven when
it succeeds: who is killed in between, or asks many times at once, gets no guess for free.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select, update

from idp_proxy.audit.chain import Event
from idp_proxy.operators import attempts
from idp_proxy.operators.accounts import Operator, State, actor_of, is_name, operator_from
from idp_proxy.operators.attempts import LOCKED_FOR, NOBODY, Count
from idp_proxy.operators.factor import step_of
from idp_proxy.operators.refusals import OperatorRefused, Why
from idp_proxy.operators.tables import operator

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from datetime import datetime

    from sqlalchemy import Connection

    from idp_proxy.audit.chain import Fact
    from idp_proxy.operators.accounts import Recorder
    from idp_proxy.operators.passwords import Passwords
    from idp_proxy.seal import KeyRing

#: In place of the secret of somebody who has none (base32).
_NO_SECRET: Final = "A" * 32


@dataclass(frozen=True, slots=True)
class Credential:
    """What somebody typed."""

    name: str
    password: str = field(repr=False)
    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One try, after it was counted: whose it is, what is kept of them, and how often it failed."""

    operator: Operator | None
    password_hash: str | None = field(repr=False)
    factor: bytes = field(repr=False)
    count: Count

    @property
    def counted_as(self) -> str:
        return NOBODY if self.operator is None else self.operator.name


@dataclass(frozen=True, slots=True)
class _Proof:
    """Both factors fit; whether the code was used before is left to the database."""

    operator: Operator
    secret: bytes = field(repr=False)
    step: int = field(repr=False)


class SignIn:
    """Where operators prove who they are.

    `writing` opens write transactions of the database that holds their tables: `SqlStore.writing`,
    or the `begin` of an engine. The failed attempt is kept although the sign-in raises, which is
    why this opens its own.
    """

    def __init__(
        self,
        writing: Callable[[], AbstractContextManager[Connection]],
        ring: KeyRing,
        passwords: Passwords,
        record: Recorder,
    ) -> None:
        self._writing = writing
        self._ring = ring
        self._passwords = passwords
        self._record = record

    def authenticate(self, credential: Credential, now: datetime) -> Operator:
        """The operator who typed `credential`. Raises `OperatorRefused` or the database's errors.

        Both factors are always judged, and the database is asked and written the same number of
        times, so that neither words nor time tell what was wrong.
        """
        with self._writing() as connection:
            attempt = _count(connection, credential.name, now)
        judged = self._judge(attempt, credential, now)
        # Hashed outside of the transaction: nobody else should wait for it.
        renewed = self._renewed(attempt, credential) if isinstance(judged, _Proof) else None
        with self._writing() as connection:
            if isinstance(judged, _Proof):
                sealed = self._ring.seal(attempt.counted_as, judged.secret)
                if _accept(connection, attempt, judged.step, renewed, sealed, now):
                    return replace(judged.operator, last_login=now)
                judged = Why.REPEATED
            self._note(connection, attempt, judged, now)
        raise OperatorRefused(judged)

    def _judge(self, attempt: _Attempt, credential: Credential, now: datetime) -> _Proof | Why:
        """Whether both factors fit, or the first thing that is wrong. All of it is worked out
        before any of it is looked at.
        """
        fits = self._passwords.verify(attempt.password_hash, credential.password)
        secret = self._ring.open(attempt.counted_as, attempt.factor)
        shown = _NO_SECRET if secret is None else secret.decode("ascii")
        step = step_of(shown, credential.code, now)
        known = attempt.operator
        if known is None:
            return Why.UNKNOWN
        if attempt.count.locked:
            return Why.LOCKED
        if known.state is not State.ENABLED:
            return Why.NOT_ENABLED
        if secret is None:
            return Why.UNREADABLE
        if not fits or step is None:
            return Why.WRONG
        return _Proof(known, secret, step)

    def _renewed(self, attempt: _Attempt, credential: Credential) -> str | None:
        """The password hashed anew, when the kept hash is of older parameters."""
        kept = attempt.password_hash
        if kept is None or not self._passwords.is_outdated(kept):
            return None
        return self._passwords.hash(credential.password)

    def _note(self, connection: Connection, attempt: _Attempt, why: Why, now: datetime) -> None:
        """Put the failure on record. A name that nobody has is not written: it may be a password
        in the wrong field.
        """
        known = attempt.operator
        actor = "unknown" if known is None else actor_of(known.name)
        facts: dict[str, Fact] = {"why": why.name.lower(), "failures": attempt.count.failures}
        self._record(connection, Event("operator_login_failed", actor, now, facts=facts))
        if known is not None and attempt.count.locks:
            minutes = int(LOCKED_FOR.total_seconds() // 60)
            facts = {"operator": known.name, "minutes": minutes}
            self._record(connection, Event("operator_locked", actor, now, facts=facts))


def _count(connection: Connection, name: str, now: datetime) -> _Attempt:
    """Count one more failure of `name`, and read what is kept of them."""
    asked = name if is_name(name) else NOBODY
    found = connection.execute(select(operator).where(operator.c.name == asked)).first()
    row: dict[str, Any] = {} if found is None else found._asdict()
    counted_as = asked if row else NOBODY
    return _Attempt(
        operator=operator_from(row) if row else None,
        password_hash=row.get("password_hash"),
        factor=row.get("factor", b""),
        count=attempts.count(connection, counted_as, now),
    )


def _accept(
    connection: Connection,
    attempt: _Attempt,
    step: int,
    password_hash: str | None,
    factor: bytes,
    now: datetime,
) -> bool:
    """Let the attempt succeed, if meanwhile nobody used the code and nobody changed the operator.

    The secret is sealed anew each time, so that it outlives the key ring's oldest key.
    """
    values: dict[str, Any] = {"last_step": step, "last_login": now, "factor": factor}
    if password_hash is not None:
        values["password_hash"] = password_hash
    done = connection.execute(
        update(operator)
        .where(
            operator.c.name == attempt.counted_as,
            operator.c.state == State.ENABLED,
            operator.c.password_hash == attempt.password_hash,
            operator.c.last_step < step,
        )
        .values(**values)
    )
    if done.rowcount != 1:
        return False
    attempts.forgive(connection, attempt.counted_as, now)
    return True
