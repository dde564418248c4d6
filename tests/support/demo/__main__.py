"""`python -m tests.support.demo`: tell the story, then keep serving for a look by browser."""

# Typer reads the annotations at run time: they are no strings here.
import enum
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from tests.support.demo.directory import company_directory
from tests.support.demo.story import EXPECTED, SETTINGS, Story
from tests.support.launch import PROGRAM, CommandFailed
from tests.support.people import PEOPLE
from tests.support.process_stage import ACTIVE, STANDBY, Stage, set_up
from tests.support.processes import NotReadyError, ProcessDiedError

_CANNOT_START = (CommandFailed, ProcessDiedError, NotReadyError)


class Kind(enum.StrEnum):
    """What stands by."""

    SAML = "saml"
    LDAP = "ldap"


def main(
    *,
    oneshot: Annotated[bool, typer.Option(help="End after the story, with its result.")] = False,
    standby: Annotated[Kind, typer.Option(help="What stands by for the active.")] = Kind.SAML,
) -> None:
    """An outage, told on the terminal with real logins; then everything stays up for a browser."""
    console = Console(highlight=False, emoji=False)
    if not PROGRAM.exists():
        console.print(f"{PROGRAM} is missing: install the project first (make demo does)")
        raise typer.Exit(2)
    signal.signal(signal.SIGTERM, _end)
    try:
        with TemporaryDirectory(prefix="sso-failover-demo-") as folder:
            code = _run(console, Path(folder), standby, oneshot=oneshot)
    except _CANNOT_START as error:
        console.print(f"The stage cannot be set up: {error}", style="red", markup=False)
        code = 1
    except KeyboardInterrupt:
        console.print("ended")
        code = 130
    raise typer.Exit(code)


def _end(_number: int, _frame: object) -> None:
    """TERM ends the demo as Ctrl-C does: the processes it started end with it."""
    raise KeyboardInterrupt


@contextmanager
def _set_up(folder: Path, standby: Kind) -> Iterator[Stage]:
    if standby is Kind.SAML:
        with set_up(folder, SETTINGS) as stage:
            yield stage
        return
    with (
        company_directory(folder) as upstream,
        set_up(folder, SETTINGS + upstream, (ACTIVE,)) as it,
    ):
        yield it


def _run(console: Console, folder: Path, standby: Kind, *, oneshot: bool) -> int:
    began = time.monotonic()
    with _set_up(folder, standby) as stage:
        _introduce(console, stage)
        if not _tell(console, Story(stage)):
            return 1
        taken = time.monotonic() - began
        console.print(f"\n[bold green]Every step held.[/] {taken:.1f} s, start included.")
        if oneshot:
            return 0
        _introduce(console, stage)
        console.print(
            "Everything keeps running: log in by browser, kill a provider, see it fail over. "
            "Ctrl-C ends it."
        )
        console.print(
            f"export IDP_PROXY_CONFIG={stage.proxy.configuration}\n{PROGRAM} status",
            soft_wrap=True,
            markup=False,
        )
        with suppress(KeyboardInterrupt):
            signal.pause()
    return 0


def _introduce(console: Console, stage: Stage) -> None:
    table = Table(show_header=False, box=None)
    table.add_row("Mattermost (log in here)", stage.mattermost.url)
    table.add_row("the proxy: public status", f"{stage.proxy.public_url}/status")
    for idp in stage.idps.values():
        table.add_row(idp.name, idp.url)
    if STANDBY not in stage.idps:
        table.add_row("company directory (standby)", f"its login: {stage.login_page(STANDBY)}")
    for person in PEOPLE:
        table.add_row(f"user name {person.uid}", f"password {person.password}")
    console.print(Panel(table, title="Mattermost SSO failover", expand=False))


def _tell(console: Console, story: Story) -> bool:
    """Play every step; False at the first that does not hold."""
    for number, step in enumerate(story.steps(), 1):
        console.print(f"\n[bold]{number}. {step.title}[/]")
        try:
            for line in step.play():
                console.print(f"   {line}", markup=False, soft_wrap=True)
        except (*EXPECTED, *_CANNOT_START) as error:
            console.print(f"   FAILED: {error}", style="bold red", markup=False, soft_wrap=True)
            return False
        console.print("   [green]held[/]")
    return True


if __name__ == "__main__":
    typer.run(main)
