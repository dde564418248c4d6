"""What takes operators: asked in the proxy's own database, where operators and proposals live.

The first one proposes; the second one agrees to that very target within ten minutes, from wherever
they sit. Both sign in with password and code. The rules are the proxy's: `idp_proxy.operators`. One
is stricter here: nobody is written off before there are operators.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from conversion.errors import ConsentRefused
from idp_proxy.audit.log import AuditLog
from idp_proxy.errors import ProxyError
from idp_proxy.operators import (
    Act,
    Credential,
    Granted,
    OperatorRefused,
    Passwords,
    SignIn,
    Waits,
    Wish,
    accounts,
    attempts,
    consent,
    overrides,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime, timedelta

    from sqlalchemy import Connection, Engine

    from conversion.config import OperatorsSettings
    from idp_proxy.operators import Proposal
    from idp_proxy.operators.overrides import Override

#: What nobody does before there are operators; all else the host's user may do until then.
_NEVER_ALONE: Final = frozenset({Act.WRITTEN_OFF})
#: Seconds for a writer to wait for another one, and for a database that does not answer.
_PATIENCE_S: Final = 10


@dataclass(frozen=True, slots=True)
class Agreed:
    """It may be done, once: by these operators, the first of whom began it. `override` is the id
    of the override, if it is one.
    """

    people: tuple[str, ...]
    reason: str
    override: str = ""

    @property
    def actor(self) -> str:
        """Who did it, for the audit."""
        first, *others = map(accounts.actor_of, self.people)
        if self.override:
            return f"{first} (override {self.override})"
        return f"{first} (confirmed by {', '.join(others)})" if others else first


@dataclass(frozen=True, slots=True)
class Countdown:
    """An override on record: everybody is told, and after `length` it may be done."""

    override: Override
    reason: str
    length: timedelta


class Desk:
    """Where operators sign in, propose and agree. Close it."""

    def __init__(self, settings: OperatorsSettings, host: str) -> None:
        """`host` names this host's audit chain there. Raises `ConsentRefused` for a bad URL."""
        self._settings = settings
        self._record = AuditLog(f"conversion/{host}").append
        try:
            self._engine = _engine(settings.url)
        except (SQLAlchemyError, ImportError, ValueError) as error:
            raise ConsentRefused(
                f"operators.url: no database can be opened by it ({type(error).__name__})"
            ) from None

    def close(self) -> None:
        """Give back the connections."""
        self._engine.dispose()

    def sign_in(self, credential: Credential, now: datetime) -> str:
        """The operator's name. Raises `ConsentRefused`, always in the same words."""
        ring = accounts.key_ring(self._settings.state_keys)
        door = SignIn(self._engine.begin, ring, Passwords(), self._record)
        with _told():
            return door.authenticate(credential, now).name

    def has_operators(self) -> bool:
        """Whether there was ever an operator."""
        with _told(), self._engine.begin() as connection:
            return accounts.exist(connection)

    def ask(
        self, name: str, wish: Wish, new_id: str, now: datetime, override: str = ""
    ) -> Agreed | Proposal | Countdown:
        """Whether `name` may do it now, or the proposal that waits for another operator, or, with a
        reason to `override` that, the countdown after which `finish` grants it.

        Raises `ConsentRefused` if they may not even begin it.
        """
        record = self._record
        with self._turn(wish.act, now) as connection:
            verdict = consent.decide(connection, wish.act, (name,), override=bool(override))
            if isinstance(verdict, Waits):
                return consent.propose(
                    connection, new_id, wish, verdict, epoch=None, now=now, record=record
                )
            if verdict.countdown is None:
                return Agreed(verdict.people, wish.reason)
            used = consent.begin_override(
                connection, new_id, wish, verdict.people, override, now=now, record=record
            )
        return Countdown(used, wish.reason, verdict.countdown)

    def finish(self, countdown: Countdown, now: datetime) -> Agreed:
        """After the countdown: what the database says of these people by now decides."""
        used = countdown.override
        with self._turn(used.act, now) as connection:
            verdict = consent.decide(connection, used.act, used.people, override=True)
            overrides.use(connection, used)
        return Agreed(verdict.people, countdown.reason, used.id)

    def stop(self, countdown: Countdown, now: datetime) -> None:
        """Nothing came of an override."""
        used = countdown.override
        with _told(), self._engine.begin() as connection:
            overrides.stop(connection, used, used.people[0], now, self._record)

    def agree(self, name: str, proposal_id: str, act: Act, target: str, now: datetime) -> Agreed:
        """Agree to a proposal about exactly `target`, and use it up.

        Raises `ConsentRefused`: another target, its own proposer, too late, used, unknown.
        """
        with self._turn(act, now) as connection:
            made = consent.wanted(connection, proposal_id, {act}, now)
            if made.target != target:
                raise ConsentRefused(
                    f"proposal {made.id} is about {made.target}, and not about {target}:"
                    " name the same people"
                )
            verdict = consent.agree(
                connection, made, name, epoch=None, now=now, record=self._record
            )
            if not isinstance(verdict, Granted):
                raise ConsentRefused(verdict.reason)
        return Agreed(verdict.people, made.reason)

    @contextmanager
    def _turn(self, act: Act, now: datetime) -> Iterator[Connection]:
        """A transaction in which nobody else changes operators or agrees to anything."""
        with _told(), self._engine.begin() as connection:
            attempts.take_turn(connection, now)
            if act in _NEVER_ALONE and not accounts.exist(connection):
                raise ConsentRefused(
                    "there are no operators yet, and this takes two: idp-proxy operator add NAME"
                )
            yield connection


@contextmanager
def _told() -> Iterator[None]:
    """Turn what the operators' database says into `ConsentRefused`, without values of it."""
    try:
        yield
    except OperatorRefused as error:
        # Its detail is for the audit: here everything that may be wrong sounds the same.
        raise ConsentRefused(error.public) from None
    except ProxyError as error:
        raise ConsentRefused(error.detail) from error
    except SQLAlchemyError as error:
        raise ConsentRefused(
            f"operators.url: the database does not answer as it should ({type(error).__name__});"
            " it must be the proxy's, and reachable from here"
        ) from None


def _engine(url: str) -> Engine:
    is_sqlite = url.startswith("sqlite")
    arguments = {"timeout": _PATIENCE_S} if is_sqlite else {"connect_timeout": _PATIENCE_S}
    engine = create_engine(url, connect_args=arguments, hide_parameters=True)
    if is_sqlite:
        # A read that later writes would fail instead of waiting: take the write lock at once.
        event.listen(engine, "connect", _no_implicit_begin)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(_BEGIN))
    return engine


_BEGIN: Final = "BEGIN IMMEDIATE"


def _no_implicit_begin(connection: object, _record: object) -> None:
    """As SQLAlchemy's page on pysqlite has it: the driver begins nothing by itself."""
    connection.isolation_level = None  # type: ignore[attr-defined]  # SQLAlchemy hands the driver's connection on as an object
