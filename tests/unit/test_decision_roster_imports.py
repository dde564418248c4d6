"""What a list of people does to the roster: `decision.roster.imports`, `looks` and `forecast`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from idp_proxy.decision.roster import (
    BELOW_FLOOR,
    BY_OPERATOR,
    NO_FACTOR,
    Casting,
    Comparison,
    Coverage,
    Effect,
    Forecast,
    Landed,
    Listed,
    Look,
    RosterPolicy,
    RosterRow,
    Run,
    Tally,
    fo_08_sync_age,
    land,
    looks,
    overdue,
    resolved,
    sources_that_count,
    unnamed,
    why_refused,
)

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
BEFORE = NOW - timedelta(days=3)
RUN = Run("csv", NOW)
MISSING = frozenset({"missing:csv"})
OTHERS = frozenset({BY_OPERATOR, "missing:ldap"})


def listed(person: str = "a", key: str | None = "1", **changes: Any) -> Listed:
    said = {"id": person, "email": f"{person}@example.org", "username": person}
    return Listed(person, key, said | changes.pop("said", {}), **changes)


def row(person: str = "a", key: str = "1", **changes: Any) -> RosterRow:
    said = {"id": person, "email": f"{person}@example.org", "username": person}
    fields: dict[str, Any] = {
        "link_key": key,
        "lookup_key": key,
        "email": said["email"],
        "username": person,
        "attributes": said,
        "source": "okta",
        "confirmed_at": BEFORE,
    }
    return RosterRow(person, **fields | changes)


def imported(person: str = "a", key: str = "1", **changes: Any) -> RosterRow:
    usual: dict[str, Any] = {"source": "import:csv", "confirmed_at": None, "imported_at": NOW}
    return row(person, key, **usual | changes)


OLD = imported(imported_at=BEFORE)
OTHER = row("b", "1")
NEW_NAME = listed(said={"username": "anna"})
NEW_NAME_ALONE = replace(NEW_NAME, link_key=None)
RENAMED = imported(username="anna", attributes=NEW_NAME.attributes)


@pytest.mark.parametrize(
    ("said", "known", "holder", "run", "moves", "effect", "rows"),
    [
        pytest.param(listed(), None, None, RUN, False, Effect.NEW, (imported(),), id="new"),
        pytest.param(
            listed(), row(), row(), RUN, False, Effect.CONFIRMED, (row(imported_at=NOW),),
            id="a login is confirmed",
        ),
        pytest.param(
            NEW_NAME, row(), row(), RUN, False, Effect.DIFFERS, (row(imported_at=NOW),),
            id="what a login said stays",
        ),
        pytest.param(
            NEW_NAME, row(), row(), replace(RUN, replaces=True), False, Effect.CHANGED,
            (replace(RENAMED, confirmed_at=BEFORE),), id="unless it is replaced",
        ),
        pytest.param(
            listed(key="2"), row(), None, RUN, False, Effect.DIFFERS, (row(),),
            id="another key confirms nobody",
        ),
        pytest.param(
            listed(key="2"), row(), None, replace(RUN, replaces=True), False, Effect.CHANGED,
            (imported(key="2"),), id="a login's word ends with its key",
        ),
        pytest.param(
            NEW_NAME, OLD, OLD, RUN, False, Effect.CHANGED, (RENAMED,), id="its own row",
        ),
        pytest.param(
            NEW_NAME, replace(OLD, source="import:ldap"), None, RUN, False, Effect.DIFFERS,
            (replace(OLD, source="import:ldap", imported_at=NOW),), id="another list's row stays",
        ),
        pytest.param(
            listed(), None, OTHER, RUN, False, Effect.CONFLICT,
            (replace(OTHER, conflict=True), imported(lookup_key=None, conflict=True)),
            id="a login holds the key",
        ),
        pytest.param(
            listed(), None, OTHER, RUN, True, Effect.CONFLICT,
            (replace(OTHER, conflict=True), imported(lookup_key=None, conflict=True)),
            id="and keeps it, whatever the list gives its holder",
        ),
        pytest.param(
            listed(), None, imported("b", "1"), RUN, True, Effect.NEW,
            (imported("b", "1", lookup_key=None), imported()), id="a key moves within the list",
        ),
        pytest.param(
            listed(), imported(conflict=True, imported_at=BEFORE), None, RUN, False,
            Effect.CONFLICT, (imported(conflict=True),), id="a conflict is no list's to end",
        ),
        pytest.param(
            listed(), row(blocks=MISSING), row(blocks=MISSING), RUN, False, Effect.CONFIRMED,
            (row(imported_at=NOW),), id="back in the list",
        ),
        pytest.param(
            listed(), row(blocks=MISSING | OTHERS), None, RUN, False,
            Effect.CONFIRMED, (row(blocks=OTHERS, imported_at=NOW),),
            id="others' blocks are others'",
        ),
        pytest.param(
            listed(deactivated=True), row(), row(), RUN, False, Effect.DEACTIVATED,
            (row(blocks=frozenset({"deactivated:csv"})),), id="deactivated",
        ),
        pytest.param(
            listed(deactivated=True), None, None, RUN, False, Effect.DEACTIVATED, (),
            id="deactivated, and nobody here",
        ),
        pytest.param(
            Listed("a", whole=False), row(blocks=MISSING), None, RUN, False, Effect.INCOMPLETE,
            (row(),), id="there, but nothing is known of them",
        ),
        pytest.param(
            Listed("a", whole=False), None, None, RUN, False, Effect.INCOMPLETE, (),
            id="nothing is known at all",
        ),
        pytest.param(
            listed(roles=frozenset({"system_admin"})), row(), row(), RUN, False,
            Effect.CONFIRMED, (row(imported_at=NOW, roles=frozenset({"system_admin"})),),
            id="a role is learned",
        ),
        pytest.param(
            listed(key=None, said={"email": "A@example.org"}), row(), None, RUN, False,
            Effect.CONFIRMED, (row(imported_at=NOW),), id="a list without keys confirms by id",
        ),
        pytest.param(
            listed(key=None), None, None, RUN, False, Effect.WITHOUT_ROW, (),
            id="and makes nobody",
        ),
        pytest.param(
            NEW_NAME_ALONE, OLD, OLD, RUN, False, Effect.DIFFERS, (imported(),),
            id="and rewrites nobody",
        ),
        pytest.param(
            listed(roles=frozenset()), row(roles=frozenset({"system_admin"})), None, RUN, False,
            Effect.CONFIRMED, (row(imported_at=NOW),), id="and unlearned",
        ),
    ],
)  # fmt: skip
def test_what_a_list_makes_of_one_person(
    said: Listed,
    known: RosterRow | None,
    holder: RosterRow | None,
    run: Run,
    moves: bool,
    effect: Effect,
    rows: tuple[RosterRow, ...],
) -> None:
    assert land(said, known, holder, run, moves=moves) == Landed(rows, effect)


def test_whom_the_list_does_not_name_is_blocked_once_unless_they_just_logged_in() -> None:
    assert unnamed(row(), RUN) == row(blocks=MISSING)
    assert unnamed(row(blocks=MISSING), RUN) is None
    assert unnamed(row(), replace(RUN, partial=True)) is None
    assert unnamed(row(), replace(RUN, exhaustive=False)) is None
    assert unnamed(row(confirmed_at=NOW), RUN) is None
    assert unnamed(OLD, RUN) == replace(OLD, blocks=MISSING)


def tally(named: int, free: int, blocked: int) -> Tally:
    found = Tally(free=free, blocked=blocked, vouched=named)
    found.effects[Effect.CONFIRMED] = named
    return found


@pytest.mark.parametrize(
    ("counted", "overridden", "refused"),
    [
        (tally(95, 100, 5), False, None),
        (tally(94, 100, 6), False, "6 of 100 people; 5 are allowed"),
        (tally(94, 100, 6), True, None),
        (tally(3, 4, 1), False, None),
        (tally(0, 100, 100), True, "an empty list never blocks"),
        (tally(0, 0, 0), True, "an empty list never blocks"),
        (tally(7, 100, 100), True, "everybody"),
        (tally(7, 0, 0), False, None),
    ],
)
def test_no_list_blocks_people_in_a_hurry(
    counted: Tally, overridden: bool, refused: str | None
) -> None:
    why = why_refused(counted, RUN, 5, overridden=overridden)
    assert why is None if refused is None else refused in (why or "")


def test_who_is_blocked_and_unblocked_is_counted() -> None:
    found = Tally()
    found.count(row(), Landed((row(blocks=MISSING),), Effect.DEACTIVATED), RUN)
    found.count(row(blocks=MISSING), Landed((row(imported_at=NOW),), Effect.CONFIRMED), RUN)
    found.count(None, Landed((), Effect.INCOMPLETE), RUN)
    assert (found.blocked, found.unblocked, found.named, found.vouched) == (1, 1, 3, 1)


@pytest.mark.parametrize(
    ("run", "refused"),
    [
        (RUN, True),
        (replace(RUN, partial=True), False),
        (replace(RUN, exhaustive=False), False),
    ],
    ids=["everybody", "a part", "never everybody"],
)
def test_a_list_that_confirms_nobody_does_not_pass_for_a_fresh_one(
    run: Run, *, refused: bool
) -> None:
    found = Tally(free=2)
    found.count(row(), Landed((row(),), Effect.INCOMPLETE), run)
    found.count(row("b", "2"), Landed((row("b", "2"),), Effect.DIFFERS), run)
    why = why_refused(found, run, 5, overridden=True)
    assert ("confirms nobody" in (why or "")) is refused


def test_what_is_imported_by_hand_counts_only_where_no_timer_imports() -> None:
    assert sources_that_count((), ["ldap", "csv"]) == ("csv", "ldap")
    assert sources_that_count(("ldap",), ["csv"]) == ("ldap",)


def test_coverage_is_who_is_confirmed_by_what() -> None:
    coverage = Coverage(RosterPolicy(), NOW)
    old = NOW - timedelta(days=100)
    for one in (
        row(),
        imported(),
        row(imported_at=NOW),
        row(confirmed_at=old, imported_at=old),
        row(blocks=MISSING),
    ):
        coverage.add(one)
    assert (coverage.people, coverage.by_login, coverage.by_list) == (5, 2, 2)
    assert (coverage.by_nothing, coverage.blocked) == (1, 1)


@pytest.mark.parametrize(
    ("completed", "said"),
    [
        (None, "never complete"),
        (NOW - timedelta(days=8), "8 days old, allowed 7"),
        (NOW - timedelta(days=7), None),
    ],
)
def test_an_import_that_is_old_is_told(completed: datetime | None, said: str | None) -> None:
    found = fo_08_sync_age("ldap", completed, timedelta(days=7), NOW)
    assert found is None if said is None else said in (found or "")


@pytest.mark.parametrize(
    ("completed", "said"),
    [
        ({}, None),
        ({"csv": NOW - timedelta(days=2)}, None),
        ({"csv": NOW, "ldap": None}, "the list ldap was never imported whole"),
        (
            {"csv": NOW - timedelta(days=3), "ldap": None},
            (
                "the list csv was last imported whole 3 days ago; "
                "the list ldap was never imported whole"
            ),
        ),
    ],
)
def test_a_timer_that_did_not_import_is_told_by_its_list(
    completed: dict[str, datetime | None], said: str | None
) -> None:
    assert overdue(completed, NOW) == said


def test_an_operator_says_whose_a_key_is() -> None:
    loser = row("b", "1", conflict=True)
    owner = row("a", "1", lookup_key=None, conflict=True)
    assert resolved(owner, [loser, owner]) == (
        replace(loser, lookup_key=None, conflict=False),
        row("a", "1"),
    )


def odd_among(*rows: RosterRow) -> list[tuple[Look, tuple[str, ...]]]:
    comparison = Comparison(frozenset({"id", "email", "username"}))
    for one in rows:
        comparison.first(one)
    for one in rows:
        comparison.second(one)
    return [(one.look, one.people) for one in comparison.odd()]


@pytest.mark.parametrize(
    ("rows", "odd"),
    [
        ((row("a", "1"), row("b", "2")), []),
        ((row("e-1", "x"), row("E-1", "y", username="z")), [
            (Look.SAME_EMAIL, ("e-1", "E-1")), (Look.SAME_ID, ("e-1", "E-1")),
        ]),
        ((row("a", "x"), row("b", "y", email="A@Example.org")), [(Look.SAME_EMAIL, ("a", "b"))]),
        ((row("a", "x"), row("b", "y", username="A")), [(Look.SAME_USERNAME, ("a", "b"))]),
        ((row("a", "paul"), row("b", "p\u0430ul")), [(Look.LOOK_ALIKE, ("a", "b"))]),
        ((row("a", "10"), row("b", "lO")), [(Look.LOOK_ALIKE, ("a", "b"))]),
        ((row("a", "anna"), row("b", "anna\u0301")), [(Look.LOOK_ALIKE, ("a", "b"))]),
        ((row("a", "paul"), row("b", "p\u0430ul", blocks=MISSING)), []),
        ((row("a", "1", conflict=True),), [(Look.CONFLICT, ("a",))]),
        ((row("a", "1", lookup_key=None),), [(Look.NO_KEY, ("a",))]),
        ((row("a", "1", attributes={"id": "a"}),), [(Look.LACKS, ("a",))]),
    ],
    ids=[
        "nothing", "ids by case", "one address", "one name", "Cyrillic", "figures", "an accent",
        "blocked", "conflict", "no key", "lacks",
    ],
)  # fmt: skip
def test_what_is_odd_is_found(
    rows: tuple[RosterRow, ...], odd: list[tuple[Look, tuple[str, ...]]]
) -> None:
    assert odd_among(*rows) == odd


def test_two_that_only_share_a_number_of_the_first_walk_are_not_odd(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(looks, "hash", lambda _: 0, raising=False)
    assert odd_among(row("a", "1"), row("b", "2")) == []


def test_a_forecast_counts_everybody_by_what_keeps_them_out() -> None:
    casting = Casting("entra", RosterPolicy(), NOW, enrolled=frozenset({"a"}))
    found = [
        casting.add(one)
        for one in (
            row("a"),
            row("b"),
            row("c", blocks=MISSING),
            row("d", lookup_key=None),
            row("e", confirmed_at=None),
        )
    ]
    expected = [None, NO_FACTOR, "person_blocked", "person_unknown", "person_unconfirmed"]
    assert found == expected
    assert casting.forecast() == Forecast(
        NOW, "entra", 5, 1, dict.fromkeys((one for one in expected if one), 1)
    )
    below = Casting("entra", RosterPolicy(), NOW, below_floor=True)
    assert below.add(row("a")) == BELOW_FLOOR
    without = Casting("entra", RosterPolicy(), NOW)
    assert without.add(row("b")) is None
