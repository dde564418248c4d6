"""From settings to the metrics of this host: what `serve` starts where `[metrics]` asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from idp_proxy.adapters import open_spool, open_standards, utc_now
from idp_proxy.config.settings import SamlSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from idp_proxy.config.settings import Settings
    from idp_proxy.store.sql import SqlStore
    from idp_proxy.upstream.configured import ConfiguredUpstream

_log = structlog.get_logger("idp_proxy.measuring")


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
    return ends


def _nothing() -> None: ...


def _none() -> int:
    return 0
