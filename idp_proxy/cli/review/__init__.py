"""`review`: what a reviewer judges, and what follows from the findings."""

from __future__ import annotations

import typer

from idp_proxy.cli.review.showing import review
from idp_proxy.cli.review.signing import agree, sign, waive


def register(program: typer.Typer) -> None:
    """Add this group to `program`."""
    group = typer.Typer(help="Judge the policy by every rule that can be judged.")
    group.callback(invoke_without_command=True)(review)
    group.command("sign")(sign)
    group.command("waive")(waive)
    group.command("confirm")(agree)
    program.add_typer(group, name="review")
