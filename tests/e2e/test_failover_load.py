"""A thousand logins while the active is killed in the middle: nobody is let in by the wrong one."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import httpx
import pytest

from idp_proxy.audit import log as audit
from tests.bench.driver import Target
from tests.bench.failover_load import run
from tests.e2e.outages import SAID
from tests.support.identity_provider import Provider
from tests.support.keys import rsa_pair
from tests.support.mattermost import Settings, import_metadata
from tests.support.process_stage import ACTIVE, STANDBY, Stage, rehearse, set_up
from tests.support.sight import Sight

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e

#: A provider that answers late because this machine is busy is not dead; one that is, refuses.
SETTINGS = """
[failover]
profile = "fast"
timeout_s = 5
connect_timeout_s = 5
"""
LOGINS, PEOPLE, PER_S, THREADS = 1000, 50, 25.0, 12


def test_a_thousand_logins_while_the_active_is_killed(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with set_up(tmp_path, SETTINGS) as stage:
        sight, target = Sight.of(stage.proxy.configuration, stage.proxy.log), target_of(stage)
        providers = {idp.port: name for name, idp in stage.idps.items()}
        known = run(target, providers, range(PEOPLE), PER_S, THREADS, at_half=lambda: None)
        rehearse(stage, STANDBY)

        kill = stage.idps[ACTIVE].kill
        found = run(target, providers, range(PEOPLE, PEOPLE + LOGINS), PER_S, THREADS, kill)

        switches, recorded = sight.switches(), logins_on_record(sight)

    request.config.stash[SAID].append(
        f"{found.sent} logins sent, {found.answered.total()} answered {dict(found.answered)}, "
        f"{found.lost.total()} lost {dict(found.lost)}, {len(found.wrong)} wrong"
    )
    assert known.answered == {ACTIVE: PEOPLE}
    assert found.wrong == []
    assert found.sent == LOGINS
    assert found.answered[ACTIVE] >= LOGINS // 4
    assert found.answered[STANDBY] >= LOGINS // 4
    assert [(one.origin, one.target, one.by_itself) for one in switches] == [
        (ACTIVE, STANDBY, True)
    ]
    assert recorded == known.answered + found.answered


def logins_on_record(sight: Sight) -> Counter[str]:
    """What the audit says of who let people in."""
    with sight.store.reading() as connection:
        return Counter(
            str(row.facts["upstream"]) for row in audit.rows(connection) if row.kind == "login"
        )


def target_of(stage: Stage) -> Target:
    """The proxy, as Mattermost knows it; the providers answer for themselves here."""
    answer = httpx.get(f"{stage.proxy.public_url}/saml/metadata", trust_env=False)
    imported = import_metadata(answer.raise_for_status().content)
    return Target(
        port=stage.proxy.port,
        provider=Provider("unused", "unused", rsa_pair("unused")),
        entity_id="unused",
        acs_url="unused",
        mattermost=Settings(
            site_url=stage.mattermost.url,
            idp_url=imported.idp_url,
            idp_descriptor_url=imported.idp_descriptor_url,
            idp_certificate=imported.idp_certificate,
        ),
        people=PEOPLE,
    )
