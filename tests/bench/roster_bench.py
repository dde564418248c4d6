"""`python -m tests.bench.roster_bench`: a million people in the roster, on SQLite.

A list of them is imported from a CSV file as the command does it, while somebody logs in all the
time; then people are looked up as a login looks them up, and the roster is walked once.
"""

# Typer reads the annotations at run time: they are no strings here.
import csv
import json
import random
import resource
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from idp_proxy.adapters import new_id
from idp_proxy.audit.chain import Event
from idp_proxy.audit.log import AuditLog
from idp_proxy.decision.roster import Casting, RosterPolicy, RosterRow, Run, lookup_key
from idp_proxy.listing.base import Demands, Staged
from idp_proxy.listing.csv_file import CsvFile
from idp_proxy.roster_import import RosterImport
from idp_proxy.store.schema import migrate
from idp_proxy.store.sql import SqlStore

LOOK_UP_BAR_MS = 2.0
_HEAD = ("id", "email", "username", "first_name", "last_name", "link_key")


def now() -> datetime:
    return datetime.now(UTC)


def row_of(number: int) -> tuple[str, ...]:
    name = f"user{number:07d}"
    return (
        f"0b7c4f3e-{number:012d}",
        f"{name}@example.org",
        name,
        "Alexandra",
        f"Number {number}",
        f"E{number:08d}",
    )


def write_list(file: Path, people: int) -> None:
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(_HEAD)
        writer.writerows(row_of(number) for number in range(people))


@dataclass(slots=True)
class Bystander:
    """Somebody who logs in at the active again and again, as a worker would commit it."""

    store: SqlStore
    waits: list[float] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def log_in(self) -> None:
        person = RosterRow(
            "bystander", "bystander", "bystander", "b@example.org", "b", {}, "okta", now()
        )
        while not self.over.wait(0.02):
            began = time.perf_counter()
            with self.store.transaction() as tx:
                tx.person_by_lookup_key("bystander")
                tx.save_person(person)
                tx.record(Event("login", "bench", now(), "bystander"))
            self.waits.append((time.perf_counter() - began) * 1000)


def bring_in(store: SqlStore, file: Path, folder: Path, log_in: Bystander) -> float:
    demands = Demands(frozenset(_HEAD), ("id", "email", "username"))
    journey = RosterImport(store=store, host="bench", most_percent=50, now=now, new_id=new_id)
    thread = threading.Thread(target=log_in.log_in)
    began = time.perf_counter()
    with Staged(folder) as staged:
        staged.take(CsvFile(file, demands))
        plan = journey.plan(staged, Run("csv", now()))
        thread.start()
        try:
            journey.carry_out(staged, plan, "bench", overridden=False)
        finally:
            log_in.over.set()
            thread.join()
    return time.perf_counter() - began


def look_ups(store: SqlStore, people: int, count: int) -> list[float]:
    """Milliseconds of each look-up, in a transaction as a login's."""
    keys = [
        lookup_key(row_of(number)[-1]) for number in random.Random(7).sample(range(people), count)
    ]
    took = []
    for key in keys:
        with store.transaction() as tx:
            began = time.perf_counter()
            found = tx.person_by_lookup_key(key)
            took.append((time.perf_counter() - began) * 1000)
        assert found is not None
    return took


def timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def forecast(store: SqlStore) -> None:
    casting = Casting("entra", RosterPolicy(), now() + timedelta(seconds=1))
    after = ""
    while page := store.people_after(after, 2000):
        for row in page:
            casting.add(row)
        after = page[-1].id


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def main(
    people: Annotated[int, typer.Option(help="How many.")] = 1_000_000,
    count: Annotated[int, typer.Option(help="Look-ups.")] = 5_000,
) -> None:
    """Import, look up, forecast; ends with 1 when a look-up misses its bar."""
    with TemporaryDirectory() as place:
        folder = Path(place)
        url = f"sqlite:///{folder / 'store.db'}"
        migrate(url)
        store = SqlStore(url, AuditLog("bench"))
        file = folder / "people.csv"
        write_list(file, people)
        bystander = Bystander(store)
        took = bring_in(store, file, folder, bystander)
        found = look_ups(store, people, count)
        walked = timed(lambda: forecast(store))
        store.close()
    figures = {
        "people": people,
        "import_s": round(took, 1),
        "import_people_per_s": round(people / took),
        "logins_meanwhile": len(bystander.waits),
        "login_p50_ms_meanwhile": round(statistics.median(bystander.waits or [0.0]), 1),
        "login_p99_ms_meanwhile": round(percentile(bystander.waits or [0.0], 0.99), 1),
        "look_up_p50_ms": round(statistics.median(found), 3),
        "look_up_p99_ms": round(percentile(found, 0.99), 3),
        "forecast_s": round(walked, 1),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    print(json.dumps(figures, indent=2))
    if figures["look_up_p99_ms"] > LOOK_UP_BAR_MS:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
