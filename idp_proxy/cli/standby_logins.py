"""`standby-logins list` and `standby-logins revoke`: after an outage, sessions that a standby made.

They ask Mattermost by `[service_provider.api]`. Without it they say who came, and take the word of
whoever ended the sessions in Mattermost by hand. Exit code 3 while anything is left.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

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
    moment,
    opened_store,
    settings_of,
    tell,
)
from idp_proxy.cli.signing_in import AsOption, Means, PasswordOption
from idp_proxy.cli.standby_table import printable, report
from idp_proxy.decision.approval import Act
from idp_proxy.decision.standby_logins import NotFound, Wanted
from idp_proxy.errors import ConfigError, MattermostError
from idp_proxy.mattermost import open_api
from idp_proxy.operators.consent import Wish
from idp_proxy.store.standby_logins import forget_standby_logins, standby_logins

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from datetime import datetime

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
_AllByHandOption = Annotated[
    bool, typer.Option("--all-by-hand", help="As --by-hand, for everybody without such an account.")
]
#: What can be done in Mattermost itself.
_BY_HAND = (
    "end them in Mattermost's System Console: User Management, Users, the person, Revoke Sessions; "
    "or there Revoke All Sessions, which logs everybody out"
)
_MISSING = (
    "service_provider.api: missing, so that nobody can ask Mattermost for these sessions (see "
    f"docs/operations/standby-logins.md); {_BY_HAND}; then say so with `standby-logins revoke "
    "--since WHEN --all-by-hand`"
)
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
    task = Task.of(settings, "list", since, upstream)
    _run(settings, task, lambda _store, _people: standby_sessions.look, as_json=as_json)


def revoke(
    since: _SinceOption,
    upstream: _UpstreamOption = None,
    by_hand: _ByHandOption = None,
    all_by_hand: _AllByHandOption = False,
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
    task = Task.of(settings, "revoke", since, upstream, frozenset(by_hand or ()))
    why = terminal.one_line(reason, "--reason")
    if settings.mattermost_api is None and not (by_hand or all_by_hand or dry_run):
        raise ConfigError([_MISSING])

    def begin(store: SqlStore, people: tuple[Came, ...]) -> _Act:
        if all_by_hand:
            task.by_hand |= _uncertain(people)
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
class Task:
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
    unasked: bool = False

    @classmethod
    def of(
        cls,
        settings: Settings,
        name: str,
        since: str,
        upstream: str | None,
        by_hand: frozenset[str] = frozenset(),
    ) -> Task:
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
        if self.by is None and self.unasked:
            return (_WHAT, "revoke", *self.words, "--all-by-hand")
        other = "revoke" if self.by is None else "list"
        return (_WHAT, self.name if self.stopped else other, *self.words)


if TYPE_CHECKING:
    _Act = Callable[[standby_sessions.Api, Came, datetime], Outcome]
    _Begin = Callable[[SqlStore, tuple[Came, ...]], _Act]


def _run(settings: Settings, task: Task, begin: _Begin, *, as_json: bool) -> None:
    with _mattermost(settings) as api, opened_store(settings) as store:
        with store.reading() as connection:
            logins = standby_logins(connection, task.begin, task.upstream)
        if logins:
            task.unasked = isinstance(api, standby_sessions.NotAsked)
            tell(f"note: {_MISSING}" if task.unasked else "reading Mattermost's list of people")
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
    report(task, as_json=as_json)
    if task.left:
        raise typer.Exit(EXIT_OPEN)


def _mattermost(settings: Settings) -> AbstractContextManager[standby_sessions.Api]:
    """Mattermost's API; what stands in its place where the proxy has no access to it."""
    if settings.mattermost_api is None:
        return nullcontext(standby_sessions.NotAsked())
    return open_api(settings, _WHAT)


def _described(store: SqlStore, person: str) -> Wanted:
    row = store.person(person)
    attributes = {} if row is None else row.attributes
    return Wanted(person, attributes.get("email", ""), attributes.get("username", ""))


def _uncertain(people: tuple[Came, ...]) -> frozenset[str]:
    return frozenset(one.wanted.person for one in people if isinstance(one.account, NotFound))


def _demand_uncertain(people: tuple[Came, ...], by_hand: frozenset[str]) -> None:
    """Raises `ConfigError`: of whom Mattermost tells the sessions, they are ended and looked at."""
    if wrong := sorted(by_hand - _uncertain(people)):
        raise ConfigError(
            [
                f"--by-hand: {printable(one)}: only for a person whom `standby-logins list` shows "
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


def _on_record(store: SqlStore, outcome: Outcome, task: Task) -> None:
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


def _since(text: str) -> datetime:
    found = moment("--since", text)
    if found > clock():
        raise ConfigError(
            [f"--since: {found:%Y-%m-%d %H:%M} UTC is yet to come; give the outage's begin in UTC"]
        )
    return found
