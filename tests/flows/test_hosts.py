"""Several workers and hosts: any of them finishes a login, and together they let it count once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from idp_proxy import errors
from idp_proxy.adapters import open_store, open_upstreams
from idp_proxy.app import build
from idp_proxy.seen_contexts import ContextMeter
from idp_proxy.store.local import LocalSpool
from idp_proxy.store.memory import MemoryStore
from idp_proxy.traffic import TrafficMeter
from tests.flows.stage import PUBLIC, Stage, audit_rows, demand_refusal
from tests.flows.stores import Outage
from tests.flows.wire import Wire
from tests.support.people import ALICE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from idp_proxy.store.base import Spool
    from idp_proxy.survey import SeenStore
    from tests.flows.conftest import Builder
    from tests.flows.stage import Begun

    Worker = Callable[[Begun, Stage, SeenStore, Spool | None], httpx.Client]


@pytest.fixture
def worker() -> Iterator[Worker]:
    """Takes a login under way to another worker: a browser with its cookies, that talks to it."""
    wires: list[Wire] = []

    def made(begun: Begun, stage: Stage, store: SeenStore, spool: Spool | None) -> httpx.Client:
        upstreams = open_upstreams(stage.settings)
        clock = stage.clock
        meters = TrafficMeter(), ContextMeter()
        app = build(stage.settings, store, spool, upstreams, *meters, clock.now, clock.monotonic)
        wires.append(Wire({"sso.example.org": app}))
        return httpx.Client(transport=wires[-1], base_url=PUBLIC, cookies=begun.client.cookies)

    yield made
    for wire in wires:
        wire.hang_up()


@pytest.fixture
def outage(tmp_path: Path) -> Iterator[Outage]:
    made = Outage(tmp_path)
    yield made
    made.local.close()


def test_another_worker_finishes_what_one_began_and_it_counts_once(
    set_up: Builder, worker: Worker
) -> None:
    stage = set_up(sqlite=True)
    begun = stage.begin()
    message = stage.answer(begun, ALICE)
    store = open_store(stage.settings)
    other = worker(begun, stage, store, None)
    accepted = stage.accepted(stage.post(begun, message, client=other), begun)
    assert accepted.profile.id == "e-1001"
    for client in (begun.client, other):
        demand_refusal(stage.post(begun, message, client=client), errors.ReplayDetected)
    store.close()


def test_workers_of_one_host_share_what_counted_before_the_outage(
    set_up: Builder, worker: Worker, outage: Outage
) -> None:
    stage = set_up(spool=outage)
    begun = stage.begin()
    message = stage.answer(begun, ALICE)
    shared = LocalSpool(
        outage.folder / "spool.db",
        "sso1",
        known_head=outage.local._known_head,
        now=stage.clock.now,
    )
    other = worker(begun, stage, outage.way, shared)
    other.get("/readyz")
    stage.accepted(stage.post(begun, message), begun)
    outage.way.away = True
    demand_refusal(stage.post(begun, message, client=other), errors.ReplayDetected)
    shared.close()


def test_a_double_use_at_two_hosts_in_an_outage_is_found_at_the_merge(
    set_up: Builder, worker: Worker, outage: Outage
) -> None:
    """The one thing that hosts without a store cannot know of each other (DESIGN section 6)."""
    stage = set_up(spool=outage)
    begun = stage.begin()
    message = stage.answer(begun, ALICE)
    outage.way.away = True
    stage.accepted(stage.post(begun, message), begun)
    elsewhere = worker(begun, stage, stage.store, None)
    stage.accepted(stage.post(begun, message, client=elsewhere), begun)
    outage.way.away = False
    outage.local.merge(outage.way)
    found = [row for row in audit_rows(stage.store) if row.kind == "replay_found_at_merge"]
    assert {row.facts["id_kind"] for row in found} == {"request", "transaction", "assertion"}
    assert isinstance(stage.store, MemoryStore)
    assert stage.store.verify_audit().ok
