"""The program in front of the double of Mattermost, and a proxy that is there or not."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from idp_proxy import way_back
from idp_proxy.app import _metadata
from idp_proxy.audit.log import rows as audit_rows
from idp_proxy.cli.cutover import applying, leading_back, looking
from idp_proxy.config import load
from idp_proxy.config.mattermost import ApiSettings
from idp_proxy.config.settings import Outbound
from idp_proxy.mattermost import MattermostApi
from idp_proxy.upstream.fetch import FetchFailed
from tests.support import keys, people
from tests.support.identity_provider import Provider, metadata
from tests.support.launch import in_thread
from tests.support.mattermost_api import MattermostServer, app
from tests.unit.test_mattermost_api import SECTION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from idp_proxy.store.sql import SqlStore
    from tests.unit.at_the_terminal import Bench

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
    answers(monkeypatch, _metadata(load(bench.program.file), {})["/saml/metadata"])
    with store.transaction() as tx:
        tx.note_proof("okta", bench.now - timedelta(hours=1))
    with in_thread(app(server)) as url:
        api = ApiSettings(url, "file:t", Outbound(), timedelta(seconds=5))

        def opened(*_: object) -> MattermostApi:
            return MattermostApi(api, server.admin_token, sleep=lambda _: None)

        for module in (applying, leading_back):
            monkeypatch.setattr(module, "open_api", opened)
        monkeypatch.setattr(leading_back, "open_api_of", opened)
        yield bench


def answers(monkeypatch: pytest.MonkeyPatch, octets: bytes | None) -> None:
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
