"""`python -m tests.bench.conversion_bench`: what the ledger costs a campaign, and its memory.

Speed: people a second of `convert` and of `return`, settle delay left out, against a bare loop of
httpx that makes the same calls in the same order by as many threads and keeps no record; it hashes
a password for each person too. Memory: the peak of a process with 100,000 people.
"""

# Typer reads the annotations at run time: they are no strings here.
import json
import logging
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import httpx
import structlog
import typer
from rich.console import Console
from rich.table import Table

from conversion.bulk import Bulk, Limits
from conversion.campaign import convert
from conversion.config import Settings, load
from conversion.decision.plan import Envelope
from conversion.decision.preflight import findings
from conversion.homecoming import Orders, return_people
from conversion.inventory import prepare
from conversion.ledger.opening import open_ledger
from conversion.mattermost import Access, Mattermost, capabilities_of
from conversion.passwords import hash_of_an_unknown_password
from conversion.planning import Choice, Surroundings, draw_up
from conversion.preflight import gather
from conversion.proxy_status import ask
from tests.support.launch import Party

RATIO_BAR, RSS_MIB_BAR = 0.85, 150.0
ROWS = 100_000
LIMITS = Limits(settle_delay=timedelta(0))
_ANSWERED = frozenset({"too_many"})


@dataclass(frozen=True, slots=True)
class Server:
    """The double as a process, and its administrator's token."""

    url: str
    token: str

    @property
    def access(self) -> Access:
        """The way there."""
        return Access(self.url, self.token)


@dataclass(frozen=True, slots=True)
class Speed:
    """People a second, of the tool and of the bare loop, the best of the rounds each."""

    ours: float
    bare: float

    @property
    def ratio(self) -> float:
        """What is left of the bare loop's speed."""
        return self.ours / self.bare


def main(
    *,
    people: Annotated[int, typer.Option(min=200, help="in each round")] = 2000,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    rows: Annotated[int, typer.Option(min=1000, help="for the memory")] = ROWS,
    child: Annotated[str, typer.Option(hidden=True)] = "",
    output: Annotated[Path, typer.Option(help="where the JSON goes")] = Path(
        "build/bench-conversion.json"
    ),
) -> None:
    """Measure a campaign against the double."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    if child:
        _remember(child)
        return
    console = Console(highlight=False)
    speeds = _speeds(people, rounds)
    memory = _memory(rows)
    figures = {
        **{
            name: {"per_s": round(one.ours, 1), "bare_per_s": round(one.bare, 1),
                   "ratio": round(one.ratio, 3)}
            for name, one in speeds.items()
        },
        "memory": {"rows": rows, **{name: round(mib, 1) for name, mib in memory.items()}},
    }  # fmt: skip
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(figures, indent=2) + "\n")
    console.print(_table(speeds, memory, rows))
    missed = [f"{name}: below {RATIO_BAR}" for name, one in speeds.items() if one.ratio < RATIO_BAR]
    missed += [f"{name}: above {RSS_MIB_BAR:g} MiB" for name, mib in memory.items()
               if mib > RSS_MIB_BAR]  # fmt: skip
    for line in missed:
        console.print(line, style="bold red")
    console.print(f"written: {output}")
    raise typer.Exit(1 if missed else 0)


@contextmanager
def _server(folder: Path, people: int) -> Iterator[Server]:
    token = folder / "token"
    options = ("--version=10.11", f"--people={people}", f"--token-file={token}")
    party = Party("mattermost", "tests.support.mattermost_api", options, folder / "double.log")
    party.start()
    try:
        party.wait()
        yield Server(party.url, token.read_text(encoding="ascii"))
    finally:
        party.kill()


# Speed


def _speeds(people: int, rounds: int) -> dict[str, Speed]:
    best: dict[str, list[float]] = {"convert": [0.0, 0.0], "return": [0.0, 0.0]}
    with (
        TemporaryDirectory(prefix="conversion-bench-") as folder,
        _server(Path(folder), people) as server,
    ):
        bindings = _bindings(server)
        for number in range(rounds):
            for name, seconds in _bare(server, bindings).items():
                best[name][1] = max(best[name][1], people / seconds)
            for name, seconds in _tool(server, Path(folder) / str(number)).items():
                best[name][0] = max(best[name][0], people / seconds)
    return {name: Speed(*figures) for name, figures in best.items()}


def _bindings(server: Server) -> dict[str, str]:
    with Mattermost(server.access) as client:
        return {one.id: one.auth_data for one in client.all_accounts().values() if one.auth_data}


def _tool(server: Server, folder: Path) -> dict[str, float]:
    with _bulk(server, folder) as bulk:
        prepare(bulk.server, bulk.ledger, (), bulk.clock())
        digest = _plan(bulk)
        began = time.perf_counter()
        convert(bulk, digest)
        converted = time.perf_counter()
        told = return_people(bulk, Orders(proxy_works=True, no_wait_reason="a benchmark"))
        returned = time.perf_counter()
        told.must_be_complete()
    return {"convert": converted - began, "return": returned - converted}


def _bare(server: Server, bindings: dict[str, str]) -> dict[str, float]:
    """The same calls: walks before and after, and between them one loop of threads."""
    headers = {"Authorization": f"Bearer {server.token}"}
    limits = httpx.Limits(max_connections=LIMITS.threads)
    with httpx.Client(
        base_url=f"{server.url}/api/v4", headers=headers, limits=limits, trust_env=False
    ) as http:

        def leave(user_id: str) -> None:
            body = {"new_password": hash_of_an_unknown_password(), "already_hashed": "true"}
            http.put(f"/users/{user_id}/password", json=body).raise_for_status()

        def come(user_id: str) -> None:
            body = {"auth_service": "saml", "auth_data": bindings[user_id]}
            http.put(f"/users/{user_id}/auth", json=body).raise_for_status()
            http.get(f"/users/{user_id}/sessions").raise_for_status()

        walks = {"convert": (leave, 1, 1), "return": (come, 1, 2)}
        taken = {}
        for name, (call, before, after) in walks.items():
            began = time.perf_counter()
            _walk(http, before)
            with ThreadPoolExecutor(max_workers=LIMITS.threads) as pool:
                list(pool.map(call, bindings))
            _walk(http, after)
            taken[name] = time.perf_counter() - began
    return taken


def _walk(http: httpx.Client, times: int) -> None:
    """Two passes each time, the answers read as JSON."""
    for _ in range(2 * times):
        page = 0
        while http.get("/users", params={"page": page, "per_page": 200}).json():
            page += 1


@contextmanager
def _bulk(server: Server, folder: Path) -> Iterator[Bulk]:
    ledger = open_ledger(folder / "ledger.db", folder / "mirror", host="bench")
    try:
        with Mattermost(server.access) as client:
            yield Bulk(client, capabilities_of(client.version()), ledger, "bench", LIMITS)
    finally:
        ledger.close()


def _plan(bulk: Bulk) -> str:
    now = datetime.now(UTC)
    envelope = Envelope(frozenset(), 10 * ROWS, frozenset(), now + timedelta(hours=1))
    around = Surroundings("double")
    return draw_up(bulk, Choice(everybody=True), envelope, around, _ANSWERED).digest


# Memory


def _memory(rows: int) -> dict[str, float]:
    """The peak of each command, in a process of its own as the command line runs it."""
    with (
        TemporaryDirectory(prefix="conversion-bench-") as folder,
        _server(Path(folder), rows) as server,
    ):
        found: dict[str, float] = {}
        digest = ""
        for job in ("prepare", "preflight", "plan", "convert", "return"):
            order = {"job": job, "url": server.url, "folder": folder, "digest": digest}
            done = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "tests.bench.conversion_bench",
                    "--child",
                    json.dumps(order),
                ],
                input=server.token,
                capture_output=True,
                text=True,
                check=True,
                timeout=900,
            )
            told = json.loads(done.stdout)
            digest = told["digest"] or digest
            found[job] = told["mib"]
        return found


def _remember(text: str) -> None:
    """In the child: one command, and how much memory it took at most."""
    order = json.loads(text)
    server = Server(order["url"], sys.stdin.read())
    folder = Path(order["folder"]) / "memory"
    digest = ""
    with _bulk(server, folder) as bulk:
        if order["job"] == "prepare":
            prepare(bulk.server, bulk.ledger, (), bulk.clock())
        elif order["job"] == "preflight":
            _preflight(bulk, server, folder)
        elif order["job"] == "plan":
            digest = _plan(bulk)
        elif order["job"] == "convert":
            # All rows are journaled and all people listed before the first is moved.
            calls = iter(range(2000))
            convert(replace(bulk, stop=lambda: next(calls, None) is None), order["digest"])
        else:
            orders = Orders(proxy_works=True, no_wait_reason="a benchmark")
            return_people(bulk, orders)
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"mib": mib, "digest": digest}))


def _preflight(bulk: Bulk, server: Server, folder: Path) -> None:
    with Mattermost(server.access) as client:
        findings(gather(client, bulk.ledger, _settings(server, folder), bulk.clock(), ask(None)))


def _settings(server: Server, folder: Path) -> Settings:
    """A configuration as an operator writes it."""
    token, config = folder / "token", folder / "c.toml"
    token.touch(mode=0o600)
    token.write_text(server.token)
    ledger = 'url = "sqlite:///ledger.db"\nmirror = "mirror"'
    config.write_text(
        f'[mattermost]\nurl = "{server.url}"\ntoken = "file:token"\n[ledger]\n{ledger}\n'
    )
    return load(config)


def _table(speeds: dict[str, Speed], memory: dict[str, float], rows: int) -> Table:
    table = Table("figure", "measured", "bare httpx", "ratio or bar")
    for name, one in speeds.items():
        bar = f"{one.ratio:.2f} (bar {RATIO_BAR})"
        table.add_row(f"{name}, people a second", f"{one.ours:.0f}", f"{one.bare:.0f}", bar)
    for name, mib in memory.items():
        bar = f"bar {RSS_MIB_BAR:g}"
        table.add_row(f"{name}, MiB at {rows:,} rows", f"{mib:.0f}", "", bar)
    return table


if __name__ == "__main__":
    typer.run(main)
