"""`cutover check` and `apply` as a person types them."""

from __future__ import annotations

import json
import signal
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from idp_proxy.mattermost import MattermostApi
from idp_proxy.store.base import Evidence
from tests.support import keys
from tests.support.identity_provider import Provider, metadata
from tests.support.mattermost_api import Fault, Kind, MattermostServer
from tests.unit.cutover_stage import (
    APPLY,
    BACK,
    OKTA,
    answers,
    audited,
    path_of,
    run,
    saml,
    server,
    stage,
    trusted,
)
from tests.unit.roster_bench import bench, settings, store

if TYPE_CHECKING:
    from pathlib import Path

    from idp_proxy.store.sql import SqlStore
    from tests.unit.at_the_terminal import Bench

__all__ = ["bench", "server", "settings", "stage", "store"]


def test_there_and_back(stage: Bench, server: MattermostServer, store: SqlStore) -> None:
    before = dict(saml(server))
    code, said = run(stage, "cutover", "check")
    assert (code, "Mattermost trusts okta: https://okta.example.org" in said) == (0, True), said
    assert "next: idp-proxy cutover apply --reason" in said
    code, said = run(stage, *APPLY)
    assert (code, trusted(server, stage)) == (0, "proxy by proxy"), said
    assert "prove it now" in said
    assert saml(server)["IdAttribute"] == "id"
    assert saml(server)["NicknameAttribute"] == ""
    code, said = run(stage, "cutover", "check")
    assert (code, "trusts the proxy" in said, "way back: to okta" in said) == (0, True, True), said
    code, said = run(stage, *APPLY)
    assert (code, "nothing has changed" in said) == (0, True)
    code, said = run(stage, *BACK)
    assert (code, trusted(server, stage)) == (0, "okta by okta"), said
    assert saml(server) == before
    assert audited(store) == ["cutover_begun", "cutover_done"] * 2


def test_check_needs_no_store_to_say_whom_mattermost_trusts(stage: Bench, store: SqlStore) -> None:
    store.close()
    (stage.program.folder.path / "var" / "idp-proxy.db").unlink()
    code, said = run(stage, "cutover", "check")
    assert (code, "Mattermost trusts okta" in said, "the store is away" in said) == (1, True, True)
    code, said = run(stage, *APPLY)
    assert code == 1, said


@pytest.mark.parametrize("change", [{"Enable": False}, {"Encrypt": True}, {"Verify": False}])
def test_behind_the_proxy_what_logins_need_is_looked_at_too(
    stage: Bench, server: MattermostServer, change: dict[str, bool]
) -> None:
    run(stage, *APPLY)
    server.settings["SamlSettings"] = saml(server) | change
    (field,) = change
    code, said = run(stage, "cutover", "check")
    assert (code, f"in the way: {field}" in said) == (1, True), said
    code, said = run(stage, *BACK)
    assert (code, f"in the way: {field}" in said, "before the cutover" in said) == (3, True, True)
    assert trusted(server, stage) == "okta by okta"


def test_trust_in_a_standby_is_no_begin(stage: Bench, server: MattermostServer) -> None:
    folder = stage.program.folder
    folder.set('{ url = "https://idp.example.org/metadata" }', '{ file = "entra.xml" }')
    stage.program.write()
    entra = Provider("https://entra.example.org", "https://entra.example.org/sso", OKTA.keys)
    (folder.path / "entra.xml").write_bytes(metadata(entra))
    server.settings["SamlSettings"] = saml(server) | {"IdpDescriptorUrl": entra.entity_id}
    code, said = run(stage, *APPLY)
    assert (code, "is not okta's" in said) == (1, True), said
    assert saml(server)["IdpDescriptorUrl"] == entra.entity_id


def test_a_way_back_that_is_not_there_or_not_ours_is_told(stage: Bench) -> None:
    run(stage, *APPLY)
    path_of(stage).chmod(0o666)
    code, said = run(stage, "cutover", "check")
    assert (code, "Mattermost trusts the proxy" in said, "chmod 600" in said) == (1, True, True)
    path_of(stage).unlink()
    code, said = run(stage, "cutover", "check")
    assert (code, "is not on this host" in said) == (1, True), said


def test_a_signal_in_the_midst_changes_nothing_of_it(
    stage: Bench, server: MattermostServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploaded = MattermostApi.upload_idp_certificate

    def interrupted(api: MattermostApi, pem: str) -> None:
        uploaded(api, pem)
        for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.raise_signal(one)

    monkeypatch.setattr(MattermostApi, "upload_idp_certificate", interrupted)
    before = signal.getsignal(signal.SIGINT)
    code, said = run(stage, *APPLY)
    assert (code, "cannot be interrupted" in said) == (0, True), said
    assert trusted(server, stage) == "proxy by proxy"
    assert signal.getsignal(signal.SIGINT) == before


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"Verify": False}, "Verify"),
        ({"IdAttribute": ""}, "IdAttribute"),
        ({"Encrypt": True}, "Encrypt"),
        ({"IdpCertificateFile": "okta.crt"}, "IdpCertificateFile"),
    ],
)
def test_what_does_not_fit_is_told_and_nothing_changes(
    stage: Bench, server: MattermostServer, store: SqlStore, change: dict[str, Any], field: str
) -> None:
    server.settings["SamlSettings"] = before = saml(server) | change
    code, _ = run(stage, "cutover", "check", "--json")
    found = json.loads(stage.program.out)
    assert (code, [one["field"] for one in found["obstacles"]]) == (1, [field])
    code, said = run(stage, *APPLY)
    assert (code, f"in the way: {field}" in said, "nothing has changed" in said) == (1, True, True)
    assert (saml(server), path_of(stage).exists(), audited(store)) == (before, False, [])


def test_a_proxy_that_is_not_there_is_an_obstacle(
    stage: Bench, server: MattermostServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for octets, told in ((None, "does not answer"), (metadata(OKTA), "is another one")):
        answers(monkeypatch, octets)
        code, said = run(stage, *APPLY)
        assert (code, told in said) == (1, True), said
    assert trusted(server, stage) == "okta by okta"


def test_a_login_or_a_rehearsal_must_have_been_seen(
    stage: Bench, server: MattermostServer, store: SqlStore
) -> None:
    stage.now += timedelta(hours=24)
    code, said = run(stage, *APPLY)
    assert (code, "cure: idp-proxy rehearse okta" in said) == (1, True), said
    assert trusted(server, stage) == "okta by okta"
    store.note_evidence(Evidence.REHEARSAL, "okta", stage.now)
    assert run(stage, *APPLY)[0] == 0
    assert trusted(server, stage) == "proxy by proxy"


def test_a_provider_that_has_several_certificates_is_asked_about(
    stage: Bench, server: MattermostServer, tmp_path: Path
) -> None:
    two = metadata(OKTA).replace(
        b"</md:KeyDescriptor>",
        b"</md:KeyDescriptor>" + _key_descriptor(keys.rsa_pair("okta two")),
        1,
    )
    (stage.program.folder.path / "okta.xml").write_bytes(two)
    code, said = run(stage, *APPLY)
    assert (code, "name it by --certificate FILE" in said) == (1, True), said
    for name, told in (("none.pem", "No such file"), ("okta.xml", "no certificate in PEM")):
        code, said = run(stage, *APPLY, "--certificate", str(stage.program.folder.path / name))
        assert (code, told in said) == (2, True), said
    file = tmp_path / "given.pem"
    file.write_bytes(keys.rsa_pair("somebody else").certificate_pem)
    code, said = run(stage, *APPLY, "--certificate", str(file))
    assert (code, "is none of the provider's metadata" in said) == (1, True), said
    file.write_bytes(OKTA.keys.certificate_pem)
    assert run(stage, *APPLY, "--certificate", str(file))[0] == 0
    assert run(stage, *BACK)[0] == 0
    assert trusted(server, stage) == "okta by okta"


def _key_descriptor(pair: keys.KeyPair) -> bytes:
    text = metadata(Provider("e", "https://s", pair))
    start = text.index(b"<md:KeyDescriptor")
    return text[start : text.index(b"</md:KeyDescriptor>") + len(b"</md:KeyDescriptor>")]


def test_a_cutover_that_fails_is_on_record(
    stage: Bench, server: MattermostServer, store: SqlStore
) -> None:
    server.trouble.faults.append(Fault(Kind.SERVER_ERROR, path="/config/patch", times=3, spare=1))
    code, said = run(stage, *APPLY)
    assert (code, "trusts whom it trusted before" in said) == (1, True), said
    assert trusted(server, stage) == "okta by okta"
    assert audited(store) == ["cutover_begun", "cutover_failed"]


def test_a_place_that_is_taken_is_found_before_anything_begins(
    stage: Bench, server: MattermostServer, store: SqlStore
) -> None:
    path_of(stage).mkdir()  # so that the way back cannot be written
    code, said = run(stage, *APPLY)
    assert (code, "the way back cannot be used" in said) == (1, True), said
    assert (trusted(server, stage), audited(store)) == ("okta by okta", [])
