"""From settings to adapters: the store, the host's spool, the upstreams, and what switches them.

With `app` and `serve` the only place that names concrete adapters; the commands need no more.
"""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from functools import cache, partial
from typing import TYPE_CHECKING

from idp_proxy.audit.log import AuditLog
from idp_proxy.config.settings import DirectorySettings, SamlSettings
from idp_proxy.decision.membership import Membership
from idp_proxy.reviewing.standing import Standing
from idp_proxy.seal import KeyRing, fingerprints
from idp_proxy.store import kept_state
from idp_proxy.store.host_id import host_id
from idp_proxy.store.kept_state import KeptState
from idp_proxy.store.local import LocalSpool
from idp_proxy.store.sql import SqlStore
from idp_proxy.survey import Standards
from idp_proxy.switch import Switchboard
from idp_proxy.upstream.canary import Canary
from idp_proxy.upstream.canary_browser import BrowserDriver
from idp_proxy.upstream.canary_form import FormDriver
from idp_proxy.upstream.dialling import Dialler
from idp_proxy.upstream.reference import NeutralReference
from idp_proxy.upstream.saml import SamlUpstream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from idp_proxy.config.canaries import CanarySettings
    from idp_proxy.config.settings import Settings, UpstreamSettings
    from idp_proxy.store.base import Store
    from idp_proxy.upstream.canary import Driver
    from idp_proxy.upstream.configured import ConfiguredUpstream
    from idp_proxy.upstream.probing import CanaryLogin, Probe, ReferenceProbe


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


def new_id() -> str:
    """A fresh id: 22 characters, 128 bits."""
    return secrets.token_urlsafe(16)


def open_store(settings: Settings, *, may_be_away: bool = False) -> SqlStore:
    """The store as it is. Raises `StoreError`, also when `serve` never made it; a shared one that
    `may_be_away` does so only when something is asked of it.
    """
    audit = AuditLog(settings.proxy.host)
    return SqlStore(settings.store.url, audit, may_be_away=may_be_away)


def is_shared(settings: Settings) -> bool:
    """Whether the store is for several hosts, and may go away while this one goes on."""
    return not settings.store.url.startswith("sqlite")


def open_spool(settings: Settings, store: SqlStore) -> LocalSpool | None:
    """The host's spool; None where the store is this host's own file, which needs no second one."""
    if not is_shared(settings):
        return None
    return LocalSpool(
        settings.proxy.data_dir / "spool.db",
        settings.proxy.host,
        known_head=store.known_head,
        now=utc_now,
    )


def open_kept_state(settings: Settings, now: Callable[[], datetime] = utc_now) -> KeptState:
    """The state that this host starts by while a shared store is away."""
    return KeptState(
        settings.proxy.data_dir / "switch-state",
        KeyRing(settings.proxy.state_keys, kept_state.PURPOSE),
        kept_state.context_of(settings.proxy.host, settings.store.url),
        now,
    )


def open_upstreams(settings: Settings) -> dict[str, ConfiguredUpstream]:
    """The upstreams in order of preference, each with its last good metadata."""
    return {wanted.name: _open_upstream(wanted, settings) for wanted in settings.upstreams}


def _open_upstream(wanted: UpstreamSettings, settings: Settings) -> ConfiguredUpstream:
    """The one place where the kind of an upstream makes a difference."""
    if isinstance(wanted, SamlSettings):
        return SamlUpstream(wanted, settings)
    if isinstance(wanted, DirectorySettings):
        from idp_proxy.upstream.directory import (  # noqa: PLC0415 - slow; many have no directory
            DirectoryUpstream,
        )

        return DirectoryUpstream(wanted)
    raise TypeError(f"no adapter for {type(wanted).__name__}")


def open_probes(upstreams: Mapping[str, ConfiguredUpstream]) -> dict[str, Probe]:
    """L1 of each upstream, by name."""
    return {name: upstream.probe(new_id) for name, upstream in upstreams.items()}


def open_references(settings: Settings) -> dict[str, tuple[ReferenceProbe, ...]]:
    """The neutral addresses as each upstream's path reaches them, by the upstream's name."""
    return {
        wanted.name: tuple(
            NeutralReference(url, Dialler(wanted.outbound, beside_system=True))
            for url in settings.health.references
        )
        for wanted in settings.upstreams
    }


def open_standards(
    settings: Settings,
    upstreams: Mapping[str, ConfiguredUpstream],
    store: SqlStore | None = None,
) -> Standards:
    """By what the fleet is judged: by the watch, by `status`, and before an operator's switch. With
    a store also by the findings of the review, its waivers, and what was signed.
    """
    findings: Callable[[], Mapping[str, tuple[str, ...]]] = dict
    if store is not None:
        findings = Standing(settings, upstreams, store, utc_now, time.monotonic)
    return Standards(
        usable=partial(usable_at, upstreams),
        limits=settings.failover.limits,
        fresh=settings.health.fresh,
        canaries=frozenset(
            (one.name, canary.name) for one in settings.upstreams for canary in one.canaries
        ),
        findings=findings,
        host=settings.proxy.host,
    )


def membership(settings: Settings) -> Membership:
    """What this host is made of, as far as hosts must be alike, and who it is. Raises
    `StoreError`.
    """
    return Membership(
        preference=tuple(upstream.name for upstream in settings.upstreams),
        keys=fingerprints(settings.proxy.state_keys),
        installation=host_id(settings.proxy.data_dir),
        run=_this_run(),
    )


@cache
def _this_run() -> str:
    """This process, in the reports of its host."""
    return new_id()


def usable_at(upstreams: Mapping[str, ConfiguredUpstream], at: datetime) -> dict[str, str | None]:
    """Each upstream in order of preference, with None or the reason why it cannot serve."""
    return {name: upstream.why_unusable(at) for name, upstream in upstreams.items()}


def open_canaries(
    settings: Settings, upstreams: Mapping[str, ConfiguredUpstream]
) -> tuple[CanaryLogin, ...]:
    """Every canary, in the order of the configuration."""
    return tuple(
        _open_canary(canary, wanted, upstreams[wanted.name], settings)
        for wanted in settings.upstreams
        for canary in wanted.canaries
    )


def _open_canary(
    canary: CanarySettings,
    wanted: UpstreamSettings,
    asks: ConfiguredUpstream,
    settings: Settings,
) -> CanaryLogin:
    timeout = settings.failover.canary_times.timeout
    if isinstance(wanted, SamlSettings):
        return Canary(
            upstream=wanted.name,
            settings=canary,
            asks=asks,
            driver=_driver(canary, wanted, settings),
            new_id=new_id,
            acs_url=wanted.acs_url,
            link_attribute=wanted.link_attribute,
            timeout=timeout,
        )
    from idp_proxy.upstream.canary_bind import BindCanary  # noqa: PLC0415 - for a directory alone
    from idp_proxy.upstream.directory import (  # noqa: PLC0415 - slow; many have no directory
        DirectoryUpstream,
    )

    if isinstance(asks, DirectoryUpstream):
        return BindCanary(asks, canary, timeout)
    raise TypeError(f"no canary for {type(wanted).__name__}")


def _driver(canary: CanarySettings, wanted: UpstreamSettings, settings: Settings) -> Driver:
    driver = FormDriver if canary.kind == "form" else BrowserDriver
    return driver(
        canary,
        Dialler(wanted.outbound),
        settings.failover.canary_times.timeout,
        settings.failover.cadence.connect,
        insecure_loopback=settings.proxy.insecure_loopback,
    )


def open_switchboard(
    store: Store, upstreams: Mapping[str, ConfiguredUpstream], now: Callable[[], datetime] = utc_now
) -> Switchboard:
    """What an operator switches by."""
    return Switchboard(store, partial(usable_at, upstreams), now)
