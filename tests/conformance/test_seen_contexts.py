"""Every store counts the context classes alike, for all workers together."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from idp_proxy.store.seen_base import MOST_CLASSES, OTHER, SeenContext

if TYPE_CHECKING:
    from idp_proxy.store.memory import MemoryStore
    from idp_proxy.store.sql import SqlStore

NOW = datetime(2026, 9, 1, 8, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)


def test_counts_of_all_workers_add_up(store: MemoryStore | SqlStore) -> None:
    store.add_contexts([SeenContext("okta", "urn:a", "mfa", 2, NOW)])
    store.add_contexts(
        [SeenContext("okta", "urn:a", "mfa", 3, LATER), SeenContext("entra", "urn:a", "", 1, NOW)]
    )
    assert store.contexts() == (
        SeenContext("entra", "urn:a", "", 1, NOW),
        SeenContext("okta", "urn:a", "mfa", 5, LATER),
    )


def test_one_upstream_fills_its_share_and_no_more(store: MemoryStore | SqlStore) -> None:
    many = [SeenContext("okta", f"urn:{n:03}", "", 1, NOW) for n in range(MOST_CLASSES + 9)]
    store.add_contexts(many)
    store.add_contexts(many)
    kept = store.contexts()
    assert len(kept) == MOST_CLASSES + 1
    assert kept[0] == SeenContext("okta", OTHER, "", 18, NOW)
