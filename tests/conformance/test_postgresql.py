"""The store on a real PostgreSQL that goes away: nobody waits for long, and nobody for ever."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, make_url, text

from idp_proxy.audit.log import AuditLog
from idp_proxy.decision.switching import first_state
from idp_proxy.errors import StoreAway, StoreConflict, StoreError
from idp_proxy.store import schema
from idp_proxy.store.database import Database
from idp_proxy.store.postgresql import ANSWER_S, connect_arguments
from idp_proxy.store.schema import migrate
from idp_proxy.store.sql import SqlStore
from idp_proxy.store.tables import proof
from idp_proxy.switch import Switchboard
from tests.conformance.rooms import NOW, event, state, used
from tests.support.fault_proxy import Fault, FaultProxy, fault_proxy
from tests.support.postgresql import PostgreSQL, running_postgresql

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e

#: What somebody may wait who is told that the store is away already.
AT_ONCE_S = 0.1
#: What the first one may wait: for an answer or a connection, and a slow machine.
ONCE_S = ANSWER_S + 2.0


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgreSQL]:
    """A server that these tests stop and freeze."""
    with running_postgresql() as running:
        yield running


@pytest.fixture
def way(own_server: PostgreSQL) -> Iterator[FaultProxy]:
    with fault_proxy(own_server.port) as proxy:
        yield proxy


@pytest.fixture
def store(own_server: PostgreSQL, way: FaultProxy) -> Iterator[SqlStore]:
    name = own_server.new_database()
    migrate(own_server.url_of(name))
    opened = SqlStore(own_server.url_of(name, way.port), AuditLog("host"))
    yield opened
    opened.close()
    own_server.drop_database(name)


def took(store: SqlStore) -> float:
    """How long the store takes to be found away, in seconds."""
    began = time.monotonic()
    with pytest.raises(StoreAway):
        store.switch_state()
    return time.monotonic() - began


def await_answer(store: SqlStore) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            store.switch_state()
        except StoreAway:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the store was not found again")


def log_in(store: SqlStore, number: int) -> None:
    with store.transaction() as transaction:
        transaction.consume(used(f"_{number}"))
        transaction.record(event(person_id=None, number=number))


@contextmanager
def frozen(server: PostgreSQL) -> Iterator[None]:
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


@contextmanager
def stopped(server: PostgreSQL, how: signal.Signals) -> Iterator[None]:
    server.stop(how)
    try:
        yield
    finally:
        server.start()


FAULTS = [Fault.DOWN, Fault.FROZEN, Fault.RESET, Fault.CUT, Fault.SLOW_CLOSE]


@pytest.mark.parametrize("how", ["frozen", "stopped", "crashed", *FAULTS])
def test_the_first_waits_a_little_and_all_others_not_at_all(
    own_server: PostgreSQL, way: FaultProxy, store: SqlStore, how: str
) -> None:
    log_in(store, 1)
    ways = {
        "frozen": lambda: frozen(own_server),
        "stopped": lambda: stopped(own_server, signal.SIGINT),
        "crashed": lambda: stopped(own_server, signal.SIGQUIT),
    }
    with ways[how]() if how in ways else way.suffering(Fault(how)):
        first = took(store)
        others = [took(store) for _ in range(20)]
    print(f"\n{how}: first {first:.3f} s, others at most {max(others):.4f} s")
    assert first < ONCE_S
    assert max(others) < AT_ONCE_S
    await_answer(store)
    log_in(store, 2)


def test_a_server_that_was_restarted_between_two_logins_was_never_away(
    own_server: PostgreSQL, store: SqlStore
) -> None:
    for number in range(3):
        log_in(store, number)
        own_server.restart()


def test_a_connection_that_the_server_closed_while_it_was_idle_is_not_used_again(
    own_server: PostgreSQL, store: SqlStore
) -> None:
    log_in(store, 1)
    name = make_url(str(store._database._engine.url)).database
    own_server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        f" WHERE datname = '{name}' AND application_name = 'idp-proxy'"
    )
    time.sleep(0.2)
    log_in(store, 2)


def test_what_the_server_ends_by_its_own_limits_is_an_error_with_the_reason(
    store: SqlStore,
) -> None:
    with ThreadPoolExecutor(1) as other, store.transaction() as transaction:
        transaction.record(event())
        waiting = other.submit(log_in, store, 1)
        with pytest.raises(StoreError, match="lock timeout"):
            waiting.result()
    log_in(store, 1)
    with pytest.raises(StoreAway, match="statement timeout"), store.writing() as connection:
        connection.execute(text("SELECT pg_sleep(10)"))
    await_answer(store)
    with store.writing(patient=True) as connection:
        connection.execute(text(f"SELECT pg_sleep({ANSWER_S + 0.5})"))
    with store.writing() as connection:
        assert connection.execute(text("SHOW statement_timeout")).scalar() == "2500ms"
        assert connection.execute(text("SHOW synchronous_commit")).scalar() == "on"


def test_who_sleeps_in_the_middle_of_a_transaction_lets_go_of_what_it_held(
    store: SqlStore,
) -> None:
    def sleep_over_it() -> None:
        with store.transaction() as transaction:
            transaction.record(event())
            time.sleep(6)
            transaction.record(event())

    with pytest.raises(StoreAway):
        sleep_over_it()
    await_answer(store)
    log_in(store, 1)


def test_the_url_may_say_how_but_not_how_long(empty_database: str) -> None:
    url = make_url(empty_database).update_query_dict(
        {"options": "-c work_mem=8MB -c statement_timeout=0", "sslmode": "prefer"}
    )
    database = Database(url)
    with database.reading() as connection:
        assert connection.execute(text("SHOW work_mem")).scalar() == "8MB"
        assert connection.execute(text("SHOW statement_timeout")).scalar() == "2500ms"
    database.close()
    assert "sslmode" not in connect_arguments(url)
    refusing = Database(make_url(empty_database).update_query_dict({"sslmode": "require"}))
    with pytest.raises(StoreAway, match="SSL"), refusing.reading():
        pass
    refusing.close()


def test_no_error_shows_the_password_or_what_was_written(
    own_server: PostgreSQL, store: SqlStore
) -> None:
    wrong = make_url(own_server.url).set(password="s3cret-and-wrong")
    with pytest.raises(StoreAway) as refused:
        SqlStore(wrong, AuditLog("host"))
    assert "s3cret" not in f"{refused.value} {refused.value.__cause__}"
    with store.transaction() as transaction:
        transaction.note_proof("p-secret", NOW)
    with pytest.raises(StoreError) as failed, store.writing() as connection:
        connection.execute(proof.insert(), {"upstream": "p-secret", "at": NOW})
    assert failed.value.detail == (
        'UniqueViolation: duplicate key value violates unique constraint "proof_pkey"'
    )


# --- several hosts -------------------------------------------------------------------------------


def test_hosts_that_start_at_once_make_one_shape_and_one_first_state(
    empty_database: str,
) -> None:
    def start(number: int) -> tuple[int, str]:
        migrate(empty_database)
        store = SqlStore(empty_database, AuditLog(f"host-{number}"))
        board = Switchboard(store, lambda _: {"okta": None, "entra": None}, lambda: NOW)
        found = board.current()
        store.close()
        return found.epoch, found.serving

    with ThreadPoolExecutor(6) as hosts:
        assert set(hosts.map(start, range(6))) == {(1, "okta")}
    engine = create_engine(empty_database)
    with engine.connect() as connection:
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
    engine.dispose()
    assert found == [schema.HEAD]


def test_of_hosts_that_decide_at_once_exactly_one_switches_in_each_epoch(
    empty_database: str,
) -> None:
    """Eight hosts that want to switch as often as they can, on connections of their own."""
    migrate(empty_database)
    first = SqlStore(empty_database, AuditLog("host-0"))
    with first.transaction() as transaction:
        transaction.swap(0, first_state(["okta", "entra"], NOW))

    def switch(number: int) -> list[int]:
        store, won = SqlStore(empty_database, AuditLog(f"host-{number}")), []
        for _ in range(40):
            known = store.switch_state()
            assert known is not None
            try:
                with store.transaction() as transaction:
                    transaction.swap(known.epoch, state(known.epoch + 1))
                    transaction.record(event("switch", None, epoch=known.epoch + 1))
            except StoreConflict:
                continue
            won.append(known.epoch + 1)
        store.close()
        return won

    with ThreadPoolExecutor(8) as hosts:
        won = sorted(epoch for found in hosts.map(switch, range(8)) for epoch in found)
    known = first.switch_state()
    first.close()
    assert known is not None
    print(f"\n320 attempts by 8 hosts: {len(won)} switches, epoch {known.epoch}")
    assert won == list(range(2, known.epoch + 1))
    assert 1 < len(won) < 320


def test_a_store_that_was_away_at_the_start_is_looked_at_when_it_is_there(
    own_server: PostgreSQL, way: FaultProxy
) -> None:
    name = own_server.new_database()
    url, through = own_server.url_of(name), own_server.url_of(name, way.port)
    with way.suffering(Fault.DOWN):
        with pytest.raises(StoreAway):
            SqlStore(through, AuditLog("host"))
        store = SqlStore(through, AuditLog("host"), may_be_away=True)
    until = time.monotonic() + 20
    while "has the shape of an empty file" not in refusal(store):
        assert time.monotonic() < until
        time.sleep(0.05)
    migrate(url)
    other = SqlStore(url, AuditLog("host"))
    log_in(other, 1)
    assert store.switch_state() is None
    assert store.known_head() == other.known_head()
    for each in (store, other):
        each.close()
    own_server.drop_database(name)


def refusal(store: SqlStore) -> str:
    with pytest.raises(StoreError) as caught:
        store.switch_state()
    return caught.value.detail


def test_of_what_is_dated_by_the_store_no_host_s_clock_has_a_say(store: SqlStore) -> None:
    at = store.clock()
    assert abs(at - store.clock()) < timedelta(seconds=2)
    assert at.utcoffset() == timedelta(0)
