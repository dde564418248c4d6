"""What is lost, torn, damaged, old or somebody else's: mirror, ledger, backup."""

from __future__ import annotations

import io
import os
import shutil
import stat
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversion.decision.account import Binding, Source
from conversion.errors import LedgerConflict, LedgerError
from conversion.ledger.backup import backup, restore
from conversion.ledger.base import Campaign
from conversion.ledger.mirror import Mirror
from conversion.ledger.opening import open_ledger, rebuild
from conversion.ledger.sealed_file import seal, unseal
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
    verified,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from conversion.ledger.base import InventoryRow
    from conversion.ledger.sql import SqlLedger

KEY = bytes(range(32))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    found = Place(tmp_path)
    yield found
    found.close()


@pytest.fixture
def ledger(place: Place) -> SqlLedger:
    found = filled(place.open(), 5)
    found.put_plan([b"plan"], NOW)
    found.commit([intent(0), intent(1)])
    found.commit([done(0), change(2, S.PLANNED, S.SKIPPED, 2)])
    found.set_envelope(CAMPAIGN.id, '{"at_most":60}')
    return found


def state_of(ledger: SqlLedger) -> tuple[object, ...]:
    """All that a mirror keeps."""
    return (
        ledger.current_campaign(),
        list(ledger.rows(CAMPAIGN.id)),
        b"".join(ledger.plan(digest(b"plan")) or ()),
    )


# Mirror without ledger, ledger without mirror


def test_a_lost_ledger_is_rebuilt_from_its_mirror(place: Place, ledger: SqlLedger) -> None:
    before = state_of(ledger)
    place.lose_ledger()
    again = place.keep(rebuild(place.path, place.mirror, host="night"))
    assert state_of(again) == before
    assert again.verify_audit().ok
    assert again.verify_audit().rows == 9
    assert again.commit([done(1)]) == ()


def test_closed_campaigns_are_rebuilt_as_closed(place: Place, ledger: SqlLedger) -> None:
    ledger.commit([done(1), *(step for n in (3, 4) for step in verified(n))])
    for n in (0, 1):
        ledger.commit([verified(n)[at] for at in (2, 3, 4)])
    ledger.close_campaign(CAMPAIGN.id, NOW)
    ledger.open_campaign(Campaign("second", NOW, "{}"))
    place.lose_ledger()
    again = place.keep(rebuild(place.path, place.mirror, host="night"))
    assert again.current_campaign() == Campaign("second", NOW, "{}")
    with pytest.raises(LedgerConflict, match="not open"):
        again.close_campaign(CAMPAIGN.id, NOW)


def test_a_lost_ledger_is_never_begun_anew_by_itself(place: Place, ledger: SqlLedger) -> None:
    assert ledger.current_campaign()
    place.lose_ledger()
    with pytest.raises(LedgerError, match="remembers who was moved: restore"):
        place.open()
    assert not place.path.exists()


def test_nothing_is_rebuilt_over_a_ledger_that_is_there(place: Place, ledger: SqlLedger) -> None:
    before = state_of(ledger)
    with pytest.raises(LedgerError, match="not overwritten"):
        rebuild(place.path, place.mirror, host="night")
    assert state_of(place.open()) == before


@pytest.mark.usefixtures("ledger")
def test_a_lost_mirror_is_made_again_and_rebuilds_all_of_it(place: Place) -> None:
    place.close()
    place.mirror.unlink()
    again = place.open()
    assert again.commit([done(1)]) == ()
    before = state_of(again)
    place.lose_ledger()
    assert state_of(place.keep(rebuild(place.path, place.mirror, host="night"))) == before
    assert stat.S_IMODE(place.mirror.stat().st_mode) == 0o600


def test_what_a_dying_process_left_half_made_is_in_nobodys_way(place: Place) -> None:
    place.mirror.parent.mkdir()
    for name in ("ledger.db.new", "ledger.db.new-wal", "elsewhere/mirror.log.staged.new"):
        (place.folder / name).write_bytes(b"half")
    (place.folder / "elsewhere/mirror.log.staged").write_bytes(b"whole, but never in its place")
    assert filled(place.open()).counts(CAMPAIGN.id) == {S.PLANNED: 3}


# Torn, damaged, foreign


def test_every_torn_end_is_dropped_and_nothing_before_it(
    place: Place, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A power cut while the last group was written: any prefix of it may be on the disk."""
    ledger = filled(place.open(), 2)
    place.close()
    begin = place.mirror.stat().st_size
    saved = place.path.read_bytes()
    ledger = place.open()
    ledger.commit([intent(0)])
    place.close()
    whole = place.mirror.read_bytes()
    end = len(whole)
    ends = {*range(begin, begin + 40), *range(begin, end, 5), *range(end - 40, end)}
    for length in sorted(ends):
        there = Place(tmp_path_factory.mktemp("torn"))
        there.mirror.parent.mkdir()
        there.path.write_bytes(saved)
        there.mirror.write_bytes(whole[:length])
        found = there.open()
        assert found.counts(CAMPAIGN.id) == {S.PLANNED: 2}
        assert there.mirror.stat().st_size == begin
        assert found.commit([intent(1)]) == ()
        there.close()


@pytest.mark.parametrize(
    "rest",
    [b"\0" * 5000, b"\n\n\n", os.urandom(40) + b"\n", b"{}\n" * 9],
    ids=["zeros", "line ends", "noise", "empty objects"],
)
def test_rubbish_at_the_end_is_a_torn_end(place: Place, ledger: SqlLedger, rest: bytes) -> None:
    before = state_of(ledger)
    place.close()
    size = place.mirror.stat().st_size
    with place.mirror.open("ab") as file:
        file.write(rest)
    assert state_of(place.open()) == before
    assert place.mirror.stat().st_size == size


@pytest.mark.parametrize("at", [0.3, 0.6, 0.9])
def test_damage_before_good_lines_is_no_torn_end(
    place: Place, ledger: SqlLedger, at: float
) -> None:
    for _ in range(3):
        ledger.record(event(None, "more"))
    place.lose_ledger()
    content = bytearray(place.mirror.read_bytes())
    content[int(len(content) * at)] ^= 1
    place.mirror.write_bytes(content)
    with pytest.raises(LedgerError, match=r"damaged behind octet \d+, with good lines after it"):
        rebuild(place.path, place.mirror, host="night")
    assert bytes(content) == place.mirror.read_bytes()


@pytest.mark.parametrize("content", [b"", b"\n", b'{"mirror":1}\n', b"\x7fELF" * 100])
def test_a_file_that_is_no_mirror_is_refused_and_left_alone(
    place: Place, ledger: SqlLedger, content: bytes
) -> None:
    assert ledger.current_campaign()
    place.close()
    place.mirror.write_bytes(content)
    with pytest.raises(LedgerError, match="no mirror that this version can read"):
        place.open()
    assert place.mirror.read_bytes() == content


@pytest.mark.usefixtures("ledger")
def test_the_mirror_of_another_ledger_is_refused(place: Place) -> None:
    other = place.folder / "other.db"
    mirror = place.folder / "other.log"
    place.keep(open_ledger(other, mirror, host="night"))
    place.close()
    shutil.copy(mirror, place.mirror)
    with pytest.raises(LedgerError, match="the mirror of another ledger, or an old copy"):
        place.open()
    assert place.path.exists()


def test_an_old_copy_of_the_mirror_is_refused(place: Place, ledger: SqlLedger) -> None:
    old = place.mirror.read_bytes()
    ledger.commit([done(1)])
    place.close()
    place.mirror.write_bytes(old)
    with pytest.raises(LedgerError, match="or an old copy"):
        place.open()


def test_an_old_copy_of_the_ledger_is_brought_up_to_date(place: Place, ledger: SqlLedger) -> None:
    place.close()
    old = place.path.read_bytes()
    ledger = place.open()
    ledger.commit([done(1), intent(3)])
    before = state_of(ledger)
    place.lose_ledger()
    place.path.write_bytes(old)
    again = place.open()
    assert state_of(again) == before
    assert again.verify_audit().ok


def test_a_mirror_that_vanishes_while_it_is_in_use_stops_every_write(
    place: Place, ledger: SqlLedger
) -> None:
    before = state_of(ledger)
    place.mirror.unlink()
    with pytest.raises(LedgerError, match="No such file"):
        ledger.commit([done(1)])
    assert state_of(ledger) == before


# The disk


def test_a_disk_that_fails_to_keep_is_not_asked_again(
    place: Place, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed fsync the next one only seems to succeed: no write until a new start."""

    def failing(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    before = state_of(ledger)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", failing)
        with pytest.raises(LedgerError, match="Input/output error"):
            ledger.commit([done(1)])
    with pytest.raises(LedgerError):
        ledger.commit([intent(3)])
    assert state_of(ledger) == before
    place.close()
    assert place.open().commit([intent(3)]) == ()


def test_a_write_that_stops_half_way_leaves_no_half_line(
    place: Place, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = place.mirror.stat().st_size
    write: Callable[[int, bytes], int] = os.write

    def half(descriptor: int, octets: bytes) -> int:
        if len(octets) < 50:
            raise OSError(28, "No space left on device")
        return write(descriptor, bytes(octets[: len(octets) // 2]))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", half)
        with pytest.raises(LedgerError, match="No space left on device: make room there"):
            ledger.commit([done(1)])
    assert place.mirror.stat().st_size == size
    assert ledger.commit([done(1)]) == ()


def test_a_commit_that_fails_behind_the_mirror_is_carried_over_by_the_next_write(
    place: Place,
) -> None:
    def failing(point: str) -> None:
        if point == "before_commit" and armed:
            raise LedgerError("the disk is full")

    armed: list[bool] = []
    ledger = filled(place.open(crash=failing), 2)
    armed.append(True)
    with pytest.raises(LedgerError, match="full"):
        ledger.commit([intent(0)])
    assert ledger.counts(CAMPAIGN.id) == {S.PLANNED: 2}
    armed.clear()
    assert ledger.commit([intent(0)]) == (intent(0).row,)
    assert ledger.counts(CAMPAIGN.id) == {S.PLANNED: 1, S.CONVERTING: 1}


# Backups


def test_a_backup_is_restored_and_brought_up_to_date_by_the_mirror(
    place: Place, ledger: SqlLedger
) -> None:
    ledger.put_inventory([inventoried(1, binding("b"))], NOW)
    with ledger.lock("convert", "anna", NOW):
        backup(ledger.database, place.folder / "backup", KEY)
        ledger.commit([done(1)])
    before = state_of(ledger)
    place.lose_ledger()
    restore(place.folder / "backup", place.path, place.mirror, KEY, host="night")
    again = place.open()
    assert state_of(again) == before
    assert [one.user_id for one in again.inventory()] == [inventoried(1).user_id]
    assert again.verify_audit().ok
    with again.lock("return", "ben", NOW):
        pass


def test_a_backup_shows_nobody_and_leaves_nothing_beside_it(
    place: Place, ledger: SqlLedger
) -> None:
    kept = place.folder / "kept" / "backup"
    kept.parent.mkdir()
    backup(ledger.database, kept, KEY)
    content = kept.read_bytes()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert b"NameID" not in content
    assert b"SQLite" not in content
    assert [path.name for path in kept.parent.iterdir()] == ["backup"]
    assert not list(place.folder.glob("*.copy*"))
    with pytest.raises(LedgerError, match="overwrites nothing"):
        backup(ledger.database, kept, KEY)
    assert kept.read_bytes() == content


def _flip(content: bytes, at: float) -> bytes:
    altered = bytearray(content)
    altered[int(len(content) * at)] ^= 1
    return bytes(altered)


@pytest.mark.parametrize(
    ("spoil", "key", "said"),
    [
        (lambda content: content, bytes(32), "another key"),
        (lambda content: content, b"short", "needs 32"),
        (lambda content: _flip(content, 0), KEY, "no backup"),
        (lambda content: _flip(content, 0.5), KEY, "altered"),
        (lambda content: content[:-1], KEY, "altered or cut"),
        (lambda content: content[:56], KEY, "altered or cut"),
        (lambda content: content + b"x", KEY, "altered"),
        (lambda _: b"", KEY, "no backup"),
    ],
)
def test_a_backup_that_was_altered_is_refused_and_nothing_is_restored(
    place: Place, ledger: SqlLedger, spoil: Callable[[bytes], bytes], key: bytes, said: str
) -> None:
    file = place.folder / "backup"
    backup(ledger.database, file, KEY)
    place.lose_ledger()
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(LedgerError, match=said):
        restore(file, place.path, place.mirror, key, host="night")
    assert not list(place.folder.glob("ledger.db*"))


def test_a_backup_whose_audit_was_altered_before_is_refused(
    place: Place, ledger: SqlLedger
) -> None:
    with ledger.database.writing() as connection:
        connection.exec_driver_sql("UPDATE audit_row SET kind = 'another' WHERE seq = 3")
    backup(ledger.database, place.folder / "backup", KEY)
    place.lose_ledger()
    with pytest.raises(LedgerError, match="audit is broken: conversion/night row 3"):
        restore(place.folder / "backup", place.path, place.mirror, KEY, host="night")
    assert not place.path.exists()


@pytest.mark.usefixtures("ledger")
def test_nothing_is_restored_over_a_ledger_or_from_nothing(place: Place) -> None:
    with pytest.raises(LedgerError, match="not overwritten"):
        restore(place.folder / "backup", place.path, place.mirror, KEY, host="night")
    with pytest.raises(LedgerError, match="No such file"):
        restore(place.folder / "backup", place.folder / "new.db", place.mirror, KEY, host="night")


@given(st.binary(max_size=300), st.binary(min_size=32, max_size=32))
def test_what_is_sealed_opens_again(content: bytes, key: bytes) -> None:
    assert opened(sealed(content, key), key) == content


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_chunks_meet_at_every_size_and_cannot_be_cut_or_swapped(size: int) -> None:
    content = os.urandom(size)
    file = sealed(content, KEY)
    assert opened(file, KEY) == content
    chunk = (1 << 20) + 16
    begin = len(file) - sum(len(part) for part in split(file, chunk))
    parts = split(file, chunk)
    head = file[:begin]
    for wrong in (parts[:-1], parts[::-1], [*parts, parts[-1]], parts[1:]):
        if wrong != parts:
            with pytest.raises(LedgerError):
                opened(head + b"".join(wrong), KEY)


def split(file: bytes, chunk: int) -> list[bytes]:
    body = file[24 + 32 :]
    return [body[first : first + chunk] for first in range(0, len(body), chunk)]


def sealed(content: bytes, key: bytes) -> bytes:
    target = io.BytesIO()
    seal(io.BytesIO(content), target, key)
    return target.getvalue()


def opened(file: bytes, key: bytes) -> bytes:
    target = io.BytesIO()
    unseal(io.BytesIO(file), target.write, key)
    return target.getvalue()


def test_a_mirror_opened_by_hand_shows_its_groups(place: Place, ledger: SqlLedger) -> None:
    mirror = Mirror(place.mirror)
    told = [name for _, group in mirror.groups(mirror.begin) for name, _ in group["operations"]]
    mirror.close()
    assert told == ["campaign", *["person"] * 5, "plan_part", "plan", *["person"] * 4, "envelope"]
    assert ledger.row(CAMPAIGN.id, row(0).user_id) == done(0).row


# The inventory in the mirror


def inventory_of(ledger: SqlLedger) -> list[InventoryRow]:
    return list(ledger.inventory())


def rebuilt(place: Place) -> SqlLedger:
    place.lose_ledger()
    return place.keep(rebuild(place.path, place.mirror, host="night"))


def at(found: InventoryRow, when: datetime, **changes: object) -> InventoryRow:
    """The row as a later run of `prepare` finds it: what the API shows it shows anew."""
    known = found.binding
    if known is not None and known.source is Source.API:
        known = replace(known, learnt_at=when)
    return replace(found, seen_at=when, **{"binding": known, **changes})  # type: ignore[arg-type]  # fields by name


def test_the_inventory_is_rebuilt_from_the_mirror_after_many_nights(place: Place) -> None:
    ledger = place.open()
    people = [
        inventoried(1, binding("api")),
        inventoried(2, binding("csv", Source.CSV)),
        inventoried(3),
        inventoried(4, binding("leaves")),
        inventoried(5),
        inventoried(6, binding("6@example.org", Source.EMAIL_FALLBACK)),
    ]
    first, second, third = NOW, NOW + timedelta(days=1), NOW + timedelta(days=2)
    ledger.put_inventory(people, first)
    # Nobody changed; then one is renamed, one left SSO, one is gone, one is learnt, one is new.
    ledger.put_inventory([at(one, second) for one in people], second)
    ledger.put_inventory(
        [
            at(people[0], third, username="renamed"),
            at(people[1], third),
            at(people[2], third, binding=binding("learnt", Source.SQL)),
            at(people[5], third),
            at(inventoried(7, binding("new")), third),
        ],
        third,
    )
    before = inventory_of(ledger)
    assert [one.user_id for one in before] == [person(n) for n in (1, 2, 3, 4, 6, 7)]
    assert [one.seen_at for one in before] == [third, third, third, second, third, third]
    assert inventory_of(rebuilt(place)) == before


def test_a_night_in_which_nobody_changed_costs_the_mirror_one_line(place: Place) -> None:
    ledger = place.open()
    people = [inventoried(number, binding(f"b{number}")) for number in range(700)]
    ledger.put_inventory(people, NOW)
    size = place.mirror.stat().st_size
    later = NOW + timedelta(days=1)
    ledger.put_inventory([at(one, later) for one in people], later)
    assert place.mirror.stat().st_size - size < 300
    assert inventory_of(rebuilt(place)) == inventory_of(place.open())


def test_a_plan_of_many_parts_is_rebuilt_from_the_mirror(place: Place) -> None:
    ledger = place.open()
    pieces = [bytes([number]) * 10_000 for number in range(200)]
    name = ledger.put_plan(iter(pieces), NOW)
    again = rebuilt(place)
    assert b"".join(again.plan(name) or ()) == b"".join(pieces)


def test_a_new_mirror_has_the_inventory_and_the_plans_too(place: Place) -> None:
    ledger = place.open()
    ledger.put_inventory([inventoried(1, binding("b"))], NOW)
    name = ledger.put_plan([b"plan"], NOW)
    before = inventory_of(ledger)
    place.close()
    place.mirror.unlink()
    place.open()
    again = rebuilt(place)
    assert inventory_of(again) == before
    assert list(again.plan(name) or ()) == [b"plan"]


@settings(max_examples=60)
@given(
    st.lists(
        st.dictionaries(
            st.integers(1, 4),
            st.tuples(
                st.sampled_from([None, Source.API, Source.CSV, Source.EMAIL_FALLBACK]),
                st.sampled_from(["x", "y"]),
            ),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_whatever_the_nights_bring_the_mirror_knows_the_inventory(
    nights: list[dict[int, tuple[Source | None, str]]],
) -> None:
    with TemporaryDirectory() as folder, closing(Place(Path(folder))) as place:
        ledger = place.open()
        for day, people in enumerate(nights):
            when = NOW + timedelta(days=day)
            ledger.put_inventory(
                [
                    replace(
                        inventoried(n, None if source is None else Binding(data, source, when)),
                        seen_at=when,
                    )
                    for n, (source, data) in people.items()
                ],
                when,
            )
        before = inventory_of(ledger)
        assert inventory_of(rebuilt(place)) == before
