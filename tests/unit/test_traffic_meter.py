from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from idp_proxy.decision.traffic import TrafficCount
from idp_proxy.errors import StoreError
from idp_proxy.traffic import TrafficMeter

if TYPE_CHECKING:
    from collections.abc import Iterable

NOW = datetime(2026, 3, 1, 2, 30, 17, tzinfo=UTC)
MINUTE = NOW.replace(second=0)


class Ledger:
    """What a store was told; `away` says that it takes nothing."""

    def __init__(self) -> None:
        self.told: list[TrafficCount] = []
        self.away = False

    def add_traffic(self, host_name: str, counts: Iterable[TrafficCount]) -> None:
        if self.away:
            raise StoreError("away")
        assert host_name == "proxy-1"
        self.told += counts


def tell(meter: TrafficMeter, store: Ledger) -> None:
    meter.tell(store, "proxy-1")  # type: ignore[arg-type] # of a store it is told, no more


def test_a_login_counts_in_the_minute_in_which_it_began_wherever_its_answer_comes() -> None:
    meter, store = TrafficMeter(), Ledger()
    meter.begun("okta", NOW)
    meter.begun("okta", NOW + timedelta(seconds=50))
    meter.answered("okta", NOW)
    tell(meter, store)
    later = MINUTE + timedelta(minutes=1)
    assert store.told == [TrafficCount("okta", MINUTE, 1, 1), TrafficCount("okta", later, 1, 0)]


def test_what_was_told_is_not_told_again() -> None:
    meter, store = TrafficMeter(), Ledger()
    meter.begun("okta", NOW)
    tell(meter, store)
    tell(meter, store)
    meter.answered("okta", NOW)
    tell(meter, store)
    assert store.told == [TrafficCount("okta", MINUTE, 1, 0), TrafficCount("okta", MINUTE, 0, 1)]


def test_while_the_store_is_away_nothing_is_lost() -> None:
    meter, store = TrafficMeter(), Ledger()
    meter.begun("okta", NOW)
    store.away = True
    with pytest.raises(StoreError):
        tell(meter, store)
    meter.begun("okta", NOW)
    store.away = False
    tell(meter, store)
    assert store.told == [TrafficCount("okta", MINUTE, 2, 0)]


def test_a_meter_that_counted_nothing_asks_the_store_for_nothing() -> None:
    store = Ledger()
    store.away = True
    tell(TrafficMeter(), store)
    assert store.told == []


def test_a_store_that_is_away_for_long_lets_no_worker_grow() -> None:
    meter, store = TrafficMeter(), Ledger()
    store.away = True
    for hour in range(60):
        meter.begun("okta", NOW + timedelta(hours=hour))
        meter.answered("okta", NOW + timedelta(hours=hour))
        with pytest.raises(StoreError):
            tell(meter, store)
    store.away = False
    tell(meter, store)
    assert len(store.told) == 25
