"""`make bench-satosa`: the proxy and SATOSA in one run of one driver, in turn.

Both do the same job with the same messages: an AuthnRequest in, one out that is signed, an answer
whose assertion is signed in, a Response out that is signed twice; two workers each. What the
machine is busy with beside them changes from minute to minute, so the bars are ratios, each the
median of the rounds. Bars: DESIGN section 12.
"""

# Typer reads the annotations at run time: they are no strings here.
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tests.bench.driver import Target, closed_loop
from tests.bench.login_bench import KEY_BITS, THREADS
from tests.bench.parties import proxy_target, running_proxy
from tests.bench.process_tree import cpu_s
from tests.bench.satosa import running_satosa

#: SATOSA's CPU over the proxy's for one login, and the proxy's logins a second over SATOSA's.
CPU_BAR, RATE_BAR = 30.0, 15.0
WARM_UP = 40


@dataclass(frozen=True, slots=True)
class Spell:
    """What one of the two was measured with in one round."""

    cpu_ms: float
    per_s: float


@dataclass(frozen=True, slots=True)
class Round:
    """Both, one behind the other."""

    proxy: Spell
    satosa: Spell

    @property
    def cpu_ratio(self) -> float:
        """How many logins of the proxy cost what one of SATOSA's does."""
        return self.satosa.cpu_ms / self.proxy.cpu_ms

    @property
    def rate_ratio(self) -> float:
        """How many times as many logins a second the proxy serves."""
        return self.proxy.per_s / self.satosa.per_s


@dataclass(frozen=True, slots=True)
class Comparison:
    """Every round; the bars are held against the medians."""

    rounds: tuple[Round, ...]

    @property
    def cpu_ratio(self) -> float:
        """See `Round`."""
        return median(one.cpu_ratio for one in self.rounds)

    @property
    def rate_ratio(self) -> float:
        """See `Round`."""
        return median(one.rate_ratio for one in self.rounds)

    def as_json(self) -> dict[str, dict[str, float]]:
        """What build/bench-satosa.json holds."""
        figures = {"cpu_ratio": round(self.cpu_ratio, 1), "rate_ratio": round(self.rate_ratio, 1)}
        for name in ("proxy", "satosa"):
            spells: list[Spell] = [getattr(one, name) for one in self.rounds]
            figures[f"{name}_cpu_ms"] = round(median(one.cpu_ms for one in spells), 2)
            figures[f"{name}_per_s"] = round(median(one.per_s for one in spells), 1)
        return {"satosa": figures}


def missed(comparison: Comparison) -> list[str]:
    """The bars that are not held, in words."""
    found = []
    if comparison.cpu_ratio < CPU_BAR:
        found.append(f"CPU: 1/{comparison.cpu_ratio:.1f} of SATOSA's, not 1/{CPU_BAR:.0f}")
    if comparison.rate_ratio < RATE_BAR:
        found.append(f"logins a second: {comparison.rate_ratio:.1f} times, not {RATE_BAR:.0f}")
    return found


def main(
    *,
    gunicorn: Annotated[Path, typer.Option(exists=True, help="of the environment with SATOSA")],
    rounds: Annotated[int, typer.Option(min=1, help="each with both, one after the other")] = 5,
    logins: Annotated[int, typer.Option(min=100, help="of the proxy in a round")] = 1000,
    satosa_logins: Annotated[int, typer.Option(min=20, help="of SATOSA in a round")] = 60,
    output: Annotated[Path, typer.Option(help="where the JSON goes")] = Path(
        "build/bench-satosa.json"
    ),
) -> None:
    """Measure the proxy and SATOSA in turn."""
    console = Console(highlight=False)
    with (
        TemporaryDirectory(prefix="sso-failover-bench-") as folder,
        running_proxy(Path(folder), KEY_BITS) as host,
        running_satosa(Path(folder, "satosa"), gunicorn.absolute()) as (pid, satosa),
    ):
        proxy, measured = proxy_target(host), []
        for target in (proxy, satosa):
            closed_loop(target, range(WARM_UP), THREADS)
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
            spells = _spell(host.pid, proxy, logins), _spell(pid, satosa, satosa_logins)
            measured.append(Round(*spells))
    comparison = Comparison(tuple(measured))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(comparison.as_json(), indent=2) + "\n")
    console.print(_table(comparison))
    failures = missed(comparison)
    for line in failures:
        console.print(line, style="bold red")
    console.print(f"written: {output}")
    raise typer.Exit(1 if failures else 0)


def _spell(pid: int, target: Target, logins: int) -> Spell:
    before = cpu_s(pid)
    result = closed_loop(target, range(logins), THREADS)
    return Spell((cpu_s(pid) - before) / logins * 1000, logins / result.elapsed_s)


def _table(comparison: Comparison) -> Table:
    title = f"whole logins, 2 workers each, RSA {KEY_BITS}, {THREADS} at a time"
    table = Table("round", "proxy", "SATOSA", "CPU", "logins a second", title=title)
    for number, one in enumerate(comparison.rounds, 1):
        table.add_row(
            str(number),
            _spelled(one.proxy),
            _spelled(one.satosa),
            f"1/{one.cpu_ratio:.1f}",
            f"{one.rate_ratio:.1f} x",
        )
    ratios = f"1/{comparison.cpu_ratio:.1f}", f"{comparison.rate_ratio:.1f} x"
    table.add_row("median", "", "", *ratios, end_section=True)
    table.add_row("bar", "", "", f"1/{CPU_BAR:.0f}", f"{RATE_BAR:.0f} x")
    return table


def _spelled(spell: Spell) -> str:
    return f"{spell.cpu_ms:.2f} ms, {spell.per_s:.1f}/s"


if __name__ == "__main__":
    typer.run(main)
