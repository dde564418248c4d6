"""What `standby-logins` shows: a table for eyes, or JSON."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

from idp_proxy.cli.session import command_line, screen, shown_next, tell
from idp_proxy.decision.standby_logins import NotFound

if TYPE_CHECKING:
    from idp_proxy.cli.standby_logins import Task
    from idp_proxy.standby_sessions import Outcome


def report(task: Task, *, as_json: bool) -> None:
    """What was done, and what is left."""
    if as_json:
        document = {
            "people": task.people,
            "looked_at": len(task.done),
            "stopped": task.stopped or None,
            "logins": [row_of(outcome) for outcome in task.done],
            "next": command_line(*task.next),
        }
        typer.echo(json.dumps(document, indent=2))
        return
    shown = [one for one in task.done if task.by is None or one.found or one.open]
    if shown:
        table = Table("person", "user name", "through", "since (UTC)", "live", "ended", "open")
        for row in map(row_of, shown):
            when = datetime.fromisoformat(row["since"])
            who = (row["person"], row["username"], row["upstreams"], f"{when:%Y-%m-%d %H:%M}")
            cells = (*who, row["found"], row["ended"], row["open"] or "")
            table.add_row(*(printable(str(one)) for one in cells))
        screen.print(table)
    if task.stopped:
        tell("stopped:", printable(task.stopped))
    ended, live = (sum(getattr(one, what) for one in task.done) for what in ("ended", "found"))
    said = f"{live} sessions are live" if task.by is None else f"{ended} of {live} sessions ended"
    typer.echo(f"{len(task.done)} of {task.people} people looked at; {said}")
    typer.echo(shown_next(*task.next))


def row_of(outcome: Outcome) -> dict[str, Any]:
    """One person, by names."""
    came = outcome.came
    return {
        "person": came.wanted.person,
        "username": came.wanted.username,
        "account": None if isinstance(came.account, NotFound) else came.account.id,
        "upstreams": ", ".join(sorted({one.upstream for one in came.logins})),
        "since": min(one.at for one in came.logins).isoformat(timespec="seconds"),
        "found": outcome.found,
        "ended": outcome.ended,
        "open": outcome.open,
    }


def printable(text: str) -> str:
    """Without what a terminal would take for a command."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
