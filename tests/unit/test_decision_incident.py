"""What an outage was, out of rows of the audit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from idp_proxy.decision.incident import Happened, Logins, Stretch, incident

BEGIN = datetime(2026, 12, 1, 2, 0, tzinfo=UTC)
END = BEGIN + timedelta(hours=2)


def at(minutes: float) -> datetime:
    return BEGIN + timedelta(minutes=minutes)


def row(minutes: float, kind: str, person: str | None = None, **facts: Any) -> Happened:
    actor = facts.pop("actor", "idp-proxy" if person or kind.startswith("login") else "ann")
    return Happened(at(minutes), kind, actor, person, facts)


def move(minutes: float, came: str, went: str, kind: str = "switch") -> Happened:
    return row(minutes, kind, actor="watch", cause="down", **{"from": came, "to": went})


def test_who_served_when_and_why() -> None:
    rows = [
        move(70, "standby", "active", "failback"),
        move(-30, "standby", "active"),
        move(10, "active", "standby"),
        move(20, "standby", "standby", "hold"),
        move(150, "active", "third"),
    ]
    found = incident(rows, BEGIN, END, "third")
    assert found.stretches == (
        Stretch("active", BEGIN, at(10)),
        Stretch("standby", at(10), at(70), "down", "watch"),
        Stretch("active", at(70), END, "down", "watch"),
    )
    assert [one.kind for one in found.events] == ["switch", "hold", "failback"]


def test_who_served_at_the_begin_is_known_from_what_is_nearest() -> None:
    def first(*rows: Happened) -> str:
        return incident(rows, BEGIN, END, "now").stretches[0].upstream

    assert first() == "now"
    assert first(move(200, "later", "now")) == "later"
    assert first(move(-1, "a", "before"), move(200, "later", "now")) == "before"


def test_moves_of_one_moment_follow_their_epochs() -> None:
    rows = [
        row(5, "switch", actor="b", epoch=3, **{"from": "standby", "to": "active"}),
        row(5, "switch", actor="a", epoch=2, **{"from": "active", "to": "standby"}),
    ]
    found = incident(rows, BEGIN, END, "x")
    assert [one.upstream for one in found.stretches] == ["active", "standby", "active"]


def test_logins_are_counted_and_nobody_is_named() -> None:
    rows = [
        row(1, "login", "p1", upstream="active"),
        row(2, "login", "p1", upstream="active"),
        row(3, "login", "p2", upstream="active"),
        row(3, "login", None, upstream="active"),
        row(4, "login", "p2", upstream="standby"),
        row(5, "login_refused", upstream="standby", reason="person_unknown"),
        row(6, "login_refused", "p3", upstream="standby", reason="person_blocked"),
        row(7, "login_refused", upstream="standby", reason="person_unknown"),
        row(8, "login_refused", upstream="standby", reason=None),
        row(9, "factor_refused", "p1", why="wrong"),
        row(10, "person_admitted", "p3", actor="operator:ann", cause="known by sight"),
        row(-1, "login", "p9", upstream="active"),
        row(120, "login", "p9", upstream="active"),
    ]
    found = incident(rows, BEGIN, END, "active")
    assert found.logins == (
        Logins("active", 4, 2, {}),
        Logins("standby", 1, 1, {"person_unknown": 2, "person_blocked": 1, "unknown": 1}),
    )
    assert found.counted == {"factor_refused": 1}
    assert [one.kind for one in found.events] == ["person_admitted"]


_NAMES = st.sampled_from(["a", "b", "c"])
_KINDS = st.sampled_from(["login", "hold", "factor_used"])
_MINUTES = st.integers(-60, 200)
_ROWS = st.lists(
    st.builds(move, _MINUTES, _NAMES, _NAMES) | st.builds(row, _MINUTES, _KINDS, _NAMES)
)


@given(_ROWS, st.randoms(use_true_random=False))
def test_the_period_is_covered_without_gap_in_whatever_order_rows_come(
    rows: list[Happened], chance: Any
) -> None:
    found = incident(rows, BEGIN, END, "a")
    edges = [(one.begin, one.end) for one in found.stretches]
    assert (edges[0][0], edges[-1][1]) == (BEGIN, END)
    assert all(left[1] == right[0] for left, right in pairwise(edges))
    assert all(begin <= end for begin, end in edges)
    inside = [one for one in rows if BEGIN <= one.at < END]
    told = sum(one.let_in for one in found.logins) + sum(found.counted.values())
    assert told + len(found.events) == len(inside)
    shuffled = list(rows)
    chance.shuffle(shuffled)
    assert incident(shuffled, BEGIN, END, "a").logins == found.logins
