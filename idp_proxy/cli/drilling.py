"""`drill cohort` and `drill stop`: named people try the standby for real, and nobody else notices.

Any operator may begin and stop one: a drill changes nothing about who serves, and it lets in nobody
whom a standby would not let in anyway.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path  # noqa: TC003 - Typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated

import typer

from idp_proxy import adapters
from idp_proxy.cli import terminal
from idp_proxy.cli.alarming import alarm
from idp_proxy.cli.session import (
    ConfigOption,
    JsonOption,
    ReasonOption,
    clock,
    command_line,
    opened_store,
    settings_of,
    shown_next,
)
from idp_proxy.cli.signing_in import AsOption, Means, PasswordOption, who
from idp_proxy.decision.drill import (
    LONGEST,
    MOST_PEOPLE,
    Drill,
    end_of,
    ends_a_drill,
    person_digest,
    why_not_started,
)
from idp_proxy.decision.notices import Kind
from idp_proxy.decision.roster import Question, Refused, judge_row, lookup_key
from idp_proxy.decision.switching import Departure
from idp_proxy.drill import Invitation, begin, link_of, stop
from idp_proxy.drill_pass import PURPOSE
from idp_proxy.errors import ConfigError, SwitchRefused
from idp_proxy.operators.accounts import actor_of
from idp_proxy.seal import KeyRing
from idp_proxy.survey import survey
from idp_proxy.transaction import DrillLogin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from idp_proxy.config import Settings
    from idp_proxy.decision.roster import RosterRow
    from idp_proxy.decision.switching import SwitchState
    from idp_proxy.store.sql import SqlStore
    from idp_proxy.upstream.configured import ConfiguredUpstream

#: Other modules add their commands to it.
group = typer.Typer(help="Try an outage before there is one.", no_args_is_help=True)


def register(program: typer.Typer) -> None:
    """Add this group to `program`."""
    program.add_typer(group, name="drill")


@dataclass(frozen=True, slots=True)
class _Guest:
    """One person, as they were named on the command line, and their link."""

    named: str
    link: str


@group.command("cohort")
def cohort(
    upstream: Annotated[str, typer.Option(metavar="NAME", help="The standby to try.")],
    reason: ReasonOption,
    minutes: Annotated[
        int, typer.Option(min=1, max=int(LONGEST.total_seconds() / 60), help="How long.")
    ] = 30,
    people: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Who takes part: an id or link key on each line."),
    ] = None,
    person: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Who takes part: an id or link key; once for each."),
    ] = None,
    as_name: AsOption = None,
    password_from: PasswordOption = None,
    config: ConfigOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Lead these people's browsers to a standby for a while; each gets a link that counts once.

    Everybody else logs in as always. It ends by itself, by `drill stop`, by any switch, and as soon
    as the serving upstream is suspected.
    """
    settings = settings_of(config)
    reason = terminal.one_line(reason, "--reason")
    named = tuple(_named(people, person or ()))
    with opened_store(settings) as store:
        actor = actor_of(who(settings, store, Means(as_name, None, password_from)).name)
        before, state = _demand_possible(settings, store, upstream)
        rows = _in_the_roster(settings, store, named)
        drill = _drill(before, state, upstream, minutes, rows, actor=actor, reason=reason)
        with store.transaction() as transaction:
            begin(transaction, before, drill)
    guests = [
        _Guest(name, f"{settings.proxy.public_url}/drill/join/{_link(settings, drill, row)}")
        for (_, name), row in zip(named, rows, strict=True)
    ]
    what = f"from now on {drill_in_words(drill)}"
    over = ("drill", "stop", "--reason", "it is over")
    alarm(settings, Kind.DRILL, f"drill:{drill.id}", {"what": what}, *over)
    _show(drill, guests, over, as_json=as_json)


@group.command("stop")
def stop_drill(
    reason: ReasonOption,
    as_name: AsOption = None,
    password_from: PasswordOption = None,
    config: ConfigOption = None,
) -> None:
    """End the drill now: new logins of its people go where everybody's go."""
    settings = settings_of(config)
    reason = terminal.one_line(reason, "--reason")
    with opened_store(settings) as store:
        actor = actor_of(who(settings, store, Means(as_name, None, password_from)).name)
        state = adapters.open_switchboard(store, adapters.open_upstreams(settings), clock).current()
        drill = going_on(store.drill(), state, clock())
        if drill is None:
            raise SwitchRefused("no drill is going on")
        stop(store, drill, Departure.PLANNED, reason, actor, clock())
    what = f"the drill by {drill.upstream} is over: {reason}"
    alarm(settings, Kind.DRILL, f"drill:{drill.id}:over", {"what": what}, "status")
    typer.echo(f"the drill by {drill.upstream} is over; everybody logs in by {state.serving}")
    typer.echo(shown_next("status"))


def going_on(drill: Drill | None, state: SwitchState, now: datetime) -> Drill | None:
    """The drill, unless it has ended."""
    return None if drill is None or end_of(drill, state, now) is not None else drill


def drill_in_words(drill: Drill) -> str:
    """What `status` says of a drill."""
    people = f"{len(drill.people)} people" if len(drill.people) > 1 else "1 person"
    return f"{people} by {drill.upstream} until {drill.until:%H:%M:%S} UTC: {drill.reason}"


def drill_as_json(drill: Drill) -> dict[str, str | int]:
    """The same for programs."""
    return {
        "id": drill.id,
        "upstream": drill.upstream,
        "until": drill.until.isoformat(),
        "people": len(drill.people),
        "reason": drill.reason,
    }


def _named(file: Path | None, options: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Everybody who was named, each with where. Raises `ConfigError`."""
    found = [("--person", name.strip()) for name in options]
    if file is not None:
        try:
            lines = file.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is no text in UTF-8"
            raise ConfigError([f"--people: {file} cannot be read: {why}"]) from error
        for number, line in enumerate(lines, 1):
            name = line.partition("#")[0].strip()
            if name:
                found.append((f"--people: {file}:{number}", name))
    if not found or len(found) > MOST_PEOPLE:
        raise ConfigError([f"--people, --person: name 1 to {MOST_PEOPLE} people, not {len(found)}"])
    return iter(found)


def _demand_possible(
    settings: Settings, store: SqlStore, upstream: str
) -> tuple[Drill | None, SwitchState]:
    """The drill before this one, and who serves. Raises `SwitchRefused` with the reason."""
    upstreams = adapters.open_upstreams(settings)
    state = adapters.open_switchboard(store, upstreams, clock).current()
    before = store.drill()
    why = why_not_started(before, state, upstream, _usable(upstreams), clock())
    if why is not None:
        raise SwitchRefused(why)
    seen = survey(store, state, adapters.open_standards(settings, upstreams, store), store.clock())
    health = seen.situation.health(state.serving)
    if health is not None and ends_a_drill(health.verdict):
        raise SwitchRefused(f"{state.serving} is {health.verdict}: this is no time for a drill")
    return before, state


def _usable(upstreams: Mapping[str, ConfiguredUpstream]) -> dict[str, str | None]:
    return {name: one.why_unusable(clock()) for name, one in upstreams.items()}


def _in_the_roster(
    settings: Settings, store: SqlStore, named: Sequence[tuple[str, str]]
) -> list[RosterRow]:
    """The roster's row of everybody. Raises `ConfigError` naming each whom a standby would refuse,
    since their exercise would end there.
    """
    problems = []
    rows: dict[str, RosterRow] = {}
    for where, name in named:
        row = store.person(name) or store.person_by_lookup_key(lookup_key(name))
        if row is None:
            problems.append(
                f"{where}: {name!a}: a standby would refuse them: no roster row has this key"
            )
            continue
        verdict = judge_row(Question(row, settings.roster.policy, clock()))
        if isinstance(verdict, Refused):
            problems.append(f"{where}: {name!a}: a standby would refuse them: {verdict.reason}")
        elif verdict.row.id in rows:
            problems.append(f"{where}: {name!a} was named before")
        else:
            rows[verdict.row.id] = verdict.row
    if problems:
        raise ConfigError(problems)
    return list(rows.values())


def _drill(
    before: Drill | None,
    state: SwitchState,
    upstream: str,
    minutes: int,
    rows: Sequence[RosterRow],
    *,
    actor: str,
    reason: str,
) -> Drill:
    now = clock().replace(microsecond=0)
    return Drill(
        id=secrets.token_hex(4),
        version=1 if before is None else before.version + 1,
        upstream=upstream,
        serving=state.serving,
        since=state.since,
        started_at=now,
        until=now + timedelta(minutes=minutes),
        people=frozenset(_digest(row) for row in rows),
        actor=actor,
        reason=reason,
    )


def _digest(row: RosterRow) -> str:
    return person_digest(row.lookup_key or "")


def _link(settings: Settings, drill: Drill, row: RosterRow) -> str:
    login = DrillLogin(drill.id, _digest(row))
    invitation = Invitation(secrets.token_hex(8), login, row.id)
    return link_of(invitation, KeyRing(settings.proxy.state_keys, PURPOSE))


def _show(drill: Drill, guests: Sequence[_Guest], over: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        answer = {
            "drill": drill.id,
            "upstream": drill.upstream,
            "until": drill.until.isoformat(),
            "people": [{"person": one.named, "link": one.link} for one in guests],
            "next": command_line(*over),
        }
        typer.echo(json.dumps(answer, indent=2))
        return
    typer.echo(f"drill {drill.id} by {drill.upstream} until {drill.until:%H:%M:%S} UTC")
    typer.echo("give each person their own link; it counts once, in the browser that opens it:\n")
    for one in guests:
        typer.echo(f"{one.named}\n  {one.link}\n")
    typer.echo(shown_next(*over))
