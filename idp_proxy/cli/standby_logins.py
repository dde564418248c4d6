"""`standby-logins list` and `standby-logins revoke`: after an outage, sessions that a standby made.

Both need `[service_provider.api]`. Exit code 3 while anything is left.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from idp_proxy import standby_sessions
from idp_proxy.audit.chain import Event
from idp_proxy.cli import terminal
from idp_proxy.cli.approving import ask
from idp_proxy.cli.session import (
    EXIT_OPEN,
    ConfigOption,
    JsonOption,
    ReasonOption,
    clock,
    command_line,
    opened_store,
    screen,
    settings_of,
    shown_next,
    tell,
)
from idp_proxy.cli.signing_in import AsOption, Means, PasswordOption
from idp_proxy.decision.approval import Act
from idp_proxy.decision.standby_logins import NotFound, Wanted
from idp_proxy.errors import ConfigError, MattermostError
from idp_proxy.mattermost import open_api
from idp_proxy.operators.consent import Wish
from idp_proxy.store.standby_logins import forget_standby_logins, standby_logins

if TYPE_CHECKING:
    from collections.abc import Callable

    from idp_proxy.config import Settings
    from idp_proxy.standby_sessions import Came, Outcome
    from idp_proxy.store.sql import SqlStore

_WHAT = "standby-logins"
_SAID_EVERY = 25
_SinceOption = Annotated[
    str,
    typer.Option("--since", metavar="WHEN", help="From then on, in UTC: 2026-12-01T02:30."),
]
_UpstreamOption = Annotated[
    str | None, typer.Option("--upstream", metavar="NAME", help="This standby alone.")
]
_ByHandOption = Annotated[
    list[str] | None,
    typer.Option(
        "--by-hand",
        metavar="PERSON",
        help="Who has no certain account, and whose sessions you ended in Mattermost yourself.",
    ),
]
_PHONES = (
    "people are logged out where they logged in through the standby; from Mattermost 11.10 on "
    "their app may wipe its data on the phone: unsent drafts are lost"
)


def register(program: typer.Typer) -> None:
    """Add this group to `program`."""
    group = typer.Typer(help="Sessions that a standby made.", no_args_is_help=True)
    group.command("list")(show)
    group.command("revoke")(revoke)
    program.add_typer(group, name=_WHAT)


def show(
    since: _SinceOption,
    upstream: _UpstreamOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Who came through a standby since WHEN, and which of their sessions are live."""
    settings = settings_of(config)
    task = _Task.of(settings, "list", since, upstream)
    _run(settings, task, lambda _store, _people: standby_sessions.look, as_json=as_json)


def revoke(
    since: _SinceOption,
    upstream: _UpstreamOption = None,
    by_hand: _ByHandOption = None,
    *,
    dry_run: Annotated[bool, typer.Option(help="Show whose sessions would end, and stop.")] = False,
    reason: ReasonOption = "sessions made by a standby end after the outage",
    as_name: AsOption = None,
    password_from: PasswordOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """End the sessions that logins through a standby made since WHEN; no others, and no tokens."""
    settings = settings_of(config)
    task = _Task.of(settings, "revoke", since, upstream, frozenset(by_hand or ()))
    why = terminal.one_line(reason, "--reason")

    def begin(store: SqlStore, people: tuple[Came, ...]) -> _Act:
        _demand_uncertain(people, task.by_hand)
        if dry_run or not people:
            return standby_sessions.look
        _say_what_it_means(settings, store, len(people))
        wish = Wish(Act.REVOKE_SESSIONS, upstream or "all standbys", why)
        task.by = ask(settings, store, wish, Means(as_name, None, password_from)).actor
        facts = {"upstream": upstream, "since": task.begin.isoformat(), "people": len(people)}
        with store.transaction() as tx:
            tx.record(
                Event("standby_sessions_revoked", task.by, clock(), facts=facts | {"cause": why})
            )
        return task.end

    _run(settings, task, begin, as_json=as_json)


@dataclass(slots=True)
class _Task:
    """One command: which logins it is about. `by` is who ends sessions, None while nobody does."""

    name: str
    begin: datetime
    words: tuple[str, ...]
    upstream: str | None
    by_hand: frozenset[str]
    by: str | None = None
    done: list[Outcome] = field(default_factory=list)
    people: int = 0
    stopped: str = ""

    @classmethod
    def of(
        cls,
        settings: Settings,
        name: str,
        since: str,
        upstream: str | None,
        by_hand: frozenset[str] = frozenset(),
    ) -> _Task:
        """By the options. Raises `ConfigError`."""
        names = [one.name for one in settings.upstreams]
        if upstream is not None and upstream not in names:
            raise ConfigError(
                [f"--upstream: no upstream is called so; there are {', '.join(names)}"]
            )
        words = () if upstream is None else ("--upstream", upstream)
        return cls(name, _since(since), ("--since", since, *words), upstream, by_hand)

    def end(self, api: standby_sessions.Api, came: Came, now: datetime) -> Outcome:
        """What `revoke` does with one person."""
        if came.wanted.person in self.by_hand:
            return standby_sessions.by_hand(came, now)
        return standby_sessions.end(api, came, now)

    @property
    def left(self) -> bool:
        """Whether anything is."""
        return bool(self.stopped) or not all(one.is_settled for one in self.done)

    @property
    def next(self) -> tuple[str, ...]:
        """The command to copy: the same again where it was stopped."""
        if not self.left:
            return ("status",)
        other = "revoke" if self.by is None else "list"
        return (_WHAT, self.name if self.stopped else other, *self.words)


if TYPE_CHECKING:
    _Act = Callable[[standby_sessions.Api, Came, datetime], Outcome]
    _Begin = Callable[[SqlStore, tuple[Came, ...]], _Act]


def _run(settings: Settings, task: _Task, begin: _Begin, *, as_json: bool) -> None:
    with open_api(settings, _WHAT) as api, opened_store(settings) as store:
        with store.reading() as connection:
            logins = standby_logins(connection, task.begin, task.upstream)
        if logins:
            tell("reading Mattermost's list of people")
        people = standby_sessions.find(api, logins, partial(_described, store))
        task.people, act = len(people), begin(store, people)
        try:
            for outcome in standby_sessions.each(people, lambda came: act(api, came, clock())):
                task.done.append(outcome)
                if task.by is not None:
                    _on_record(store, outcome, task)
                if len(task.done) % _SAID_EVERY == 0:
                    tell(f"{len(task.done)} of {task.people} people")
        except KeyboardInterrupt:
            task.stopped = "by Ctrl-C; what was done until now is done"
        except MattermostError as error:
            task.stopped = error.detail
    _report(task, as_json=as_json)
    if task.left:
        raise typer.Exit(EXIT_OPEN)


def _described(store: SqlStore, person: str) -> Wanted:
    row = store.person(person)
    attributes = {} if row is None else row.attributes
    return Wanted(person, attributes.get("email", ""), attributes.get("username", ""))


def _demand_uncertain(people: tuple[Came, ...], by_hand: frozenset[str]) -> None:
    """Raises `ConfigError`: of whom Mattermost tells the sessions, they are ended and looked at."""
    uncertain = {one.wanted.person for one in people if isinstance(one.account, NotFound)}
    if wrong := sorted(by_hand - uncertain):
        raise ConfigError(
            [
                f"--by-hand: {_printable(one)}: only for a person whom `standby-logins list` shows "
                "as open without an account; leave it out, nothing was ended"
                for one in wrong
            ]
        )


def _say_what_it_means(settings: Settings, store: SqlStore, people: int) -> None:
    """Before anybody agrees to it."""
    tell(f"note: {people} people:" if people > 1 else "note: 1 person:", _PHONES)
    state = store.switch_state()
    if state is not None and state.serving != settings.upstreams[0].name:
        tell(
            f"warning: {state.serving} serves: whoever is logged out now comes back through it; "
            "end the outage first"
        )


def _on_record(store: SqlStore, outcome: Outcome, task: _Task) -> None:
    """Put the end on record; the login is forgotten where nothing can be left of it."""
    came = outcome.came
    facts = {
        "found": outcome.found,
        "ended": outcome.ended,
        "left": not outcome.is_settled,
        "by_hand": came.wanted.person in task.by_hand,
    }
    by = task.by or ""
    with store.transaction() as tx:
        tx.record(
            Event("standby_sessions_ended", by, clock(), person=came.wanted.person, facts=facts)
        )
    if outcome.is_settled:
        with store.writing() as connection:
            times = [login.at for login in came.logins]
            forget_standby_logins(connection, came.wanted.person, times)


def _report(task: _Task, *, as_json: bool) -> None:
    if as_json:
        document = {
            "people": task.people,
            "looked_at": len(task.done),
            "stopped": task.stopped or None,
            "logins": [_row(outcome) for outcome in task.done],
            "next": command_line(*task.next),
        }
        typer.echo(json.dumps(document, indent=2))
        return
    shown = [one for one in task.done if task.by is None or one.found or one.open]
    if shown:
        table = Table("person", "through", "since (UTC)", "live", "ended", "open")
        for row in map(_row, shown):
            when = datetime.fromisoformat(row["since"])
            cells = (row["upstreams"], f"{when:%Y-%m-%d %H:%M}", row["found"], row["ended"])
            table.add_row(
                *(_printable(str(one)) for one in (row["person"], *cells, row["open"] or ""))
            )
        screen.print(table)
    if task.stopped:
        tell("stopped:", _printable(task.stopped))
    ended, live = (sum(getattr(one, what) for one in task.done) for what in ("ended", "found"))
    said = f"{live} sessions are live" if task.by is None else f"{ended} of {live} sessions ended"
    typer.echo(f"{len(task.done)} of {task.people} people looked at; {said}")
    typer.echo(shown_next(*task.next))


def _row(outcome: Outcome) -> dict[str, Any]:
    came = outcome.came
    return {
        "person": came.wanted.person,
        "account": None if isinstance(came.account, NotFound) else came.account.id,
        "upstreams": ", ".join(sorted({one.upstream for one in came.logins})),
        "since": min(one.at for one in came.logins).isoformat(timespec="seconds"),
        "found": outcome.found,
        "ended": outcome.ended,
        "open": outcome.open,
    }


def _since(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            [f"--since: not a time: {text!r}; it has the form 2026-12-01T02:30 (UTC)"]
        ) from None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    if found > clock():
        raise ConfigError(
            [f"--since: {found:%Y-%m-%d %H:%M} UTC is yet to come; give the outage's begin in UTC"]
        )
    return found


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
