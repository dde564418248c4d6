"""Three hosts on one PostgreSQL: what each does when the store, its way to it, or the active goes.

Every figure that is measured is printed at the end of the run.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.browser import Browser
from tests.support.fault_proxy import Fault
from tests.support.fleet import ACTIVE, HOSTS, STANDBY, Fleet, await_truth, running_fleet
from tests.support.people import ALICE, BOB, CAROL
from tests.support.postgresql import PostgreSQL, running_postgresql

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.browser import Form
    from tests.support.fleet import Load

pytestmark = pytest.mark.e2e

#: What half of the logins may take at most, all parties on two busy cores: nobody waits for a store
#: that is known to be away.
USUAL_S = 2.5
#: Logins in a row after which each of two workers of a host has been asked.
WORKERS_ASKED = 8


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    with running_postgresql() as running:
        yield running


@pytest.fixture(scope="module")
def fleet(server: PostgreSQL) -> Iterator[Fleet]:
    folder = Path(tempfile.mkdtemp(prefix="fleet-"))
    try:
        with running_fleet(folder, server) as running:
            yield running
    finally:
        shutil.rmtree(folder)


def tell(what: str, load: Load, fleet: Fleet, before: int, said: list[str]) -> None:
    """Say what became of every login, and demand that each one is on record once."""
    fleet.await_merged()
    sent, answered = len(load.attempts), load.answered
    recorded = fleet.recorded() - before
    doubles = len(fleet.rows("replay_found_at_merge"))
    said.append(
        f"{what}: {sent} logins sent, {answered} answered, {answered - recorded} of them not on"
        f" record, {doubles} double; p50 {load.slowest(0.5):.2f} s, p99 {load.slowest(0.99):.2f} s,"
        f" slowest {load.slowest():.2f} s; {load.problems}"
    )
    assert load.problems == {}
    assert load.slowest(0.5) <= USUAL_S
    assert recorded == answered
    assert doubles == 0


def test_three_hosts_that_started_at_once_are_one_proxy(fleet: Fleet) -> None:
    assert [one.host for one in fleet.store.reports()] == list(HOSTS)
    assert (fleet.state().epoch, fleet.state().serving) == (1, ACTIVE)
    for person in (ALICE, BOB, CAROL):
        for _ in HOSTS:
            assert fleet.log_in(person).problem == ""
    assert fleet.recorded() == 9


@pytest.mark.parametrize("fault", [Fault.FROZEN, Fault.DOWN])
def test_a_host_that_is_cut_off_goes_on_with_the_active_and_follows_later(
    fleet: Fleet, fault: Fault, said: list[str]
) -> None:
    before, epoch = fleet.recorded(), fleet.state().epoch
    fleet.await_told()
    with fleet.ways["sso3"].suffering(fault), fleet.load("sso3") as load:
        await_truth("sso3 has a spool", lambda: fleet.pending("sso3") > 0)
        fleet.hosts["sso1"].command("switch", "to", STANDBY, "--reason", "a test")
        time.sleep(2)
        assert fleet.asks("sso1") == STANDBY
        assert fleet.asks("sso3") == ACTIVE
        assert fleet.ready("sso3") == 200
        assert fleet.log_in(ALICE, through=("sso1", "sso2")).problem == ""
    followed = await_truth("sso3 follows", lambda: fleet.asks("sso3") == STANDBY)
    fleet.return_to_active()
    merged = fleet.await_merged()
    said.append(f"back: follows after {followed:.1f} s, merged after another {merged:.1f} s")
    tell(f"sso3 {fault.value}", load, fleet, before + 1, said)
    assert fleet.state().epoch == epoch + 2
    assert "intact" in fleet.hosts["sso1"].command("verify-audit")


@pytest.mark.parametrize("how", ["restarted", "crashed", "frozen"])
def test_the_store_goes_and_comes_back_while_people_log_in_everywhere(
    fleet: Fleet, how: str, said: list[str]
) -> None:
    before, epoch = fleet.recorded(), fleet.state().epoch
    with fleet.load() as load:
        time.sleep(1)
        if how == "frozen":
            fleet.server.freeze()
        else:
            fleet.server.stop(signal.SIGINT if how == "restarted" else signal.SIGQUIT)
        time.sleep(6)
        if how == "frozen":
            fleet.server.thaw()
        else:
            fleet.server.start()
        time.sleep(3)
    tell(f"store {how}", load, fleet, before, said)
    assert fleet.state().epoch == epoch
    assert "intact" in fleet.hosts["sso1"].command("verify-audit")


def test_a_host_starts_without_the_store_by_what_it_was_told_and_joins_later(
    fleet: Fleet, said: list[str]
) -> None:
    host, way = fleet.hosts["sso2"], fleet.ways["sso2"]
    before = fleet.recorded()
    with way.suffering(Fault.FROZEN):
        host.stop()
        began = time.monotonic()
        host.serve()
        said.append(f"ready without the store after {time.monotonic() - began:.1f} s")
        assert fleet.asks("sso2") == ACTIVE
        with fleet.load("sso2", people=2) as load:
            time.sleep(3)
        assert fleet.pending("sso2") > 0
        fleet.hosts["sso1"].command("switch", "to", STANDBY, "--reason", "a test")
        assert fleet.asks("sso2") == ACTIVE
    joined = await_truth("sso2 joins", lambda: fleet.asks("sso2") == STANDBY)
    fleet.return_to_active()
    said.append(f"joined after {joined:.1f} s")
    tell("started without the store", load, fleet, before, said)


def test_a_host_that_was_told_of_the_standby_serves_nobody_without_the_store(
    fleet: Fleet,
) -> None:
    """A state that is only on this host's disk brings no standby to life."""
    host, way = fleet.hosts["sso2"], fleet.ways["sso2"]
    fleet.hosts["sso1"].command("switch", "to", STANDBY, "--reason", "a test")
    fleet.await_told()
    with way.suffering(Fault.DOWN):
        host.stop()
        host.start()
        fleet.return_to_active()
        await_truth("sso2 listens", lambda: fleet.ready("sso2") == 503)
        attempt = fleet.log_in(ALICE, through=("sso2",))
        assert attempt.problem.startswith("503 ")
    await_truth("sso2 follows", lambda: fleet.asks("sso2") == ACTIVE)
    assert fleet.log_in(ALICE, through=("sso2",)).problem == ""


def test_an_answer_that_is_used_at_two_hosts_that_cannot_know_is_found_at_the_merge(
    fleet: Fleet,
) -> None:
    """The price of logins without the store (DESIGN section 6): found, and told to people."""
    await_truth("told", lambda: fleet.asks("sso3") == ACTIVE)
    fleet.await_told()
    with fleet.ways["sso3"].suffering(Fault.DOWN), Browser(transport=fleet.balancer) as browser:
        await_truth("sso3 knows", lambda: fleet.ready("sso3") == 200)
        page = browser.continue_login(browser.get(f"{fleet.mattermost.url}/login/sso/saml"))
        (form,) = (one for one in page.forms if one.password_field)
        page = browser.submit(page, form, {str(form.user_field): "bob", "password": BOB.password})
        (answer,) = (one for one in page.forms if one.carries_saml)
        cookies = "; ".join(f"{one.name}={one.value}" for one in browser.cookies.values())
        codes = [post(fleet, name, answer, cookies) for name in ("sso3", "sso1", "sso3", "sso2")]
        assert codes == [200, 200, 409, 409]
    fleet.await_merged()
    found = fleet.rows("replay_found_at_merge")
    assert {row.facts["id_kind"] for row in found} == {"request", "transaction", "assertion"}
    assert {str(row.facts["spool"]).split("/")[0] for row in found} == {"sso3"}


def test_the_majority_fails_over_and_the_host_that_is_cut_off_follows(
    fleet: Fleet, said: list[str]
) -> None:
    fleet.hosts["sso1"].command("switch", "to", STANDBY, "--reason", "so that it is proven")
    await_truth("told", lambda: all(fleet.asks(name) == STANDBY for name in HOSTS))
    assert fleet.log_in(ALICE).problem == ""
    fleet.return_to_active()
    await_truth("told", lambda: all(fleet.asks(name) == ACTIVE for name in HOSTS))
    epoch, active = fleet.state().epoch, fleet.idps[ACTIVE]
    fleet.await_told()
    with fleet.ways["sso3"].suffering(Fault.FROZEN):
        active.kill()
        detected = await_truth("a failover", lambda: fleet.state().serving == STANDBY)
        assert fleet.log_in(ALICE, through=("sso1", "sso2")).problem == ""
        assert fleet.asks("sso1") == STANDBY
        assert fleet.state().epoch == epoch + 1
        switches = [row for row in fleet.rows("switch") if row.facts["epoch"] == epoch + 1]
        assert len(switches) == 1
    # Two workers serve there, and each notices by itself that the store is back.
    followed = await_truth(
        "sso3 follows", lambda: all(fleet.asks("sso3") == STANDBY for _ in range(WORKERS_ASKED))
    )
    said.append(
        f"three hosts, one cut off: failed over after {detected:.1f} s;"
        f" sso3 follows {followed:.1f} s after it is back"
    )
    assert fleet.state().epoch == epoch + 1
    assert fleet.log_in(ALICE, through=("sso3",)).problem == ""


def post(fleet: Fleet, name: str, answer: Form, cookies: str) -> int:
    """Post an upstream's answer to one host."""
    url = httpx.URL(answer.action).copy_with(port=fleet.hosts[name].port)
    page = httpx.post(
        url, data=dict(answer.fields), headers={"cookie": cookies}, timeout=10, trust_env=False
    )
    return page.status_code
