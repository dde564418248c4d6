"""A directory behind the active: watched, shown, and it takes over as others do."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from idp_proxy import errors
from idp_proxy.adapters import open_probes, open_standards
from idp_proxy.alarms import matters
from idp_proxy.decision.health import Cadence, Outcome, Thresholds, Verdict
from idp_proxy.decision.notices import Kind
from idp_proxy.observer import Observer, Sights
from idp_proxy.store.sql import SqlStore
from idp_proxy.upstream.probing import Probed
from idp_proxy.watch import CanaryPlan, StoreClock, Watch, start
from tests.flows.configuration import DIRECTORY_PASSWORD, Wanted
from tests.flows.stage import demand_refusal
from tests.support.keys import tls_pair
from tests.support.ldap_double import BIND, hangs_up, running_double, says

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from idp_proxy.upstream.probing import Probe
    from idp_proxy.watch import Turn
    from tests.flows.conftest import Builder
    from tests.flows.stage import Stage
    from tests.support.ldap_double import Directory

_DIRECTORY = """\
[[upstream]]
name = "corp"
kind = "ldap"

[upstream.attributes]
link_key = "employeeNumber"

[upstream.directory]
urls = ["{url}"]
tls_ca = "keys/directory-ca.crt"
bind_dn = "cn=reader,dc=corp"
bind_password = "file:keys/directory.password"
base = "dc=corp"
probe_user = "probe"

"""
_TICK = timedelta(milliseconds=10)
_CADENCE = Cadence(_TICK, _TICK, timeout=timedelta(seconds=5), connect=timedelta(seconds=5))
_THRESHOLDS = Thresholds(1, 2, 1, 2)


@pytest.fixture
def corp(tmp_path: Path) -> Iterator[Directory]:
    """A directory that works."""
    tls_pair("localhost").write(tmp_path / "keys", "directory-ca")
    with running_double(tmp_path, pair=tls_pair("localhost")) as running:
        yield running


@pytest.fixture
def stage(set_up: Builder, corp: Directory) -> Stage:
    """The active, the directory, the standby; in this order."""
    return set_up(Wanted(directory=_DIRECTORY.format(url=corp.url("ldaps"))), sqlite=True)


class Scripted:
    """The probe of a SAML upstream that answers while it is `alive`."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.alive = True

    async def look(self, _cadence: Cadence, _now: datetime) -> Probed:
        await asyncio.sleep(0)
        return Probed(Outcome.PASSED if self.alive else Outcome.BROKEN, "as told")


@dataclass(slots=True)
class Watched:
    """The watch of this host over the stage's upstreams, and what it told."""

    saml: dict[str, Scripted]
    turns: list[Turn] = field(default_factory=list)

    def verdict(self, name: str) -> Verdict | None:
        """What the fleet thinks of it, at the last turn."""
        seen = self.turns[-1].survey if self.turns else None
        health = None if seen is None else seen.situation.health(name)
        return None if health is None else health.verdict

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait for it."""
        end = time.monotonic() + 15
        while not holds():
            assert time.monotonic() < end, "it never came"
            time.sleep(0.01)


@contextmanager
def watched(stage: Stage) -> Iterator[Watched]:
    """Everybody is up and rehearsed; the directory by its own probe."""
    store = stage.store
    assert isinstance(store, SqlStore)
    with store.transaction() as transaction:
        for name in stage.upstreams:
            transaction.note_proof(name, store.clock())
    clock = StoreClock(time.monotonic, lambda: datetime.now(UTC))
    found = Watched({name: Scripted(name) for name in ("active", "standby")})
    probes: dict[str, Probe] = {**open_probes(stage.upstreams), **found.saml}
    sights = Sights(probes, {}, _CADENCE, _THRESHOLDS, timedelta(seconds=30), lambda: 0.5)
    plan = CanaryPlan((), _THRESHOLDS, *[timedelta(seconds=60)] * 4)
    watch = Watch(
        host="sso1",
        store=store,
        current=stage.switchboard.current,
        standards=open_standards(stage.settings, stage.upstreams),
        observer=Observer(sights, clock.now, asyncio.Event()),
        canaries=plan,
        clock=clock,
        tick=_TICK,
        told=found.turns.append,
        propose=lambda _: None,
    )
    stop = start(watch)
    try:
        found.until(lambda: all(found.verdict(name) is Verdict.UP for name in stage.upstreams))
        yield found
    finally:
        stop()


def serving(stage: Stage) -> str:
    return stage.switchboard.current().serving


def test_what_is_first_in_the_file_takes_over_a_directory_too(stage: Stage) -> None:
    with watched(stage) as seen:
        seen.saml["active"].alive = False
        seen.until(lambda: serving(stage) == "corp")
    assert [row.facts["to"] for row in stage.audit_rows("switch")] == ["corp"]


def test_a_directory_that_fails_or_refuses_changes_nothing_but_what_is_said_of_it(
    stage: Stage, corp: Directory
) -> None:
    with watched(stage) as seen:
        corp.behaviour[BIND] = hangs_up
        seen.until(lambda: seen.verdict("corp") is Verdict.DOWN)
        assert matters(seen.turns[-1], "sso1", (), {}, datetime.now(UTC)) == ()
        corp.behaviour[BIND] = says(49)
        seen.until(lambda: bool(matters(seen.turns[-1], "sso1", (), {}, datetime.now(UTC))))
        (refused,) = matters(seen.turns[-1], "sso1", (), {}, datetime.now(UTC))
    assert (refused.kind, refused.key) == (Kind.CANARY, "probe:corp")
    assert DIRECTORY_PASSWORD not in str(refused)
    assert (serving(stage), stage.audit_rows("switch")) == ("active", [])


def test_it_has_no_door_for_answers_and_no_metadata(stage: Stage) -> None:
    begun = stage.begin()
    page = stage.post(begun, "PHg+", upstream="corp")
    demand_refusal(page, errors.LoginNotAsked)
    assert stage.client().get("/upstream/corp/metadata").status_code == 404
    assert stage.client().get("/upstream/active/metadata").status_code == 200
