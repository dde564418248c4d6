"""`/metrics`: what it tells, that it tells nobody, and that it goes on without the store."""

from __future__ import annotations

import urllib.request
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from idp_proxy import metrics
from idp_proxy.decision.assurance import AssurancePolicy
from idp_proxy.decision.eligibility import FailoverLimits
from idp_proxy.decision.roster import Forecast
from idp_proxy.decision.switching import first_state
from idp_proxy.errors import StoreError
from idp_proxy.metrics import Sources
from idp_proxy.store.memory import MemoryStore
from idp_proxy.store.seen_base import SeenContext
from idp_proxy.survey import Standards
from tests.support.processes import free_port

if TYPE_CHECKING:
    from idp_proxy.decision.switching import SwitchState
    from tests.unit.config_folder import Folder

NOW = datetime(2026, 9, 1, 8, 0, tzinfo=UTC)
USUAL = '[assurance]\nlevels = ["password"]'


class Store(MemoryStore):
    away = False

    def switch_state(self) -> SwitchState | None:
        if self.away:
            raise StoreError("away")
        return super().switch_state()

    def forecast(self) -> Forecast | None:
        return Forecast(NOW, "entra", 10, 9, {"person_unconfirmed": 1})


def read(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text: str = answer.read().decode()
    return text


def test_what_a_scrape_says_with_the_store_and_without() -> None:
    store = Store("host")
    with store.transaction() as tx:
        tx.swap(0, first_state(["okta", "entra"], NOW))
    hostile = 'urn:"}\nevil 1'
    store.add_contexts(
        [SeenContext("okta", hostile, "password", 2, NOW), SeenContext("okta", "b", "mfa", 3, NOW)]
    )
    standards = Standards(
        usable=lambda _: {"okta": None, "entra": "no metadata"},
        limits=FailoverLimits(),
        fresh=timedelta(seconds=30),
        canaries=frozenset({("okta", "staff")}),
        findings=dict,
    )
    sources = Sources(
        store=store,
        standards=standards,
        assurance=AssurancePolicy("okta", ("password", "mfa"), "mfa"),
        certificates={"signing": NOW + timedelta(days=36)},
        spooled=lambda: 4,
        now=lambda: NOW,
    )
    port = free_port()
    stop = metrics.start(sources, "127.0.0.1", port)
    try:
        text = read(port)
        for line in (
            "idp_proxy_store_up 1.0",
            'idp_proxy_serving{upstream="okta"} 1.0',
            'idp_proxy_serving{upstream="entra"} 0.0',
            "idp_proxy_epoch 1.0",
            'idp_proxy_mode{mode="auto"} 1.0',
            'idp_proxy_eligible{upstream="entra"} 0.0',
            'idp_proxy_verdict{upstream="okta",verdict="unknown"} 1.0',
            'idp_proxy_canary_up{canary="staff",upstream="okta"} 0.0',
            'idp_proxy_authentications_total{level="password",upstream="okta"} 2.0',
            'idp_proxy_authentications_below_floor_total{upstream="okta"} 2.0',
            'idp_proxy_forecast_get_in{upstream="entra"} 9.0',
            'idp_proxy_certificate_days_left{certificate="signing"} 36.0',
            "idp_proxy_spooled_audit_rows 4.0",
        ):
            assert line in text.splitlines()
        assert "evil" not in text, "a context class is an upstream's own word"
        store.away = True
        text = read(port)
        assert "idp_proxy_store_up 0.0" in text.splitlines()
        assert "idp_proxy_serving" not in text
        assert "idp_proxy_spooled_audit_rows 4.0" in text.splitlines()
    finally:
        stop()


@pytest.mark.parametrize(
    ("listen", "said"),
    [
        ("0.0.0.0:9464", "is not loopback"),
        ("127.0.0.1:8443", "is proxy.listen"),
        ("localhost", "not an address"),
    ],
)
def test_metrics_are_never_public(folder: Folder, listen: str, said: str) -> None:
    (problem,) = folder.set(USUAL, f'[metrics]\nlisten = "{listen}"\n\n{USUAL}').problems()
    assert problem.startswith("metrics.listen: ")
    assert said in problem


def test_where_metrics_are_asked_for(folder: Folder) -> None:
    assert folder.read().metrics is None
    found = folder.set(USUAL, f'[metrics]\nlisten = "[::1]:9464"\n\n{USUAL}').read().metrics
    assert found is not None
    assert (found.host, found.port) == ("::1", 9464)
