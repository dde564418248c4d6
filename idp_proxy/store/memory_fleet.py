"""What the hosts tell each other, in memory: `store.base.FleetStore` for tests, and for a drill."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from idp_proxy.decision.health import Canary
from idp_proxy.decision.membership import why_name_is_taken
from idp_proxy.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from idp_proxy.decision.fleet import HostReport
    from idp_proxy.decision.traffic import TrafficCount
    from idp_proxy.store.base import Evidence


@dataclass(slots=True)
class _Told:
    """What is remembered of the hosts."""

    reports: dict[str, HostReport] = field(default_factory=dict)
    canaries: dict[tuple[str, str], Canary] = field(default_factory=dict)
    evidence: dict[tuple[Evidence, str], datetime] = field(default_factory=dict)
    traffic: dict[tuple[str, str, datetime], TrafficCount] = field(default_factory=dict)


class MemoryFleet:
    """`store.base.FleetStore`; `MemoryStore` is one. `now` is the clock that the hosts share."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._told = _Told()
        self._telling = threading.Lock()

    def clock(self) -> datetime:
        """See `store.base.FleetStore`."""
        return self._now()

    def publish(self, report: HostReport, *, begins: bool = False) -> None:
        """See `store.base.FleetStore`."""
        with self._telling:
            known, now = self._told.reports.get(report.host), self._now()
            if known is not None:
                why = why_name_is_taken(known, report, now, begins=begins)
                if why is not None:
                    raise StoreError(why)
            self._told.reports[report.host] = replace(report, at=now)

    def reports(self) -> tuple[HostReport, ...]:
        """See `store.base.FleetStore`."""
        with self._telling:
            return tuple(self._told.reports[name] for name in sorted(self._told.reports))

    def forget_host(self, name: str) -> bool:
        """See `store.base.FleetStore`."""
        with self._telling:
            return self._told.reports.pop(name, None) is not None

    def canaries(self) -> tuple[Canary, ...]:
        """See `store.base.FleetStore`."""
        with self._telling:
            return tuple(self._told.canaries[key] for key in sorted(self._told.canaries))

    def lease_canary(self, upstream: str, name: str, host_name: str, until: datetime) -> bool:
        """See `store.base.FleetStore`."""
        with self._telling:
            known = self._told.canaries.get((upstream, name), Canary(upstream, name))
            if known.lease_until is not None and known.lease_until > self._now():
                return False
            leased = replace(known, lease_host=host_name, lease_until=until)
            self._told.canaries[upstream, name] = leased
            return True

    def save_canary(self, done: Canary) -> bool:
        """See `store.base.FleetStore`."""
        with self._telling:
            known = self._told.canaries.get((done.upstream, done.name))
            if known is None or known.lease_host != done.host:
                return False
            kept = replace(done, lease_host=None, lease_until=None)
            self._told.canaries[done.upstream, done.name] = kept
            return True

    def forget_canaries(self, configured: Iterable[tuple[str, str]]) -> int:
        """See `store.base.FleetStore`."""
        with self._telling:
            gone = self._told.canaries.keys() - set(configured)
            for key in gone:
                del self._told.canaries[key]
            return len(gone)

    def note_evidence(self, kind: Evidence, upstream: str, at: datetime) -> None:
        """See `store.base.FleetStore`."""
        with self._telling:
            known = self._told.evidence.get((kind, upstream), at)
            self._told.evidence[kind, upstream] = max(known, at)

    def evidence(self, kind: Evidence) -> dict[str, datetime]:
        """See `store.base.FleetStore`."""
        with self._telling:
            found = self._told.evidence.items()
            return {upstream: at for (its_kind, upstream), at in found if its_kind is kind}

    def prune_evidence(self, before: datetime) -> int:
        """See `store.base.FleetStore`."""
        with self._telling:
            old = [key for key, at in self._told.evidence.items() if at < before]
            for key in old:
                del self._told.evidence[key]
            return len(old)

    def add_traffic(self, host_name: str, counts: Iterable[TrafficCount]) -> None:
        """See `store.base.FleetStore`."""
        with self._telling:
            for one in counts:
                key = (host_name, one.upstream, one.minute)
                known = self._told.traffic.get(key, replace(one, begun=0, answered=0))
                self._told.traffic[key] = _sum(known, one)

    def traffic(self, since: datetime) -> tuple[TrafficCount, ...]:
        """See `store.base.FleetStore`."""
        with self._telling:
            summed: dict[tuple[datetime, str], TrafficCount] = {}
            for one in self._told.traffic.values():
                if one.minute >= since:
                    known = summed.get((one.minute, one.upstream))
                    summed[one.minute, one.upstream] = _sum(known, one) if known else one
            return tuple(summed[key] for key in sorted(summed))

    def prune_traffic(self, before: datetime) -> int:
        """See `store.base.FleetStore`."""
        with self._telling:
            old = [key for key, one in self._told.traffic.items() if one.minute < before]
            for key in old:
                del self._told.traffic[key]
            return len(old)


def _sum(one: TrafficCount, other: TrafficCount) -> TrafficCount:
    return replace(one, begun=one.begun + other.begun, answered=one.answered + other.answered)
