"""`make bench`: what a login costs the server, how many it serves, how long a person waits.

Figures: server CPU over the process tree of `idp-proxy serve` (2 workers, SQLite) for one whole
login; logins a second with the driver on the same machine; latency at that rate and at half of it;
memory of the largest worker over the run. Bars: DESIGN section 12.
"""

# Typer reads the annotations at run time: they are no strings here.
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import Annotated

import httpx
import typer
from rich.console import Console
from rich.table import Table

from tests.bench.driver import Result, Target, closed_loop, open_loop
from tests.bench.process_tree import cpu_s, largest_rss_mib
from tests.support import keys
from tests.support.identity_provider import Provider, metadata
from tests.support.launch import ProxyHost
from tests.support.mattermost import Settings, import_metadata

CPU_MS_BAR, P99_MS_BAR, RSS_MIB_BAR = 6.0, 60.0, 150.0
#: What the same code may differ by from run to run on a shared machine.
NOISE = 1.10
#: Memory may settle by this much over the run and still count as flat.
FLAT_MIB = 8.0
THREADS = 8
#: What the bar was set with, and what other proxies are measured with; a login has three
#: signatures, and each costs 0.25 ms with 2048 bits, 0.7 ms or more with 3072.
KEY_BITS = 2048
WARM_UP = 300
#: What `idp-proxy init` makes.
RSA_BITS = 3072


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything measured. `half` is the run at half of the maximum throughput."""

    logins: int
    cpu_ms: float
    driver_cpu_ms: float
    per_s: float
    full: tuple[float, float, float]
    half: tuple[float, float, float]
    rss_start_mib: float
    rss_mib: float

    def as_json(self) -> dict[str, dict[str, float]]:
        """What build/bench.json holds."""
        return {
            "login": {
                "logins": self.logins,
                "cpu_ms": round(self.cpu_ms, 3),
                "per_s": round(self.per_s, 1),
                "p50_ms": round(self.half[0], 2),
                "p95_ms": round(self.half[1], 2),
                "p99_ms": round(self.half[2], 2),
                "p50_ms_at_full": round(self.full[0], 2),
                "p95_ms_at_full": round(self.full[1], 2),
                "p99_ms_at_full": round(self.full[2], 2),
                "rss_mib": round(self.rss_mib, 1),
                "rss_start_mib": round(self.rss_start_mib, 1),
                "driver_cpu_ms": round(self.driver_cpu_ms, 3),
            }
        }


def main(
    *,
    logins: Annotated[int, typer.Option(min=500, help="in the run at full rate")] = 5000,
    key_bits: Annotated[
        int, typer.Option(min=2048, help="RSA of the proxy's keys; init makes 3072 unless told")
    ] = KEY_BITS,
    output: Annotated[Path, typer.Option(help="where the JSON goes")] = Path("build/bench.json"),
) -> None:
    """Measure whole logins through a running proxy."""
    console = Console(highlight=False)
    with (
        TemporaryDirectory(prefix="sso-failover-bench-") as folder,
        _proxy(Path(folder), key_bits) as host,
    ):
        figures = _measure(host, _target(host), logins)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(figures.as_json(), indent=2) + "\n")
    console.print(_table(figures, key_bits))
    missed = list(_missed(figures))
    for line in missed:
        console.print(line, style="bold red")
    console.print(f"written: {output}")
    raise typer.Exit(1 if missed else 0)


@contextmanager
def _proxy(folder: Path, key_bits: int) -> Iterator[ProxyHost]:
    host = ProxyHost(folder / "proxy")
    upstreams = {name: folder / f"{name}.xml" for name in ("active", "standby")}
    for name, file in upstreams.items():
        file.write_bytes(metadata(_provider(name)))
    host.init(upstreams, "http://127.0.0.1:8065", key_bits=key_bits)
    try:
        host.serve()
        yield host
    finally:
        host.stop()


def _provider(name: str) -> Provider:
    base = f"http://127.0.0.1/{name}"
    return Provider(f"{base}/metadata", f"{base}/sso", keys.rsa_pair(f"bench {name}"))


def _target(host: ProxyHost) -> Target:
    answer = httpx.get(f"{host.public_url}/saml/metadata", trust_env=False).raise_for_status()
    imported = import_metadata(answer.content)
    upstream = f"{host.public_url}/upstream/active"
    return Target(
        port=host.port,
        provider=_provider("active"),
        entity_id=f"{upstream}/metadata",
        acs_url=f"{upstream}/acs",
        mattermost=Settings(
            site_url="http://127.0.0.1:8065",
            idp_url=imported.idp_url,
            idp_descriptor_url=imported.idp_descriptor_url,
            idp_certificate=imported.idp_certificate,
        ),
    )


def _measure(host: ProxyHost, target: Target, logins: int) -> Figures:
    closed_loop(target, range(WARM_UP), THREADS)
    rss_start, cpu_start = largest_rss_mib(host.pid), cpu_s(host.pid)
    full = closed_loop(target, range(WARM_UP, WARM_UP + logins), THREADS)
    cpu = cpu_s(host.pid) - cpu_start
    per_s = logins / full.elapsed_s
    first = WARM_UP + logins
    half = open_loop(target, range(first, first + logins // 2), per_s / 2, THREADS * 2)
    return Figures(
        logins=logins,
        cpu_ms=cpu / logins * 1000,
        driver_cpu_ms=full.driver_cpu_s / logins * 1000,
        per_s=per_s,
        full=_percentiles(full),
        half=_percentiles(half),
        rss_start_mib=rss_start,
        rss_mib=largest_rss_mib(host.pid),
    )


def _percentiles(result: Result) -> tuple[float, float, float]:
    """p50, p95, p99 in milliseconds."""
    cuts = quantiles(result.latencies, n=100, method="inclusive")
    return cuts[49] * 1000, cuts[94] * 1000, cuts[98] * 1000


def _missed(figures: Figures) -> Iterator[str]:
    """The bars that decide the exit code: CPU and memory, which a busy machine hardly moves."""
    if figures.cpu_ms > CPU_MS_BAR * NOISE:
        yield f"CPU {figures.cpu_ms:.2f} ms a login: more than {CPU_MS_BAR} ms and {NOISE - 1:.0%}"
    if figures.rss_mib > RSS_MIB_BAR:
        yield f"memory {figures.rss_mib:.0f} MiB a worker: more than {RSS_MIB_BAR:.0f} MiB"
    if figures.rss_mib - figures.rss_start_mib > FLAT_MIB:
        grown = figures.rss_mib - figures.rss_start_mib
        yield f"memory grew by {grown:.1f} MiB over the run: not flat (more than {FLAT_MIB:.0f})"


def _table(figures: Figures, key_bits: int) -> Table:
    title = f"{figures.logins} whole logins, 2 workers, SQLite, RSA {key_bits}"
    table = Table("figure", "measured", "bar", title=title)
    table.add_row("server CPU a login", f"{figures.cpu_ms:.2f} ms", f"<= {CPU_MS_BAR:.0f} ms")
    table.add_row("logins a second, full rate", f"{figures.per_s:.0f}", "")
    for name, at, bar in (
        (f"full rate, {THREADS} at a time", figures.full, ""),
        (f"half rate, {figures.per_s / 2:.0f}/s", figures.half, f"p99 <= {P99_MS_BAR:.0f} ms"),
    ):
        table.add_row(
            f"p50 / p95 / p99, {name}", f"{at[0]:.1f} / {at[1]:.1f} / {at[2]:.1f} ms", bar
        )
    memory = f"{figures.rss_start_mib:.1f} -> {figures.rss_mib:.1f} MiB"
    table.add_row("largest worker, start -> end", memory, f"<= {RSS_MIB_BAR:.0f} MiB, flat")
    table.add_row("driver CPU a login", f"{figures.driver_cpu_ms:.2f} ms", "<= 4 ms")
    return table


if __name__ == "__main__":
    typer.run(main)
