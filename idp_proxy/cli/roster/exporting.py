"""`roster export`: everybody in the roster, as a CSV file that an import reads again."""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from idp_proxy.cli.session import ConfigOption, opened_store, settings_of, shown_next, tell
from idp_proxy.errors import RosterRefused
from idp_proxy.listing.csv_file import guarded
from idp_proxy.store.people import everybody

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from typing import TextIO

    from idp_proxy.decision.roster import RosterRow


OutputOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A new file (mode 0600); by default standard output."),
]


def export(
    output: OutputOption = None,
    config: ConfigOption = None,
) -> None:
    """Write everybody as CSV. A cell that a spreadsheet would calculate begins with an apostrophe,
    which an import takes away again.
    """
    settings = settings_of(config)
    names = [name for name in settings.upstreams[0].attributes if name != "link_key"]
    with opened_store(settings) as store:
        if output is None:
            _write(sys.stdout, names, everybody(store))
        else:
            with _made(output) as file:
                _write(file, names, everybody(store))
    if output is not None:
        tell(f"{output} names people: it is for its owner alone")
        typer.echo(shown_next("roster", "check"))


def _made(path: Path) -> TextIO:
    """A new file that only its owner reads. Raises `RosterRefused` when something is there."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise RosterRefused(f"{path}: cannot be made: {error.strerror}") from error
    return os.fdopen(handle, "w", encoding="utf-8", newline="")


def _write(file: TextIO, names: list[str], rows: Iterable[RosterRow]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        [*names, "link_key", "source", "confirmed_at", "imported_at", "conflict", "blocks", "roles"]
    )
    for row in rows:
        own = {"id": row.id, "email": row.email, "username": row.username, **row.attributes}
        cells = [
            *(own.get(name, "") for name in names),
            row.link_key,
            row.source,
            _time(row.confirmed_at),
            _time(row.imported_at),
            "true" if row.conflict else "",
            " ".join(sorted(row.blocks)),
            " ".join(sorted(row.roles)),
        ]
        writer.writerow([guarded(cell) for cell in cells])


def _time(at: datetime | None) -> str:
    return "" if at is None else at.isoformat()
