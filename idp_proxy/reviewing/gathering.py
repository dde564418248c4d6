"""Evidence for the review: from the settings, the files, the metadata, the store, and live.

Nothing here judges. What cannot be looked at is left out, and no rule speaks of it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Final

from cryptography import x509

from idp_proxy.config import DirectorySettings, MetadataFile, SamlSettings
from idp_proxy.config.addresses import is_loopback
from idp_proxy.decision.assurance import can_reach_floor
from idp_proxy.decision.eligibility import Failback
from idp_proxy.decision.health import Outcome
from idp_proxy.decision.review import (
    DirectorySeen,
    Evidence,
    LiveSeen,
    NetworkSeen,
    ProxySeen,
    RosterSeen,
    SamlSeen,
    ServerSeen,
    StoreSeen,
    SwitchSeen,
    UpstreamSeen,
)
from idp_proxy.decision.roster import sources_that_count
from idp_proxy.errors import UpstreamUnavailable
from idp_proxy.operators import accounts
from idp_proxy.reviewing.material import (
    certificate_seen,
    conversion_token,
    own_certificates,
    party_certificates,
    private_files,
)
from idp_proxy.store import base, reviews

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from ipaddress import IPv6Network

    from idp_proxy.config import Settings, UpstreamSettings
    from idp_proxy.decision.assurance import AssurancePolicy
    from idp_proxy.decision.health import Cadence
    from idp_proxy.saml.metadata import UpstreamMetadata
    from idp_proxy.store.seen_base import SeenContext
    from idp_proxy.store.sql import SqlStore
    from idp_proxy.upstream.configured import ConfiguredUpstream

#: Bits of an IPv6 network that is one site.
_SITE: Final = 64


def gather(
    settings: Settings,
    upstreams: Mapping[str, ConfiguredUpstream],
    now: datetime,
    store: SqlStore | None = None,
    live: LiveSeen | None = None,
    server: ServerSeen | None = None,
) -> Evidence:
    """Everything there is to judge at `now`. Raises `StoreError` when there is a store and it is
    away.
    """
    limits = settings.failover.limits
    second, converted = settings.roster.policy.second, settings.service_provider.converted
    contexts = () if store is None else store.contexts()
    proven = {} if store is None else base.proven(store)
    passed = {} if store is None else _passed(store)
    return Evidence(
        now=now,
        proxy=_proxy(settings),
        upstreams=tuple(
            _upstream(
                one,
                [seen for seen in contexts if seen.upstream == one.name],
                upstreams[one.name],
                settings.assurance,
                now,
                proven.get(one.name),
                passed.get(one.name),
            )
            for one in settings.upstreams
        ),
        switch=SwitchSeen(
            automatic=limits.automatic,
            hold_down=limits.hold_down,
            dwell=limits.dwell,
            automatic_failback=limits.failback is Failback.AUTO,
            rehearsal_max_age=limits.rehearsal_max_age,
            standby_session=settings.failover.standby_session,
        ),
        roster=RosterSeen(
            confirmed_by_login=settings.roster.policy.confirmed_by_login,
            confirmed_by_import=settings.roster.policy.confirmed_by_import,
            second="" if second is None else second.name,
            privileged=len(settings.roster.policy.privileged),
        ),
        operators_path=settings.operators_path,
        store=None if store is None else _store(settings, store, now),
        server=server,
        live=live,
        networks=tuple(
            NetworkSeen(one.name, sum(map(_sites, one.networks)), one.failures)
            for one in settings.known_networks
        ),
        conversion=settings.conversion,
        conversion_token=conversion_token(settings),
        converted_file="" if converted is None else converted.file.name,
    )


def look_now(
    upstreams: Mapping[str, ConfiguredUpstream],
    cadence: Cadence,
    store: SqlStore,
    clock: Callable[[], datetime],
    new_id: Callable[[], str],
) -> LiveSeen:
    """Every upstream probed once, all at a time, and the clocks compared. Raises `StoreError`."""

    async def look(upstream: ConfiguredUpstream) -> str | None:
        found = await upstream.probe(new_id).look(cadence, clock())
        return None if found.outcome is Outcome.PASSED else found.reason

    async def look_at_all() -> list[str | None]:
        return await asyncio.gather(*(look(one) for one in upstreams.values()))

    offset = clock() - store.clock()
    return LiveSeen(offset, dict(zip(upstreams, asyncio.run(look_at_all()), strict=True)))


def metadata_of(upstream: ConfiguredUpstream, now: datetime) -> UpstreamMetadata | None:
    """What is approved of it and counts now; None for a directory, or where nothing does."""
    if upstream.feed is not None:
        with suppress(UpstreamUnavailable):
            return upstream.feed.current(now)
    return None


def _proxy(settings: Settings) -> ProxySeen:
    proxy, party = settings.proxy, settings.service_provider
    return ProxySeen(
        listens_on=f"{proxy.listen.host}:{proxy.listen.port}",
        on_loopback=is_loopback(proxy.listen.host),
        tls=proxy.tls is not None,
        insecure_loopback=proxy.insecure_loopback,
        trusted_proxies=proxy.trusted_proxies,
        certificates=tuple(certificate_seen(what, one) for what, one in own_certificates(settings)),
        party_certificates=tuple(
            certificate_seen(what, one) for what, one in party_certificates(party)
        ),
        private_files=tuple(private_files(settings)),
        entity_id=proxy.entity_id,
        demands_signed_requests=party.require_signed_requests,
        encrypts=party.encryption is not None,
        sent=party.attributes,
        withheld=party.role_attributes,
        admin_attribute=party.enable_admin_attribute,
        checkpoints=settings.audit.checkpoints is not None,
        channels=len(settings.notify.urls),
        revokes_sessions=settings.mattermost_api is not None,
        standby_logins_kept=settings.failover.standby_logins_kept,
    )


def _sites(network: IPv4Network | IPv6Network) -> int:
    """How many places it has that are told apart: addresses, or sites (/64)."""
    if isinstance(network, IPv4Network):
        return network.num_addresses
    return 1 << max(0, _SITE - network.prefixlen)


def _upstream(
    wanted: UpstreamSettings,
    contexts: Sequence[SeenContext],
    upstream: ConfiguredUpstream,
    assurance: AssurancePolicy,
    now: datetime,
    proven: datetime | None,
    passed: datetime | None,
) -> UpstreamSeen:
    metadata = metadata_of(upstream, now)
    return UpstreamSeen(
        name=wanted.name,
        kind="ldap" if isinstance(wanted, DirectorySettings) else "saml",
        attributes=wanted.attributes,
        email_domains=wanted.email_domains,
        failure_domains=wanted.failure_domains,
        certificates=tuple(
            certificate_seen(f"signing certificate {number}", x509.load_der_x509_certificate(der))
            for number, der in enumerate(metadata.signing_certificates if metadata else (), 1)
        ),
        saml=_saml(wanted, upstream, now) if isinstance(wanted, SamlSettings) else None,
        directory=_directory(wanted) if isinstance(wanted, DirectorySettings) else None,
        level_declared=_is_mapped(assurance, wanted.name),
        reaches_floor=can_reach_floor(assurance, wanted.name) if assurance.levels else None,
        floor_holds=assurance.binds(wanted.name),
        below_floor=sum(one.count for one in contexts if not _does(assurance, one.level)),
        canaries=len(wanted.canaries),
        canary_passed_at=passed,
        proven_at=proven,
        usable=upstream.why_unusable(now),
        contexts_seen=_classes(contexts),
    )


def _does(assurance: AssurancePolicy, level: str) -> bool:
    return level in assurance.levels and assurance.reaches(level)


def _is_mapped(assurance: AssurancePolicy, name: str) -> bool:
    mapped = assurance.of(name)
    return bool(assurance.levels and (mapped.contexts or mapped.evidence))


def _saml(wanted: SamlSettings, upstream: ConfiguredUpstream, now: datetime) -> SamlSeen:
    """Its metadata is shown when it has expired, too."""
    source = wanted.metadata
    view = None if upstream.feed is None else upstream.feed.show(now)
    metadata = None if view is None else view.metadata
    return SamlSeen(
        entity_id=None if metadata is None else metadata.entity_id,
        warrant="file" if isinstance(source, MetadataFile) else source.trust.value,
        pinned=not isinstance(source, MetadataFile) and source.pinned,
        valid_until=None if metadata is None else metadata.valid_until,
        require_signed=wanted.require_signed.value,
        decrypts=wanted.decryption is not None,
        allow_aes_cbc=wanted.allow_aes_cbc,
        clock_skew=wanted.limits.clock_skew,
        max_lifetime=wanted.limits.max_assertion_lifetime,
        requested_contexts=wanted.requested_authn_context,
        own_entity_id=wanted.entity_id,
        own_acs_url=wanted.acs_url,
        waiting=view is not None and view.waiting is not None,
        refresh_problem=view.checked.problem if view is not None and view.checked else "",
    )


def _directory(wanted: DirectorySettings) -> DirectorySeen:
    return DirectorySeen(
        hosts=tuple(map(str, wanted.hosts)),
        in_the_clear=tuple(str(host) for host in wanted.hosts if host.encryption is None),
        lockout_after=wanted.limits.lockout_after,
        per_source=wanted.limits.per_source,
        elsewhere=wanted.limits.elsewhere,
    )


def _classes(contexts: Sequence[SeenContext]) -> dict[str, datetime]:
    """The context classes that an upstream gave, and when it last did."""
    found: dict[str, datetime] = {}
    for one in contexts:
        name = one.context or "(others)"
        found[name] = max(one.last, found.get(name, one.last))
    return found


def _passed(store: SqlStore) -> dict[str, datetime]:
    found: dict[str, datetime] = {}
    for one in store.canaries():
        if one.track.passed_at is not None:
            at = one.track.passed_at
            found[one.upstream] = max(at, found.get(one.upstream, at))
    return found


def _store(settings: Settings, store: SqlStore, now: datetime) -> StoreSeen:
    with store.reading() as connection:
        altered = reviews.altered(connection, now, settings.proxy.state_keys)
        operators = len(accounts.everyone(connection))
        approvers = accounts.approvers_enabled(connection)
    completed = {run.source: run.completed_at for run in store.import_runs()}
    counting = sources_that_count(settings.roster.sources, completed)
    imports = {source: completed.get(source) for source in counting}
    return StoreSeen(imports, operators, approvers, altered)
