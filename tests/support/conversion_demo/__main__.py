"""`python -m tests.support.conversion_demo`: exit code 0 only when nobody is left behind."""

import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import typer
from rich.console import Console

from tests.support.conversion_demo.stage import PEOPLE, PROGRAM, Stage, set_up
from tests.support.conversion_demo.story import Story
from tests.support.demo.story import StepFailed
from tests.support.processes import NotReadyError, ProcessDiedError

_WRONG = (StepFailed, httpx.HTTPError, subprocess.TimeoutExpired, NotReadyError, ProcessDiedError)


def main() -> None:
    """Tell the story."""
    console = Console(highlight=False, emoji=False)
    if not PROGRAM.exists():
        console.print(f"{PROGRAM} is missing: install the project first (make does)")
        raise typer.Exit(2)
    began = time.monotonic()
    try:
        with (
            TemporaryDirectory(prefix="sso-conversion-demo-") as folder,
            set_up(Path(folder)) as stage,
        ):
            tell(console, stage)
    except _WRONG as error:
        console.print(f"   FAILED: {error}", style="bold red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from error
    taken = time.monotonic() - began
    console.print(f"\n[bold green]Nobody is left behind.[/] {taken:.1f} s, start included.")


def tell(console: Console, stage: Stage) -> None:
    """Play every step. Raises `StepFailed` at the first that does not hold."""
    console.print(f"Mattermost 10.11 with {PEOPLE} people on SSO, at {stage.url}")
    for number, step in enumerate(Story(stage).steps(), 1):
        console.print(f"\n[bold]{number}. {step.title}[/]")
        for line in step.play():
            console.print(f"   {line}", markup=False, soft_wrap=True)
        console.print("   [green]held[/]")


if __name__ == "__main__":
    typer.run(main)
