"""The lifecycle as a table: its shape, and that it is what the design lists."""

from __future__ import annotations

from collections import Counter

import pytest

from conversion.decision.lifecycle import (
    CLOSED,
    INITIAL,
    INTENTS,
    OPEN,
    TRANSITIONS,
    Event,
    RowState,
    advance,
    diagram,
    leads,
)

S, E = RowState, Event
DESIGNED = [
    (S.PLANNED, S.OFFERED),
    (S.OFFERED, S.CLAIMING),
    (S.CLAIMING, S.CLAIMED),
    (S.PLANNED, S.CONVERTING),
    (S.CONVERTING, S.CONVERTED),
    (S.CONVERTED, S.CLAIMING),
    (S.CONVERTED, S.RETURNING),
    (S.CLAIMED, S.RETURNING),
    (S.RETURNING, S.RETURNED),
    (S.RETURNED, S.VERIFIED),
    (S.RETURNED, S.RETURNING),
]


def reachable(start: frozenset[RowState]) -> set[RowState]:
    seen = set(start)
    while True:
        more = {step.to for step in TRANSITIONS if step.state in seen} - seen
        if not more:
            return seen
        seen |= more


@pytest.mark.parametrize(("state", "to"), DESIGNED)
def test_every_way_of_the_design_is_in_the_table(state: RowState, to: RowState) -> None:
    assert leads(state, to)


def test_no_event_means_two_things_in_one_state() -> None:
    keys = Counter((step.state, step.event) for step in TRANSITIONS)
    assert [key for key, times in keys.items() if times > 1] == []


@pytest.mark.parametrize("state", RowState)
@pytest.mark.parametrize("event", Event)
def test_advance_says_what_the_table_says_and_nothing_else(state: RowState, event: Event) -> None:
    listed = [step.to for step in TRANSITIONS if (step.state, step.event) == (state, event)]
    assert advance(state, event) == (listed[0] if listed else None)


def test_every_state_is_either_open_or_closed_and_an_intent_is_open() -> None:
    assert set(RowState) == OPEN | CLOSED
    assert not OPEN & CLOSED
    assert INTENTS < OPEN
    assert INITIAL <= OPEN


def test_every_state_and_every_event_is_in_use() -> None:
    assert reachable(INITIAL) == set(RowState)
    assert {step.event for step in TRANSITIONS} == set(Event)


@pytest.mark.parametrize("state", RowState)
def test_from_every_state_a_way_leads_to_a_closed_one(state: RowState) -> None:
    assert reachable(frozenset({state})) & CLOSED


def test_who_was_touched_closes_only_verified_or_written_off_by_two() -> None:
    """Not by `skipped` or `withdrawn`, unless the server was seen to have changed nothing."""
    touched = {S.CONVERTED, S.CLAIMED, S.RETURNING, S.RETURNED, S.CONFLICT, S.FAILED}
    for step in TRANSITIONS:
        if step.state in touched and step.to in CLOSED:
            assert step.to in {S.VERIFIED, S.WRITTEN_OFF}
        if step.to is S.WRITTEN_OFF:
            assert step.event is E.WRITE_OFF
        if step.state in INTENTS:
            assert step.to not in CLOSED
    back_to_start = {step.state for step in TRANSITIONS if step.to is S.PLANNED}
    assert back_to_start == {S.CONVERTING, S.SKIPPED, S.WITHDRAWN, S.VERIFIED}


def test_nobody_is_verified_but_from_returned_nor_returned_but_by_the_servers_word() -> None:
    assert {step.state for step in TRANSITIONS if step.to is S.VERIFIED} == {S.RETURNED}
    into_returned = {step.event for step in TRANSITIONS if step.to is S.RETURNED}
    assert into_returned == {E.RETURN_DONE, E.FOUND_RETURNED}


def test_a_binding_is_restored_only_from_an_intent() -> None:
    assert {step.to for step in TRANSITIONS if step.event is E.RETURN} == {S.RETURNING}
    assert {step.to for step in TRANSITIONS if step.event is E.CONVERT} == {S.CONVERTING}
    assert {step.to for step in TRANSITIONS if step.event is E.CLAIM} == {S.CLAIMING}


def test_every_transition_says_why() -> None:
    assert [step for step in TRANSITIONS if not step.why.strip()] == []


def test_what_is_given_up_stays_given_up() -> None:
    assert [step for step in TRANSITIONS if step.state is S.WRITTEN_OFF] == []


def test_the_diagram_has_every_transition_and_where_rows_begin_and_end() -> None:
    drawn = diagram().splitlines()
    assert drawn[0] == "stateDiagram-v2"
    for step in TRANSITIONS:
        line = f"    {step.state.value} --> {step.to.value}: {step.event.value}"
        assert line in drawn
    begins = {line.split("--> ")[1].split(":")[0] for line in drawn if "[*] -->" in line}
    ends = {line.split(" -->")[0].strip() for line in drawn if line.endswith("--> [*]")}
    assert begins == {state.value for state in INITIAL}
    assert ends == {state.value for state in CLOSED}
    assert "    class claiming,converting,returning intent" in drawn
