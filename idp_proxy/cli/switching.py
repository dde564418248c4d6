"""Commands that change who serves: `switch`, `failback`, `hold`, `release` and `upstream`.

Each asks first whether it is possible at all, then who acts and with whose consent (`approving`),
and only then changes the switch, at the epoch for which it was agreed.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Annotated, Final

import typer

from idp_proxy import adapters
from idp_proxy.cli.after_outage import left_in_words, looked_after
from idp_proxy.cli.approving import Approved, OverrideOption, ask, confirm, proposed
from idp_proxy.cli.rehearsing import failback_test
from idp_proxy.cli.session import (
    ConfigOption,
    ReasonOption,
    opened_store,
    settings_of,
    shown_next,
    tell,
)
from idp_proxy.cli.signing_in import AsOption, Means, PasswordOption
from idp_proxy.decision.approval import Act
from idp_proxy.decision.switching import route
from idp_proxy.errors import SwitchRefused
from idp_proxy.operators.consent import Wish
from idp_proxy.store.standby_logins import unsettled
from idp_proxy.survey import survey

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from idp_proxy.config import Settings
    from idp_proxy.decision.switching import SwitchState
    from idp_proxy.store.sql import SqlStore
    from idp_proxy.survey import Survey
    from idp_proxy.switch import Switchboard
    from idp_proxy.upstream.configured import ConfiguredUpstream

_NAME_ARGUMENT = Annotated[str, typer.Argument(metavar="NAME", help="The upstream.")]
#: What `switch confirm` agrees to; other proposals have commands of their own.
_CONFIRMED_HERE: Final = frozenset({Act.SWITCH, Act.SWITCH_INELIGIBLE, Act.FAILBACK, Act.RELEASE})


def register(program: typer.Typer) -> None:
    """Add these commands to `program`."""
    switch = typer.Typer(help="Send new logins to another upstream.", no_args_is_help=True)
    switch.callback()(_group)
    switch.command("to")(switch_to)
    switch.command("confirm")(switch_confirm)
    program.add_typer(switch, name="switch")
    failback = typer.Typer(help="Return to the preferred upstream.")
    failback.callback(invoke_without_command=True)(fail_back)
    failback.command("test")(failback_test)
    program.add_typer(failback, name="failback")
    program.command("hold")(hold)
    program.command("release")(release)
    upstream = typer.Typer(help="Take an upstream out of use, or back in.", no_args_is_help=True)
    upstream.command("disable")(disable)
    upstream.command("enable")(enable)
    program.add_typer(upstream, name="upstream")


def _group() -> None:
    """Send new logins to another upstream."""


@dataclass(frozen=True, slots=True)
class _Desk:
    """What every command here works with."""

    settings: Settings
    store: SqlStore
    upstreams: Mapping[str, ConfiguredUpstream]
    board: Switchboard

    def survey(self) -> Survey:
        """What the fleet sees now, by the store's clock."""
        standards = adapters.open_standards(self.settings, self.upstreams, self.store)
        return survey(self.store, self.board.current(), standards, self.store.clock())


@contextmanager
def _opened(settings: Settings) -> Iterator[_Desk]:
    upstreams = adapters.open_upstreams(settings)
    with opened_store(settings) as store:
        # Whichever host it is typed on: how long an upstream was left is reckoned from this.
        board = adapters.open_switchboard(store, upstreams, store.clock)
        yield _Desk(settings, store, upstreams, board)


def switch_to(
    name: _NAME_ARGUMENT,
    reason: ReasonOption,
    as_name: AsOption = None,
    override: OverrideOption = None,
    password_from: PasswordOption = None,
    config: ConfigOption = None,
) -> None:
    """Send new logins to NAME from now on, until somebody releases the switch or fails back."""
    with _opened(settings_of(config)) as desk:
        desk.board.demand_possible(name)
        why = desk.survey().why_ineligible(name)
        _say_ineligible(name, why)
        act = Act.SWITCH_INELIGIBLE if why else Act.SWITCH
        wish, means = Wish(act, name, reason), Means(as_name, override, password_from)
        _act(desk, wish, ask(desk.settings, desk.store, wish, means))


def switch_confirm(
    proposal_id: Annotated[str, typer.Argument(metavar="ID", help="The proposal.")],
    as_name: AsOption = None,
    override: OverrideOption = None,
    password_from: PasswordOption = None,
    config: ConfigOption = None,
) -> None:
    """Agree to a switch, failback or release that the watch or somebody else proposed."""
    means = Means(as_name, override, password_from)
    with _opened(settings_of(config)) as desk:
        made = proposed(desk.settings, desk.store, proposal_id, _CONFIRMED_HERE)
        wish = Wish(made.act, made.target, made.reason)
        if made.act in {Act.SWITCH, Act.FAILBACK}:
            _demand_eligible(desk.survey(), made.target)
        if override is None:
            _, approved = confirm(desk.settings, desk.store, proposal_id, means, _CONFIRMED_HERE)
        else:
            approved = ask(desk.settings, desk.store, wish, means)
        _act(desk, wish, approved)


def fail_back(
    context: typer.Context,
    reason: Annotated[
        str | None, typer.Option("--reason", help="Why, in one line; it stands in the audit.")
    ] = None,
    as_name: AsOption = None,
    override: OverrideOption = None,
    password_from: PasswordOption = None,
    config: ConfigOption = None,
) -> None:
    """Return to the most preferred upstream that may serve; the watch switches by itself again."""
    if context.invoked_subcommand is not None:
        return
    if reason is None:
        raise typer.BadParameter("missing: --reason TEXT")
    with _opened(settings_of(config)) as desk:
        seen = desk.survey()
        target = _way_back(seen)
        if target != seen.state.serving:
            desk.board.demand_possible(target)
            _demand_eligible(seen, target)
        wish = Wish(Act.FAILBACK, target, reason)
        approved = ask(desk.settings, desk.store, wish, Means(as_name, override, password_from))
        _act(desk, wish, approved)


def hold(
    reason: ReasonOption,
    as_name: AsOption = None,
    password_from: PasswordOption = None,
    config: ConfigOption = None,
) -> None:
    """Let nothing switch by itself any more, until somebody releases it."""
    with _opened(settings_of(config)) as desk:
        wish = Wish(Act.HOLD, desk.board.current().serving, reason)
        approved = ask(desk.settings, desk.store, wish, Means(as_name, None, password_from))
        state = desk.board.hold(reason, approved.actor)
    _say(desk, state)


def release(
    reason: ReasonOption,
    as_name: AsOption = None,
    override: OverrideOption = None,
    password_from: PasswordOption = None,
    config: ConfigOption = None,
) -> None:
    """Let the watch switch by itself again, with a fresh budget."""
    with _opened(settings_of(config)) as desk:
        wish = Wish(Act.RELEASE, desk.board.current().serving, reason)
        approved = ask(desk.settings, desk.store, wish, Means(as_name, override, password_from))
        _act(desk, wish, approved)


def _act(desk: _Desk, wish: Wish, approved: Approved) -> None:
    """Do what was agreed, at the epoch for which it was agreed, and say what is true then.

    Consent takes minutes, and a countdown one: who may take over is looked at once more.
    """
    board, actor, epoch = desk.board, approved.actor, approved.epoch
    if wish.act in {Act.SWITCH, Act.FAILBACK} and wish.target != board.current().serving:
        _demand_eligible(desk.survey(), wish.target)
    if wish.act is Act.FAILBACK:
        state = board.fail_back(wish.target, wish.reason, actor, epoch=epoch)
    elif wish.act is Act.RELEASE:
        state = board.release(wish.reason, actor, epoch=epoch)
    else:
        state = board.to(wish.target, wish.reason, actor, epoch=epoch)
    _say(desk, state)


def _say(desk: _Desk, state: SwitchState) -> None:
    """Who serves now; and, back at the active, what the standby left behind in Mattermost."""
    typer.echo(f"{state.serving} serves new logins (epoch {state.epoch}, {state.mode.value})")
    with desk.store.reading() as connection:
        left = unsettled(connection)
    if left is None or state.serving != next(iter(desk.upstreams)):
        typer.echo(shown_next("status"))
        return
    typer.echo(left_in_words(left, desk.settings))
    typer.echo(shown_next(*looked_after(left)))


def _way_back(seen: Survey) -> str:
    """The most preferred upstream before the serving one that may serve now; the first one if none
    may, so that the refusal says why. The serving one, where it is the first itself.
    """
    names, serving = tuple(seen.situation.candidates), seen.state.serving
    preferred = tuple(takewhile(lambda name: name != serving, names))
    fit = (name for name in preferred if not seen.why_ineligible(name))
    return next(fit, names[0])


def _demand_eligible(seen: Survey, name: str) -> None:
    """Raises `SwitchRefused` with every reason, and the way past them that takes two people."""
    if why := seen.why_ineligible(name):
        raise SwitchRefused(
            f"{name} may not take over now: {'; '.join(why)}. "
            f"To send people there all the same: idp-proxy switch to {name} --reason TEXT"
        )


def _say_ineligible(name: str, why: tuple[str, ...]) -> None:
    if why:
        tell(f"warning: {name} would not be chosen by the watch:")
        for one in why:
            tell("  -", one)


def disable(
    name: _NAME_ARGUMENT,
    reason: ReasonOption,
    yes_disable: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The name again: do not ask, even if NAME is serving."),
    ] = None,
    as_name: AsOption = None,
    password_from: PasswordOption = None,
    config: ConfigOption = None,
) -> None:
    """Stop logins at NAME at once, those under way too. Nothing switches by itself."""
    with _opened(settings_of(config)) as desk:
        if desk.board.current().serving == name or yes_disable is not None:
            _confirm_name(name, yes_disable)
        wish = Wish(Act.DISABLE, name, reason)
        approved = ask(desk.settings, desk.store, wish, Means(as_name, None, password_from))
        state = desk.board.disable(name, reason, approved.actor)
    typer.echo(f"{name} is disabled (epoch {state.epoch})")
    if route(state) is None:
        others = [other for other in desk.upstreams if other not in state.disabled]
        typer.echo("NO LOGINS until you switch or enable it again")
        if others:
            typer.echo(shown_next("switch", "to", others[0], "--reason", f"{name} is disabled"))
            return
    typer.echo(shown_next("status"))


def _confirm_name(name: str, again: str | None) -> None:
    if again is None:
        question = f"{name} is serving: all logins stop at once. Type its name again"
        try:
            again = typer.prompt(question, err=True)
        except typer.Abort:
            again = ""
    if again != name:
        raise SwitchRefused(
            f"{name} was not named again; nothing has changed (in a script: --yes-disable NAME)"
        )


def enable(
    name: _NAME_ARGUMENT,
    reason: ReasonOption,
    as_name: AsOption = None,
    password_from: PasswordOption = None,
    config: ConfigOption = None,
) -> None:
    """Let NAME serve again."""
    with _opened(settings_of(config)) as desk:
        wish = Wish(Act.ENABLE, name, reason)
        approved = ask(desk.settings, desk.store, wish, Means(as_name, None, password_from))
        state = desk.board.enable(name, reason, approved.actor)
    typer.echo(f"{name} is enabled (epoch {state.epoch}); {state.serving} serves")
    typer.echo(shown_next("status"))
