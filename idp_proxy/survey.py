"""What the store knows of the whole fleet, read at one moment, and what follows from it.

The watch decides by it, `status` shows it, and an operator's switch is held against it: all three
see the same thing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from idp_proxy.decision.dissent import as_dissenter
from idp_proxy.decision.eligibility import Candidate, Situation, why_ineligible
from idp_proxy.decision.failover import decide
from idp_proxy.decision.fleet import barred_elsewhere, judge_fleet
from idp_proxy.decision.health import Canary
from idp_proxy.decision.membership import discords, why_outvoted
from idp_proxy.store.base import Evidence, proven

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime, timedelta
    from typing import Protocol

    from idp_proxy.decision.eligibility import FailoverLimits
    from idp_proxy.decision.failover import Decision
    from idp_proxy.decision.fleet import Health, HostReport
    from idp_proxy.decision.membership import Discord
    from idp_proxy.decision.switching import SwitchState
    from idp_proxy.store.base import FleetStore, Store

    class WatchedStore(Store, FleetStore, Protocol):
        """A store that both the logins and the hosts share."""

    class Sighted(Protocol):
        """The part of `FleetStore` that says what the hosts see."""

        def clock(self) -> datetime:
            """See `store.base.FleetStore`."""

        def reports(self) -> tuple[HostReport, ...]:
            """See `store.base.FleetStore`."""

        def canaries(self) -> tuple[Canary, ...]:
            """See `store.base.FleetStore`."""

    class SeenStore(Store, Sighted, Protocol):
        """A store that logins share, and that knows what the hosts see."""


@dataclass(frozen=True, slots=True)
class Standards:
    """By what a fleet is judged. `usable` has every configured upstream in order of preference,
    each with None or the reason why nobody could log in there at that time; `findings` has the
    review's findings that block an upstream; `canaries` the configured ones, as (upstream, name).
    `host` is the one that judges.
    """

    usable: Callable[[datetime], Mapping[str, str | None]]
    limits: FailoverLimits
    fresh: timedelta
    canaries: frozenset[tuple[str, str]]
    findings: Callable[[], Mapping[str, tuple[str, ...]]]
    host: str = ""


@dataclass(frozen=True, slots=True)
class Survey:
    """One look at everything. `at` is the store's clock."""

    at: datetime
    state: SwitchState
    situation: Situation
    decision: Decision
    reports: tuple[HostReport, ...]
    canaries: tuple[Canary, ...]
    discords: tuple[Discord, ...] = ()

    def why_ineligible(self, name: str) -> tuple[str, ...]:
        """Every reason why `name` may not take over now; empty if it may."""
        return why_ineligible(self.state, name, self.situation)


def survey(store: WatchedStore, state: SwitchState, standards: Standards, now: datetime) -> Survey:
    """What the hosts reported, judged at `now` by the store's clock. Raises `StoreError`."""
    reports, canaries = store.reports(), _configured_canaries(store, standards)
    usable = standards.usable(now)
    names = tuple(usable)
    fleet = judge_fleet(names, reports, canaries, standards.fresh, now)
    heard = [one for one in reports if one.host in fleet.seen]
    findings = _findings(standards, heard)
    situation = Situation(fleet, _candidates(store, usable, findings), standards.limits, now)
    decision = as_dissenter(decide(state, situation), why_outvoted(standards.host, heard))
    found = discords(reports, standards.fresh, now)
    return Survey(now, state, situation, decision, reports, canaries, found)


def health_of(store: Sighted, name: str, standards: Standards, now: datetime) -> Health:
    """What the fleet sees of one upstream, at `now` by the store's clock. Raises `StoreError`."""
    canaries = _configured_canaries(store, standards)
    return judge_fleet((name,), store.reports(), canaries, standards.fresh, now).health[name]


def _configured_canaries(store: Sighted, standards: Standards) -> tuple[Canary, ...]:
    """One that never ran has no row, and vouches for nobody: it must not look like none at all."""
    known = {(one.upstream, one.name): one for one in store.canaries()}
    return tuple(known.get(key, Canary(*key)) for key in sorted(standards.canaries))


def _findings(standards: Standards, heard: Iterable[HostReport]) -> dict[str, tuple[str, ...]]:
    """What bars each upstream: here, and at the hosts that were heard."""
    found = dict(standards.findings())
    for name, reasons in barred_elsewhere(heard, standards.host).items():
        found[name] = (*found.get(name, ()), *reasons)
    return found


def _candidates(
    store: WatchedStore,
    usable: Mapping[str, str | None],
    findings: Mapping[str, tuple[str, ...]],
) -> dict[str, Candidate]:
    logins, tests = proven(store), store.evidence(Evidence.FAILBACK_TEST)
    return {
        name: Candidate(
            why_unusable=why,
            proven_at=logins.get(name),
            failback_test_at=tests.get(name),
            findings=findings.get(name, ()),
        )
        for name, why in usable.items()
    }
