"""What anybody may ask: health, readiness, /status, our metadata. No names, no reasons (OPS-03)."""

from __future__ import annotations

import os
import re
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from idp_proxy.decision.fleet import HostReport
from idp_proxy.decision.health import Track, Verdict
from tests.flows.configuration import Wanted, provider
from tests.flows.stage import PUBLIC, Stage
from tests.support import saml_wire
from tests.support.identity_provider.service_providers import parse
from tests.support.keys import rsa_pair
from tests.support.mattermost import import_metadata
from tests.support.people import ALICE

if TYPE_CHECKING:
    from tests.flows.conftest import Builder


def status(stage: Stage) -> dict[str, str | None]:
    page = stage.client().get("/status?format=json")
    assert page.status_code == 200
    assert page.headers["content-type"] == "application/json"
    assert page.headers["cache-control"] == "no-store"
    found: dict[str, str | None] = page.json()
    assert set(found) == {"login", "proven_at"}
    return found


def test_a_worker_that_runs_is_alive(stage: Stage) -> None:
    page = stage.client().get("/healthz")
    assert (page.status_code, page.json()) == (200, {"alive": True})


def test_a_worker_is_ready_while_logins_can_be_served(stage: Stage) -> None:
    page = stage.client().get("/readyz")
    assert (page.status_code, page.json()) == (200, {"ready": True})
    stage.switchboard.disable("active", "a test", "host:test")
    stage.clock.pass_by(seconds=1)
    page = stage.client().get("/readyz")
    assert (page.status_code, page.json()) == (503, {"ready": False})
    stage.switch("standby")
    assert stage.client().get("/readyz").status_code == 200


def test_a_worker_is_not_ready_where_the_serving_upstream_has_no_metadata(
    set_up: Builder,
) -> None:
    stage = set_up(Wanted(metadata={"active": b"<html/>"}))
    assert stage.client().get("/readyz").status_code == 503
    assert status(stage)["login"] == "fails"
    stage.switch("standby")
    assert stage.client().get("/readyz").status_code == 200


@pytest.mark.parametrize(
    "disk", [{"f_bavail": 63}, {"f_flag": os.ST_RDONLY}], ids=["full", "read-only"]
)
def test_a_worker_is_not_ready_where_no_login_can_be_written_down(
    set_up: Builder, monkeypatch: pytest.MonkeyPatch, disk: dict[str, int]
) -> None:
    """All that it reads is well, and every login would be refused."""
    stage = set_up(sqlite=True)
    assert stage.client().get("/readyz").status_code == 200
    usual = {"f_bavail": 64, "f_frsize": 4096, "f_flag": 0}
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(**usual | disk))
    stage.clock.pass_by(seconds=1)
    assert stage.client().get("/readyz").status_code == 503
    assert status(stage)["login"] == "fails"
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(**usual))
    stage.clock.pass_by(seconds=1)
    assert stage.client().get("/readyz").status_code == 200


def test_status_works_for_ten_minutes_after_a_verified_login(stage: Stage) -> None:
    assert status(stage) == {"login": "unknown", "proven_at": None}
    stage.log_in(ALICE)
    proven = stage.clock.at
    assert status(stage)["login"] == "unknown", "what everybody may ask is read once a second"
    stage.clock.pass_by(seconds=1)
    assert status(stage) == {"login": "works", "proven_at": proven.isoformat()}
    stage.clock.pass_by(minutes=9, seconds=59)
    assert status(stage)["login"] == "works"
    stage.clock.pass_by(seconds=1)
    assert status(stage) == {"login": "unknown", "proven_at": proven.isoformat()}
    at = datetime.fromisoformat(str(status(stage)["proven_at"]))
    assert at.utcoffset() == timedelta(0)


def test_status_speaks_of_the_upstream_that_serves_now(stage: Stage) -> None:
    stage.log_in(ALICE)
    stage.switch("standby")
    assert status(stage) == {"login": "unknown", "proven_at": None}
    stage.log_in(ALICE)
    stage.clock.pass_by(seconds=1)
    assert status(stage)["login"] == "works"


def test_a_person_whom_a_standby_may_not_let_in_proves_that_it_answers(stage: Stage) -> None:
    stage.switch("standby")
    begun = stage.begin()
    stage.post(begun, stage.answer(begun, ALICE))
    assert status(stage)["login"] == "works"


def test_a_begun_login_and_a_refused_answer_prove_nothing(stage: Stage) -> None:
    begun = stage.begin()
    stage.post(begun, "garbage")
    assert status(stage) == {"login": "unknown", "proven_at": None}


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ("No recent login to judge by", "Logging in works, with limits", "does not work")),
        ("de", ("Zuletzt gab es keine Anmeldung", "mit Einschränkungen", "zurzeit nicht")),
    ],
)
def test_the_page_tells_the_story_in_the_readers_language(
    stage: Stage, language: str, words: tuple[str, str, str]
) -> None:
    client = stage.client(accept_language=language)
    stages = []
    stages.append(client.get("/status"))
    stage.log_in(ALICE)
    stage.switch("standby")
    stage.log_in(ALICE)
    stages.append(client.get("/status"))
    stage.switchboard.disable("standby", "a test", "host:test")
    stage.clock.pass_by(seconds=1)
    stages.append(client.get("/status"))
    for page, told in zip(stages, words, strict=True):
        assert page.status_code == 200
        assert f'<html lang="{language}">' in page.text
        assert told in heading(page.text), heading(page.text)


def heading(text: str) -> str:
    found = re.search(r"<h1>(.*?)</h1>", text)
    assert found is not None
    return found[1]


def test_the_page_comes_again_until_told_to_stop(stage: Stage) -> None:
    assert stage.client().get("/status").headers["refresh"] == "60"
    assert "refresh" not in stage.client().get("/status?refresh=off").headers


@pytest.mark.parametrize("path", ["/status", "/status?format=json", "/readyz", "/healthz", "/nope"])
def test_nothing_public_names_an_upstream_or_a_reason(set_up: Builder, path: str) -> None:
    stage = set_up(Wanted(upstreams={"okta-emea": "", "entra-9": ""}))
    stage.switchboard.to("entra-9", "the-secret-reason", "host:the-operator")
    stage.clock.pass_by(seconds=1)
    stage.switchboard.disable("entra-9", "another-reason", "host:the-operator")
    stage.clock.pass_by(seconds=1)
    page = stage.client().get(path)
    for secret in ("okta", "entra", "reason", "operator", "epoch", "example.com", "sso1"):
        assert secret not in page.text.replace("/status", ""), secret


def test_error_pages_name_no_upstream_and_no_detail(set_up: Builder) -> None:
    stage = set_up(Wanted(upstreams={"okta-emea": "", "entra-9": ""}))
    begun = stage.begin()
    stage.switchboard.disable("okta-emea", "the-secret-reason", "host:the-operator")
    stage.clock.pass_by(seconds=1)
    refused = [
        stage.post(begun, stage.answer(begun, ALICE)),
        stage.client().get(f"/saml/sso?{stage.sso_query(stage.request())}"),
        stage.post(begun, "garbage", upstream="entra-9"),
    ]
    for page in refused:
        for secret in ("okta", "entra", "reason", "operator", "FO-0", "epoch", begun.tid):
            assert secret not in page.text, secret


# --- metadata ------------------------------------------------------------------------------------


def test_mattermost_imports_our_metadata(stage: Stage) -> None:
    page = stage.client().get("/saml/metadata")
    assert page.headers["content-type"] == "application/samlmetadata+xml"
    found = import_metadata(page.content)
    assert found.idp_url == f"{PUBLIC}/saml/sso"
    assert found.idp_descriptor_url == f"{PUBLIC}/saml/metadata"
    assert found.idp_certificate == rsa_pair("idp").certificate_pem
    assert found.sso_binding == saml_wire.REDIRECT


def test_a_successor_key_is_announced_at_its_own_address_only(set_up: Builder) -> None:
    stage = set_up(Wanted(proxy='next_signing_certificate = "keys/decryption.crt"'))
    successor = rsa_pair("decryption").certificate_text
    usual, after = (
        "".join(stage.client().get(path).text.split())
        for path in ("/saml/metadata", "/saml/metadata?next=1")
    )
    assert successor not in usual
    assert successor in after
    assert import_metadata(stage.client().get("/saml/metadata").content).idp_certificate


def test_without_a_successor_there_is_no_such_document(stage: Stage) -> None:
    assert stage.client().get("/saml/metadata?next=1").status_code == 404


def test_each_upstream_gets_metadata_of_its_own(stage: Stage) -> None:
    for name in ("active", "standby"):
        page = stage.client().get(f"/upstream/{name}/metadata")
        found = parse(page.content)
        assert found.entity_id == f"{PUBLIC}/upstream/{name}/metadata"
        assert found.acs_urls == (f"{PUBLIC}/upstream/{name}/acs",)
        assert found.signs_requests
        assert provider(name).entity_id not in page.text


def test_a_head_request_says_what_a_get_would(stage: Stage) -> None:
    for path in ("/healthz", "/readyz", "/status", "/saml/metadata"):
        got, asked = stage.client().get(path), stage.client().head(path)
        assert asked.status_code == got.status_code
        assert asked.headers["content-type"] == got.headers["content-type"]


def test_status_shows_an_outage_that_the_hosts_see_and_readiness_does_not(stage: Stage) -> None:
    stage.log_in(ALICE)
    now = stage.store.clock()
    down = Track(Verdict.DOWN, failures=9, since=now, at=now, reason="active takes no connection")
    stage.store.publish(HostReport("sso1", now, {"active": down}, reference_answers=True))
    assert status(stage)["login"] == "fails"
    page = stage.client().get("/status", headers={"Accept-Language": "de"}).text
    assert "takes no connection" not in page
    assert "active" not in page
    assert stage.client().get("/readyz").json() == {"ready": True}
