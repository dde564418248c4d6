"""`drill run` beside `serve`, on two real providers: the drill fails over, and reality does not."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.journeys import (
    AT_ACTIVE,
    AT_STANDBY,
    ERIN,
    SHORT_SOURCES,
    as_described_by_active,
    log_in,
)
from tests.e2e.peers.mellon import Mellon
from tests.e2e.peers.proxy import PROGRAM, Proxy, UpstreamChoice
from tests.e2e.peers.simplesamlphp import SimpleSamlPhp, Style
from tests.support.people import ALICE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.peers.authority import Authority
    from tests.support.browser import Browser

pytestmark = pytest.mark.e2e

#: Erin exists at the standby alone, so her account may be the canary there.
_SETTINGS = f"""
[[upstream.canary]]
name = "staff"
kind = "form"
username = "erin"
password = "file:keys/canary.pw"
subject = "{ERIN.employee_number}"

[failover]
profile = "fast"
"""
_STYLE = Style(demand_signed_requests=True)


@pytest.fixture(scope="module")
def active(rigs: Path, authority: Authority) -> Iterator[SimpleSamlPhp]:
    """Of its own: it dies at the end."""
    with SimpleSamlPhp(rigs, "drilled-active", authority, AT_ACTIVE, _STYLE) as running:
        yield running


@pytest.fixture(scope="module")
def standby(rigs: Path, authority: Authority) -> Iterator[SimpleSamlPhp]:
    style = Style(demand_signed_requests=True, oid_names=False)
    with SimpleSamlPhp(rigs, "drilled-standby", authority, AT_STANDBY, style) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(
    rigs: Path, authority: Authority, active: SimpleSamlPhp, standby: SimpleSamlPhp
) -> Iterator[Proxy]:
    party = Mellon(rigs, "drilled-party", authority)
    made = Proxy(
        rigs,
        "drilled",
        authority,
        party,
        (UpstreamChoice("active", active), UpstreamChoice("standby", standby, SHORT_SOURCES)),
        more_settings=_SETTINGS,
    )
    secret = made.folder / "keys" / "canary.pw"
    secret.touch(mode=0o600)
    secret.write_text(ERIN.password)
    with made as running:
        running.introduce()
        yield running
        party.stop()


def test_the_drill_fails_over_within_the_bar_and_nothing_real_changes(
    proxy: Proxy, active: SimpleSamlPhp, new_browser: Callable[[], Browser]
) -> None:
    before = proxy.status()
    done = proxy.command("drill", "run", "active-killed", "--json")
    card = json.loads(done.stdout)
    after = proxy.status()

    assert done.returncode == 0, done.stderr
    assert (card["passed"], card["standby"], card["switches"]) == (True, "standby", 1)
    assert card["seconds"]["first_login"] <= card["seconds"]["bar"] == 6
    assert card["not_shown"] is None
    assert "canary staff came through" in done.stderr
    assert card["real_state"]["epoch_before"] == card["real_state"]["epoch_after"]
    assert [after[key] for key in ("serving", "epoch", "since", "mode")] == [
        before[key] for key in ("serving", "epoch", "since", "mode")
    ]
    with new_browser() as browser:
        page = log_in(browser, proxy.party, active, ALICE)
    assert proxy.party.shown(page.body) == as_described_by_active(ALICE)
    verified = proxy.command("verify-audit")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_as_soon_as_the_serving_upstream_is_really_in_trouble_it_is_over(
    proxy: Proxy, active: SimpleSamlPhp
) -> None:
    drill = subprocess.Popen(
        [PROGRAM, "--config", proxy.configuration, "drill", "run", "active-flaps", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        said = _until_pretended(drill)
        active.stop()
        out, err = drill.communicate(timeout=30)
    finally:
        drill.kill()
        drill.wait()
    card: dict[str, Any] = json.loads(out)
    assert (drill.returncode, card["passed"]) == (1, False), said + err
    assert "active is really" in card["ended"] or "the real switch has changed" in card["ended"]
    assert "DRILL active-flaps" in said


def _until_pretended(drill: subprocess.Popen[str]) -> str:
    """What it told until the fault began."""
    assert drill.stderr is not None
    said = ""
    for line in drill.stderr:
        said += line
        if "pretended from now on" in line:
            break
    return said
