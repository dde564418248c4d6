"""`incident export`: what happened in an outage, for whoever must answer for it afterwards."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from idp_proxy.audit.log import rows as audit_rows
from idp_proxy.audit.log import verify_log
from idp_proxy.cli.audit import checkpoints_of
from idp_proxy.cli.session import (
    EXIT_REFUSED,
    ConfigOption,
    JsonOption,
    clock,
    moment,
    opened_store,
    settings_of,
    shown_next,
    tell,
)
from idp_proxy.cli.standby_table import printable
from idp_proxy.decision.incident import Happened, incident
from idp_proxy.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy import Connection

    from idp_proxy.audit.verification import Verdict
    from idp_proxy.config import Settings
    from idp_proxy.decision.incident import Incident, Logins, Stretch

_SinceOption = Annotated[
    str, typer.Option("--since", metavar="WHEN", help="From then on, in UTC: 2026-12-01T02:30.")
]
_UntilOption = Annotated[
    str | None, typer.Option("--until", metavar="WHEN", help="Until then, in UTC; else until now.")
]
_OutputOption = Annotated[
    Path | None,
    typer.Option("--output", metavar="FILE", help="Write all of it there, as JSON; a new file."),
]


def register(program: typer.Typer) -> None:
    """Add this group to `program`."""
    group = typer.Typer(help="What happened, afterwards.", no_args_is_help=True)
    group.command("export")(export)
    program.add_typer(group, name="incident")


def export(
    since: _SinceOption,
    until: _UntilOption = None,
    output: _OutputOption = None,
    *,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Who served when and why, who got in, and who did what, out of the audit, which is verified.

    People are counted and not named. Exit code 1 when the audit is not what was written.
    """
    settings = settings_of(config)
    begin, end = _period(since, until)
    with opened_store(settings) as store, store.reading() as connection:
        verdict = verify_log(connection, checkpoints_of(settings).checkpoints)
        state = store.switch_state()
        serving = state.serving if state else settings.upstreams[0].name
        found = incident(_happened(connection), begin, end, serving)
    document = json.dumps(_as_json(found, verdict), indent=2) + "\n"
    if output is not None:
        _write(output, document)
    if as_json:
        typer.echo(document, nl=False)
    else:
        _show(found, verdict)
        if output is not None:
            typer.echo(f"written: {output}")
        typer.echo(_next(found, settings))
    if not verdict.ok:
        raise typer.Exit(EXIT_REFUSED)


def _period(since: str, until: str | None) -> tuple[datetime, datetime]:
    begin = moment("--since", since)
    end = clock() if until is None else moment("--until", until)
    if end <= begin:
        raise ConfigError([f"--until: {end:%Y-%m-%d %H:%M} UTC is not after --since"])
    return begin, end


def _happened(connection: Connection) -> Iterator[Happened]:
    """Every row; of one that somebody made unreadable, when it was."""
    for row in audit_rows(connection):
        try:
            content, facts = row.content, row.facts
        except (ValueError, TypeError, KeyError):
            yield Happened(row.at, "unreadable", "", None, {})
            continue
        person = content.get("person")
        known = person if isinstance(person, str) else None
        yield Happened(row.at, row.kind, str(content.get("actor", "")), known, facts)


def _write(file: Path, document: str) -> None:
    """It holds who acted and why: for its owner alone, and never over another one."""
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError([f"--output: {file}: {error.strerror}; name a new file"]) from error
    with os.fdopen(handle, "w", encoding="utf-8") as opened:
        opened.write(document)


def _as_json(found: Incident, verdict: Verdict) -> dict[str, Any]:
    return {
        "begin": found.begin.isoformat(),
        "end": found.end.isoformat(),
        "audit": {
            "ok": verdict.ok,
            "rows": verdict.rows,
            "chains": list(verdict.chains),
            "checkpoints": verdict.checkpoints,
            "broken": None if verdict.broken is None else str(verdict.broken),
        },
        "served": [
            asdict(one) | {"begin": one.begin.isoformat(), "end": one.end.isoformat()}
            for one in found.stretches
        ],
        "logins": [asdict(one) for one in found.logins],
        "counted": found.counted,
        "events": [
            {"at": one.at.isoformat(), "kind": one.kind, "actor": one.actor, "facts": one.facts}
            for one in found.events
        ],
    }


def _show(found: Incident, verdict: Verdict) -> None:
    typer.echo(f"from {found.begin:%Y-%m-%d %H:%M:%S} to {found.end:%Y-%m-%d %H:%M:%S} UTC")
    broken = "intact" if verdict.ok else f"BROKEN: {verdict.broken}"
    typer.echo(
        f"audit: {broken}; {verdict.rows} rows in {len(verdict.chains)} chains, "
        f"{verdict.checkpoints} signed checkpoints"
    )
    for stretch in found.stretches:
        typer.echo(f"served: {_served(stretch)}")
    for logins in found.logins:
        typer.echo(f"logins: {_counted(logins)}")
    for kind, count in found.counted.items():
        typer.echo(f"counted: {kind}: {count}")
    for event in found.events:
        facts = " ".join(f"{name}={_shown(value)}" for name, value in sorted(event.facts.items()))
        typer.echo(f"{event.at:%m-%d %H:%M:%S}  {event.kind}  {event.actor}  {facts}")
    if not verdict.checkpoints:
        tell("warning: without checkpoints a history rewritten as a whole would not show")


def _served(stretch: Stretch) -> str:
    lasted = int((stretch.end - stretch.begin).total_seconds())
    hours, minutes = divmod(lasted // 60, 60)
    why = f": {printable(stretch.cause)} ({stretch.actor})" if stretch.actor else ""
    return (
        f"{stretch.upstream} from {stretch.begin:%m-%d %H:%M:%S} to {stretch.end:%m-%d %H:%M:%S} "
        f"({hours}:{minutes:02}:{lasted % 60:02}){why}"
    )


def _counted(logins: Logins) -> str:
    refused = ", ".join(f"{count} {reason}" for reason, count in logins.refused.items()) or "none"
    return f"{logins.upstream}: {logins.let_in}, of {logins.people} people; refused: {refused}"


def _shown(value: object) -> str:
    """One word, and nothing in it that a terminal would obey."""
    text = str(value)
    return text if text.isprintable() and text and " " not in text else repr(text)


def _next(found: Incident, settings: Settings) -> str:
    """Sessions that a standby made outlive the outage."""
    active = settings.upstreams[0].name
    if any(one.let_in and one.upstream != active for one in found.logins):
        return shown_next("standby-logins", "list", "--since", f"{found.begin:%Y-%m-%dT%H:%M}")
    return shown_next("verify-audit")
