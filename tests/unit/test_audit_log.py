"""The log in a database: checkpoints, pruning, forgetting, and tampering with the tables."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, delete, event, select, text, update
from sqlalchemy.pool import StaticPool

from idp_proxy.audit import tables
from idp_proxy.audit.chain import (
    Event,
    PersonKey,
    Row,
    append,
    pseudonym,
    spool_chain,
    spool_joined,
    spool_opened,
    start,
)
from idp_proxy.audit.checkpoint import Checkpoint, read_file
from idp_proxy.audit.log import (
    AuditLog,
    forget,
    head_of,
    people,
    pseudonyms,
    rows,
    verify_log,
)
from idp_proxy.audit.tables import audit_head, audit_person, audit_row
from idp_proxy.audit.verification import Why

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(b"1" * 32)
LOG = AuditLog("host")
COPY_LAST_AS = """
    INSERT INTO audit_row SELECT chain, {}, at, kind, body, previous, digest FROM audit_row
    WHERE seq = 6
"""


def open_connection() -> Connection:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    event.listen(engine, "connect", lambda raw, _: setattr(raw, "isolation_level", None))
    tables.metadata.create_all(engine)
    return engine.connect()


@pytest.fixture
def connection() -> Iterator[Connection]:
    opened = open_connection()
    yield opened
    opened.close()
    opened.engine.dispose()


def happened(number: int = 0, person: str | None = None) -> Event:
    at = NOW + timedelta(minutes=number)
    return Event("login", "okta", at, person, {"number": number})


def fill(connection: Connection, count: int, log: AuditLog = LOG) -> list[Row]:
    return [log.append(connection, happened(number)) for number in range(count)]


def point(row: Row) -> Checkpoint:
    return Checkpoint(row.chain, row.seq, row.digest, row.at)


def test_rows_come_back_as_they_were_written(connection: Connection) -> None:
    written = fill(connection, 1200)
    assert list(rows(connection, "host")) == written
    assert list(rows(connection, "host", after=1190)) == written[1190:]
    assert LOG.head(connection) == written[-1].head
    assert head_of(connection, "other") == start("other")


def test_chains_do_not_mix_and_spools_come_first(connection: Connection) -> None:
    for name in ("b", "a", spool_chain("b", "1"), spool_chain("a", "1")):
        fill(connection, 2, AuditLog(name))
    found = [row.chain for row in rows(connection)]
    assert found[::2] == ["a/spool/1", "b/spool/1", "a", "b"]


def test_a_person_stands_in_the_chain_by_a_name_that_their_key_explains(
    connection: Connection,
) -> None:
    log = AuditLog("host", lambda count: b"k" * count)
    row = log.append(connection, happened(person="p-1"))
    name = row.content["person"]
    assert name == pseudonym(b"k" * 32, "p-1")
    assert people(connection, [str(name), "unknown"]) == (PersonKey(str(name), "p-1", b"k" * 32),)
    assert pseudonyms(connection, "p-1") == {name}


def test_every_person_has_a_key_of_their_own(connection: Connection) -> None:
    for person in ("p-1", "p-2", "p-1"):
        LOG.append(connection, happened(person=person))
    keys = connection.execute(select(audit_person.c.key)).scalars().all()
    assert len(keys) == len(set(keys)) == 2
    assert {len(key) for key in keys} == {32}


def test_a_forgotten_person_is_in_no_table_and_the_chain_still_verifies(
    connection: Connection,
) -> None:
    before = [LOG.append(connection, happened(person=person)) for person in ("p-1", "p-2")]
    assert forget(connection, "p-1") == 1
    assert forget(connection, "p-1") == 0
    assert pseudonyms(connection, "p-1") == frozenset()
    assert len(pseudonyms(connection, "p-2")) == 1
    assert verify_log(connection).ok
    after = LOG.append(connection, happened(person="p-1"))
    assert after.content["person"] not in {row.content["person"] for row in before}


def test_two_names_of_one_person_are_both_forgotten(connection: Connection) -> None:
    LOG.append(connection, happened(person="p-1"))
    foreign = append(start("guest"), happened(), "name")
    LOG.adopt(connection, [foreign], [PersonKey("name", "p-1", b"k" * 32)])
    assert len(pseudonyms(connection, "p-1")) == 2
    assert forget(connection, "p-1") == 2


def test_a_checkpoint_is_written_and_vouches_for_the_chain(
    connection: Connection, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoints.jsonl"
    assert LOG.write_checkpoint(connection, path, KEY, NOW) is None
    assert not path.exists()
    written = fill(connection, 3)
    made = LOG.write_checkpoint(connection, path, KEY, NOW)
    assert made == Checkpoint("host", 3, written[-1].digest, NOW)
    found = read_file(path, KEY.public_key()).checkpoints
    assert found == (made,)
    fill(connection, 2)
    verdict = verify_log(connection, found)
    assert verdict.ok
    assert (verdict.rows, verdict.checkpoints) == (5, 1)


def test_rows_cut_with_their_head_are_found_by_the_checkpoint(connection: Connection) -> None:
    written = fill(connection, 5)
    connection.execute(delete(audit_row).where(audit_row.c.seq > 3))
    assert not verify_log(connection).ok
    connection.execute(update(audit_head).values(seq=3, digest=written[2].digest))
    assert verify_log(connection).ok
    broken = verify_log(connection, [point(written[4])]).broken
    assert broken is not None
    assert (broken.seq, broken.why) == (4, Why.CUT_TAIL)


@settings(deadline=None)
@given(number=st.integers(1, 6), data=st.data())
def test_any_change_of_any_column_is_found_at_its_row(number: int, data: st.DataObject) -> None:
    connection = open_connection()
    fill(connection, 6)
    column = data.draw(st.sampled_from(["at", "kind", "body", "previous", "digest"]))
    changed = {"at": NOW - timedelta(days=1)}.get(column, f"x{number}")
    connection.execute(update(audit_row).where(audit_row.c.seq == number).values({column: changed}))
    broken = verify_log(connection).broken
    assert broken is not None
    assert (broken.seq, broken.why) == (number, Why.ALTERED)
    connection.close()
    connection.engine.dispose()


@pytest.mark.parametrize(
    ("statement", "seq", "why"),
    [
        ("DELETE FROM audit_row WHERE seq = 3", 3, Why.MISSING),
        ("DELETE FROM audit_row WHERE seq = 1", 2, Why.UNKNOWN_START),
        ("DELETE FROM audit_row WHERE seq = 6", 6, Why.CUT_TAIL),
        ("DELETE FROM audit_row", 1, Why.MISSING),
        ("DELETE FROM audit_head", 1, Why.ORDER),
        ("UPDATE audit_head SET seq = 4", 4, Why.ALTERED),
        ("UPDATE audit_row SET seq = 9 WHERE seq = 2", 2, Why.MISSING),
        ("UPDATE audit_row SET seq = -seq WHERE seq IN (2, 3)", -3, Why.UNKNOWN_START),
        ("UPDATE audit_row SET chain = 'z' WHERE seq = 4", 4, Why.MISSING),
        (COPY_LAST_AS.format(7), 7, Why.ALTERED),
        (COPY_LAST_AS.format(0), 0, Why.UNKNOWN_START),
    ],
)
def test_tampering_with_the_tables_is_found(
    connection: Connection, statement: str, seq: int, why: Why
) -> None:
    fill(connection, 6)
    connection.execute(text(statement))
    broken = verify_log(connection).broken
    assert broken is not None
    assert (broken.chain, broken.seq, broken.why) == ("host", seq, why)


def test_pruning_stops_at_a_checkpoint_and_the_rest_verifies(connection: Connection) -> None:
    written = fill(connection, 10)
    points = [point(written[3]), point(written[6]), point(written[9])]
    assert LOG.prune(connection, NOW + timedelta(minutes=8), points, NOW) == 7
    kept = list(rows(connection))
    assert [row.seq for row in kept] == [8, 9, 10, 11]
    assert kept[-1].kind == "audit_pruned"
    assert kept[-1].facts == {
        "through_seq": 7,
        "through_digest": written[6].digest,
        "rows": 7,
    }
    assert verify_log(connection, points).ok
    broken = verify_log(connection, points[:1]).broken
    assert broken is not None
    assert broken.why is Why.UNKNOWN_START


def test_nothing_is_pruned_without_a_checkpoint_that_fits(connection: Connection) -> None:
    written = fill(connection, 4)
    late = NOW + timedelta(days=1)
    for points in (
        [],
        [replace(point(written[2]), digest="0" * 64)],
        [replace(point(written[2]), chain="other")],
        [replace(point(written[2]), seq=99)],
    ):
        assert LOG.prune(connection, late, points, NOW) == 0
    assert LOG.prune(connection, NOW, [point(written[2])], NOW) == 0
    assert len(list(rows(connection))) == 4


def test_a_chain_pruned_to_its_end_still_verifies(connection: Connection) -> None:
    written = fill(connection, 4)
    points = [point(written[3])]
    assert LOG.prune(connection, NOW + timedelta(days=1), points, NOW) == 4
    assert [row.kind for row in rows(connection)] == ["audit_pruned"]
    assert verify_log(connection, points).ok


def test_a_spool_is_pruned_with_the_row_that_joined_it(connection: Connection) -> None:
    first = LOG.append(connection, happened())
    spool = spool_chain("host", "1")
    opening = append(start(spool), spool_opened(first.head, NOW), None)
    closing = append(opening.head, happened(), None)
    LOG.adopt(connection, [opening, closing], [])
    joining = LOG.append(connection, spool_joined(closing.head, NOW))
    last = LOG.append(connection, happened())
    assert verify_log(connection).ok
    points = [point(first), point(joining)]
    assert LOG.prune(connection, NOW + timedelta(days=1), points[:1], NOW) == 1
    assert verify_log(connection, points).ok
    assert LOG.prune(connection, NOW + timedelta(days=1), points, NOW) == 3
    assert [row.seq for row in rows(connection)] == [last.seq, 4, 5]
    assert head_of(connection, spool) == start(spool)
    assert verify_log(connection, points).ok
