"""`cutover ...` as a person types it, in front of the double and a proxy that is there or not."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from idp_proxy import way_back
from idp_proxy.app import _metadata
from idp_proxy.audit.log import rows as audit_rows
from idp_proxy.cli.cutover import applying, leading_back, looking
from idp_proxy.config import load
from idp_proxy.config.mattermost import ApiSettings
from idp_proxy.config.settings import Outbound
from idp_proxy.mattermost import MattermostApi
from idp_proxy.store.base import Evidence
from idp_proxy.upstream.fetch import FetchFailed
from tests.support import keys, people
from tests.support.identity_provider import Provider, metadata
from tests.support.launch import in_thread
from tests.support.mattermost_api import Fault, Kind, MattermostServer, app
from tests.unit.roster_bench import bench, settings, store
from tests.unit.test_mattermost_api import SECTION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from idp_proxy.store.sql import SqlStore
    from tests.unit.at_the_terminal import Bench

__all__ = ["bench", "settings", "store"]

OKTA = Provider("https://okta.example.org", "https://okta.example.org/sso", keys.rsa_pair("okta"))
APPLY = ("cutover", "apply", "--reason", "go live")
BACK = ("cutover", "back", "--reason", "logins fail")


@pytest.fixture
def server() -> MattermostServer:
    """As it was set up with the upstream alone."""
    made = MattermostServer()
    made.settings["SamlSettings"] |= {
        "Enable": True,
        "Encrypt": False,
        "IdpUrl": OKTA.sso_url,
        "IdpDescriptorUrl": OKTA.entity_id,
        "IdpCertificateFile": "saml-idp.crt",
        "ServiceProviderIdentifier": "https://chat.example.org/login/sso/saml",
        "AssertionConsumerServiceURL": "https://chat.example.org/login/sso/saml",
        "IdAttribute": people.EMPLOYEE_NUMBER,
        "EmailAttribute": people.MAIL,
        "UsernameAttribute": people.UID,
        "NicknameAttribute": "nick",
    }
    made.idp_file = made.idp_loaded = OKTA.keys.certificate_pem
    return made


@pytest.fixture
def stage(
    bench: Bench, store: SqlStore, server: MattermostServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    """The proxy answers, and a login by it was seen."""
    folder = bench.program.folder
    folder.text += SECTION
    (folder.path / "okta.xml").write_bytes(metadata(OKTA))
    bench.program.write()
    _answers(monkeypatch, _metadata(load(bench.program.file), {})["/saml/metadata"])
    with store.transaction() as tx:
        tx.note_proof("okta", bench.now - timedelta(hours=1))
    with in_thread(app(server)) as url:
        api = ApiSettings(url, "file:t", Outbound(), timedelta(seconds=5))

        def opened(*_: object) -> MattermostApi:
            return MattermostApi(api, server.admin_token, sleep=lambda _: None)

        for module in (applying, leading_back):
            monkeypatch.setattr(module, "open_api", opened)
        yield bench


def _answers(monkeypatch: pytest.MonkeyPatch, octets: bytes | None) -> None:
    def fetched(url: str, *_: object) -> bytes:
        assert url == "https://sso.example.org/saml/metadata"
        if octets is None:
            raise FetchFailed(f"{url}: refused")
        return octets

    monkeypatch.setattr(looking, "fetch", fetched)


def run(bench: Bench, *words: str) -> tuple[int | str | None, str]:
    done = bench.program(*words)
    return done.code, done.out + done.err


def saml(server: MattermostServer) -> dict[str, Any]:
    return server.settings["SamlSettings"]


def trusted(server: MattermostServer, bench: Bench) -> str:
    proxy = load(bench.program.file).proxy
    known = {proxy.entity_id: "proxy", OKTA.entity_id: "okta"}
    pem = looking.pem(proxy.signing.certificate).encode()
    by = {pem: "proxy", OKTA.keys.certificate_pem: "okta"}
    return f"{known[saml(server)['IdpDescriptorUrl']]} by {by[server.idp_loaded]}"


def audited(store: SqlStore) -> list[str]:
    with store.reading() as connection:
        return [row.kind for row in audit_rows(connection) if row.kind.startswith("cutover")]


def path_of(bench: Bench) -> Path:
    return way_back.path_of(bench.program.file)


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


def test_back_needs_neither_the_proxy_nor_its_store(
    stage: Bench, server: MattermostServer, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(stage, *APPLY)
    _answers(monkeypatch, None)
    store.close()
    (stage.program.folder.path / "var" / "idp-proxy.db").unlink()
    (stage.program.folder.path / "okta.xml").unlink()
    (stage.program.folder.path / "okta.xml").write_text("gone")
    code, said = run(stage, *BACK)
    assert (code, trusted(server, stage)) == (0, "okta by okta"), said
    assert "this stands in no audit" in said


def test_check_needs_no_store_to_say_whom_mattermost_trusts(stage: Bench, store: SqlStore) -> None:
    store.close()
    (stage.program.folder.path / "var" / "idp-proxy.db").unlink()
    code, said = run(stage, "cutover", "check")
    assert (code, "Mattermost trusts okta" in said, "the store is away" in said) == (1, True, True)
    code, said = run(stage, *APPLY)
    assert code == 1, said


def test_back_said_twice_never_leads_to_the_proxy_again(
    stage: Bench, server: MattermostServer
) -> None:
    run(stage, *APPLY)
    run(stage, *BACK)
    server.trouble.faults.append(Fault(Kind.SERVER_ERROR, path="/config/patch", times=3))
    code, said = run(stage, *BACK)
    assert (code, "put back" in said) == (1, True), said
    assert trusted(server, stage) == "okta by okta"


def test_back_from_somebody_else_puts_nothing_back(stage: Bench, server: MattermostServer) -> None:
    run(stage, *APPLY)
    server.settings["SamlSettings"] = saml(server) | {"IdpDescriptorUrl": "https://x.example.org"}
    server.trouble.faults.append(Fault(Kind.SERVER_ERROR, path="/config/patch", times=3))
    code, said = run(stage, *BACK)
    assert (code, "was not put back" in said) == (1, True), said
    assert saml(server)["IdpDescriptorUrl"] == "https://x.example.org"
    assert run(stage, *BACK)[0] == 0
    assert trusted(server, stage) == "okta by okta"


def test_by_hand_says_everything_and_asks_nobody(stage: Bench, server: MattermostServer) -> None:
    run(stage, *APPLY)
    calls = dict(server.calls)
    code, said = run(stage, "cutover", "back", "--by-hand")
    assert (code, dict(server.calls)) == (0, calls)
    assert f"SAML SSO URL (IdpURL): {OKTA.sso_url}" in said
    assert f"Id Attribute (IdAttribute): {people.EMPLOYEE_NUMBER}" in said
    assert OKTA.keys.certificate_pem.decode().strip() in said
    assert trusted(server, stage) == "proxy by proxy"


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
        _answers(monkeypatch, octets)
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
    file.write_bytes(OKTA.keys.certificate_pem)
    assert run(stage, *APPLY, "--certificate", str(file))[0] == 0
    assert run(stage, *BACK)[0] == 0
    assert trusted(server, stage) == "okta by okta"


def _key_descriptor(pair: keys.KeyPair) -> bytes:
    text = metadata(Provider("e", "https://s", pair))
    start = text.index(b"<md:KeyDescriptor")
    return text[start : text.index(b"</md:KeyDescriptor>") + len(b"</md:KeyDescriptor>")]


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


def test_a_cutover_that_fails_is_on_record(
    stage: Bench, server: MattermostServer, store: SqlStore
) -> None:
    server.trouble.faults.append(Fault(Kind.SERVER_ERROR, path="/config/patch", times=3))
    code, said = run(stage, *APPLY)
    assert (code, "trusts whom it trusted before" in said) == (1, True), said
    assert trusted(server, stage) == "okta by okta"
    assert audited(store) == ["cutover_begun", "cutover_failed"]


def test_who_may_not_act_changes_nothing(
    stage: Bench, server: MattermostServer, store: SqlStore
) -> None:
    path_of(stage).mkdir()  # so that the way back cannot be written
    code, said = run(stage, *APPLY)
    assert (code, "cannot be written" in said) == (1, True), said
    assert trusted(server, stage) == "okta by okta"
    assert audited(store) == ["cutover_begun", "cutover_failed"]
