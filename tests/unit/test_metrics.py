"""`/metrics`: what it tells, that it tells nobody, and that it goes on without the store."""

from __future__ import annotations

import re
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from idp_proxy import measuring, metrics
from idp_proxy.adapters import open_store, open_upstreams
from idp_proxy.decision.assurance import AssurancePolicy
from idp_proxy.decision.eligibility import FailoverLimits
from idp_proxy.decision.fleet import HostReport
from idp_proxy.decision.health import Track, Verdict
from idp_proxy.decision.notices import Kind, NoticeRecord
from idp_proxy.decision.roster import Forecast
from idp_proxy.decision.switching import first_state
from idp_proxy.errors import StoreError
from idp_proxy.metrics import Sources
from idp_proxy.notify import records
from idp_proxy.store.memory import MemoryStore
from idp_proxy.store.people import ImportRun
from idp_proxy.store.schema import migrate
from idp_proxy.store.seen_base import SeenContext
from idp_proxy.survey import Standards
from tests.support.keys import rsa_pair
from tests.support.processes import free_port
from tests.support.upstream_metadata import upstream_metadata

if TYPE_CHECKING:
    from idp_proxy.decision.switching import SwitchState
    from tests.unit.config_folder import Folder

NOW = datetime(2026, 9, 1, 8, 0, tzinfo=UTC)
PAGE = Path(__file__).parents[2] / "docs" / "operations" / "metrics.md"
NAMES = re.compile(r"idp_proxy_[a-z_]+")
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
    store, heard = Store("host", now=lambda: NOW), "1.7882496e+09"  # NOW, as it writes seconds
    with store.transaction() as tx:
        tx.swap(0, first_state(["okta", "entra"], NOW))
    with store.writing_people() as people:
        people.note_import(ImportRun("csv", "r1", "sso1", NOW, NOW, NOW, NOW, 3))
        people.note_import(ImportRun("ldap", "r2", "sso1", NOW, NOW))
    store.publish(HostReport("sso1", NOW, {}))
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
        upstream_ends=lambda now: {("okta", "signing 1"): now - timedelta(days=2)},
        alarms=lambda: ({"a": Kind.OUTAGE, "b": Kind.CANARY, "c": Kind.CANARY}, 3),
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
            f'idp_proxy_import_timestamp_seconds{{source="csv"}} {heard}',
            f'idp_proxy_host_heard_timestamp_seconds{{host="sso1"}} {heard}',
            'idp_proxy_certificate_days_left{certificate="signing"} 36.0',
            'idp_proxy_upstream_days_left{upstream="okta",what="signing 1"} -2.0',
            'idp_proxy_open_alarms{kind="canary"} 2.0',
            'idp_proxy_open_alarms{kind="outage"} 1.0',
            'idp_proxy_open_alarms{kind="store"} 0.0',
            "idp_proxy_untold_alarms 3.0",
            "idp_proxy_spooled_audit_rows 4.0",
        ):
            assert line in text.splitlines()
        assert '{source="ldap"}' not in text, "it was never whole"
        assert "switched" not in text, "what happened once never stands"
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


@pytest.fixture
def scraped(folder: Folder) -> str:
    """What `serve` tells of a fleet whose standby is well and lets AES-CBC in."""
    for name in ("okta", "entra"):
        metadata = upstream_metadata(rsa_pair(f"{name}-idp"), entity_id=f"https://{name}.example")
        (folder.path / f"{name}.xml").write_bytes(metadata)
    folder.set('{ url = "https://idp.example.org/metadata" }', '{ file = "entra.xml" }')
    folder.set(
        'signing_certificate = "keys/entra-sp.crt"\n',
        'signing_certificate = "keys/entra-sp.crt"\nrequire_signed = "both"\n'
        "allow_aes_cbc = true\n",
    )
    port = free_port()
    folder.set(USUAL, f'[metrics]\nlisten = "127.0.0.1:{port}"\n\n{USUAL}')
    settings = folder.read()
    migrate(settings.store.url)
    store = open_store(settings)
    now = store.clock()
    up = Track(Verdict.UP, 9, 0, now, now, now, "answers")
    with store.transaction() as transaction:
        transaction.swap(0, first_state(["okta", "entra"], now))
        for name in ("okta", "entra"):
            transaction.note_proof(name, now)
    with store.writing_people() as people:
        people.keep_forecast(Forecast(now, "entra", 3, 2, {"person_unconfirmed": 1}))
        people.note_import(ImportRun("csv", "r1", "sso1", now, now, now, now, 3))
    store.publish(HostReport("sso1", now, {"okta": up, "entra": up}))
    store.add_contexts([SeenContext("okta", "carol@example.org", "password", 1, now)])
    matters = [("outage:okta", Kind.OUTAGE, now), ("carol was told", Kind.CANARY, None)]
    with store.writing() as connection:
        for key, kind, sent_at in matters:
            records.put(connection, NoticeRecord(key, kind, "Carol, come", now, sent_at=sent_at))
    upstreams = open_upstreams(settings)
    stop = measuring.start(settings, store, upstreams)
    try:
        return read(port)
    finally:
        stop()
        store.close()


def test_what_the_review_has_against_a_standby_is_why_it_is_not_eligible(scraped: str) -> None:
    lines = scraped.splitlines()
    assert 'idp_proxy_verdict{upstream="entra",verdict="up"} 1.0' in lines
    assert 'idp_proxy_eligible{upstream="entra"} 0.0' in lines
    assert 'idp_proxy_eligible{upstream="okta"} 1.0' in lines
    assert 'idp_proxy_open_alarms{kind="outage"} 1.0' in lines
    assert "idp_proxy_untold_alarms 1.0" in lines


def test_every_metric_is_in_the_manual_and_holds_nobodys_name(scraped: str) -> None:
    made = {
        name.removesuffix("_total") for name in re.findall(r"^# TYPE (\S+)", scraped, re.MULTILINE)
    }
    table = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    named = {
        name.removesuffix("_total") for line in table for name in NAMES.findall(line.split("|")[1])
    }
    assert made == named
    assert "arol" not in scraped
    certificates = re.findall(r'upstream_days_left\{upstream="(\w+)",what="signing 1"\}', scraped)
    assert certificates == ["okta", "entra"]
    ours = re.findall(r'certificate_days_left\{certificate="([\w ]+)"\}', scraped)
    assert ours == ["signing", "upstream okta", "upstream entra"]
