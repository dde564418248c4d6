"""Our own double of Mattermost, over https: much cheaper than the real parties, for many logins."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from lxml import html

from tests.e2e.peers.rendering import new_folder
from tests.e2e.peers.service_provider import Shown
from tests.support.keys import KeyPair, rsa_pair
from tests.support.mattermost.settings import SAML_PATH
from tests.support.processes import Process, free_port

if TYPE_CHECKING:
    from tests.e2e.peers.authority import Authority

_ROOT = Path(__file__).parents[3]


@dataclass(slots=True)
class MattermostDouble:
    """A `ServiceProvider`. It shows the account that a login led to, so no first and last name."""

    parent: Path
    name: str
    authority: Authority
    sign_requests: bool = False
    folder: Path = field(init=False)
    port: int = field(init=False)
    _process: Process = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Lay out the folder; nothing runs yet."""
        self.folder, self.port = new_folder(self.parent, self.name), free_port()
        tls = self.authority.server
        self._process = Process(
            name=f"mattermost {self.name}",
            argv=(
                *(sys.executable, "-m", "tests.support.mattermost"),
                *(f"--port={self.port}", f"--site-url={self.origin}"),
                f"--idp-metadata={self.folder / 'idp.xml'}",
                *(f"--tls-certificate={tls.certificate}", f"--tls-key={tls.key}"),
            ),
            log=self.folder / "mattermost.log",
            cwd=_ROOT,
        )

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def entity_id(self) -> str:
        """Mattermost's own default."""
        return self.acs_url

    @property
    def acs_url(self) -> str:
        """Where Responses are posted to."""
        return f"{self.origin}{SAML_PATH}"

    @property
    def protected_url(self) -> str:
        """Where a login starts."""
        return self.acs_url

    @property
    def signing(self) -> KeyPair:
        """It signs nothing, and has one pair for both purposes."""
        return rsa_pair(f"mattermost {self.name}")

    @property
    def encryption(self) -> KeyPair:
        """It has one pair for both purposes."""
        return self.signing

    def metadata(self) -> str:
        """As Mattermost serves it; it must run."""
        return httpx.get(
            f"{self.origin}/api/v4/saml/metadata",
            verify=self.authority.client_context(),
            timeout=10,
            trust_env=False,
        ).text

    def shown(self, page: str) -> Shown | None:
        """The account on the page, or None when nobody is logged in there."""
        document = html.document_fromstring(page or "<html></html>")
        names = [str(node.xpath("string()")) for node in document.iter("dt")]
        values = [str(node.xpath("string()")) for node in document.iter("dd")]
        facts = dict(zip(names, values, strict=True))
        if "auth_data" not in facts:
            return None
        return Shown(facts["auth_data"], {"email": facts["email"], "username": facts["user name"]})

    def start(self, idp_entity_id: str, idp_metadata: str) -> None:
        """Run; the metadata names the identity provider already."""
        assert idp_entity_id in idp_metadata
        (self.folder / "idp.xml").write_text(idp_metadata)
        self._process.start().wait_for_port(self.port, within_s=60)

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
