"""How far a command is: a line that moves on a terminal, a line for each tenth in a log."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from conversion.cli.session import tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Task, TaskID

    from conversion.bulk import Progress as People

    Step = Callable[[str, int, int, int], None]


class _Rate(ProgressColumn):
    """People a second."""

    def render(self, task: Task) -> Text:
        """The rate, once there is one."""
        return Text(f"{task.speed:.0f}/s" if task.speed else "")


@contextmanager
def people() -> Iterator[Callable[[People], None]]:
    """What a journey tells its progress to."""
    with steps() as step:
        yield lambda at: step(at.command, at.done, at.total, at.failed)


@contextmanager
def steps() -> Iterator[Step]:
    """Tell what is done: its name, how many of how many, and how many of those in vain."""
    console = Console(stderr=True, markup=False, highlight=False)
    if not console.is_terminal:
        yield _Tenths(time.monotonic).step
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failed]}"),
    )
    with Progress(*columns, console=console, transient=False) as shown:
        tasks: dict[tuple[str, int], TaskID] = {}

        def step(name: str, done: int, total: int, failed: int = 0) -> None:
            # A command may go through people several times: a pilot and the rest, a repair.
            if (name, total) not in tasks:
                tasks[name, total] = shown.add_task(name, total=total, failed="")
            said = f"{failed} failed" if failed else ""
            shown.update(tasks[name, total], completed=done, failed=said)

        yield step


class _Tenths:
    """Lines for a log: each tenth of the way, with the rate and the time left."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._began = now()
        self._told: dict[tuple[str, int], int] = {}

    def step(self, name: str, done: int, total: int, failed: int = 0) -> None:
        """Tell, if another tenth is done."""
        tenth = 10 * done // total if total else 10
        if tenth <= self._told.get((name, total), 0):
            return
        self._told[name, total] = tenth
        taken = max(self._now() - self._began, 1e-3)
        left = taken / max(done, 1) * (total - done)
        vain = f", {failed} failed" if failed else ""
        tell(f"{name}: {done} of {total}{vain}, {done / taken:.0f}/s, {left:.0f} s left")
        if done == total:
            # What comes next, a repair or the rest after a pilot, has its own time.
            self._began = self._now()
            del self._told[name, total]
