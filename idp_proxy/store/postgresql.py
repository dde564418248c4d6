"""PostgreSQL under the store: every wait has an end, also for a server that went silent.

A login waits in a thread for each of these. The server's own limits end what is slow or blocked;
the kernel's end a connection whose packets nobody acknowledges; ours end what neither sees: a
server that is frozen, whose kernel acknowledges everything, or a path that swallows packets.
"""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING, Any, Final

import psycopg
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import DBAPIError, DisconnectionError, SQLAlchemyError

from idp_proxy.errors import StoreAway
from idp_proxy.store.circuit import Circuit

if TYPE_CHECKING:
    from collections.abc import Generator

    from sqlalchemy import URL, Connection

#: Seconds for a connection to be made, to each host that the URL names; libpq knows whole ones.
CONNECT_S: Final = 2
#: Seconds for the answer to one statement; the server itself gives up a little earlier.
ANSWER_S: Final = 3.0
_STATEMENT_MS: Final = 2500
#: For a row that another transaction holds: a login of the same person, a row of the audit.
_LOCK_MS: Final = 2000
#: A host that froze in the middle of a transaction lets go of its rows after this.
_IDLE_IN_TRANSACTION_MS: Final = 5000
#: Milliseconds until the kernel gives up on octets that nobody acknowledges.
_UNACKNOWLEDGED_MS: Final = 3000

#: The same for what may take longer than a login: a change of the shape, a merge, a clean-up.
PATIENT_S: Final = 60.0
_PATIENT_MS: Final = 55_000

_CONNECTIONS: Final = 8
_MORE_CONNECTIONS: Final = 12

#: SQLSTATE of errors after which nobody else need try: class 08 (connection), shut down, crashed,
#: starting up, too many connections.
_AWAY: Final = ("08", "57P01", "57P02", "57P03", "53300")
#: A statement that its time limit ended; one of a login takes milliseconds.
_TOO_SLOW: Final = "57014"

_OPTIONS: Final = (
    ("statement_timeout", _STATEMENT_MS),
    ("lock_timeout", _LOCK_MS),
    ("idle_in_transaction_session_timeout", _IDLE_IN_TRANSACTION_MS),
    # What is committed is on disk, whatever the server's default: an id counts once.
    ("synchronous_commit", "on"),
    ("timezone", "UTC"),
)
_PATIENCE = tuple(
    text(f"SET LOCAL {name} = {_PATIENT_MS}") for name in ("statement_timeout", "lock_timeout")
)
_ALIVE = text("SELECT 1")
#: Two numbers that nobody else takes: the ASCII codes of "idpp", and what is locked.
_TAKE_TURN = text("SELECT pg_advisory_xact_lock(1768190064, 1)")


class _NoAnswer(psycopg.OperationalError):
    """The server said nothing for too long; what it did meanwhile is unknown."""


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that waits for an answer for `answer_within_s`, and is closed after that.

    The driver itself would wait for ever: it has no time limit of its own for a statement.
    """

    answer_within_s: float = ANSWER_S

    def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        """Wait for what `gen` asks of the server. Raises `psycopg.OperationalError`."""
        bounded = _bounded(gen, time.monotonic() + self.answer_within_s)
        try:
            return super().wait(bounded, *args, **options)
        except _NoAnswer:
            # Closed, not cancelled: whom should one ask to cancel it?
            self.pgconn.finish()
            message = f"the server gave no answer within {self.answer_within_s:.0f} s"
            raise psycopg.OperationalError(message) from None


def _bounded(gen: Generator[Any, Any, Any], until: float) -> Generator[Any, Any, Any]:
    """`gen`, up to a point of the monotonic clock. The driver resumes it every tenth of a second
    with nothing in hand.
    """
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > until:
                raise _NoAnswer
            wanted = gen.send(ready)
    except StopIteration as done:
        return done.value


class PostgresServer:
    """The server at a URL, for the threads of this process. What the URL says of TLS, hosts and
    names is the driver's to obey.
    """

    def __init__(self, url: URL) -> None:
        self.engine = create_engine(
            url,
            connect_args=connect_arguments(url),
            pool_size=_CONNECTIONS,
            max_overflow=_MORE_CONNECTIONS,
            pool_timeout=ANSWER_S,
            hide_parameters=True,
        )
        event.listen(self.engine, "do_connect", _connect)
        event.listen(self.engine, "checkout", _demand_alive)
        self.circuit = Circuit(self._ask)

    def begin(self, connection: Connection, *, patient: bool) -> None:
        """Set the limits of a transaction; `patient` ones may take longer than a login."""
        _allow(connection, PATIENT_S if patient else ANSWER_S)
        if patient:
            for statement in _PATIENCE:
                connection.execute(statement)

    def take_turn(self, connection: Connection) -> None:
        """One host at a time, until the transaction ends: for changes of the shape."""
        connection.execute(_TAKE_TURN)

    def lost(self, error: SQLAlchemyError, why: str, *, patient: bool) -> bool:
        """Whether `error` says that the server is away; then everybody is told so."""
        away = is_away(error, patient=patient)
        if away:
            self.circuit.no_answer(why)
        return away

    def close(self) -> None:
        """Give back every connection."""
        self.circuit.close()
        self.engine.dispose()

    def _ask(self) -> None:
        """Whether anybody answers. Raises `StoreAway`."""
        try:
            with self.engine.connect() as connection:
                _allow(connection, ANSWER_S)
                connection.execute(_ALIVE)
        except SQLAlchemyError as error:
            raise StoreAway(type(error).__name__) from error


def connect_arguments(url: URL) -> dict[str, Any]:
    """What is said to the driver beside the URL. The limits hold whatever the URL says of them."""
    theirs = url.query.get("options", ())
    words = [theirs] if isinstance(theirs, str) else list(theirs)
    words += [f"-c {name}={value}" for name, value in _OPTIONS]
    return {
        "application_name": "idp-proxy",
        "connect_timeout": CONNECT_S,
        "options": " ".join(words),
        # An idle connection says something every 30 s: firewalls forget those that do not.
        "keepalives": 1,
        "keepalives_idle": 30,
        "keepalives_interval": 5,
        "keepalives_count": 2,
        "tcp_user_timeout": _UNACKNOWLEDGED_MS,
    }


def is_away(error: SQLAlchemyError, *, patient: bool) -> bool:
    """Whether this says that the store is away, and not only that one statement failed. One that
    was too slow says so unless it was given time.
    """
    if not isinstance(error, DBAPIError) or not isinstance(error.orig, psycopg.Error):
        return False
    state = error.orig.sqlstate
    if error.connection_invalidated or (state is not None and state.startswith(_AWAY)):
        return True
    if state == _TOO_SLOW:
        return not patient
    # Errors of libpq itself have no SQLSTATE: no connection could be made.
    return state is None and isinstance(error.orig, psycopg.OperationalError)


def _allow(connection: Connection, answer_within_s: float) -> None:
    raw: Any = connection.connection.driver_connection
    raw.answer_within_s = answer_within_s


def _connect(_dialect: object, _record: object, arguments: Any, options: Any) -> BoundedConnection:
    return BoundedConnection.connect(*arguments, **options)


def _demand_alive(connection: Any, _record: object, _proxy: object) -> None:
    """An idle connection with something to read was closed by the server: take another one.

    Unlike a ping this costs no way to the server and back.
    """
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLPRI | select.POLLRDHUP)
    if poll.poll(0):
        raise DisconnectionError("the server closed an idle connection")
