"""What takes two operators: asked in the proxy's own database, where operators and proposals live.

The first one proposes; the second one agrees to that very target within ten minutes, from wherever
they sit. Both sign in with password and code. Who only has this host's root cannot do either, and
before there are operators nobody can: nothing here is waived.
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
    Wish,
    accounts,
    attempts,
    consent,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy import Connection, Engine

    from conversion.config import OperatorsSettings
    from idp_proxy.operators import Proposal, Waits

#: Seconds for a writer to wait for another one, and for a database that does not answer.
_PATIENCE_S: Final = 10


@dataclass(frozen=True, slots=True)
class Agreed:
    """It may be done, once: by these operators, the first of whom began it."""

    people: tuple[str, ...]
    reason: str

    @property
    def actor(self) -> str:
        """Who did it, for the audit."""
        first, *others = map(accounts.actor_of, self.people)
        return f"{first} (confirmed by {', '.join(others)})" if others else first


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

    def propose(self, name: str, wish: Wish, proposal_id: str, now: datetime) -> Proposal:
        """The proposal of `name`. Raises `ConsentRefused` if they may not begin it."""
        with self._turn(now) as connection:
            verdict = consent.decide(connection, wish.act, (name,))
            if isinstance(verdict, Granted):
                raise ConsentRefused(
                    f"{wish.act}: one person alone was to suffice; nothing is done"
                )
            return consent.propose(
                connection, proposal_id, wish, verdict, epoch=None, now=now, record=self._record
            )

    def agree(self, name: str, proposal_id: str, act: Act, target: str, now: datetime) -> Agreed:
        """Agree to a proposal about exactly `target`, and use it up.

        Raises `ConsentRefused`: another target, its own proposer, too late, used, unknown.
        """
        with self._turn(now) as connection:
            made = consent.wanted(connection, proposal_id, {act}, now)
            if made.target != target:
                raise ConsentRefused(
                    f"proposal {made.id} is about {made.target}, and not about {target}:"
                    " name the same people"
                )
            verdict: Granted | Waits = consent.agree(
                connection, made, name, epoch=None, now=now, record=self._record
            )
            if not isinstance(verdict, Granted):
                raise ConsentRefused(verdict.reason)
        return Agreed(verdict.people, made.reason)

    @contextmanager
    def _turn(self, now: datetime) -> Iterator[Connection]:
        """A transaction in which nobody else changes operators or agrees to anything."""
        with _told(), self._engine.begin() as connection:
            attempts.take_turn(connection, now)
            if not accounts.exist(connection):
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
    connection.isolation_level = None  # type: ignore[attr-defined]  # sqlite3's own connection
