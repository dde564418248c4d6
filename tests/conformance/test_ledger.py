"""The ledger against its Protocol: what is atomic, who loses, what survives which loss."""

from __future__ import annotations

import os
import stat
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from conversion.decision.account import Source
from conversion.decision.lifecycle import CLOSED, RowState
from conversion.errors import LedgerBusy, LedgerConflict, LedgerError
from conversion.ledger import database, lock
from conversion.ledger.base import Campaign, Change
from conversion.ledger.opening import open_ledger
from conversion.ledger.records import as_json, from_json, row_of, row_record
from conversion.ledger.tables import bulk_lock, plan_part
from idp_proxy.audit.log import people, rows
from tests.conformance.ledgers import (
    CAMPAIGN,
    NOW,
    Place,
    S,
    binding,
    change,
    digest,
    done,
    event,
    filled,
    intent,
    inventoried,
    person,
    row,
    shaped,
    verified,
)

if TYPE_CHECKING:
    from pathlib import Path

    from conversion.ledger.sql import SqlLedger


@pytest.fixture
def ledger(place: Place) -> SqlLedger:
    return filled(place.open())


def kinds(ledger: SqlLedger) -> list[str]:
    with ledger.database.reading() as connection:
        return [one.kind for one in rows(connection)]


# Rows


def test_a_row_is_read_back_to_the_byte(ledger: SqlLedger) -> None:
    assert ledger.row(CAMPAIGN.id, person(1)) == row(1)
    assert ledger.row(CAMPAIGN.id, "nobody") is None
    assert ledger.row("another", person(1)) is None


@given(st.text(st.characters(codec="utf-8")), st.dictionaries(st.text(), st.text()))
def test_any_text_survives_table_and_mirror(text: str, facts: dict[str, str]) -> None:
    found = shaped(row(), binding=binding(text), note=text, facts=facts)
    assert row_of(**row_record(found)) == found
    assert row_of(**from_json(as_json(row_record(found)))) == found


def test_text_that_utf8_cannot_write_is_refused_and_nothing_changes(ledger: SqlLedger) -> None:
    odd = Change(shaped(row(1, S.CONVERTING, 2), note="\ud800"), S.PLANNED, event(1))
    with pytest.raises(LedgerError, match="UTF-8"):
        ledger.commit([intent(0), odd])
    assert ledger.counts(CAMPAIGN.id) == {S.PLANNED: 3}
    assert ledger.commit([intent(0), intent(1)]) == ()


def test_rows_come_in_order_of_user_id_and_by_state(place: Place) -> None:
    ledger = filled(place.open(), 1203)
    ledger.commit([intent(number) for number in range(600, 1203)])
    found = [one.user_id for one in ledger.rows(CAMPAIGN.id)]
    assert found == [person(number) for number in range(1203)]
    assert sum(1 for _ in ledger.rows(CAMPAIGN.id, S.CONVERTING)) == 603
    assert sum(1 for _ in ledger.rows(CAMPAIGN.id, S.CONVERTING, S.PLANNED)) == 1203
    assert list(ledger.rows(CAMPAIGN.id, S.VERIFIED)) == []
    assert ledger.counts(CAMPAIGN.id) == {S.PLANNED: 600, S.CONVERTING: 603}


def test_rows_may_be_changed_while_they_are_read(place: Place) -> None:
    ledger = filled(place.open(), 1100)
    for number, _ in enumerate(ledger.rows(CAMPAIGN.id, S.PLANNED)):
        assert ledger.commit([intent(number)]) == ()
        if number == 20:
            break
    assert ledger.counts(CAMPAIGN.id)[S.CONVERTING] == 21


# Swaps


def test_a_group_of_changes_is_written_with_its_events(ledger: SqlLedger) -> None:
    assert ledger.commit([intent(0), intent(1)]) == ()
    assert ledger.row(CAMPAIGN.id, person(1)) == row(1, S.CONVERTING, 2)
    assert kinds(ledger)[-2:] == ["row_converting"] * 2
    verdict = ledger.verify_audit()
    assert verdict.ok
    assert verdict.chains == ("conversion/night",)


def test_two_steps_of_one_person_may_stand_in_one_group(ledger: SqlLedger) -> None:
    assert ledger.commit([intent(0), done(0), intent(1)]) == ()
    assert ledger.counts(CAMPAIGN.id) == {S.PLANNED: 1, S.CONVERTING: 1, S.CONVERTED: 1}


@pytest.mark.parametrize(
    "stale",
    [
        change(1, S.PLANNED, S.CONVERTING, 3),
        change(1, S.PLANNED, S.CONVERTING, 1),
        change(1, S.CONVERTING, S.CONVERTED, 2),
        change(7, S.PLANNED, S.CONVERTING, 2),
        Change(shaped(row(1, S.CONVERTING, 2), binding=binding("other")), S.PLANNED, event(1)),
        Change(shaped(row(1, S.CONVERTING, 2), mfa_active=True), S.PLANNED, event(1)),
    ],
    ids=["version ahead", "version back", "state", "nobody", "binding", "mfa"],
)
def test_who_lost_is_returned_and_writes_neither_row_nor_event(
    ledger: SqlLedger, stale: Change
) -> None:
    before = len(kinds(ledger))
    assert ledger.commit([intent(0), stale, intent(2)]) == (stale.row,)
    assert ledger.counts(CAMPAIGN.id) == {S.PLANNED: 1, S.CONVERTING: 2}
    assert ledger.row(CAMPAIGN.id, person(1)) == row(1)
    assert len(kinds(ledger)) == before + 2


def test_of_two_equal_changes_one_wins(ledger: SqlLedger) -> None:
    assert ledger.commit([intent(0), intent(0)]) == (row(0, S.CONVERTING, 2),)
    assert ledger.commit([intent(0)]) == (row(0, S.CONVERTING, 2),)
    assert ledger.commit([]) == ()


@pytest.mark.parametrize(
    ("was", "to"),
    [(S.PLANNED, S.VERIFIED), (S.CONVERTED, S.SKIPPED), (S.WRITTEN_OFF, S.PLANNED)],
)
def test_a_step_that_the_lifecycle_does_not_know_is_refused(
    ledger: SqlLedger, was: RowState, to: RowState
) -> None:
    with pytest.raises(LedgerConflict, match="no way leads"):
        ledger.commit([intent(0), change(1, was, to, 2)])
    assert ledger.counts(CAMPAIGN.id) == {S.PLANNED: 3}


def test_only_a_new_plan_replaces_what_was_learnt(ledger: SqlLedger) -> None:
    ledger.commit([change(1, S.PLANNED, S.SKIPPED, 2)])
    again = shaped(row(1, S.PLANNED, 3), binding=binding("NameID-new"), mfa_active=True)
    assert ledger.commit([Change(again, S.SKIPPED, event(1)), intent(0)]) == ()
    assert ledger.row(CAMPAIGN.id, person(1)) == again


# Campaigns, plans, inventory


def test_before_the_first_campaign_there_is_none(place: Place) -> None:
    ledger = place.open()
    assert ledger.current_campaign() is None
    assert ledger.last_campaign() is None


def test_one_campaign_at_a_time_and_no_name_twice(ledger: SqlLedger) -> None:
    with pytest.raises(LedgerConflict, match="outage-1 is open since 2026-03-01 12:00"):
        ledger.open_campaign(Campaign("outage-2", NOW, "{}"))
    for number in range(3):
        assert ledger.commit(verified(number)) == ()
    ledger.close_campaign(CAMPAIGN.id, NOW)
    assert ledger.current_campaign() is None
    with pytest.raises(LedgerConflict, match="before"):
        ledger.open_campaign(CAMPAIGN)
    assert ledger.last_campaign() == replace(CAMPAIGN, closed_at=NOW)
    later = Campaign("outage-2", NOW + timedelta(days=1), "{}")
    ledger.open_campaign(later)
    assert ledger.current_campaign() == ledger.last_campaign() == later


def test_an_open_campaign_takes_another_envelope_and_no_closed_one_does(place: Place) -> None:
    ledger = filled(place.open(), 0)
    ledger.set_envelope(CAMPAIGN.id, '{"at_most":80}', event(None, "envelope_replaced"))
    assert ledger.current_campaign() == replace(CAMPAIGN, envelope='{"at_most":80}')
    ledger.close_campaign(CAMPAIGN.id, NOW, event(None, "campaign_closed"))
    with pytest.raises(LedgerConflict, match="not open"):
        ledger.set_envelope(CAMPAIGN.id, "{}", event(None, "envelope_replaced"))
    assert ledger.verify_audit().rows == 2


def test_a_campaign_closes_only_when_nobody_is_open(ledger: SqlLedger) -> None:
    with pytest.raises(LedgerConflict, match="3 planned"):
        ledger.close_campaign(CAMPAIGN.id, NOW)
    ledger.commit([*verified(0), change(1, S.PLANNED, S.WITHDRAWN, 2), intent(2)])
    with pytest.raises(LedgerConflict, match="1 converting"):
        ledger.close_campaign(CAMPAIGN.id, NOW)
    assert ledger.current_campaign() == CAMPAIGN
    ledger.commit([done(2), change(2, S.CONVERTED, S.WRITTEN_OFF, 4)])
    assert set(ledger.counts(CAMPAIGN.id)) <= CLOSED
    ledger.close_campaign(CAMPAIGN.id, NOW)
    for late in (
        lambda: ledger.commit([change(0, S.VERIFIED, S.PLANNED, 7)]),
        lambda: ledger.add([row(9)], []),
        lambda: ledger.close_campaign(CAMPAIGN.id, NOW),
    ):
        with pytest.raises(LedgerConflict, match="is not open"):
            late()


def test_a_person_is_in_a_campaign_once_and_begins_at_the_beginning(ledger: SqlLedger) -> None:
    for new, said in (
        ([row(5), row(1)], "already: u000001"),
        ([row(5), row(5)], "one person twice"),
        ([row(5), row(6, S.CONVERTING)], "not converting"),
        ([row(5), row(6, S.PLANNED, 2)], "version 2"),
        ([shaped(row(5), campaign="another")], "another is not open"),
    ):
        with pytest.raises(LedgerConflict, match=said):
            ledger.add(new, [])
    assert ledger.counts(CAMPAIGN.id) == {S.PLANNED: 3}
    ledger.add([row(5, S.CONVERTED)], [event(5, "adopted")])
    assert kinds(ledger)[-1] == "adopted"
    ledger.add([], [event(None, "nobody_to_add")])
    assert kinds(ledger)[-1] == "nobody_to_add"


def test_a_plan_is_kept_as_it_was_under_its_digest(ledger: SqlLedger) -> None:
    octets = b'{"format":1}\xff\x00'
    assert ledger.put_plan([octets[:3], b"", octets[3:]], NOW) == digest(octets)
    assert ledger.put_plan([octets], NOW + timedelta(hours=1)) == digest(octets)
    assert octets_of(ledger, digest(octets)) == octets
    assert ledger.plan("0" * 64) is None


def test_a_long_plan_is_kept_and_read_in_parts(ledger: SqlLedger) -> None:
    pieces = [bytes([number % 251]) * 999 for number in range(1001)]
    name = ledger.put_plan(iter(pieces), NOW)
    parts = list(ledger.plan(name) or ())
    assert b"".join(parts) == b"".join(pieces)
    assert len(parts) == 4


def octets_of(ledger: SqlLedger, name: str) -> bytes:
    parts = ledger.plan(name)
    assert parts is not None
    return b"".join(parts)


def test_a_plan_altered_in_the_file_is_refused(ledger: SqlLedger) -> None:
    ledger.put_plan([b"plan"], NOW)
    with ledger.database.writing() as connection:
        connection.execute(update(plan_part).values(octets=b"\0"))
    with pytest.raises(LedgerError, match="altered"):
        ledger.plan(digest(b"plan"))


def test_the_inventory_comes_in_order_of_user_id(place: Place) -> None:
    ledger = place.open()
    found = [inventoried(number, binding(f"b{number}")) for number in range(1201)]
    ledger.put_inventory(found[::-1], NOW)
    assert list(ledger.inventory()) == found
    assert list(place.open().inventory()) == found


def test_a_known_binding_is_never_replaced_by_an_unknown_or_a_makeshift_one(place: Place) -> None:
    ledger = place.open()
    makeshift = binding("1@example.org", Source.EMAIL_FALLBACK)
    for new, kept in (
        (None, None),
        (makeshift, makeshift),
        (binding("NameID-1"), binding("NameID-1")),
        (None, binding("NameID-1")),
        (makeshift, binding("NameID-1")),
        (binding("NameID-2", Source.CSV), binding("NameID-2", Source.CSV)),
    ):
        ledger.put_inventory([inventoried(1, new)], NOW)
        assert [one.binding for one in ledger.inventory()] == [kept]


def test_who_is_not_listed_any_more_stays_if_the_way_back_is_known(place: Place) -> None:
    """Somebody converted by hand is not listed as SAML, and this is their only way back."""
    ledger = place.open()
    ledger.put_inventory([inventoried(1, binding("b1")), inventoried(2), inventoried(3)], NOW)
    ledger.put_inventory([inventoried(3)], NOW + timedelta(days=1))
    assert [one.user_id for one in ledger.inventory()] == [person(1), person(3)]


# The lock


def test_a_second_bulk_command_is_told_who_holds_the_ledger(place: Place) -> None:
    first, second = place.open(), place.open()
    with first.lock("convert", "host:anna", NOW):
        with (
            pytest.raises(LedgerBusy, match="convert holds the ledger: host:anna on night"),
            second.lock("return", "host:ben", NOW),
        ):
            pass
        first.record(event(None, "inside"))
    with second.lock("return", "host:ben", NOW):
        pass
    assert kinds(first) == ["inside"]


def test_an_error_inside_gives_the_lock_back(place: Place) -> None:
    ledger = place.open()
    with pytest.raises(ValueError, match="inside"), ledger.lock("convert", "anna", NOW):
        raise ValueError("inside")
    with ledger.lock("convert", "anna", NOW):
        pass


def test_a_lock_of_another_host_is_never_taken_over(in_file: Place) -> None:
    with (
        in_file.open("night").lock("convert", "anna", NOW),
        pytest.raises(LedgerBusy, match="if night is gone for good"),
        in_file.open("day").lock("convert", "ben", NOW),
    ):
        pass


@pytest.mark.parametrize(
    ("pid", "started"),
    [(2**22 + 1, ""), (os.getpid(), "1")],
    ids=["no such process", "the number was given out again"],
)
def test_a_lock_whose_process_is_gone_is_taken_over_and_that_is_on_record(
    place: Place, pid: int, started: str
) -> None:
    """Gone: no such process, or the number belongs to one that started at another time."""
    ledger = place.open()
    with ledger.database.writing() as connection:
        gone = lock.Holder("convert", "anna", "night", pid, started, NOW)
        assert lock.take(connection, gone, alone=None) is None
    with ledger.lock("return", "ben", NOW):
        assert kinds(ledger) == ["ledger_lock_taken_over"]
    with ledger.database.reading() as connection:
        assert connection.execute(bulk_lock.select()).all() == []


def test_a_process_of_somebody_else_counts_as_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(_pid: int, _signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", forbidden)
    assert lock.is_alive(2**22 + 1, "77")


# Privacy


def test_both_files_are_for_their_owner_and_stay_so(in_file: Place) -> None:
    filled(in_file.open())
    for path in (in_file.path, in_file.mirror):
        path.chmod(0o644)
    in_file.close()
    in_file.open()
    for path in (in_file.path, in_file.mirror, in_file.path.with_name("ledger.db-wal")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_audit_names_people_by_pseudonym_only(ledger: SqlLedger) -> None:
    ledger.commit([intent(1)])
    with ledger.database.reading() as connection:
        bodies = [one.body for one in rows(connection)]
        names = [one.content["person"] for one in rows(connection)]
        known = people(connection, [str(name) for name in names])
    assert not any(person(1) in body for body in bodies)
    assert len(known) == len(set(names)) == 3
    assert {key.person_id for key in known} == {person(0), person(1), person(2)}


def test_the_file_is_durable_and_opens_only_in_its_own_version(in_file: Place) -> None:
    ledger = in_file.open()
    with ledger.database.reading() as connection:
        for pragma, expected in (("journal_mode", "wal"), ("synchronous", 2)):
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == expected
    with ledger.database.writing() as connection:
        connection.exec_driver_sql("UPDATE ledger_schema SET version = 1")
    with pytest.raises(LedgerError, match="has version 1, this tool works with 2"):
        in_file.open()


@pytest.mark.parametrize("content", [b"", b"no database at all, but long enough to look like one"])
def test_a_file_that_is_no_ledger_is_refused(in_file: Place, content: bytes) -> None:
    in_file.open()
    in_file.lose_ledger()
    in_file.path.write_bytes(content)
    with pytest.raises(LedgerError, match="no ledger of this tool"):
        in_file.open()
    assert content in in_file.path.read_bytes()


def test_a_file_put_in_the_place_of_the_open_one_is_noticed(in_file: Place) -> None:
    ledger = filled(in_file.open())
    in_file.path.rename(in_file.path.with_name("aside"))
    in_file.path.touch(0o600)
    for use in (lambda: ledger.commit([intent(1)]), ledger.current_campaign):
        with pytest.raises(LedgerError, match="took its place"):
            use()


def test_two_connections_of_one_process_see_each_other(place: Place) -> None:
    first, second = filled(place.open()), place.open("day")
    assert first.commit([intent(0)]) == ()
    assert second.commit([intent(0), intent(1)]) == (row(0, S.CONVERTING, 2),)
    assert first.counts(CAMPAIGN.id) == second.counts(CAMPAIGN.id)
    verdict = first.verify_audit()
    assert verdict.ok
    assert verdict.chains == ("conversion/day", "conversion/night")
    with closing(place.open()) as third:
        assert third.counts(CAMPAIGN.id) == {S.PLANNED: 1, S.CONVERTING: 2}
        place._open.remove(third)


def test_who_cannot_write_in_time_is_told_and_writes_nothing(
    in_file: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_S", 0.05)
    first, second = filled(in_file.open()), in_file.open("day")
    with first.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM inventory")
        for use in (first, second):
            with pytest.raises(LedgerError, match=r"locked|no write could begin"):
                use.commit([intent(0)])
    assert second.commit([intent(0)]) == ()
    assert first.counts(CAMPAIGN.id) == {S.PLANNED: 2, S.CONVERTING: 1}


@pytest.mark.parametrize("odd", ["'", "a b?c#d%20.db", "☃"])
def test_a_file_may_have_any_name(tmp_path: Path, odd: str) -> None:
    ledger = filled(open_ledger(tmp_path / odd, tmp_path / f"{odd}.mirror", host="night"))
    ledger.close()
    assert {path.name for path in tmp_path.iterdir()} == {odd, f"{odd}.mirror"}
