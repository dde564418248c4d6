from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from idp_proxy.audit.log import AuditLog, rows
from idp_proxy.decision.switching import Departure, Left, Mode
from idp_proxy.errors import StoreConflict, StoreError, SwitchRefused
from idp_proxy.store import schema
from idp_proxy.store.memory import MemoryStore
from idp_proxy.store.sql import SqlStore
from idp_proxy.switch import Switchboard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from idp_proxy.audit.chain import Row
    from idp_proxy.decision.switching import SwitchState

NOW = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
Stores = MemoryStore | SqlStore


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    if request.param == "memory":
        yield MemoryStore("sso1")
        return
    url = f"sqlite:///{tmp_path}/idp-proxy.db"
    schema.migrate(url)
    sql = SqlStore(url, AuditLog("sso1"))
    yield sql
    sql.close()


def audit(store: Stores) -> list[Row]:
    if isinstance(store, MemoryStore):
        return list(store.audit_rows())
    with store.reading() as connection:
        return list(rows(connection))


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


USABLE: dict[str, str | None] = {"okta": None, "entra": None, "old": "its metadata has expired"}


def board(
    store: Stores,
    usable: Callable[[datetime], Mapping[str, str | None]] = lambda _now: USABLE,
) -> Switchboard:
    return Switchboard(store, usable, Clock())


def test_a_new_store_gets_the_first_state_once(store: Stores) -> None:
    first = board(store).current()
    assert (first.epoch, first.serving, first.mode) == (1, "okta", Mode.AUTO)
    assert store.switch_state() == first
    assert board(store).current() == first


def test_a_switch_is_committed_with_its_audit_row(store: Stores) -> None:
    state = board(store).to("entra", " okta is down ", "host:eve")
    assert store.switch_state() == state
    assert (state.epoch, state.serving, state.mode) == (2, "entra", Mode.HELD)
    assert state.left == {"okta": Left(state.since, Departure.PLANNED)}
    (row,) = audit(store)
    assert row.kind == "switch"
    written = json.loads(row.body)
    assert written["actor"] == "host:eve"
    assert written["facts"] == {
        "epoch": 2,
        "from": "okta",
        "to": "entra",
        "cause": "okta is down",
    }


def test_disabling_and_enabling_are_on_record_too(store: Stores) -> None:
    switch = board(store)
    assert switch.disable("okta", "stolen key", "host:eve").disabled == {"okta"}
    assert switch.enable("okta", "new key", "host:bob").disabled == frozenset()
    kinds = [row.kind for row in audit(store)]
    assert kinds == ["upstream_disabled", "upstream_enabled"]
    facts = [json.loads(row.body)["facts"] for row in audit(store)]
    assert [fact["upstream"] for fact in facts] == ["okta", "okta"]
    assert [fact["epoch"] for fact in facts] == [2, 3]
    assert [fact["cause"] for fact in facts] == ["stolen key", "new key"]


@pytest.mark.parametrize(
    ("act", "name", "message"),
    [
        ("to", "okta", "okta is serving already"),
        ("to", "nobody", "no upstream is called nobody; there are okta, entra, old"),
        ("to", "old", "old cannot serve: its metadata has expired"),
        ("disable", "nobody", "no upstream is called nobody"),
        ("enable", "entra", "entra is not disabled"),
    ],
)
def test_a_refusal_says_why_and_changes_nothing(
    store: Stores, act: str, name: str, message: str
) -> None:
    switch = board(store)
    before = switch.current()
    with pytest.raises(SwitchRefused) as caught:
        getattr(switch, act)(name, "because", "host:eve")
    assert caught.value.detail.startswith(message)
    assert store.switch_state() == before
    assert audit(store) == []


@pytest.mark.parametrize("act", ["to", "disable", "enable"])
@pytest.mark.parametrize("reason", ["", "   ", "a\nb", "a\x1b[31m", "x" * 501])
def test_nothing_happens_without_a_reason_of_one_line(store: Stores, act: str, reason: str) -> None:
    with pytest.raises(SwitchRefused, match="reason"):
        getattr(board(store), act)("entra", reason, "host:eve")
    assert store.switch_state() is None
    assert audit(store) == []


def test_of_two_operators_at_once_one_wins_and_the_other_is_told(store: Stores) -> None:
    board(store).current()

    def while_deciding(_now: datetime) -> Mapping[str, str | None]:
        if not audit(store):
            board(store).to("entra", "first", "host:first")
        return USABLE

    late = board(store, while_deciding)
    with pytest.raises(StoreConflict):
        late.to("entra", "second", "host:second")
    state = store.switch_state()
    assert state is not None
    assert (state.epoch, state.actor) == (2, "host:first")
    assert [json.loads(row.body)["actor"] for row in audit(store)] == ["host:first"]


def test_of_two_hosts_that_start_at_once_one_writes_the_first_state(store: Stores) -> None:
    def while_starting(_now: datetime) -> Mapping[str, str | None]:
        if store.switch_state() is None:
            board(store).current()
        return USABLE

    late = board(store, while_starting).current()
    assert store.switch_state() == late
    assert late.epoch == 1


def test_a_switch_whose_audit_row_cannot_be_written_does_not_happen(store: Stores) -> None:
    before = board(store).current()
    with pytest.raises((StoreError, ValueError)):
        board(store).to("entra", "because", "host:\ud800")
    assert store.switch_state() == before
    assert audit(store) == []


def test_there_and_back_is_two_epochs_and_two_rows(store: Stores) -> None:
    switch = board(store)
    states: list[SwitchState] = [
        switch.to("entra", "exercise", "host:eve"),
        switch.to("okta", "exercise over", "host:eve"),
    ]
    assert [state.epoch for state in states] == [2, 3]
    assert set(states[1].left) == {"entra"}
    assert len(audit(store)) == 2
