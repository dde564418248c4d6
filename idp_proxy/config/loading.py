"""From a file to `Settings`, or to every problem at once."""

from __future__ import annotations

import os
import tomllib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from idp_proxy.config.assurance import read_assurance
from idp_proxy.config.canaries import warn_of_used_codes
from idp_proxy.config.conversion import read_conversion
from idp_proxy.config.failover import read_failover, read_health
from idp_proxy.config.findings import Findings
from idp_proxy.config.material import Reader
from idp_proxy.config.mattermost import read_api
from idp_proxy.config.metrics import read_metrics
from idp_proxy.config.networks import read_networks
from idp_proxy.config.notify import read_notify
from idp_proxy.config.review import read_review
from idp_proxy.config.roster import read_roster
from idp_proxy.config.sections import (
    read_audit,
    read_outbound,
    read_proxy,
    read_service_provider,
    read_store,
)
from idp_proxy.config.settings import Outbound, Settings
from idp_proxy.config.shape import read_shape
from idp_proxy.config.upstreams import judge_references, judge_together, read_upstream
from idp_proxy.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from idp_proxy.config.mattermost import ApiSettings


def load(
    path: Path, *, now: datetime | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Read and check the configuration file at `path`, with every file that it names.

    `now` dates the warnings about certificates (default: the clock), `environ` answers `env:`
    references (default: the environment). Raises `ConfigError` with every problem, each with its
    path in the file; what only time has made wrong is among `Settings.warnings` instead.
    """
    path = path.absolute()
    findings = Findings()
    reader = Reader(
        folder=path.parent,
        environ=os.environ if environ is None else environ,
        now=datetime.now(UTC) if now is None else now,
        findings=findings,
    )
    file = read_shape(_document(path), findings)
    outbound = read_outbound("proxy", file.proxy, Outbound(), reader)
    proxy = read_proxy(file.proxy, outbound, reader)
    store = read_store(file.store, reader)
    service_provider = read_service_provider(
        file.service_provider, reader, insecure_loopback=file.proxy.insecure_loopback
    )
    loopback = file.proxy.insecure_loopback
    api = read_api(file.service_provider.api, outbound, reader, insecure_loopback=loopback)
    upstreams = [
        read_upstream(index, table, file.proxy, outbound, reader)
        for index, table in enumerate(file.upstream)
    ]
    roster, audit = read_roster(file.roster, file, reader), read_audit(file.audit, reader)
    metrics = read_metrics(file.metrics, file.proxy.listen, reader)
    assurance, notify = read_assurance(file, reader), read_notify(file.notify, reader)
    failover = read_failover(file.failover, reader)
    health = read_health(
        file.health, failover.tick, reader, insecure_loopback=file.proxy.insecure_loopback
    )
    operators_path = read_review(file.review, reader)
    conversion, conversion_token = read_conversion(file.review.conversion_config, reader)
    known_networks = read_networks(file.known_network, reader)
    warn_of_used_codes(upstreams, failover.canary_times.retry, reader)
    judge_together(file, reader)
    judge_references(health.references, outbound, file, reader)
    usable = tuple(upstream for upstream in upstreams if upstream is not None)
    if findings.problems or proxy is None or store is None or len(usable) != len(upstreams):
        raise ConfigError(findings.problems)
    return Settings(
        path=path,
        proxy=proxy,
        store=store,
        service_provider=service_provider,
        upstreams=usable,
        assurance=assurance,
        roster=roster,
        known_networks=known_networks,
        audit=audit,
        notify=notify,
        failover=failover,
        health=health,
        metrics=metrics,
        operators_path=operators_path,
        conversion=conversion,
        conversion_token=conversion_token,
        mattermost_api=api,
        warnings=tuple(findings.warnings),
    )


def load_api(path: Path, *, environ: Mapping[str, str] | None = None) -> ApiSettings | None:
    """`[service_provider.api]` alone, whatever else is wrong with the file: the way back past the
    proxy needs no more. None where there is none. Raises `ConfigError` for what is no TOML, and for
    what is wrong in this section.
    """
    reader = Reader(
        folder=path.absolute().parent,
        environ=os.environ if environ is None else environ,
        now=datetime.now(UTC),
        findings=Findings(),
    )
    file = read_shape(_document(path), Findings())
    outbound = read_outbound("proxy", file.proxy, Outbound(), reader)
    loopback = file.proxy.insecure_loopback
    api = read_api(file.service_provider.api, outbound, reader, insecure_loopback=loopback)
    if reader.findings.problems:
        raise ConfigError(reader.findings.problems)
    return api


def _document(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError([f"{path}: {_unreadable(error)}"]) from error


def _unreadable(error: Exception) -> str:
    """Why the file is no TOML; the parser names line and column itself."""
    if isinstance(error, FileNotFoundError):
        return (
            "no such file; name one by --config or IDP_PROXY_CONFIG, "
            "or make one: idp-proxy init DIR"
        )
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror}"
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 text: octet {error.start} is {error.object[error.start]:#04x}"
    if isinstance(error, RecursionError):
        return "not valid TOML: nested too deeply"
    return f"not valid TOML: {error}"
