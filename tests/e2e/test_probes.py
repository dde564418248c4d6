"""The probes, as `serve` would open them, against a real provider that works, hangs and is gone."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from idp_proxy.adapters import open_probes, open_upstreams
from idp_proxy.config import load
from idp_proxy.decision.health import Cadence, Outcome
from tests.e2e.journeys import AT_ACTIVE
from tests.e2e.peers.mellon import Mellon
from tests.e2e.peers.simplesamlphp import SimpleSamlPhp

if TYPE_CHECKING:
    from pathlib import Path

    from idp_proxy.upstream.probing import Probe, Probed
    from tests.e2e.journeys import NewStack
    from tests.e2e.peers.authority import Authority

pytestmark = pytest.mark.e2e

_SECOND = timedelta(seconds=1)
PATIENT = Cadence(_SECOND, _SECOND, timeout=5 * _SECOND, connect=2 * _SECOND)
#: The times of the profile "fast".
FAST = Cadence(_SECOND, _SECOND, timeout=_SECOND, connect=_SECOND)


def test_a_provider_is_seen_working_hanging_gone_and_back(
    rigs: Path, authority: Authority, new_stack: NewStack
) -> None:
    own_active = SimpleSamlPhp(rigs, "probed", authority, AT_ACTIVE)
    party = Mellon(rigs, "probed-party", authority)
    with own_active, new_stack(party, own_active=own_active) as stack:
        settings = load(stack.proxy.configuration)
        probe = open_probes(open_upstreams(settings))["active"]

        working = look(probe, PATIENT)
        own_active.freeze()
        hanging = look(probe, FAST)
        own_active.stop()
        gone = look(probe, FAST)
        own_active.start()
        back = look(probe, PATIENT)

    assert (working.outcome, working.reason) == (Outcome.PASSED, "answers as it should")
    assert {one.what for one in working.expiries} == {
        f"signing certificate of {own_active.entity_id}",
        "TLS certificate of 127.0.0.1",
    }
    assert (hanging.outcome, hanging.reason) == (Outcome.BROKEN, "no answer within 1 s")
    assert (gone.outcome, gone.reason) == (Outcome.BROKEN, "takes no connection")
    assert back.outcome is Outcome.PASSED


def look(probe: Probe, cadence: Cadence) -> Probed:
    """One look, from a loop of its own."""
    return asyncio.run(probe.look(cadence, datetime.now(UTC)))
