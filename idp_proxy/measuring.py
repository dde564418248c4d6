"""From settings to the metrics of this host: what `serve` starts where `[metrics]` asks for it."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog
from cryptography.x509 import load_der_x509_certificate

from idp_proxy.adapters import open_spool, open_standards, utc_now
from idp_proxy.config.settings import SamlSettings
from idp_proxy.notify import records

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from idp_proxy.config.settings import Settings
    from idp_proxy.decision.notices import Kind
    from idp_proxy.store.sql import SqlStore
    from idp_proxy.upstream.configured import ConfiguredUpstream

_log = structlog.get_logger("idp_proxy.measuring")

#: What no channel took is tried again for so long.
_DAY: Final = timedelta(days=1)


def start(
    settings: Settings, store: SqlStore, upstreams: Mapping[str, ConfiguredUpstream]
) -> Callable[[], None]:
    """Serve them, if they are wanted; what it gives stops that. Who cannot have the address for it
    goes on without: logins do not wait for a graph.
    """
    if settings.metrics is None:
        return _nothing
    from idp_proxy import metrics  # noqa: PLC0415 - who has no metrics does not load its library

    spool = open_spool(settings, store)
    sources = metrics.Sources(
        store=store,
        standards=open_standards(settings, upstreams, store),
        assurance=settings.assurance,
        certificates=certificates(settings),
        upstream_ends=partial(upstream_ends, upstreams),
        alarms=partial(_alarms, store),
        spooled=_none if spool is None else spool.pending,
        now=utc_now,
    )
    try:
        return metrics.start(sources, settings.metrics.host, settings.metrics.port)
    except OSError as error:
        _log.error("no metrics", listen=str(settings.metrics), reason=error.strerror)
        return _nothing


def certificates(settings: Settings) -> dict[str, datetime]:
    """Our own, by the name that a graph shows, and when each ends."""
    ends = {"signing": settings.proxy.signing.certificate.not_valid_after_utc}
    for one in settings.upstreams:
        if isinstance(one, SamlSettings):
            ends[f"upstream {one.name}"] = one.signing.certificate.not_valid_after_utc
            if one.decryption is not None:
                end = one.decryption.certificate.not_valid_after_utc
                ends[f"upstream {one.name} decryption"] = end
    return ends


def upstream_ends(
    upstreams: Mapping[str, ConfiguredUpstream], now: datetime
) -> dict[tuple[str, str], datetime]:
    """When the approved metadata of each upstream ends, and each certificate in it; those that
    ended already, too.
    """
    ends: dict[tuple[str, str], datetime] = {}
    for name, upstream in upstreams.items():
        found = None if upstream.feed is None else upstream.feed.show(now).metadata
        if found is None:
            continue
        if found.valid_until is not None:
            ends[name, "metadata"] = found.valid_until
        for number, der in enumerate(found.signing_certificates, 1):
            ends[name, f"signing {number}"] = load_der_x509_certificate(der).not_valid_after_utc
    return ends


def _alarms(store: SqlStore) -> tuple[dict[str, Kind], int]:
    with store.reading() as connection:
        told = records.standing(connection)
        return told, records.untold(connection, utc_now() - _DAY)


def _nothing() -> None: ...


def _none() -> int:
    return 0
