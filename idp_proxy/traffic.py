"""Counts the logins of one worker, and tells the store every few seconds (L3).

Counting costs a login no statement: whoever begins a thousand logins changes a few rows.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Final

from idp_proxy.decision.traffic import TrafficCount, TrafficLimits

if TYPE_CHECKING:
    from datetime import datetime

    from idp_proxy.store.base import FleetStore

#: Older counts are judged by nobody.
_KEPT: Final = TrafficLimits().baseline
#: How often a worker tells the store, in seconds.
TELL_EVERY_S: Final = 10.0


class TrafficMeter:
    """Implements `login.Meter`. What the store does not take is counted on, until it does; but what
    nobody will judge any more is let go, however long the store is away.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun: Counter[tuple[str, datetime]] = Counter()
        self._answered: Counter[tuple[str, datetime]] = Counter()

    def begun(self, upstream: str, at: datetime) -> None:
        """See `login.Meter`."""
        with self._lock:
            self._begun[upstream, _minute(at)] += 1

    def answered(self, upstream: str, begun_at: datetime) -> None:
        """See `login.Meter`."""
        with self._lock:
            self._answered[upstream, _minute(begun_at)] += 1

    def counts(self) -> tuple[TrafficCount, ...]:
        """What was counted since the store was told last, in order of time."""
        with self._lock:
            known = self._begun.keys() | self._answered.keys()
            return tuple(
                TrafficCount(name, minute, self._begun[name, minute], self._answered[name, minute])
                for name, minute in sorted(known, key=lambda one: (one[1], one[0]))
            )

    def tell(self, store: FleetStore, host: str) -> None:
        """Add the counts to the store's. Raises `StoreError`; nothing is lost then."""
        self._let_go()
        told = self.counts()
        if not told:
            return
        store.add_traffic(host, told)
        with self._lock:
            for one in told:
                key = one.upstream, one.minute
                self._begun[key] -= one.begun
                self._answered[key] -= one.answered
            self._begun, self._answered = +self._begun, +self._answered

    def _let_go(self) -> None:
        with self._lock:
            newest = max((minute for _, minute in self._begun), default=None)
            if newest is None:
                return
            for counted in (self._begun, self._answered):
                for key in [one for one in counted if one[1] < newest - _KEPT]:
                    del counted[key]


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)
