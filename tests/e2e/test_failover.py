"""The active breaks in every way we know, and the proxy fails over by itself: real providers, a
real `serve` with the profile "fast", people who arrive all the time.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from idp_proxy.decision.failover import Alarm
from idp_proxy.decision.health import Verdict
from tests.e2e.outages import ACTIVE, OUTAGES, STANDBY, UP_WITHIN_S, by_fault, open_field
from tests.support.fault_proxy import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.outages import Field
    from tests.e2e.peers.authority import Authority

pytestmark = pytest.mark.e2e

#: DESIGN section 12, profile "fast"; a fault that takes a look's whole deadline is no exception.
BAR_S = 6.0
#: A failover by the profile "fast" would have happened twice.
_LONG_ENOUGH_S = 4.0
#: Longer than a busy machine takes for two commands and a login.
_HOLD_DOWN_S = 15


@pytest.fixture(scope="module")
def opened(rigs: Path, authority: Authority) -> Iterator[Field]:
    with open_field(rigs, authority, hold_down_s=_HOLD_DOWN_S) as opened:
        yield opened


@pytest.fixture
def field(opened: Field) -> Iterator[Field]:
    """Everything up; whatever a test breaks is whole again for the next one, also if it failed."""
    yield opened
    opened.heal()
    if opened.changed():
        opened.return_to_active()


FAULTS: dict[str, Callable[[Field], None]] = {
    "ended (TERM)": lambda field: field.active.stop(),
    "frozen (STOP)": lambda field: field.active.freeze(),
    "nobody listens": by_fault(Fault.DOWN),
    "accepts, silent": by_fault(Fault.FROZEN),
    "reset": by_fault(Fault.RESET),
    "cut in the middle": by_fault(Fault.CUT),
    "2 s late": by_fault(Fault.SLOW),
    "closed after 2 s": by_fault(Fault.SLOW_CLOSE),
    "200, wrong page": lambda field: field.active.show(page="<h1>Maintenance</h1>"),
    "certificate expired": lambda field: field.active.show(field.proxy.authority.expired),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_the_standby_takes_over(
    field: Field, fault: Callable[[Field], None], request: pytest.FixtureRequest
) -> None:
    outage = field.strike(lambda: fault(field))

    request.config.stash[OUTAGES].append((request.node.callspec.id, outage))
    assert outage.wrong == ()
    assert outage.login_s <= BAR_S
    field.heal()
    assert field.sight.serving() == STANDBY, "nobody returns without a person"
    field.return_to_active()
    assert field.visit() == ACTIVE


def test_a_standby_that_dies_soon_after_is_left_at_once_and_a_third_time_it_latches(
    field: Field, request: pytest.FixtureRequest
) -> None:
    first = field.strike(lambda: field.ways[ACTIVE].suffer(Fault.DOWN))
    field.ways[ACTIVE].heal()
    field.everything_up()

    second = field.strike(lambda: field.ways[STANDBY].suffer(Fault.FROZEN), at=STANDBY)
    field.ways[STANDBY].heal()
    before = field.sight.switches()
    field.ways[ACTIVE].suffer(Fault.DOWN)
    latched = field.sight.wait_for_rule("latched", UP_WITHIN_S)

    request.config.stash[OUTAGES].append(("standby, soon after", second))
    assert first.wrong == second.wrong == ()
    assert second.login_s <= BAR_S
    assert field.sight.serving() == ACTIVE
    assert field.sight.switches() == before, "the budget of two an hour is used up"
    assert latched.decision.target == STANDBY, "and people are asked"
    field.heal()
    field.return_to_active()
    assert field.visit() == ACTIVE


def test_both_down_nobody_switches_and_it_is_said(field: Field) -> None:
    before = field.sight.switches()
    for way in field.ways.values():
        way.suffer(Fault.DOWN)
    found = field.sight.wait_for_rule("nobody_eligible", UP_WITHIN_S)

    assert found.situation.fleet.reference_answers
    assert field.sight.switches() == before
    assert field.proxy.get("/status?format=json").json()["login"] == "fails"
    said = field.proxy.status()
    assert said["serving"] == ACTIVE
    assert said["decision"]["rule"] == "nobody_eligible"
    assert said["would_take_over"] is None

    # The first that comes back takes over, if the other one stays away.
    field.ways[STANDBY].heal()
    field.sight.wait_until(STANDBY, Verdict.UP, UP_WITHIN_S)
    field.sight.wait_for_rule("steady", UP_WITHIN_S)
    assert field.proxy.status()["serving"] == STANDBY
    assert field.visit() == STANDBY


def test_a_return_is_proven_held_down_proposed_and_confirmed(field: Field) -> None:
    field.strike(lambda: field.ways[ACTIVE].suffer(Fault.DOWN))
    field.heal()
    up_since = field.sight.now().situation.fleet.health[ACTIVE].up_since
    assert field.sight.now().decision.rule == "failback_unproven"

    field.rehearse(ACTIVE, "failback", "test")
    waits = field.sight.wait_for_rule("hold_down", _HOLD_DOWN_S).decision
    proposed = field.sight.wait_for_rule("failback_approve", 3 * _HOLD_DOWN_S)
    assert field.sight.serving() == STANDBY
    assert up_since is not None
    assert waits.due_at == up_since + timedelta(seconds=_HOLD_DOWN_S)
    assert proposed.at >= waits.due_at
    proposals = field.wait_for_proposals()
    assert [(one["act"], one["target"]) for one in proposals] == [("failback", ACTIVE)]

    field.proxy.operate("switch", "confirm", proposals[0]["id"])
    said = field.proxy.status()
    assert (said["serving"], said["mode"]) == (ACTIVE, "auto")
    assert field.visit() == ACTIVE


def test_a_host_that_lost_its_network_switches_nothing(field: Field) -> None:
    before = field.sight.switches()
    for way in (field.neutral, *field.ways.values()):
        way.suffer(Fault.DOWN)
    found = field.sight.wait_until(ACTIVE, Verdict.UNKNOWN, UP_WITHIN_S)
    assert found.decision.rule == "isolated"
    assert found.decision.alarm is Alarm.ISOLATED
    time.sleep(_LONG_ENOUGH_S)
    assert field.sight.now().decision.rule == "isolated"
    assert field.sight.switches() == before

    # The standby is seen to be up first, as chance has it: the active answers again too.
    for way in (field.neutral, *field.ways.values()):
        way.heal()
    field.everything_up()
    assert field.sight.switches() == before
    assert field.visit() == ACTIVE
