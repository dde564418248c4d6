"""`python -m tests.crash`: the tool killed at random moments, as often as `--count` says.

Each scene is converted and returned; both ways are killed until they come through. After every kill
each person must have a way in, and at the end everybody the binding of before, to the byte.
"""

# Typer reads the annotations at run time: they are no strings here.
import logging
import random
import secrets
from pathlib import Path
from signal import SIGKILL
from tempfile import TemporaryDirectory
from typing import Annotated

import structlog
import typer
from rich.console import Console
from rich.progress import Progress

from tests.crash.field import Case, Field, case, field

VERSIONS = ("5.37", "10.11", "11.10")
#: A run of the tool takes about half a second here: most moments lie within it.
LONGEST_S = 0.7
#: After so many kills a scene is let through, so that there are many scenes.
KILLS_A_WAY = 3


class LostError(Exception):
    """Somebody is lost, was moved twice, or came back as somebody else."""


def main(
    *,
    count: Annotated[int, typer.Option(min=1, help="kills altogether")] = 200,
    seed: Annotated[int, typer.Option(help="0 for another one each time")] = 0,
) -> None:
    """Kill the tool at random moments until `count` is reached."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    seed = seed or secrets.randbelow(1_000_000)
    console = Console(highlight=False)
    console.print(f"{count} kills, seed {seed}")
    chance = random.Random(seed)
    kills = scenes = 0
    with TemporaryDirectory(prefix="crash-") as folder, Progress(console=console) as progress:
        task = progress.add_task("kills", total=count)
        for version in VERSIONS:
            wanted = (count * (VERSIONS.index(version) + 1)) // len(VERSIONS)
            with field(Path(folder) / version, version) as here:
                while kills < wanted:
                    scenes += 1
                    kills += scene(here, Path(folder) / f"scene{scenes}", scenes, chance)
                    progress.update(task, completed=kills)
    console.print(f"{kills} kills in {scenes} scenes: nobody lost, nobody moved twice, all back")


def scene(here: Field, folder: Path, number: int, chance: random.Random) -> int:
    """One scene; gives how often the tool was killed. Raises `LostError`."""
    play = case(here, folder, f"s{number}x", people=6)
    kills = 0
    moved: dict[str, str] = {}
    while kills < KILLS_A_WAY and _killed(play.convert(after_s=_moment(chance))):
        kills += 1
        moved = _still_there(play, moved)
    _must(play.convert() == 0, "convert did not come through")
    _still_there(play, moved)
    returns = 0
    while returns < KILLS_A_WAY and _killed(play.bring_back(after_s=_moment(chance))):
        returns += 1
        _everybody_is_somewhere(play)
    _must(play.bring_back() == 0, "return did not come through")
    _must(play.bindings() == play.before, "not everybody has the binding of before")
    return kills + returns


def _moment(chance: random.Random) -> float:
    return chance.uniform(0.02, LONGEST_S)


def _killed(code: int) -> bool:
    _must(code in {0, -SIGKILL}, f"exit code {code}")
    return code == -SIGKILL


def _still_there(play: Case, moved: dict[str, str]) -> dict[str, str]:
    """Who had a password keeps that one: it was not set twice."""
    now = play.passwords()
    _must(moved.items() <= now.items(), "somebody was converted twice")
    _everybody_is_somewhere(play)
    return now


def _everybody_is_somewhere(play: Case) -> None:
    bindings = play.bindings()
    _must(bindings.items() <= play.before.items(), "a binding is not what it was")
    _must(set(bindings) | set(play.passwords()) == set(play.before), "somebody is nowhere")


def _must(so: object, otherwise: str) -> None:
    if not so:
        raise LostError(otherwise)


if __name__ == "__main__":
    typer.run(main)
