"""`make bench-failover`: how long nobody can log in when the active dies.

Real processes: two identity providers, `idp-proxy serve` with two workers and its watch,
Mattermost. In each run people log in at a steady pace and the active is killed at a random moment
of the watch's round; the clock stops when the switch is written (`detect_s`) and when the first
person is in Mattermost by the standby (`first_standby_login_s`). Then the active comes back, and an
operator returns to it. Bars: DESIGN section 12, held against the slowest run.

Standard output has one JSON object a profile and nothing else; progress goes to standard error.
"""

# Typer reads the annotations at run time: they are no strings here.
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console

from idp_proxy.decision.health import Verdict
from tests.support.browser import Browser, BrowserError
from tests.support.outage import Arrivals, LoginLost, Outage, measure
from tests.support.people import ALICE
from tests.support.process_stage import ACTIVE, STANDBY, Stage, log_in, rehearse, set_up
from tests.support.sight import Sight


class Profile(StrEnum):
    """`[failover] profile`."""

    FAST = "fast"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Manner:
    """How a profile is measured: the bar in seconds, the runs unless told otherwise, the watch's
    interval in which the moment of death is drawn, and how often somebody arrives.
    """

    bar_s: float
    runs: int
    interval_s: float
    every_s: float


MANNERS = {Profile.FAST: Manner(6.0, 20, 1.0, 0.2), Profile.DEFAULT: Manner(45.0, 5, 10.0, 0.5)}
#: Nobody is in by the standby after so many bars: the failover did not happen.
_GIVEN_UP_AFTER = 3
#: It is up again after `rise` good looks, at most 10 s apart.
_UP_WITHIN_S = 90.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What the runs of one profile took."""

    profile: Profile
    outages: tuple[Outage, ...]

    def as_json(self) -> dict[str, Any]:
        """One object of build/bench-failover.json."""
        return {
            "profile": self.profile.value,
            "runs": len(self.outages),
            "detect_s": _summed([one.switch_s for one in self.outages]),
            "first_standby_login_s": _summed([one.login_s for one in self.outages]),
            "wrong_switches": sum(len(one.wrong) for one in self.outages),
        }


def _summed(seconds: Sequence[float]) -> dict[str, float]:
    return {"p50": round(median(seconds), 2), "max": round(max(seconds), 2)}


def missed(figures: Figures) -> Iterator[str]:
    """The bars that do not hold, in words."""
    bar, slowest = MANNERS[figures.profile].bar_s, max(one.login_s for one in figures.outages)
    if slowest > bar:
        yield f"{figures.profile}: {slowest:.1f} s to the first login by the standby, bar {bar:g} s"
    wrong = [switch for one in figures.outages for switch in one.wrong]
    for one in wrong:
        yield f"{figures.profile}: wrong switch {one.origin} -> {one.target} ({one.cause})"


def main(
    *,
    profile: Annotated[list[Profile] | None, typer.Option(help="both unless told")] = None,
    runs: Annotated[
        int | None, typer.Option(min=1, help="of each profile; fast 20, default 5 unless told")
    ] = None,
    output: Annotated[Path, typer.Option(help="where the JSON goes")] = Path(
        "build/bench-failover.json"
    ),
) -> None:
    """Kill the active, and wait for the first login by the standby."""
    console = Console(stderr=True, highlight=False)
    found = []
    for one in profile or list(Profile):
        figures = _run(console, one, runs or MANNERS[one].runs)
        typer.echo(json.dumps(figures.as_json(), separators=(",", ":")))
        found.append(figures)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps([one.as_json() for one in found], indent=2) + "\n")
    complaints = [line for one in found for line in missed(one)]
    for line in complaints:
        console.print(line, style="bold red")
    raise typer.Exit(1 if complaints else 0)


def _run(console: Console, profile: Profile, runs: int) -> Figures:
    """Every run on one stage: what one leaves behind, the next one has to live with."""
    with (
        TemporaryDirectory(prefix="sso-failover-bench-") as folder,
        set_up(Path(folder), f'\n[failover]\nprofile = "{profile}"\n') as stage,
    ):
        _visit(stage)
        rehearse(stage, STANDBY)
        sight = Sight.of(stage.proxy.configuration, stage.proxy.log)
        outages = []
        for number in range(runs):
            outage = _kill(stage, sight, MANNERS[profile])
            outages.append(outage)
            console.print(
                f"{profile} {number + 1}/{runs}: down {outage.down_s:.1f} s, switched "
                f"{outage.switch_s:.1f} s, first login {outage.login_s:.1f} s, "
                f"{outage.lost} of {outage.arrived} logins lost"
            )
    return Figures(profile, tuple(outages))


def _kill(stage: Stage, sight: Sight, manner: Manner) -> Outage:
    """One run, from everything up to everything up again."""
    for name in (ACTIVE, STANDBY):
        sight.wait_until(name, Verdict.UP, _UP_WITHIN_S)
    time.sleep(random.uniform(0.0, manner.interval_s))
    outage = measure(
        sight,
        Arrivals(lambda: _visit(stage), manner.every_s),
        stage.idps[ACTIVE].kill,
        active=ACTIVE,
        standby=STANDBY,
        within_s=_GIVEN_UP_AFTER * manner.bar_s,
    )
    stage.idps[ACTIVE].start()
    stage.idps[ACTIVE].wait()
    sight.wait_until(ACTIVE, Verdict.UP, _UP_WITHIN_S)
    stage.return_to_active("the next run")
    return outage


def _visit(stage: Stage) -> str:
    with Browser(timeout_s=5.0) as browser:
        try:
            return log_in(stage, browser, ALICE)
        except (httpx.HTTPError, BrowserError) as error:
            raise LoginLost(str(error)) from error


if __name__ == "__main__":
    typer.run(main)
