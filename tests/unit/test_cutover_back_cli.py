"""`cutover back` as a person types it, whatever is broken."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from tests.support import keys, people
from tests.support.identity_provider import Provider, metadata
from tests.support.mattermost_api import Fault, Kind, MattermostServer
from tests.unit.cutover_stage import (
    APPLY,
    BACK,
    OKTA,
    answers,
    run,
    saml,
    server,
    stage,
    trusted,
)
from tests.unit.roster_bench import bench, settings, store
from tests.unit.test_mattermost_api import SECTION

if TYPE_CHECKING:
    from pathlib import Path

    from idp_proxy.store.sql import SqlStore
    from tests.unit.at_the_terminal import Bench

__all__ = ["bench", "server", "settings", "stage", "store"]


def test_back_needs_neither_the_proxy_nor_its_store(
    stage: Bench, server: MattermostServer, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(stage, *APPLY)
    answers(monkeypatch, None)
    store.close()
    (stage.program.folder.path / "var" / "idp-proxy.db").unlink()
    (stage.program.folder.path / "okta.xml").unlink()
    (stage.program.folder.path / "okta.xml").write_text("gone")
    code, said = run(stage, *BACK)
    assert (code, trusted(server, stage)) == (0, "okta by okta"), said
    assert "this stands in no audit" in said


def test_back_said_twice_never_leads_to_the_proxy_again(
    stage: Bench, server: MattermostServer
) -> None:
    run(stage, *APPLY)
    run(stage, *BACK)
    fault = Fault(Kind.SERVER_ERROR, path="/config/patch", times=3, spare=1)
    server.trouble.faults.append(fault)
    code, said = run(stage, *BACK)
    assert (code, "say it again" in said) == (1, True), said
    assert trusted(server, stage) == "okta by okta"
    assert "next: idp-proxy cutover check" in said


def test_back_from_somebody_else_is_left_to_people(stage: Bench, server: MattermostServer) -> None:
    run(stage, *APPLY)
    server.settings["SamlSettings"] = saml(server) | {"IdpDescriptorUrl": "https://x.example.org"}
    code, said = run(stage, *BACK)
    assert (code, "neither the proxy nor" in said) == (1, True), said
    assert saml(server)["IdpDescriptorUrl"] == "https://x.example.org"


@pytest.mark.parametrize("broken", ["a key", "the upstreams"])
def test_back_needs_no_usable_configuration(
    stage: Bench, server: MattermostServer, broken: str
) -> None:
    run(stage, *APPLY)
    if broken == "a key":
        (stage.program.folder.path / "keys" / "okta-sp.key").unlink()
    else:
        stage.program.file.write_text(SECTION)
    code, said = run(stage, "cutover", "back", "--by-hand")
    assert (code, OKTA.sso_url in said) == (0, True), said
    code, said = run(stage, *BACK)
    assert (code, "the configuration is not usable" in said) == (0, True), said
    assert saml(server)["IdpUrl"] == OKTA.sso_url
    assert server.idp_loaded == OKTA.keys.certificate_pem


def test_by_hand_needs_no_toml(stage: Bench) -> None:
    run(stage, *APPLY)
    stage.program.file.write_text("[[[")
    code, said = run(stage, "cutover", "back", "--by-hand")
    assert (code, OKTA.sso_url in said) == (0, True), said
    assert run(stage, *BACK)[0] == 2


def test_by_hand_says_everything_and_asks_nobody(stage: Bench, server: MattermostServer) -> None:
    run(stage, *APPLY)
    calls = dict(server.calls)
    code, said = run(stage, "cutover", "back", "--by-hand")
    assert (code, dict(server.calls)) == (0, calls)
    assert f"SAML SSO URL (IdpURL): {OKTA.sso_url}" in said
    assert f"Id Attribute (IdAttribute): {people.EMPLOYEE_NUMBER}" in said
    assert OKTA.keys.certificate_pem.decode().strip() in said
    assert trusted(server, stage) == "proxy by proxy"


def test_back_asks_about_a_certificate_that_is_new(
    stage: Bench, server: MattermostServer, tmp_path: Path
) -> None:
    run(stage, *APPLY)
    rolled = Provider(OKTA.entity_id, OKTA.sso_url, keys.rsa_pair("okta rolled"))
    (stage.program.folder.path / "okta.xml").write_bytes(metadata(rolled))
    code, said = run(stage, *BACK)
    assert (code, "--certificate FILE" in said) == (1, True), said
    assert trusted(server, stage) == "proxy by proxy"
    file = tmp_path / "given.pem"
    file.write_bytes(rolled.keys.certificate_pem)
    assert run(stage, *BACK, "--certificate", str(file))[0] == 0
    assert server.idp_loaded == rolled.keys.certificate_pem


def test_back_loads_the_certificate_where_only_that_is_wrong(
    stage: Bench, server: MattermostServer
) -> None:
    """As after a kill between upload and change, and a restart of Mattermost."""
    run(stage, *APPLY)
    proxy = server.idp_file
    run(stage, *BACK)
    server.idp_file = server.idp_loaded = proxy
    assert trusted(server, stage) == "okta by proxy"
    assert run(stage, *BACK)[0] == 0
    assert trusted(server, stage) == "okta by okta"


def test_back_refuses_an_expired_certificate(stage: Bench, server: MattermostServer) -> None:
    run(stage, *APPLY)
    old = keys.self_signed(
        "old",
        generate_private_key(public_exponent=65537, key_size=2048),
        not_before=stage.now - timedelta(days=9),
        lifetime=timedelta(days=8),
    )
    file = stage.program.folder.path / "old.pem"
    file.write_bytes(old.certificate_pem)
    code, said = run(stage, *BACK, "--certificate", str(file))
    assert (code, "expired on" in said) == (1, True), said
    assert trusted(server, stage) == "proxy by proxy"


def test_back_without_a_way_names_where_it_is(stage: Bench) -> None:
    code, said = run(stage, *BACK)
    assert (code, "was not run on this host" in said) == (1, True), said


def test_back_wants_a_reason(stage: Bench, server: MattermostServer) -> None:
    run(stage, *APPLY)
    code, said = run(stage, "cutover", "back")
    assert (code, "--reason: empty" in said) == (2, True), said
    assert trusted(server, stage) == "proxy by proxy"


def test_what_is_pinned_meanwhile_is_told_before_anything_changes(
    stage: Bench, server: MattermostServer
) -> None:
    run(stage, *APPLY)
    server.pinned.add("IdpUrl")
    code, said = run(stage, *BACK)
    assert (code, "MM_SAMLSETTINGS_IDPURL" in said) == (1, True), said
    assert "next: idp-proxy cutover back --by-hand" in said
    assert trusted(server, stage) == "proxy by proxy"
