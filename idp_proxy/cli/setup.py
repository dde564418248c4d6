"""Commands before and at the start: `init`, `check-config`, `serve`."""

from __future__ import annotations

from functools import singledispatch
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from sqlalchemy.engine import make_url

from idp_proxy import adapters
from idp_proxy.cli.session import (
    ConfigOption,
    clock,
    screen,
    settings_of,
    shown_next,
    tell,
    warn,
)
from idp_proxy.config import DirectorySettings, MetadataFile, SamlSettings, UpstreamSettings
from idp_proxy.decision.review import judge
from idp_proxy.errors import ConfigError
from idp_proxy.initialise import RSA_BITS, Blueprint, NewUpstream, initialise
from idp_proxy.reviewing.gathering import gather

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from idp_proxy.config import Settings

_EXAMPLES = ("active=active.xml", "standby=standby.xml")


def register(program: typer.Typer) -> None:
    """Add these commands to `program`."""
    program.command("init")(init)
    program.command("check-config")(check_config)
    program.command("serve")(serve)


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    public_url: Annotated[
        str, typer.Option(help="Where browsers reach the proxy.")
    ] = "https://sso.example.org",
    mattermost_url: Annotated[
        str, typer.Option(help="Mattermost's SiteURL.")
    ] = "https://chat.example.org",
    upstream: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=METADATA",
            help="An upstream and its metadata, a file or a URL; once for each, the active first.",
        ),
    ] = None,
    support_url: Annotated[str, typer.Option(help="Where people find help.")] = "",
    key_bits: Annotated[
        int,
        typer.Option(
            min=2048, max=4096, help="RSA keys; 2048 cost a login a fourth of the CPU of 3072."
        ),
    ] = RSA_BITS,
) -> None:
    """Make a folder with keys and a commented configuration."""
    blueprint = Blueprint(
        public_url=public_url,
        mattermost_url=mattermost_url,
        upstreams=_new_upstreams(upstream or _EXAMPLES),
        support_url=support_url,
    )
    written = initialise(folder, blueprint, clock(), key_bits)
    typer.echo(f"made {written} and keys in {folder / 'keys'}")
    missing = [
        one.metadata
        for one in blueprint.upstreams
        if not one.is_url and not Path(one.metadata).is_file()
    ]
    for name in missing:
        typer.echo(f"put the upstream's metadata here: {folder / name}")
    typer.echo(shown_next("check-config", "--config", str(written)))


def _new_upstreams(given: Sequence[str]) -> tuple[NewUpstream, ...]:
    parsed = [one.partition("=") for one in given]
    problems = [
        f"--upstream: {name!r} is not NAME=METADATA" for name, _, metadata in parsed if not metadata
    ]
    if problems:
        raise ConfigError(problems)
    return tuple(NewUpstream(name, metadata) for name, _, metadata in parsed)


def check_config(config: ConfigOption = None) -> None:
    """Read the configuration as `serve` would, and show what it says."""
    settings = settings_of(config)
    _judge_channels(settings)
    table = Table(title=str(settings.path), show_header=False)
    table.add_column("field", no_wrap=True)
    table.add_column("value", overflow="fold")
    for field, value in _what_was_read(settings):
        table.add_row(field, value)
    screen.print(table)
    warn(settings)
    found = judge(gather(settings, adapters.open_upstreams(settings), clock()))
    typer.echo(f"review: {len(found.findings)} findings, {len(found.blocking)} of them blocking")
    for one in (one for one in found.findings if one.stops_start):
        tell(f"error: {one.rule}: {one.evidence}: serve will not start")
    typer.echo(f"usable; warnings: {len(settings.warnings)}")
    typer.echo(shown_next("serve"))


def _judge_channels(settings: Settings) -> None:
    """Apprise itself judges the channels; no other command waits for its import. Raises
    `ConfigError`.
    """
    if settings.notify.urls:
        from idp_proxy.notify import problems  # noqa: PLC0415 - Apprise's import is slow

        if found := problems(settings.notify.urls):
            raise ConfigError(found)


def _what_was_read(settings: Settings) -> Iterator[tuple[str, str]]:
    proxy, party = settings.proxy, settings.service_provider
    yield "entity ID", proxy.entity_id
    yield "public URL", proxy.public_url
    yield "listens on", f"{proxy.listen.host}:{proxy.listen.port} ({proxy.workers} workers)"
    yield "TLS", str(proxy.tls.certificate_file) if proxy.tls else "no: by a reverse proxy"
    yield "signing certificate ends", f"{proxy.signing.certificate.not_valid_after_utc:%Y-%m-%d}"
    yield "store", make_url(settings.store.url).render_as_string(hide_password=True)
    yield "service provider", party.entity_id
    yield "answers go to", party.acs_url
    yield "AuthnRequests", "must be signed" if party.require_signed_requests else "may be unsigned"
    yield "assertions", party.encryption.algorithm.value if party.encryption else "not encrypted"
    yield "sent to Mattermost", ", ".join(f"{k}={v}" for k, v in party.attributes.items())
    yield (
        "notifications",
        f"{len(settings.notify.urls) or 'no'} channels ({settings.notify.language})",
    )
    for index, upstream in enumerate(settings.upstreams):
        yield f"{'standby' if index else 'active'} {upstream.name}", _described(upstream)


@singledispatch
def _described(upstream: UpstreamSettings) -> str:
    return f"link key from {upstream.link_attribute}"


@_described.register
def _(upstream: SamlSettings) -> str:
    source = upstream.metadata
    metadata = str(source.path) if isinstance(source, MetadataFile) else source.url
    return "\n".join(
        (
            f"metadata {metadata}",
            f"knows us as {upstream.entity_id}",
            f"answers at {upstream.acs_url}",
            f"signs {upstream.require_signed.value}; link key from {upstream.link_attribute}",
        )
    )


@_described.register
def _(upstream: DirectorySettings) -> str:
    hosts = (
        f"{host} ({host.encryption.value if host.encryption else 'IN THE CLEAR'})"
        for host in upstream.hosts
    )
    return "\n".join(
        (
            f"directory {', '.join(hosts)}",
            f"asked as {upstream.bind_dn}",
            f"searched below {upstream.base} by {upstream.user_filter}",
            f"probed for {upstream.probe_user}",
            f"link key from {upstream.link_attribute}; logins at {upstream.base_url}/login",
        )
    )


def serve(config: ConfigOption = None) -> None:
    """Serve logins until stopped."""
    # The web server's import is this command's alone: every other one is back sooner without it.
    from idp_proxy.serve import serve as run_until_stopped  # noqa: PLC0415 - the slowest import

    settings = settings_of(config)
    warn(settings)
    tell(shown_next("status"))
    run_until_stopped(settings)
