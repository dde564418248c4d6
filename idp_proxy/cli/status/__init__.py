"""`status`: who serves, since when and why, how each upstream is, and what would happen next."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import typer

from idp_proxy import adapters
from idp_proxy.cli.after_outage import looked_after
from idp_proxy.cli.drilling import going_on
from idp_proxy.cli.session import (
    ConfigOption,
    JsonOption,
    clock,
    command_line,
    opened_store,
    settings_of,
    warn,
)
from idp_proxy.cli.status.document import as_json as document
from idp_proxy.cli.status.found import Found
from idp_proxy.cli.status.lines import show
from idp_proxy.decision.approval import Act
from idp_proxy.decision.proposal import why_void
from idp_proxy.decision.switching import Mode
from idp_proxy.operators import overrides, proposals
from idp_proxy.operators.overrides import OverrideState
from idp_proxy.store.standby_logins import unsettled
from idp_proxy.survey import survey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from idp_proxy.config import Settings
    from idp_proxy.decision.proposal import Proposal
    from idp_proxy.store.sql import SqlStore
    from idp_proxy.upstream.configured import ConfiguredUpstream

#: Where a proposal is confirmed that `switch confirm` does not take.
_CONFIRMED_BY: Final = {
    Act.OPERATOR_CHANGE: "operator",
    Act.METADATA_KEYS: "metadata",
    Act.WAIVER: "review",
    Act.ROSTER_REPLACE: "roster",
    Act.FORGET_PERSON: "person",
}


def register(program: typer.Typer) -> None:
    """Add this command to `program`."""
    program.command("status")(status)


def status(config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Show who serves, since when and why, how each upstream is, and what would happen next."""
    settings = settings_of(config)
    upstreams = adapters.open_upstreams(settings)
    with opened_store(settings) as store:
        found = _look(settings, store, upstreams)
    following = _next(found)
    if as_json:
        typer.echo(json.dumps(document(found) | {"next": following}, indent=2))
        return
    show(found)
    warn(settings)
    typer.echo(f"next: {following}")


def _look(
    settings: Settings, store: SqlStore, upstreams: Mapping[str, ConfiguredUpstream]
) -> Found:
    state = adapters.open_switchboard(store, upstreams, clock).current()
    now = store.clock()
    seen = survey(store, state, adapters.open_standards(settings, upstreams, store), now)
    with store.reading() as connection:
        waiting = tuple(
            one
            for one in proposals.waiting(connection, now)
            if why_void(one, epoch=state.epoch, now=now) is None
        )
        used = overrides.everything(connection)
        left = unsettled(connection)
    return Found(
        settings=settings,
        seen=seen,
        usable=adapters.usable_at(upstreams, now),
        drill=going_on(store.drill(), state, now),
        proposals=waiting,
        counting=tuple(one for one in used if one.state is OverrideState.COUNTING),
        unreviewed=sum(one.state is OverrideState.OPEN for one in used),
        left=left,
    )


def _next(found: Found) -> str:
    state = found.state
    if found.counting:
        return command_line("override", "list")
    if found.proposals:
        return command_line(*_confirms(found.proposals[0]))
    if found.down:
        return _way_out(found)
    decision = found.seen.decision
    if found.watched and decision.awaits_test and decision.target is not None:
        return command_line("failback", "test", decision.target)
    if state.mode is Mode.LATCHED:
        return command_line("release", "--reason", "the cause is known")
    return command_line(*_afterwards(found))


def _afterwards(found: Found) -> tuple[str, ...]:
    """What is left to do when logins are as they should be."""
    if found.unreviewed:
        return ("override", "list")
    if found.left_behind is not None:
        return looked_after(found.left_behind)
    return ("status",)


def _confirms(one: Proposal) -> tuple[str, ...]:
    group = _CONFIRMED_BY.get(one.act, "switch")
    # Whom it is about is known to whoever began it, and to nobody who reads the store.
    whom = ("WHO",) if one.act is Act.FORGET_PERSON else ()
    return (group, "confirm", *whom, one.id)


def _way_out(found: Found) -> str:
    """Logins fail: to whom they could go, the most preferred first; or how to go on without."""
    state, seen = found.state, found.seen
    others = [name for name in found.usable if name != state.serving]
    usable = [name for name in others if name not in state.disabled and found.usable[name] is None]
    fit = [name for name in usable if not seen.why_ineligible(name)]
    if fit or (usable and not found.watched):
        target = (fit or usable)[0]
        return command_line("switch", "to", target, "--reason", f"{state.serving} cannot serve")
    if state.serving in state.disabled:
        reason = "no other upstream can serve"
        return command_line("upstream", "enable", state.serving, "--reason", reason)
    if found.usable.get(state.serving) is not None:
        return command_line("check-config")
    return "sso-conversion now"
