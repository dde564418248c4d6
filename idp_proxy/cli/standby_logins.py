"""`standby-logins list` and `standby-logins revoke`: after an outage, sessions that a standby made.

Both need `[service_provider.api]`. Exit code 3 while anything is left.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from idp_proxy import standby_sessions
from idp_proxy.audit.chain import Event
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
    _run(settings_of(config), _since(since), upstream, None, as_json=as_json, words=since)


def revoke(
    since: _SinceOption,
    upstream: _UpstreamOption = None,
    *,
    dry_run: Annotated[bool, typer.Option(help="Show whose sessions would end, and stop.")] = False,
    reason: ReasonOption = "sessions made by a standby end after the outage",
    as_name: AsOption = None,
    password_from: PasswordOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """End the sessions that logins through a standby made since WHEN; no others, and no tokens."""
    settings, begin = settings_of(config), _since(since)
    by = None
    tell("note:", _PHONES)
    if not dry_run:
        with opened_store(settings) as store:
            wish = Wish(Act.REVOKE_SESSIONS, upstream or "all standbys", reason)
            by = ask(settings, store, wish, Means(as_name, None, password_from)).actor
    _run(settings, begin, upstream, by, as_json=as_json, words=since)


def _run(
    settings: Settings,
    since: datetime,
    upstream: str | None,
    by: str | None,
    *,
    as_json: bool,
    words: str,
) -> None:
    names = [one.name for one in settings.upstreams]
    if upstream is not None and upstream not in names:
        raise ConfigError([f"--upstream: no upstream is called so; there are {', '.join(names)}"])
    done: list[Outcome] = []
    stopped = ""
    with open_api(settings, _WHAT) as api, opened_store(settings) as store:
        with store.reading() as connection:
            logins = standby_logins(connection, since, upstream)
        people = standby_sessions.find(api, logins, partial(_described, store))
        act: Callable[[Came], Outcome] = lambda came: (  # noqa: E731 - one of two
            standby_sessions.look if by is None else standby_sessions.end
        )(api, came, clock())
        try:
            for outcome in standby_sessions.each(people, act):
                done.append(outcome)
                if by is not None:
                    _on_record(store, outcome, by)
                if len(done) % _SAID_EVERY == 0:
                    tell(f"{len(done)} of {len(people)} people")
        except KeyboardInterrupt:
            stopped = "stopped; what was done until now is done"
        except MattermostError as error:
            stopped = error.detail
    _report(done, len(people), stopped, revoked=by is not None, as_json=as_json, words=words)


def _described(store: SqlStore, person: str) -> Wanted:
    row = store.person(person)
    attributes = {} if row is None else row.attributes
    return Wanted(person, attributes.get("email", ""), attributes.get("username", ""))


def _on_record(store: SqlStore, outcome: Outcome, by: str) -> None:
    """Put the end on record; the login is forgotten where nothing can be left of it."""
    now, came = clock(), outcome.came
    facts = {"found": outcome.found, "ended": outcome.ended, "left": outcome.open is not None}
    with store.transaction() as tx:
        tx.record(Event("standby_sessions_ended", by, now, person=came.wanted.person, facts=facts))
    if standby_sessions.is_settled(outcome, now):
        with store.writing() as connection:
            times = [login.at for login in came.logins]
            forget_standby_logins(connection, came.wanted.person, times)


def _report(
    done: list[Outcome], people: int, stopped: str, *, revoked: bool, as_json: bool, words: str
) -> None:
    rows = [_row(outcome) for outcome in done]
    left = stopped or any(one["open"] or one["found"] > one["ended"] for one in rows)
    again = (_WHAT, "list" if revoked else "revoke", "--since", words)
    follow = again if left else ("status",)
    if as_json:
        document = {
            "people": people,
            "looked_at": len(done),
            "stopped": stopped or None,
            "logins": rows,
            "next": command_line(*follow),
        }
        typer.echo(json.dumps(document, indent=2))
    else:
        table = Table("person", "through", "since", "live", "ended", "open")
        for one in rows:
            cells = (one[key] for key in ("person", "upstreams", "since", "found", "ended", "open"))
            table.add_row(*(_printable(str(cell or "")) for cell in cells))
        screen.print(table)
        if stopped:
            tell("stopped:", _printable(stopped))
        typer.echo(f"{len(done)} of {people} people looked at")
        typer.echo(shown_next(*follow))
    if left:
        raise typer.Exit(EXIT_OPEN)


def _row(outcome: Outcome) -> dict[str, Any]:
    came = outcome.came
    return {
        "person": came.wanted.person,
        "account": None if isinstance(came.account, NotFound) else came.account,
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
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
