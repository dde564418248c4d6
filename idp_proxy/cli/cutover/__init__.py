"""`cutover check`, `apply` and `back`: whom Mattermost trusts, the proxy or an upstream without it.

They ask Mattermost by `[service_provider.api]`. `back` needs neither the proxy nor its store, and
with `--by-hand` not even the API: it then says what to type into the System Console.
"""

from __future__ import annotations

import typer

from idp_proxy.cli.cutover.applying import apply, check
from idp_proxy.cli.cutover.leading_back import back

__all__ = ["register"]


def register(program: typer.Typer) -> None:
    """Add this group to `program`."""
    group = typer.Typer(help="Whom Mattermost trusts: the proxy or not.", no_args_is_help=True)
    group.command("check")(check)
    group.command("apply")(apply)
    group.command("back")(back)
    program.add_typer(group, name="cutover")
