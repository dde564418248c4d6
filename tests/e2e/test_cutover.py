"""A deployment from the upstream alone to the proxy, and past a proxy that is gone: real processes.

Mattermost's web side reads its settings and its certificate from where the API wrote them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.support import keys, people
from tests.support.browser import Browser
from tests.support.identity_provider import IdentityProvider, Provider, metadata
from tests.support.launch import ProxyHost, address, in_thread, reserve
from tests.support.mattermost import AttributeNames, Mattermost, Settings
from tests.support.mattermost.metadata import metadata as sp_metadata
from tests.support.mattermost_api import MattermostServer, app
from tests.support.people import ALICE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.e2e

_API = """
[service_provider.api]
url = "{url}"
token = "file:mattermost.token"
"""


@dataclass(slots=True)
class Deployment:
    """What there is once Mattermost was set up with the upstream, and the proxy installed."""

    idp: IdentityProvider
    server: MattermostServer
    mattermost: Mattermost
    proxy: ProxyHost
    urls: dict[str, str] = field(default_factory=dict)

    def log_in(self) -> list[str]:
        """A whole login of Alice, by Mattermost's settings of now; gives who was visited."""
        self.mattermost.settings = _settings_of(self.server, self.urls["mattermost"])
        with Browser() as browser:
            start = f"{self.urls['mattermost']}/login/sso/saml"
            page = browser.login(start, ALICE.uid, ALICE.password)
            assert page.title == f"Welcome {ALICE.uid}", page.text
            return [name for name, url in self.urls.items() if browser.visited(url)]


def _settings_of(server: MattermostServer, site_url: str) -> Settings:
    saml = server.settings["SamlSettings"]
    return Settings(
        site_url=site_url,
        idp_url=saml["IdpUrl"],
        idp_descriptor_url=saml["IdpDescriptorUrl"],
        idp_certificate=server.idp_loaded,
        identifier=saml["ServiceProviderIdentifier"],
        attributes=AttributeNames(
            id=saml["IdAttribute"],
            email=saml["EmailAttribute"],
            username=saml["UsernameAttribute"],
            first_name=saml["FirstNameAttribute"],
        ),
    )


def _sp_metadata(mattermost: Mattermost) -> bytes:
    return sp_metadata(mattermost.settings, now=mattermost.now())


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    idp_socket, mattermost_socket, server = reserve(), reserve(), MattermostServer()
    idp_url, mattermost_url = address(idp_socket), address(mattermost_socket)
    provider = Provider(f"{idp_url}/metadata", f"{idp_url}/sso", keys.rsa_pair("cutover idp"))
    server.idp_file = server.idp_loaded = provider.keys.certificate_pem
    server.settings["SamlSettings"] |= {
        "Enable": True,
        "Encrypt": False,
        "IdpUrl": provider.sso_url,
        "IdpDescriptorUrl": provider.entity_id,
        "IdpCertificateFile": "saml-idp.crt",
        "ServiceProviderIdentifier": f"{mattermost_url}/login/sso/saml",
        "AssertionConsumerServiceURL": f"{mattermost_url}/login/sso/saml",
        "IdAttribute": people.EMPLOYEE_NUMBER,
        "EmailAttribute": people.MAIL,
        "UsernameAttribute": people.UID,
        "FirstNameAttribute": people.GIVEN_NAME,
    }
    mattermost = Mattermost(_settings_of(server, mattermost_url))
    proxy = ProxyHost(tmp_path / "proxy")
    ours = f"{proxy.public_url}/upstream/active/metadata"
    idp = IdentityProvider(
        provider, [ours, lambda: sp_metadata(mattermost.settings, now=mattermost.now())]
    )
    (tmp_path / "active.xml").write_bytes(metadata(provider))
    with (
        in_thread(idp.app, idp_socket),
        in_thread(mattermost.app, mattermost_socket),
        in_thread(app(server)) as api_url,
    ):
        proxy.init({"active": tmp_path / "active.xml"}, mattermost_url)
        token = proxy.folder / "mattermost.token"
        token.touch(mode=0o600)
        token.write_text(server.admin_token)
        proxy.configure(_API.format(url=api_url))
        urls = {"idp": idp_url, "mattermost": mattermost_url, "proxy": proxy.public_url}
        try:
            proxy.serve()
            yield Deployment(idp, server, mattermost, proxy, urls)
        finally:
            proxy.stop()


def _rehearse(deployment: Deployment) -> None:
    made = deployment.proxy.command("rehearse", "active", "--no-wait", "--json", leaves_open=True)
    with Browser() as browser:
        browser.rehearse(json.loads(made)["link"], ALICE.uid, ALICE.password)


def test_a_tested_way_leads_from_the_proxy_back_to_the_upstream(deployment: Deployment) -> None:
    assert deployment.log_in() == ["idp", "mattermost"]
    (account,) = deployment.mattermost.accounts

    _rehearse(deployment)
    deployment.proxy.command("cutover", "check")
    deployment.proxy.command("cutover", "apply", "--reason", "go live")
    assert deployment.log_in() == ["idp", "mattermost", "proxy"]
    assert list(deployment.mattermost.accounts) == [account]

    deployment.proxy.stop()
    for file in (deployment.proxy.folder / "var").iterdir():
        if file.is_file():
            file.unlink()
    said = deployment.proxy.command("cutover", "back", "--reason", "the proxy's disk is gone")
    assert "not the proxy" in said
    assert deployment.log_in() == ["idp", "mattermost"]
    assert list(deployment.mattermost.accounts) == [account]
