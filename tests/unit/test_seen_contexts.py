"""Context classes are counted at no cost to a login, and no upstream fills the table with them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from idp_proxy.errors import StoreError
from idp_proxy.seen_contexts import ContextMeter
from idp_proxy.store.memory import MemoryStore
from idp_proxy.store.seen_base import MOST_CLASSES, OTHER, SeenContext, placed

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = datetime(2026, 9, 1, 8, 0, tzinfo=UTC)


def test_counts_add_up_and_the_last_time_stays() -> None:
    meter, store = ContextMeter(), MemoryStore("host")
    meter.tell(store)
    assert store.contexts() == ()
    for second in range(3):
        meter.seen("okta", "urn:a", "mfa", NOW + timedelta(seconds=second))
    meter.seen("okta", "urn:a", "password", NOW)
    meter.tell(store)
    meter.tell(store)
    meter.seen("okta", "urn:a", "mfa", NOW + timedelta(seconds=9))
    meter.tell(store)
    assert store.contexts() == (
        SeenContext("okta", "urn:a", "mfa", 4, NOW + timedelta(seconds=9)),
        SeenContext("okta", "urn:a", "password", 1, NOW),
    )


def test_what_the_store_does_not_take_is_counted_on() -> None:
    class Away(MemoryStore):
        def add_contexts(self, seen: Sequence[SeenContext]) -> None:
            raise StoreError(f"away: {len(seen)} not taken")

    meter, store = ContextMeter(), MemoryStore("host")
    meter.seen("okta", "urn:a", "", NOW)
    with pytest.raises(StoreError):
        meter.tell(Away("host"))
    meter.tell(store)
    assert store.contexts() == (SeenContext("okta", "urn:a", "", 1, NOW),)


def test_an_upstream_with_a_thousand_classes_fills_neither_memory_nor_table() -> None:
    meter, store = ContextMeter(), MemoryStore("host")
    for number in range(1000):
        meter.seen("okta", f"urn:{number}", "", NOW)
        if number % 100 == 0:
            meter.tell(store)
    meter.seen("entra", "urn:a", "", NOW)
    meter.tell(store)
    kept = store.contexts()
    assert len(kept) <= 1 + MOST_CLASSES + 1
    assert sum(one.count for one in kept if one.upstream == "okta") == 1000
    assert any(one.context == OTHER for one in kept)
    assert any(one.upstream == "entra" and one.context == "urn:a" for one in kept)


def test_a_class_too_long_for_an_index_is_counted_as_one_of_the_rest() -> None:
    long = [SeenContext("okta", "u" * 256 + end, "", 2, NOW) for end in "ab"]
    assert placed(long, set()) == (SeenContext("okta", OTHER, "", 4, NOW),)
