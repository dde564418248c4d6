"""`metadata show`, `diff` and `approve`: whom an upstream's answers are believed of (MD-01)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated

import typer
from cryptography.x509 import load_der_x509_certificate

from idp_proxy import adapters
from idp_proxy.audit.chain import Event
from idp_proxy.cli.approving import Approved, OverrideOption, ask, confirm, proposed
from idp_proxy.cli.session import (
    EXIT_OPEN,
    ConfigOption,
    clock,
    opened_store,
    settings_of,
    shown_next,
    tell,
)
from idp_proxy.cli.signing_in import AsOption, Means, PasswordOption
from idp_proxy.decision.approval import Act
from idp_proxy.operators.consent import Wish

if TYPE_CHECKING:
    from idp_proxy.config import Settings
    from idp_proxy.store.sql import SqlStore
    from idp_proxy.upstream.metadata_change import MetadataDiff
    from idp_proxy.upstream.metadata_feed import MetadataFeed, MetadataView

_NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The upstream.")]
_FetchOption = Annotated[bool, typer.Option("--fetch", help="Look at the source first.")]


def register(program: typer.Typer) -> None:
    """Add these commands to `program`."""
    group = typer.Typer(help="See and approve an upstream's metadata.", no_args_is_help=True)
    group.command("show")(show)
    group.command("diff")(diff)
    group.command("approve")(approve)
    group.command("confirm")(agree)
    program.add_typer(group, name="metadata")


def show(name: _NameArgument, config: ConfigOption = None, *, fetch: _FetchOption = False) -> None:
    """Show what counts for NAME now, where it is from, and what waits for approval."""
    feed = _feed(settings_of(config), name, fetch=fetch)
    view = feed.show(clock())
    _show(view)
    if view.waiting is not None:
        typer.echo("something waits for approval")
        typer.echo(shown_next("metadata", "diff", name))
    elif view.metadata is None and not fetch:
        typer.echo(shown_next("metadata", "show", name, "--fetch"))
    else:
        typer.echo(shown_next("status"))


def diff(name: _NameArgument, config: ConfigOption = None, *, fetch: _FetchOption = False) -> None:
    """Show exactly what an approval would change, and its digest."""
    waiting = _feed(settings_of(config), name, fetch=fetch).diff(clock())
    if waiting is None:
        typer.echo(f"nothing of {name} waits for approval")
        typer.echo(shown_next("metadata", "show", name))
        return
    _show_diff(waiting)


def approve(
    name: _NameArgument,
    digest: Annotated[
        str | None, typer.Option(metavar="D", help="The digest that `metadata diff` showed.")
    ] = None,
    as_name: AsOption = None,
    override: OverrideOption = None,
    password_from: PasswordOption = None,
    config: ConfigOption = None,
) -> None:
    """Put what waits for NAME into force, if it still is what the digest stands for.

    Compare the keys with the upstream's operators first, by another way than the network.
    """
    settings = settings_of(config)
    feed = _feed(settings, name, fetch=False)
    waiting = feed.diff(clock())
    if digest is None and waiting is not None:
        _show_diff(waiting)
        raise typer.Exit(EXIT_OPEN)
    wanted = (digest or "").strip()
    feed.demand_waiting(wanted, clock())
    wish = Wish(Act.METADATA_KEYS, f"{name} {wanted}", f"new metadata of {name}")
    with opened_store(settings) as store:
        means = Means(as_name, override, password_from)
        approved = ask(settings, store, wish, means, "metadata", "confirm")
        _put_into_force(feed, store, wish.target, approved)


def agree(
    proposal_id: Annotated[str, typer.Argument(metavar="ID", help="The proposal.")],
    as_name: AsOption = None,
    password_from: PasswordOption = None,
    config: ConfigOption = None,
) -> None:
    """Agree to new metadata that somebody else asked for on this host, and put it into force."""
    settings = settings_of(config)
    with opened_store(settings) as store:
        target = proposed(settings, store, proposal_id, {Act.METADATA_KEYS}).target
        name, _, digest = target.partition(" ")
        feed = _feed(settings, name, fetch=False)
        feed.demand_waiting(digest, clock())
        for line in _lines(feed):
            typer.echo(line)
        means = Means(as_name, None, password_from)
        _, approved = confirm(settings, store, proposal_id, means, {Act.METADATA_KEYS})
        _put_into_force(feed, store, target, approved)


def _put_into_force(feed: MetadataFeed, store: SqlStore, target: str, approved: Approved) -> None:
    """`target` is the upstream's name and the digest of what people agreed to."""
    name, _, digest = target.partition(" ")
    with store.transaction() as transaction:
        now = clock()
        facts = {"upstream": name, "digest": digest}
        transaction.record(Event("metadata_approved", approved.actor, now, facts=facts))
        # Last: when it refuses, nothing of this is on record.
        entity_id = feed.approve(digest, now).entity_id
    typer.echo(f"{name} is {_printable(entity_id)} from now on")
    typer.echo(shown_next("status"))


def _feed(settings: Settings, name: str, *, fetch: bool) -> MetadataFeed:
    """The feed of one upstream, after a look at its source if that is asked."""
    upstreams = adapters.open_upstreams(settings)
    if name not in upstreams:
        known = ", ".join(upstreams)
        raise typer.BadParameter(f"no upstream is called {name}; there are {known}")
    feed = upstreams[name].feed
    if feed is None:
        raise typer.BadParameter(f"{name} is a directory: it has no metadata to approve")
    if fetch and (said := feed.refresh(clock())) is not None:
        tell(_printable(said))
    return feed


def _show(view: MetadataView) -> None:
    typer.echo(f"source:     {view.source} ({view.warrant})")
    if view.checked is None:
        typer.echo("looked at:  never")
    else:
        typer.echo(f"looked at:  {view.checked.at:%Y-%m-%d %H:%M:%S} UTC")
        if view.checked.problem:
            typer.echo(f"problem:    {_printable(view.checked.problem)}")
    metadata = view.metadata
    if metadata is None:
        typer.echo("approved:   nothing yet; nobody can log in here")
        return
    typer.echo(f"entity ID:  {_printable(metadata.entity_id)}")
    for binding, url in metadata.sso.items():
        typer.echo(f"address:    {_printable(url)} ({binding.rpartition(':')[2]})")
    for der in metadata.signing_certificates:
        typer.echo(f"key:        {_certificate(der)}")
    until = metadata.valid_until
    typer.echo(f"valid till: {f'{until:%Y-%m-%d %H:%M} UTC' if until else 'no end is named'}")


def _lines(feed: MetadataFeed) -> tuple[str, ...]:
    """What an approval would change, in printable lines."""
    waiting = feed.diff(clock())
    return () if waiting is None else tuple(_printable(line) for line in waiting.lines)


def _show_diff(waiting: MetadataDiff) -> None:
    for line in waiting.lines:
        typer.echo(_printable(line))
    typer.echo(f"digest: {waiting.digest}")
    typer.echo("compare these keys with the upstream's operators before you approve them")
    typer.echo(shown_next("metadata", "approve", waiting.upstream, "--digest", waiting.digest))


def _certificate(der: bytes) -> str:
    end = load_der_x509_certificate(der).not_valid_after_utc
    return f"sha256:{hashlib.sha256(der).hexdigest()} (certificate until {end:%Y-%m-%d})"


def _printable(text: str) -> str:
    """Another party's text on a terminal: control characters are shown, never obeyed (OPS-01)."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
