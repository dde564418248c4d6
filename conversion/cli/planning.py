"""The command that says who is to be moved: `plan`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from conversion import proxy_status
from conversion.cli.progress import people
from conversion.cli.session import (
    ConfigOption,
    JsonOption,
    clock,
    command_line,
    must_be_text,
    opened_bulk,
    opened_ledger,
    settings_of,
    shown_next,
    tell,
)
from conversion.decision.plan import Envelope, stale
from conversion.decision.scope import Part, Scope
from conversion.decision.triage import Standing
from conversion.errors import ConfigError
from conversion.journal import beyond
from conversion.planning import OUT, Choice, Surroundings, draw_up
from conversion.report import Format, render_plan, sheet_of
from conversion.sessions import idle_of
from conversion.stored_plan import stored_plan
from conversion.truth import look

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from conversion.bulk import Bulk
    from conversion.config import Settings
    from conversion.decision.plan import Plan
    from conversion.ledger.base import Ledger

_AtMost = Annotated[
    int | None, typer.Option(min=1, help="How many people the campaign may move at most.")
]
_User = Annotated[
    list[str] | None, typer.Option(help="One person, by user name or id; repeatedly.")
]
_File = Annotated[Path | None, typer.Option(help="People by user name or id, one a line.")]
_Team = Annotated[
    list[str] | None,
    typer.Option(help="Only people of this team, by the name in its address; repeatedly."),
]
_Group = Annotated[
    list[str] | None, typer.Option(help="Only people of this group, by name or id; repeatedly.")
]
_Role = Annotated[
    list[str] | None, typer.Option(help="Only people with this role, like system_user; repeatedly.")
]
_LockedOut = Annotated[
    bool, typer.Option("--locked-out", help="Everybody who has no live session now.")
]
_WithinH = Annotated[
    float | None, typer.Option(min=0, max=8760, help="Everybody who has none in so many hours.")
]
_Never = Annotated[
    bool, typer.Option("--never-locked-out", help="Everybody with a session that never ends.")
]
_Everybody = Annotated[bool, typer.Option("--everybody", help="Everybody on SSO.")]
_Exclude = Annotated[
    list[str] | None, typer.Option(help="Never this person, by user name or id; repeatedly.")
]
_Until = Annotated[
    datetime | None,
    typer.Option(
        formats=["%Y-%m-%dT%H:%M"], help="When the campaign ends, in UTC. Default: in 24 hours."
    ),
]
_Accept = Annotated[
    list[str] | None, typer.Option(metavar="CODE", help="An objection that you answer for.")
]
_Sessions = Annotated[
    bool, typer.Option(help="Look at the sessions of all who are meant: a call for each.")
]
_Show = Annotated[
    str, typer.Option(metavar="DIGEST", help="Only show a plan that was stored before.")
]
_Form = Annotated[Format, typer.Option("--format", help="How it is written.")]


def register(program: typer.Typer) -> None:
    """Add this command to `program`."""
    program.command("plan")(plan)


@dataclass(frozen=True, slots=True)
class _Meant:
    """Who is meant, as it stood on the command line."""

    users: Sequence[str]
    file: Path | None
    scopes: frozenset[str]
    locked_out: bool
    within_h: float | None
    never: bool
    everybody: bool

    def choice(self, *, sessions: bool) -> Choice:
        """Raises `ConfigError` unless it was said in one way."""
        named = [*self.users, *(must_be_text(self.file, "--file") if self.file else ())]
        by_name = bool(self.users) or self.file is not None
        ways = [by_name, self.locked_out, self.within_h is not None, self.never, self.everybody]
        # A team alone means all of it.
        if sum(ways) > 1 or not (any(ways) or self.scopes):
            raise ConfigError([_SAY_WHO])
        if by_name and not named:
            raise ConfigError(["--file: nobody is named in it"])
        standings = frozenset[Standing]()
        if self.locked_out or self.within_h is not None:
            standings = OUT
        elif self.never:
            standings = frozenset({Standing.NEVER})
        return Choice(
            named=frozenset(named),
            everybody=not by_name,
            standings=standings,
            within=timedelta(hours=self.within_h or 0),
            sessions=sessions,
        )


_SAY_WHO = (
    "say who, in one way: --user and --file, or --locked-out, or --all-locked-out-within-h, or"
    " --never-locked-out, or --everybody; --team, --group and --role narrow it, or stand alone"
)


def plan(
    at_most: _AtMost = None,
    user: _User = None,
    file: _File = None,
    team: _Team = None,
    group: _Group = None,
    role: _Role = None,
    locked_out: _LockedOut = False,
    all_locked_out_within_h: _WithinH = None,
    never_locked_out: _Never = False,
    everybody: _Everybody = False,
    exclude: _Exclude = None,
    until: _Until = None,
    accept: _Accept = None,
    sessions: _Sessions = True,
    show: _Show = "",
    form: _Form = Format.TEXT,
    config: ConfigOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Say who is to be moved, and hear what stands against it. Nobody is touched."""
    form = Format.JSON if as_json else form
    if show:
        _show_again(settings_of(config), show, form)
        return
    if at_most is None:
        raise ConfigError(["--at-most: missing; how many people may the campaign move at most?"])
    scopes = frozenset(
        str(Scope(part, name))
        for part, names in ((Part.TEAM, team), (Part.GROUP, group), (Part.ROLE, role))
        for name in names or ()
    )
    meant = _Meant(
        users=user or (),
        file=file,
        scopes=scopes,
        locked_out=locked_out,
        within_h=all_locked_out_within_h,
        never=never_locked_out,
        everybody=everybody,
    )
    choice = meant.choice(sessions=sessions)
    settings = settings_of(config)
    ends = clock() + timedelta(hours=24) if until is None else until.replace(tzinfo=UTC)
    with people() as step, opened_bulk(settings, step) as bulk:
        excluded = _excluded(bulk, exclude or (), settings.campaign.operator_user, choice)
        envelope = Envelope(scopes, at_most, excluded, ends)
        around = _surroundings(settings, bulk)
        draft = draw_up(bulk, choice, envelope, around, frozenset(accept or ()))
        _print(bulk.ledger, draft.digest, draft.plan, form)


def _surroundings(settings: Settings, bulk: Bulk) -> Surroundings:
    campaign = settings.campaign
    return Surroundings(
        server=settings.access.url,
        at_most_percent=campaign.at_most_percent,
        inventory_max_age=campaign.inventory_max_age,
        standby_healthy=proxy_status.ask(campaign.proxy_status).works,
        idle=idle_of(bulk.server.config()),
        minutes_a_call=campaign.minutes_a_call,
    )


def _excluded(bulk: Bulk, names: Iterable[str], operator: str, choice: Choice) -> frozenset[str]:
    """User ids of `names`, and of the account whose SAML login shall prove that SSO is back.

    Raises `ConfigError` for a name that nobody has: a slip of the pen must not move somebody.
    """
    wanted = set(names)
    unknown, ids, problems = set(wanted), set(), []
    for account in look(bulk).values():
        called = {account.id, account.username}
        if called & wanted:
            unknown -= called
            ids.add(account.id)
        if operator and operator in called:
            ids.add(account.id)
            if called & choice.named:
                problems.append(
                    f"--user: {operator} is campaign.operator_user: moved, the account could not"
                    " prove that SSO works; leave it out, or name another one there"
                )
    problems += [f"--exclude: no account is called {name}" for name in unknown]
    if problems:
        raise ConfigError(sorted(problems))
    return frozenset(ids)


def _show_again(settings: Settings, digest: str, form: Format) -> None:
    with opened_ledger(settings) as ledger:
        _print(ledger, digest, stored_plan(ledger, digest), form)


def _print(ledger: Ledger, digest: str, found: Plan, form: Format) -> None:
    at = clock()
    why = stale(found.head, at)
    words = ("convert", "--plan", digest) if why is None else ("plan", "--help")
    campaign = ledger.current_campaign()
    if why is None and campaign is not None and (leaves := beyond(ledger, campaign, found, at)):
        tell("warning:", f"beyond what campaign {campaign.id} may do: {'; '.join(leaves)};")
        tell("  --new-envelope puts this plan's limits in their place, as for a new campaign")
        words = (*words, "--new-envelope")
    for piece in render_plan(sheet_of(digest, found), form, command_line(*words)):
        typer.echo(piece, nl=False)
    if why is not None:
        tell("warning:", f"{why}: plan again")
    # JSON has it inside; a table for a spreadsheet or a page must not end with it.
    if form is Format.TEXT:
        typer.echo(shown_next(*words))
    elif form is not Format.JSON:
        tell(shown_next(*words))
