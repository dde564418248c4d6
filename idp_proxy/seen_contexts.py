"""Counts by which context classes people were authenticated, and tells the store now and then.

For the review and for metrics: a class that nobody mapped shows before an outage does. Counting
costs a login no statement. What a class is called is the upstream's word, so the classes kept for
one upstream are bounded, here and in the store (`store.seen_base`); the rest is counted as one.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

from idp_proxy.store.seen_base import MOST_CLASSES, OTHER, SeenContext

if TYPE_CHECKING:
    from datetime import datetime

    from idp_proxy.store.seen_base import SeenContexts


class ContextMeter:
    """Implements `login_record.Contexts`. What the store does not take is counted on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._last: dict[tuple[str, str, str], datetime] = {}

    def seen(self, upstream: str, context: str, level: str, at: datetime) -> None:
        """See `login_record.Contexts`."""
        with self._lock:
            key = (upstream, context, level)
            if key not in self._counts and self._is_full(upstream):
                key = (upstream, OTHER, level)
            self._counts[key] += 1
            self._last[key] = at

    def _is_full(self, upstream: str) -> bool:
        return sum(name == upstream for name, _, _ in self._counts) >= MOST_CLASSES

    def tell(self, store: SeenContexts) -> None:
        """Add the counts to the store's. Raises `StoreError`; nothing is lost then."""
        with self._lock:
            told = dict(self._counts)
            last = dict(self._last)
        if not told:
            return
        store.add_contexts(
            [SeenContext(*key, count, last[key]) for key, count in sorted(told.items())]
        )
        with self._lock:
            for key, count in told.items():
                self._counts[key] -= count
                if not self._counts[key]:
                    del self._counts[key], self._last[key]
