"""Commands about the record: `report`, `backup`, `restore`."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads it at run time
from typing import TYPE_CHECKING, Annotated

import typer

from conversion.cli.session import (
    EXIT_OPEN,
    ConfigOption,
    clock,
    opened_ledger,
    settings_of,
    shown_next,
    tell,
)
from conversion.errors import ConfigError, LedgerError
from conversion.ledger import backup as backups
from conversion.ledger.opening import rebuild
from conversion.report import Format, render, report_of

if TYPE_CHECKING:
    from conversion.config import Settings


def register(program: typer.Typer) -> None:
    """Add these commands to `program`."""
    program.command("report")(report)
    program.command("backup")(backup)
    program.command("restore")(restore)


def report(
    form: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.TEXT,
    config: ConfigOption = None,
) -> None:
    """So many moved, so many back, nobody left, and each exception with its reason."""
    settings = settings_of(config)
    with opened_ledger(settings) as ledger:
        campaign = ledger.last_campaign()
        if campaign is None:
            raise LedgerError("there was no campaign yet: nobody was moved by this tool")
        found = report_of(ledger, campaign, clock(), settings.campaign.owner)
    typer.echo(render(found, form), nl=False)
    tell(shown_next("backup", "FILE") if found.closed_at else shown_next("status"))
    if found.closed_at is None:
        raise typer.Exit(EXIT_OPEN)


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")],
    config: ConfigOption = None,
) -> None:
    """Write an encrypted copy of the ledger, and read it back."""
    settings = settings_of(config)
    with opened_ledger(settings) as ledger:
        backups.backup(ledger.database, file, _key(settings))
    typer.echo(f"{file} is a whole, encrypted copy; it opens with ledger.backup_key only")
    typer.echo(shown_next("status"))


def restore(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A backup.", show_default=False)
    ] = None,
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Make the ledger from its mirror alone.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Bring a lost ledger back, from a backup and its mirror, or from the mirror alone."""
    settings = settings_of(config)
    kept = settings.ledger
    if mirror == (file is not None):
        raise ConfigError(["name a backup, or --mirror for the mirror alone"])
    if file is None:
        ledger = rebuild(kept.place, kept.mirror, host=kept.host)
        ledger.close()
        typer.echo("the ledger was made from its mirror; the audit begins anew")
        typer.echo(shown_next("prepare"))
        return
    backups.restore(file, kept.place, kept.mirror, _key(settings), host=kept.host)
    with opened_ledger(settings):
        pass
    typer.echo("the ledger was restored, and brought up to date by its mirror")
    typer.echo(shown_next("status"))


def _key(settings: Settings) -> bytes:
    if settings.ledger.backup_key is None:
        problem = (
            'ledger.backup_key: missing; write "file:PATH" of 32 random octets:'
            " head -c 32 /dev/urandom > PATH"
        )
        raise ConfigError([problem])
    return settings.ledger.backup_key
