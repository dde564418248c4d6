"""SQLite under the store: how it is opened, what it refuses, and how its errors leave."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import URL, event, text
from sqlalchemy.dialects import sqlite

from idp_proxy.audit import log
from idp_proxy.audit import tables as audit_tables
from idp_proxy.audit.log import AuditLog
from idp_proxy.decision.roster import BY_OPERATOR
from idp_proxy.errors import StoreConflict, StoreError
from idp_proxy.notify import tables as notice_tables
from idp_proxy.operators import tables as operator_tables
from idp_proxy.store import database, sql, tables
from idp_proxy.store.database import Database
from idp_proxy.store.schema import migrate, migrations
from idp_proxy.store.sql import SqlStore
from tests.conformance.rooms import NOW, person, sqlite_url, state, used

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Executable


@pytest.fixture
def url(tmp_path: Path) -> str:
    migrate(sqlite_url(tmp_path))
    return sqlite_url(tmp_path)


@pytest.fixture
def store(url: str) -> Iterator[SqlStore]:
    opened = SqlStore(url, AuditLog("host"))
    yield opened
    opened.close()


@contextmanager
def pragma(store: SqlStore, statement: str) -> Iterator[None]:
    """Every connection is opened with this, until the block ends."""

    def set_up(connection: Any, _record: object) -> None:
        connection.execute(statement)

    engine = store._database._engine
    event.listen(engine, "connect", set_up)
    engine.dispose()
    yield
    event.remove(engine, "connect", set_up)
    engine.dispose()


def plan(store: SqlStore, statement: Executable, **parameters: object) -> str:
    compiled = statement.compile(dialect=sqlite.dialect(paramstyle="named"))  # type: ignore[attr-defined]  # every statement has it
    values = compiled.params | parameters
    with store.reading() as connection:
        found = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", values)
        return " / ".join(row.detail for row in found)


def test_durability_is_switched_on(store: SqlStore) -> None:
    with store.writing() as connection:
        for name, value in [
            ("journal_mode", "wal"),
            ("synchronous", 2),
            ("foreign_keys", 1),
            ("secure_delete", 1),
            ("busy_timeout", 5000),
        ]:
            assert connection.execute(text(f"PRAGMA {name}")).scalar_one() == value


def test_a_new_database_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "var" / "proxy" / "store.db"
    before = os.umask(0)
    try:
        migrate(f"sqlite:///{path}")
    finally:
        os.umask(before)
    opened = SqlStore(f"sqlite:///{path}", AuditLog("host"))
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    opened.close()


def test_an_open_mode_is_tightened(url: str, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.chmod(0o644)
    SqlStore(url, AuditLog("host")).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "no database URL"),
        ("not a url", "no database URL"),
        ("mysql://db/x", "names mysql"),
        ("nosuch+driver://db/x", "names nosuch"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_with_the_reason(url: str, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        migrate(url)
    with pytest.raises(StoreError, match=message):
        SqlStore(url, AuditLog("host"))


def test_no_message_about_a_url_shows_its_password() -> None:
    with pytest.raises(StoreError) as caught:
        SqlStore("mysql://proxy:s3cret@db/x", AuditLog("host"))
    assert "s3cret" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_a_missing_database_is_not_made_by_opening_it(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"store\.db: no such file: `idp-proxy serve` makes it"):
        SqlStore(sqlite_url(tmp_path), AuditLog("host"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be made"):
        migrate(f"sqlite:///{tmp_path}/file/store.db")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"not a database, whatever the name says" * 100)
    with pytest.raises(StoreError, match="not a database"):
        migrate(sqlite_url(tmp_path))
    with pytest.raises(StoreError, match="not a database"):
        SqlStore(sqlite_url(tmp_path), AuditLog("host"))


def test_an_empty_database_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "store.db").touch()
    with pytest.raises(StoreError, match=r"empty file.*idp-proxy serve"):
        SqlStore(sqlite_url(tmp_path), AuditLog("host"))


def test_a_database_of_a_newer_version_is_refused(url: str, store: SqlStore) -> None:
    with store.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'r9999'"))
    with pytest.raises(StoreError, match=r"r9999.*newer version"):
        SqlStore(url, AuditLog("host"))
    with pytest.raises(StoreError, match="newer version"):
        migrate(url)


def test_migrating_twice_changes_nothing(url: str, store: SqlStore) -> None:
    with store.transaction() as transaction:
        transaction.save_person(person())
    migrate(url)
    assert store.person("p-1") == person()


def test_a_migration_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    database.make_file(sqlite_url(tmp_path))
    opened = Database(sqlite_url(tmp_path))
    with opened.writing() as connection:
        connection.execute(text("CREATE TABLE audit_person (x INTEGER)"))
    with pytest.raises(StoreError, match="audit_person"):
        migrate(sqlite_url(tmp_path))
    with opened.reading() as connection:
        found = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'"))
        assert found.scalars().all() == ["audit_person"]
    opened.close()


def test_the_migrations_make_exactly_the_tables_that_the_code_uses(store: SqlStore) -> None:
    with store.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        owners = (tables, audit_tables, operator_tables, notice_tables)
        kept = [owner.metadata for owner in owners]
        differences = compare_metadata(context, kept)  # type: ignore[arg-type]  # a list is allowed
    assert differences == []


@pytest.mark.parametrize(
    ("statement", "parameters", "index"),
    [
        (sql._PERSON_BY_KEY, {"of_key": "x"}, "sqlite_autoindex_roster_2"),
        (sql._PERSON, {"of_id": "x"}, "sqlite_autoindex_roster_1"),
        (sql._FORGET_USED, {"now": "2026"}, "ix_used_id_expires_at"),
        (log._HEAD, {"of_chain": "x", "of_person": "y"}, "ix_audit_person_person_id"),
    ],
)
def test_no_login_waits_for_a_scan_of_a_table(
    store: SqlStore, statement: Executable, parameters: dict[str, str], index: str
) -> None:
    found = plan(store, statement, **parameters)
    assert index in found
    assert "SCAN" not in found


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_went_away_is_an_error_not_a_ghost(
    url: str, store: SqlStore, tmp_path: Path, replaced: bool
) -> None:
    for file in tmp_path.iterdir():
        file.rename(tmp_path / f"gone-{file.name}")
    if replaced:
        migrate(url)
    with pytest.raises(StoreError, match=r"store\.db"), store.transaction() as transaction:
        transaction.consume(used())
    with pytest.raises(StoreError, match=r"store\.db"):
        store.switch_state()
    with pytest.raises(StoreError, match=r"store\.db"):
        store.prune(NOW)


def test_a_read_only_database_is_an_error_and_reads_go_on(store: SqlStore) -> None:
    with store.transaction() as transaction:
        transaction.save_person(person())
    with (
        pragma(store, "PRAGMA query_only = ON"),
        pytest.raises(StoreError, match="readonly"),
        store.transaction() as transaction,
    ):
        transaction.consume(used())
    assert store.person("p-1") == person()


def test_a_full_database_is_an_error_and_leaves_no_part_of_a_login(store: SqlStore) -> None:
    def too_much() -> None:
        with store.transaction() as transaction:
            transaction.consume(used())
            transaction.save_person(person(attributes={"x": "y" * 1_000_000}))

    with pragma(store, "PRAGMA max_page_count = 60"), pytest.raises(StoreError, match="full"):
        too_much()
    with store.transaction() as transaction:
        transaction.consume(used())
    assert store.person("p-1") is None


def test_a_writer_that_waits_too_long_gets_an_error(
    url: str, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_S", 0.05)
    impatient = SqlStore(url, AuditLog("other"))

    def nested(other: SqlStore) -> None:
        with store.transaction(), other.transaction():
            pass

    with pytest.raises(StoreError, match="locked"):
        nested(impatient)
    with pytest.raises(StoreError, match="could begin"):
        nested(store)
    impatient.close()


def test_errors_carry_their_cause_and_no_value_of_the_statement(store: SqlStore) -> None:
    with store.writing() as connection:
        connection.execute(text("DROP TABLE roster"))
    with pytest.raises(StoreError) as caught, store.transaction() as transaction:
        transaction.save_person(person("p-secret"))
    assert caught.value.detail.endswith("store.db: OperationalError: no such table: roster")
    assert caught.value.__cause__ is not None
    assert "p-secret" not in f"{caught.value} {caught.value.__cause__}"


def test_a_naive_time_is_refused_before_it_is_stored(store: SqlStore) -> None:
    with pytest.raises(StoreError, match="time zone"), store.transaction() as transaction:
        transaction.note_proof("okta", NOW.replace(tzinfo=None))
    assert store.proofs() == {}


def test_a_second_switch_state_cannot_exist(store: SqlStore) -> None:
    with store.transaction() as transaction:
        transaction.swap(0, state())
    with pytest.raises(StoreError, match="CHECK"), store.writing() as connection:
        connection.execute(text("UPDATE switch_state SET id = 2"))


def test_a_path_with_signs_of_a_url_in_it_is_a_path(tmp_path: Path) -> None:
    url = URL.create("sqlite", database=str(tmp_path / "a?b=c%20d#é" / "store.db"))
    migrate(url)
    SqlStore(url, AuditLog("host")).close()
    assert (tmp_path / "a?b=c%20d#é" / "store.db").exists()


def test_people_of_a_roster_without_imports_are_who_they_were(tmp_path: Path) -> None:
    """Logins that confirmed them count on; who was blocked is, by an operator."""
    url = sqlite_url(tmp_path)
    database.make_file(url)
    older = Database(url)
    with older.writing() as connection:
        config = Config()
        config.set_main_option("script_location", migrations())
        config.attributes["connection"] = connection
        command.upgrade(config, "r0006")
        for number, blocked in ((1, 0), (2, 1)):
            connection.execute(
                text(
                    "INSERT INTO roster (id, link_key, lookup_key, email, username, attributes,"
                    " source, confirmed_at, conflict, blocked) VALUES"
                    f" ('p-{number}', 'P-{number}', 'p-{number}', 'p-{number}@example.org',"
                    f" 'p-{number}', '{{}}', 'okta', '2026-03-01 12:00:00.123456', 0, {blocked})"
                )
            )
    older.close()
    migrate(url)
    store = SqlStore(url, AuditLog("host"))
    one, other = person("p-1", attributes={}), person("p-2", attributes={})
    assert store.person_by_lookup_key("p-1") == one
    assert store.person("p-2") == replace(other, blocks=frozenset({BY_OPERATOR}))
    with pytest.raises(StoreConflict), store.transaction() as transaction:
        transaction.save_person(person("p-3", lookup_key="p-1"))
    store.close()


def test_a_log_that_somebody_still_reads_is_not_folded_in_and_that_is_said(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_S", 0.05)
    one, other = SqlStore(url, AuditLog("one")), SqlStore(url, AuditLog("other"))
    assert one.fold_log()
    with other.reading() as connection:
        connection.execute(text("SELECT count(*) FROM roster"))  # its snapshot begins here
        with one.transaction() as tx:
            tx.save_person(person())
        assert not one.fold_log()
    assert one.fold_log()
    for store in (one, other):
        store.close()
