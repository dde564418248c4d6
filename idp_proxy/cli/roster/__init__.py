"""`roster ...`: whom a standby may let in. People are shown to whoever asks here; no log has them.

Every command reads or writes the roster in the store; none waits for logins, none keeps them
waiting.
"""

from __future__ import annotations

import typer

from idp_proxy.cli.roster.admitting import admit
from idp_proxy.cli.roster.checking import check
from idp_proxy.cli.roster.exporting import export
from idp_proxy.cli.roster.forecasting import forecast
from idp_proxy.cli.roster.importing import confirm, import_people
from idp_proxy.cli.roster.people import block, resolve, unblock


def register(program: typer.Typer) -> None:
    """Add this group to `program`."""
    group = typer.Typer(help="Whom a standby may let in.", no_args_is_help=True)
    group.command("import")(import_people)
    group.command("confirm")(confirm)
    group.command("export")(export)
    group.command("check")(check)
    group.command("forecast")(forecast)
    group.command("block")(block)
    group.command("unblock")(unblock)
    group.command("admit")(admit)
    group.command("resolve")(resolve)
    program.add_typer(group, name="roster")
