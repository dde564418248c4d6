"""A ledger that hosts share, on a real server: locks that end with their holder, a mirror for each
host, ways from a file to a database and back, and every wait with an end.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, make_url, text

from conversion.errors import LedgerBusy, LedgerError
from conversion.ledger import postgresql
from conversion.ledger.backup import backup, restore
from conversion.ledger.opening import open_ledger
from conversion.ledger.postgresql import APPLICATION
from tests.conformance.ledgers import (
    CAMPAIGN,
    NOW,
    Place,
    S,
    binding,
    done,
    event,
    filled,
    intent,
    inventoried,
    person,
    row,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conversion.decision.lifecycle import RowState
    from conversion.ledger.sql import SqlLedger

pytestmark = pytest.mark.e2e

KEY = bytes(range(32))


def states(ledger: SqlLedger) -> Mapping[RowState, int]:
    return ledger.counts(CAMPAIGN.id)


def on_server(url: str, statement: str) -> list[object]:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            return list(connection.execute(text(statement)).scalars())
    finally:
        engine.dispose()


def cut_connections(url: str) -> None:
    """What a dead network, a restart or a careful administrator does to our connections."""
    ours = f"SELECT pid FROM pg_stat_activity WHERE application_name = '{APPLICATION}'"
    on_server(url, f"SELECT pg_terminate_backend(pid) FROM ({ours}) AS ours")


def test_the_lock_of_another_host_is_told_and_ends_with_its_connection(
    in_postgresql: Place,
) -> None:
    night, day = in_postgresql.open("night"), in_postgresql.open("day")
    with (
        night.lock("convert", "anna", NOW),
        pytest.raises(LedgerBusy, match=r"anna on night.*the lock ends with that process"),
        day.lock("return", "ben", NOW),
    ):
        pass
    with day.lock("return", "ben", NOW):
        pass


def test_a_command_whose_connection_was_lost_may_not_go_on_beside_its_successor(
    in_postgresql: Place,
) -> None:
    night, day = filled(in_postgresql.open("night")), in_postgresql.open("day")
    held = night.lock("convert", "anna", NOW)
    held.__enter__()
    cut_connections(in_postgresql.url)
    with day.lock("convert", "ben", NOW):
        assert night.database.name
        with pytest.raises(LedgerBusy, match="took this command for dead"):
            night.commit([intent(0)])
        assert day.commit([intent(1)]) == ()
    assert states(day) == {S.PLANNED: 2, S.CONVERTING: 1}
    held.__exit__(None, None, None)
    with day.database.reading() as connection:
        kinds = connection.execute(text("SELECT kind FROM audit_row")).scalars().all()
    assert "ledger_lock_taken_over" in kinds


def test_a_ledger_goes_on_after_its_connections_were_cut(in_postgresql: Place) -> None:
    ledger = filled(in_postgresql.open())
    cut_connections(in_postgresql.url)
    assert ledger.commit([intent(0)]) == ()
    assert states(ledger) == {S.PLANNED: 2, S.CONVERTING: 1}


def test_each_host_has_its_own_mirror_and_all_of_them_rebuild_the_ledger(
    in_postgresql: Place,
) -> None:
    night = filled(in_postgresql.open("night"), 4)
    night.put_inventory([inventoried(1, binding("b"))], NOW)
    day = in_postgresql.open("day")
    assert night.commit([intent(0), intent(1)]) == ()
    assert day.commit([done(0), intent(2)]) == ()
    before = [list(day.rows(CAMPAIGN.id)), list(day.inventory())]
    in_postgresql.lose_ledger()
    with pytest.raises(LedgerError, match="remembers who was moved"):
        in_postgresql.open("night")
    in_postgresql.rebuild("night")
    # Until the other host is done, its mirror is not taken for one of this ledger.
    with pytest.raises(LedgerError, match="the mirror of another ledger"):
        in_postgresql.open("day")
    again = in_postgresql.rebuild("day")
    assert [list(again.rows(CAMPAIGN.id)), list(again.inventory())] == before
    with pytest.raises(LedgerError, match="is not overwritten"):
        in_postgresql.rebuild("day")
    assert again.verify_audit().ok


def test_a_lost_mirror_is_made_again_for_its_host_alone(in_postgresql: Place) -> None:
    night, _ = filled(in_postgresql.open("night")), in_postgresql.open("day")
    night.commit([intent(0)])
    in_postgresql.close()
    in_postgresql.mirror_of("night").unlink()
    assert states(in_postgresql.open("night")) == {S.PLANNED: 2, S.CONVERTING: 1}
    in_postgresql.open("day").commit([intent(1)])
    in_postgresql.lose_ledger()
    assert states(in_postgresql.rebuild("night")) == {S.PLANNED: 2, S.CONVERTING: 1}


def test_a_backup_of_a_database_is_restored_and_brought_up_to_date(in_postgresql: Place) -> None:
    ledger = filled(in_postgresql.open())
    ledger.put_inventory([inventoried(1, binding("b"))], NOW)
    ledger.put_plan([b"plan"], NOW)
    kept = in_postgresql.folder / "backup"
    with ledger.lock("convert", "anna", NOW):
        backup(ledger.database, kept, KEY)
        ledger.commit([intent(0)])
    before = [list(ledger.rows(CAMPAIGN.id)), list(ledger.inventory())]
    assert b"NameID" not in kept.read_bytes()
    with pytest.raises(LedgerError, match="is not overwritten"):
        restore(kept, in_postgresql.at, in_postgresql.mirror, KEY, host="night")
    in_postgresql.lose_ledger()
    restore(kept, in_postgresql.at, in_postgresql.mirror, KEY, host="night")
    again = in_postgresql.open()
    assert [list(again.rows(CAMPAIGN.id)), list(again.inventory())] == before
    assert again.verify_audit().ok
    with again.lock("return", "ben", NOW):
        pass
    left = {path.name for path in in_postgresql.mirror.parent.iterdir()}
    assert left == {in_postgresql.mirror.name}


def test_a_ledger_moves_from_a_file_to_a_database_and_back(in_postgresql: Place) -> None:
    file, mirror = in_postgresql.path, in_postgresql.mirror
    ledger = in_postgresql.keep(open_ledger(file, mirror, host="night"))
    filled(ledger).commit([intent(0)])
    before = list(ledger.rows(CAMPAIGN.id))
    backup(ledger.database, in_postgresql.folder / "one", KEY)
    ledger.commit([intent(1)])
    in_postgresql.close()
    restore(in_postgresql.folder / "one", in_postgresql.at, mirror, KEY, host="night")
    moved = in_postgresql.open()
    assert list(moved.rows(CAMPAIGN.id)) != before
    assert states(moved) == {S.PLANNED: 1, S.CONVERTING: 2}
    backup(moved.database, in_postgresql.folder / "two", KEY)
    in_postgresql.close()
    file.unlink()
    restore(in_postgresql.folder / "two", file, mirror, KEY, host="night")
    back = in_postgresql.keep(open_ledger(file, mirror, host="night"))
    assert states(back) == {S.PLANNED: 1, S.CONVERTING: 2}
    assert back.commit([intent(2)]) == ()


def test_a_writer_waits_for_another_one_and_not_for_ever(
    in_postgresql: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "_LOCK_MS", 200)
    first, second = filled(in_postgresql.open()), in_postgresql.open("day")
    began = time.monotonic()
    with first.database.writing(), pytest.raises(LedgerError, match="lock timeout"):
        second.commit([intent(0)])
    assert time.monotonic() - began < 5
    assert second.commit([intent(0)]) == ()


def test_every_wait_has_an_end_and_what_is_committed_is_on_disk(in_postgresql: Place) -> None:
    ledger = in_postgresql.open()
    with ledger.database.reading() as connection:
        shown = {
            name: connection.execute(text(f"SHOW {name}")).scalar()
            for name in (
                "statement_timeout",
                "lock_timeout",
                "idle_in_transaction_session_timeout",
                "synchronous_commit",
                "transaction_isolation",
                "transaction_read_only",
            )
        }
    assert shown == {
        "statement_timeout": "30s",
        "lock_timeout": "10s",
        "idle_in_transaction_session_timeout": "1min",
        "synchronous_commit": "on",
        "transaction_isolation": "repeatable read",
        "transaction_read_only": "on",
    }


def test_errors_show_neither_password_nor_values(in_postgresql: Place) -> None:
    url = make_url(in_postgresql.url)
    wrong = url.set(password="not-the-word")
    with pytest.raises(LedgerError) as refused:
        open_ledger(wrong, in_postgresql.mirror, host="night")
    assert "not-the-word" not in str(refused.value)
    assert "password authentication failed" in str(refused.value)
    ledger = filled(in_postgresql.open())
    with pytest.raises(LedgerError) as broken, ledger.database.writing() as connection:
        connection.execute(text("INSERT INTO bulk_lock (id) VALUES (1)"))
    assert str(url.password) not in str(broken.value)
    with pytest.raises(LedgerError) as odd:
        ledger.record(event(None, "nul\0"))
    assert str(url.password) not in str(odd.value)
    assert ledger.row(CAMPAIGN.id, person(0)) == row(0)
