"""The switch state as a worker sees it: a second old at most, and the last one known in need."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

import pytest

from idp_proxy.decision.absence import Told
from idp_proxy.decision.switching import SwitchState, first_state
from idp_proxy.errors import StoreError
from idp_proxy.store.switch_view import SwitchView

if TYPE_CHECKING:
    from idp_proxy.store.base import Store

FIRST = first_state(["okta", "entra"], datetime(2026, 3, 1, tzinfo=UTC))
SECOND = replace(FIRST, epoch=2, serving="entra")


@dataclass(slots=True)
class Kept:
    """A store as far as the view asks it."""

    state: SwitchState | None = FIRST
    away: bool = False
    asked: int = 0
    at: float = 100.0
    on_disk: SwitchState | None = None
    told_at: float = 100.0

    def switch_state(self) -> SwitchState | None:
        self.asked += 1
        if self.away:
            raise StoreError("away")
        return self.state

    def clock(self) -> float:
        return self.at

    def wall(self) -> datetime:
        return _wall(self.at)

    def kept(self) -> Told:
        if self.on_disk is None:
            raise StoreError("never told")
        return Told(self.on_disk, _wall(self.told_at))

    def view(self, *, outlives_store: bool = True) -> SwitchView:
        kept = self.kept if outlives_store else None
        return SwitchView(cast("Store", self), self.clock, self.wall, kept=kept)


def _wall(seconds: float) -> datetime:
    return datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=seconds)


def test_the_store_is_asked_once_a_second() -> None:
    kept = Kept()
    view = kept.view()
    for at in (100.0, 100.5, 100.999):
        kept.at = at
        assert view.state() is FIRST
    assert kept.asked == 1
    kept.state, kept.at = SECOND, 101.0
    assert view.state() is SECOND
    assert kept.asked == 2


def test_the_last_state_counts_for_as_long_as_the_store_is_away() -> None:
    kept = Kept()
    view = kept.view()
    view.state()
    kept.away = True
    for at in (101.0, 101.5, 5000.0):
        kept.at = at
        assert view.state() is FIRST
    assert kept.asked == 3
    kept.away, kept.state, kept.at = False, SECOND, 5001.0
    assert view.state() is SECOND


def test_where_the_store_is_this_hosts_own_file_nothing_counts_without_it() -> None:
    kept = Kept()
    view = kept.view(outlives_store=False)
    view.state()
    kept.away, kept.at = True, 101.0
    with pytest.raises(StoreError):
        view.state()


def test_who_starts_while_the_store_is_away_goes_by_what_the_host_kept_until_it_is_back() -> None:
    kept = Kept(away=True, on_disk=FIRST)
    view = kept.view()
    assert view.state() is FIRST
    kept.away, kept.state, kept.at = False, SECOND, 102.0
    assert view.state() is SECOND
    kept.away, kept.at = True, 103.0
    assert view.state() is SECOND


def test_a_worker_that_nobody_used_for_a_night_goes_by_what_the_host_was_told_meanwhile() -> None:
    kept = Kept()
    view = kept.view()
    assert view.state() is FIRST
    kept.away, kept.at = True, 50_000.0
    kept.on_disk, kept.told_at = SECOND, 49_990.0
    assert view.state() is SECOND
    kept.on_disk, kept.told_at, kept.at = FIRST, 49_980.0, 50_010.0
    assert view.state() is SECOND


def test_who_has_a_file_of_this_host_goes_by_nothing_that_was_kept() -> None:
    with pytest.raises(StoreError):
        Kept(away=True, on_disk=FIRST).view(outlives_store=False).state()


def test_who_never_saw_a_state_knows_none() -> None:
    with pytest.raises(StoreError, match="away; never told"):
        Kept(away=True).view().state()
    with pytest.raises(StoreError, match="serve"):
        Kept(state=None).view().state()


def test_many_threads_ask_once() -> None:
    kept, together = Kept(), threading.Barrier(8)
    view = kept.view()

    def ask() -> SwitchState:
        together.wait()
        return view.state()

    with ThreadPoolExecutor(8) as pool:
        states = [future.result() for future in [pool.submit(ask) for _ in range(8)]]
    assert states == [FIRST] * 8
    assert kept.asked == 1
