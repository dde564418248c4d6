"""The chain: what a row says, and that every change of any row is found and named."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idp_proxy.audit.chain import (
    GENESIS,
    Event,
    Head,
    PersonKey,
    Row,
    append,
    canonical,
    digest_of,
    follows,
    host_of,
    pseudonym,
    spool_chain,
    spool_joined,
    spool_opened,
    start,
)
from idp_proxy.audit.checkpoint import Checkpoint
from idp_proxy.audit.verification import Break, Why, verify

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FACTS = st.dictionaries(
    st.text(max_size=8),
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    max_size=4,
)  # fmt: skip


def chain_of(count: int, chain: str = "host", begin: Head | None = None) -> list[Row]:
    head = begin or start(chain)
    rows = []
    for number in range(count):
        at = NOW + timedelta(seconds=number)
        rows.append(append(head, Event("login", "okta", at, facts={"number": number}), None))
        head = rows[-1].head
    return rows


def broken(rows: Sequence[Row], **known: Sequence[Checkpoint] | Sequence[Head]) -> Break:
    verdict = verify(rows, **known)  # type: ignore[arg-type]  # one of the two keyword arguments
    assert not verdict.ok
    assert verdict.broken is not None
    return verdict.broken


def checkpoint(row: Row) -> Checkpoint:
    return Checkpoint(row.chain, row.seq, row.digest, row.at)


def rebound(rows: Sequence[Row], head: Head) -> list[Row]:
    """What a forger writes who recomputes every digest behind the row that was changed."""
    forged = []
    for row in rows:
        loose = replace(row, seq=head.seq + 1, previous=head.digest)
        forged.append(replace(loose, digest=digest_of(loose)))
        head = forged[-1].head
    return forged


def test_a_row_says_what_the_event_said_in_canonical_json() -> None:
    event = Event("login", "okta", NOW, person="p-1", facts={"z": 1, "ä": "ü", "a": None})
    row = append(start("host"), event, "abc")
    assert row.body == '{"actor":"okta","facts":{"a":null,"z":1,"ä":"ü"},"person":"abc"}'
    assert (row.chain, row.seq, row.previous) == ("host", 1, GENESIS)
    assert row.facts == {"z": 1, "ä": "ü", "a": None}


def test_the_person_in_the_clear_stands_in_no_row() -> None:
    row = append(start("host"), Event("login", "okta", NOW, person="p-secret"), "pseudonym")
    assert "p-secret" not in repr(row)


def test_the_digest_is_the_one_that_anybody_can_recompute() -> None:
    row = append(start("host"), Event("login", "okta", NOW), None)
    content = (
        '{"at":"2026-03-01T12:00:00.000000+00:00","body":'
        + json.dumps(row.body)
        + ',"chain":"host","kind":"login","seq":1}'
    )
    assert row.digest == hashlib.sha256(f"{GENESIS}\n{content}".encode()).hexdigest()


def test_one_moment_in_two_time_zones_has_one_digest() -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    rows = [append(start("host"), Event("login", "okta", at), None) for at in (NOW, elsewhere)]
    assert rows[0].digest == rows[1].digest


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800"])
def test_what_has_no_canonical_json_is_refused(value: float | str) -> None:
    with pytest.raises(ValueError, match=r"JSON|surrogates"):
        append(start("host"), Event("login", "okta", NOW, facts={"x": value}), None)


def test_a_naive_time_is_refused() -> None:
    naive = NOW.replace(tzinfo=None)
    with pytest.raises(ValueError, match="time zone"):
        append(start("host"), Event("login", "okta", naive), None)


@settings(deadline=None)
@given(facts=FACTS)
def test_canonical_json_comes_back_and_is_stable(facts: dict[str, object]) -> None:
    try:
        text = canonical(facts)
    except UnicodeEncodeError:
        return
    assert json.loads(text) == facts
    assert canonical(json.loads(text)) == text


def test_two_keys_give_one_person_two_unlinkable_names() -> None:
    assert pseudonym(b"a" * 32, "p-1") != pseudonym(b"b" * 32, "p-1")
    assert pseudonym(b"a" * 32, "p-1") == pseudonym(b"a" * 32, "p-1")
    assert len(pseudonym(b"a" * 32, "\ud800 hostile")) == 64


def test_a_person_key_shows_neither_key_nor_person() -> None:
    shown = repr(PersonKey("name", "p-secret", b"K" * 32))
    assert "p-secret" not in shown
    assert "KKK" not in shown


def test_a_spool_chain_knows_its_host() -> None:
    assert host_of(spool_chain("host", "2026")) == "host"
    assert host_of("host") is None


@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_an_untouched_chain_verifies(count: int) -> None:
    rows = chain_of(count)
    heads = [rows[-1].head] if rows else []
    verdict = verify(rows, [checkpoint(row) for row in rows[::3]], heads)
    assert verdict.ok
    assert verdict.rows == count
    assert verdict.chains == (("host",) if count else ())


ALTERATIONS = {
    "at": lambda row: replace(row, at=row.at + timedelta(microseconds=1)),
    "kind": lambda row: replace(row, kind=row.kind + "x"),
    "body": lambda row: replace(row, body=row.body.replace("okta", "evil")),
    "body to no JSON": lambda row: replace(row, body="\ud800"),
    "previous": lambda row: replace(row, previous="f" * 64),
    "digest": lambda row: replace(row, digest="f" * 64),
    "naive time": lambda row: replace(row, at=row.at.replace(tzinfo=None)),
}


@pytest.mark.parametrize("field", ALTERATIONS)
@settings(deadline=None)
@given(count=st.integers(1, 12), data=st.data())
def test_an_altered_field_of_any_row_is_found_there(
    field: str, count: int, data: st.DataObject
) -> None:
    rows = chain_of(count)
    number = data.draw(st.integers(1, count))
    rows[number - 1] = ALTERATIONS[field](rows[number - 1])
    found = broken(rows)
    assert (found.chain, found.seq, found.why) == ("host", number, Why.ALTERED)


@settings(deadline=None)
@given(count=st.integers(2, 12), data=st.data())
def test_an_altered_number_is_found_where_the_row_should_be(
    count: int, data: st.DataObject
) -> None:
    rows = chain_of(count)
    number = data.draw(st.integers(2, count))
    other = data.draw(st.integers(-3, 20).filter(lambda value: value != number))
    rows[number - 1] = replace(rows[number - 1], seq=other)
    found = broken(rows)
    assert (found.chain, found.seq) == ("host", number)


@settings(deadline=None)
@given(count=st.integers(2, 12), data=st.data())
def test_a_row_moved_into_another_chain_is_found(count: int, data: st.DataObject) -> None:
    rows = chain_of(count)
    number = data.draw(st.integers(1, count))
    rows[number - 1] = replace(rows[number - 1], chain="other")
    found = broken(rows)
    assert (found.chain, found.seq) == ("other", number)


@settings(deadline=None)
@given(count=st.integers(3, 12), data=st.data())
def test_a_missing_row_is_named(count: int, data: st.DataObject) -> None:
    rows = chain_of(count)
    number = data.draw(st.integers(2, count - 1))
    del rows[number - 1]
    found = broken(rows)
    assert (found.seq, found.why) == (number, Why.MISSING)


@settings(deadline=None)
@given(count=st.integers(3, 12), data=st.data())
def test_two_rows_that_changed_places_are_found(count: int, data: st.DataObject) -> None:
    rows = chain_of(count)
    number = data.draw(st.integers(2, count - 1))
    rows[number - 1], rows[number] = rows[number], rows[number - 1]
    found = broken(rows)
    assert (found.seq, found.why) == (number, Why.ORDER)


@settings(deadline=None)
@given(count=st.integers(1, 12), data=st.data())
def test_a_row_that_stands_twice_is_found(count: int, data: st.DataObject) -> None:
    rows = chain_of(count)
    number = data.draw(st.integers(1, count))
    rows.insert(number, rows[number - 1])
    found = broken(rows)
    assert (found.seq, found.why) == (number + 1, Why.ORDER)


@settings(deadline=None)
@given(count=st.integers(1, 12), data=st.data())
def test_a_forged_row_put_in_breaks_the_one_behind_it(count: int, data: st.DataObject) -> None:
    rows = chain_of(count)
    after = data.draw(st.integers(0, count))
    head = rows[after - 1].head if after else start("host")
    forged = append(head, Event("switch", "evil", NOW), None)
    heads = [rows[-1].head]
    rows.insert(after, forged)
    found = broken(rows, heads=heads)
    taken_for_the_last = after == count - 1
    assert found.seq == (count if taken_for_the_last else min(after + 2, count + 1))


def test_a_lost_beginning_is_found() -> None:
    found = broken(chain_of(5)[1:])
    assert (found.seq, found.why) == (2, Why.UNKNOWN_START)


@settings(deadline=None)
@given(count=st.integers(1, 12), data=st.data())
def test_a_cut_tail_is_found_by_a_checkpoint_and_by_the_head(
    count: int, data: st.DataObject
) -> None:
    rows = chain_of(count)
    left = data.draw(st.integers(0, count - 1))
    expected = (left + 1, Why.CUT_TAIL if left else Why.MISSING)
    by_checkpoint = broken(rows[:left], checkpoints=[checkpoint(rows[-1])])
    by_head = broken(rows[:left], heads=[rows[-1].head])
    assert (by_checkpoint.seq, by_checkpoint.why) == expected
    assert (by_head.seq, by_head.why) == expected


@settings(deadline=None)
@given(count=st.integers(1, 12), data=st.data())
def test_a_history_rewritten_with_fresh_digests_is_found_at_the_next_checkpoint(
    count: int, data: st.DataObject
) -> None:
    rows = chain_of(count)
    changed = data.draw(st.integers(1, count))
    signed = data.draw(st.integers(changed, count))
    head = rows[changed - 2].head if changed > 1 else start("host")
    forged = replace(rows[changed - 1], body=rows[changed - 1].body.replace("okta", "evil"))
    rewritten = [*rows[: changed - 1], *rebound([forged, *rows[changed:]], head)]
    assert verify(rewritten).ok
    found = broken(rewritten, checkpoints=[checkpoint(rows[signed - 1])])
    assert (found.seq, found.why) == (signed, Why.ALTERED)


def test_a_pruned_chain_is_anchored_by_the_checkpoint_before_it() -> None:
    rows = chain_of(9)
    assert verify(rows[4:], [checkpoint(rows[3])]).ok
    assert verify(rows[4:], [checkpoint(rows[1]), checkpoint(rows[3]), checkpoint(rows[8])]).ok
    assert broken(rows[4:], checkpoints=[checkpoint(rows[4])]).why is Why.UNKNOWN_START
    forged = [replace(checkpoint(rows[3]), digest="0" * 64)]
    assert broken(rows[4:], checkpoints=forged).why is Why.UNKNOWN_START


def test_a_head_row_that_was_removed_or_set_back_is_found() -> None:
    rows = chain_of(3)
    assert broken(rows, heads=[]).seq == 1
    assert broken(rows, heads=[rows[0].head]).seq == 2


def test_rows_of_one_chain_apart_from_each_other_are_found() -> None:
    rows, other = chain_of(2), chain_of(1, "other")
    assert broken([rows[0], *other, rows[1]]).why is Why.ORDER


def test_rows_continue_a_head_only_unaltered_and_in_order() -> None:
    rows = chain_of(4)
    assert follows(rows[0].head, rows[1:])
    assert follows(rows[0].head, [])
    assert not follows(rows[0].head, rows[2:])
    assert not follows(rows[0].head, [rows[2], rows[1]])
    assert not follows(rows[0].head, [replace(rows[1], kind="evil")])


def spooled(
    rows_before: int = 3, spool_rows: int = 4, opening: str = "1"
) -> tuple[list[Row], list[Row]]:
    """A spool chain and the main chain that joined it."""
    main = chain_of(rows_before)
    chain = spool_chain("host", opening)
    known = main[-1].head if main else start("host")
    first = append(start(chain), spool_opened(known, NOW), None)
    spool = [first, *chain_of(spool_rows - 1, begin=first.head)]
    main.append(append(known, spool_joined(spool[-1].head, NOW), None))
    return spool, main


def test_a_joined_spool_chain_verifies() -> None:
    spool, main = spooled()
    verdict = verify([*spool, *main])
    assert verdict.ok
    assert verdict.unjoined == ()


def test_a_spool_that_waits_is_reported_and_no_break() -> None:
    spool, main = spooled()
    verdict = verify([*spool, *main[:-1]])
    assert verdict.ok
    assert verdict.unjoined == (spool[0].chain,)


def test_an_older_spool_that_was_never_joined_is_a_break() -> None:
    older, _ = spooled(opening="1")
    newer, main = spooled(opening="2")
    found = broken([*older, *newer, *main])
    assert (found.chain, found.why) == (older[0].chain, Why.UNJOINED)


def test_a_spool_lost_after_its_joining_is_found() -> None:
    spool, main = spooled()
    found = broken(main)
    assert (found.chain, found.seq, found.why) == (spool[0].chain, 1, Why.MISSING)


@pytest.mark.parametrize("left", [1, 2, 3])
def test_a_spool_cut_after_its_joining_is_found(left: int) -> None:
    spool, main = spooled()
    found = broken([*spool[:left], *main])
    assert (found.chain, found.seq, found.why) == (spool[0].chain, left + 1, Why.CUT_TAIL)


def test_a_spool_rewritten_after_its_joining_is_found() -> None:
    spool, main = spooled()
    forged = rebound([replace(spool[1], kind="evil"), *spool[2:]], spool[0].head)
    found = broken([spool[0], *forged, *main])
    assert (found.chain, found.seq, found.why) == (spool[0].chain, 4, Why.ALTERED)


def test_rows_added_to_a_spool_after_its_joining_are_found() -> None:
    spool, main = spooled()
    more = append(spool[-1].head, Event("login", "evil", NOW), None)
    assert broken([*spool, more, *main]).why is Why.ALTERED


def test_a_main_chain_rewritten_before_a_spool_opened_is_found() -> None:
    spool, main = spooled()
    forged = rebound([replace(main[0], kind="evil"), *main[1:]], start("host"))
    found = broken([*spool, *forged])
    assert (found.chain, found.seq, found.why) == ("host", 3, Why.ALTERED)


@pytest.mark.parametrize("kind", ["spool_joined", "spool_opened"])
def test_a_binding_row_without_its_facts_is_a_break_and_no_crash(kind: str) -> None:
    chain = "host" if kind == "spool_joined" else spool_chain("host", "1")
    rows = [append(start(chain), Event(kind, "evil", NOW), None)]
    assert broken(rows).why is Why.ALTERED
    nonsense = replace(rows[0], body="[1]")
    assert broken([replace(nonsense, digest=digest_of(nonsense))]).why is Why.ALTERED


def test_a_spool_chain_needs_its_opening_row() -> None:
    rows = chain_of(2, spool_chain("host", "1"))
    assert broken(rows).why is Why.ALTERED


def test_a_break_says_where_and_why() -> None:
    rows = chain_of(3)
    del rows[1]
    assert str(broken(rows)) == "host row 2: missing (row 3 stands in its place)"
