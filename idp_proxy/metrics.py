"""`/metrics` for Prometheus, on a listener of its own that is never the public one (OPS-03).

What is told is read from the store when somebody asks, so that nothing runs in between. Labels are
names out of the configuration: no person, no address, nothing that an upstream could choose.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from idp_proxy.decision.health import Verdict
from idp_proxy.decision.notices import EVENTS, Kind
from idp_proxy.decision.switching import Mode
from idp_proxy.errors import StoreError
from idp_proxy.survey import survey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime
    from typing import Protocol

    from prometheus_client.metrics_core import Metric

    from idp_proxy.decision.assurance import AssurancePolicy
    from idp_proxy.decision.roster import Forecast
    from idp_proxy.store.people import ImportRun
    from idp_proxy.store.seen_base import SeenContext
    from idp_proxy.survey import Standards, Survey, WatchedStore

    class MeasuredStore(WatchedStore, Protocol):
        """The store, as far as anything is told of it."""

        def contexts(self) -> tuple[SeenContext, ...]:
            """See `store.seen_base.SeenContexts`."""

        def forecast(self) -> Forecast | None:
            """See `store.people.RosterStore`."""

        def import_runs(self) -> tuple[ImportRun, ...]:
            """See `store.people.RosterStore`."""


_PREFIX = "idp_proxy_"
_Key = TypeVar("_Key", bound="tuple[str, ...]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where the numbers are from. `certificates`: the name of each of our own, and its end;
    `upstream_ends`, by upstream and what of it, when that ends; `alarms` the matters that people
    were told of and that stand, and how many of the last day no channel took; `spooled` how many
    audit rows wait on this host.
    """

    store: MeasuredStore
    standards: Standards
    assurance: AssurancePolicy
    certificates: Mapping[str, datetime]
    upstream_ends: Callable[[datetime], Mapping[tuple[str, str], datetime]]
    alarms: Callable[[], tuple[Mapping[str, Kind], int]]
    spooled: Callable[[], int]
    now: Callable[[], datetime]


class ProxyCollector(Collector):
    """Reads everything anew for each scrape. A store that is away is a number, not an error."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def describe(self) -> list[Metric]:
        """Nothing: to register it, the store need not be asked."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every metric, as far as the store can be read."""
        up = GaugeMetricFamily(f"{_PREFIX}store_up", "Whether the store can be read from here.")
        found: list[Metric] = []
        try:
            found += self._of_store()
        except StoreError:
            found, reached = [], 0
        else:
            reached = 1
        up.add_metric([], reached)
        yield up
        yield from found
        yield from self._of_host()

    def _of_store(self) -> Iterator[Metric]:
        store = self._sources.store
        state = store.switch_state()
        if state is not None:
            yield from _of_switch(survey(store, state, self._sources.standards, store.clock()))
        yield from self._of_logins(store.contexts())
        heard = {(one.host,): one.at.timestamp() for one in store.reports()}
        yield _gauge("host_heard_timestamp_seconds", "Its watch's last look.", ("host",), heard)
        if (forecast := store.forecast()) is not None:
            yield from _of_forecast(forecast)
        whole = {
            (run.source,): run.completed_at.timestamp()
            for run in store.import_runs()
            if run.completed_at is not None
        }
        yield _gauge("import_timestamp_seconds", "The last whole one.", ("source",), whole)
        yield from self._of_alarms()

    def _of_alarms(self) -> Iterator[Metric]:
        """Every kind that can stand, so that one which never stood is a number too."""
        told, untold = self._sources.alarms()
        standing = Counter(told.values())
        counts = {(kind.value,): float(standing[kind]) for kind in Kind if kind not in EVENTS}
        yield _gauge("open_alarms", "Matters that stand, and were told.", ("kind",), counts)
        lost = {(): float(untold)}
        yield _gauge("untold_alarms", "Of the last day, which no channel took.", (), lost)

    def _of_logins(self, seen: Sequence[SeenContext]) -> Iterator[Metric]:
        policy, counts, below = self._sources.assurance, Counter[tuple[str, str]](), Counter[str]()
        for one in seen:
            counts[one.upstream, one.level] += one.count
            if policy.levels and not (one.level in policy.levels and policy.reaches(one.level)):
                below[one.upstream] += one.count
        yield _counter(
            "authentications", "Answers of an upstream, by level.", ("upstream", "level"), counts
        )
        yield _counter(
            "authentications_below_floor",
            "Answers below the floor (FO-04): refused where it holds, else let in.",
            ("upstream",),
            {(name,): count for name, count in below.items()},
        )

    def _of_host(self) -> Iterator[Metric]:
        now = self._sources.now()
        left = {
            (name,): (ends - now) / timedelta(days=1)
            for name, ends in self._sources.certificates.items()
        }
        yield _gauge("certificate_days_left", "Of our own.", ("certificate",), left)
        ends = self._sources.upstream_ends(now)
        yield _gauge(
            "upstream_days_left",
            "Of an upstream's metadata, and of each certificate that it signs with.",
            ("upstream", "what"),
            {key: (at - now) / timedelta(days=1) for key, at in ends.items()},
        )
        try:
            waiting = {(): float(self._sources.spooled())}
        except StoreError:
            return
        yield _gauge("spooled_audit_rows", "Wait on this host for the store.", (), waiting)


def _of_switch(seen: Survey) -> Iterator[Metric]:
    state, names = seen.state, [name for name, _ in seen.situation.candidates.items()]
    serving = {(name,): float(name == state.serving) for name in names}
    yield _gauge("serving", "1 where logins go.", ("upstream",), serving)
    yield _gauge("epoch", "Number of the switch state.", (), {(): float(state.epoch)})
    modes = {(mode.value,): float(mode is state.mode) for mode in Mode}
    yield _gauge("mode", "1 for the mode of the switch.", ("mode",), modes)
    verdicts = {
        (name, verdict.value): float(health.verdict is verdict)
        for name in names
        if (health := seen.situation.health(name)) is not None
        for verdict in Verdict
    }
    yield _gauge("verdict", "1 for what the fleet sees.", ("upstream", "verdict"), verdicts)
    eligible = {(name,): float(not seen.why_ineligible(name)) for name in names}
    yield _gauge("eligible", "1 where an upstream may take over.", ("upstream",), eligible)
    canaries = {
        (one.upstream, one.name): float(one.track.verdict is Verdict.UP) for one in seen.canaries
    }
    yield _gauge("canary_up", "1 where it logs in.", ("upstream", "canary"), canaries)


def _of_forecast(forecast: Forecast) -> Iterator[Metric]:
    at = (forecast.upstream,)
    yield _gauge(
        "forecast_people", "In the roster then.", ("upstream",), {at: float(forecast.people)}
    )
    yield _gauge(
        "forecast_get_in", "Would get in there.", ("upstream",), {at: float(forecast.get_in)}
    )
    said = {at: forecast.at.timestamp()}
    yield _gauge("forecast_timestamp_seconds", "When it was made.", ("upstream",), said)


def _gauge(name: str, says: str, labels: tuple[str, ...], values: Mapping[_Key, float]) -> Metric:
    family = GaugeMetricFamily(f"{_PREFIX}{name}", says, labels=labels)
    for key, value in values.items():
        family.add_metric(list(key), value)
    return family


def _counter(name: str, says: str, labels: tuple[str, ...], values: Mapping[_Key, int]) -> Metric:
    family = CounterMetricFamily(f"{_PREFIX}{name}", says, labels=labels)
    for key, value in sorted(values.items()):
        family.add_metric(list(key), value)
    return family


def start(sources: Sources, host: str, port: int) -> Callable[[], None]:
    """Serve them in a thread of its own; what it gives stops that. Raises `OSError` where the
    address cannot be had.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ProxyCollector(sources))
    server, thread = start_http_server(port, host, registry)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop
