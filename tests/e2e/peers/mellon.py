"""mod_auth_mellon (lasso) from Debian in Mattermost's place."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.e2e.peers.rendering import render
from tests.e2e.peers.service_provider import Apache, Shown, printed_environment
from tests.support.keys import KeyPair, rsa_pair

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.peers.authority import Authority

_NOT_ATTRIBUTES = {"MELLON_NAME_ID", "MELLON_ASSERTION_ID"}


@dataclass(slots=True)
class Mellon:
    """A `ServiceProvider`: accepts with 303 to the page, refuses with 400."""

    parent: Path
    name: str
    authority: Authority
    sign_requests: bool = False
    apache: Apache = field(init=False)

    def __post_init__(self) -> None:
        """Lay out folder, keys and metadata; nothing runs yet."""
        self.apache = Apache(self.parent, self.name, self.authority)
        place = self.apache.folder / "sp"
        place.mkdir(mode=0o755)
        key, _certificate = self.signing.write(place, "sp")
        key.chmod(0o644)  # a throw-away key, which Apache's children read as another account
        render(
            "apache/mellon-metadata.xml.j2",
            place / "sp.xml",
            entity_id=self.entity_id,
            acs_url=self.acs_url,
            certificate=self.signing.certificate_text,
            sign_requests=self.sign_requests,
        )

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return self.apache.origin

    @property
    def entity_id(self) -> str:
        """Mellon serves its metadata there."""
        return f"{self.origin}/mellon/metadata"

    @property
    def acs_url(self) -> str:
        """Where Responses are posted to."""
        return f"{self.origin}/mellon/postResponse"

    @property
    def protected_url(self) -> str:
        """The page behind the login."""
        return f"{self.origin}/protected/"

    @property
    def signing(self) -> KeyPair:
        """Mellon has one pair for both purposes."""
        return rsa_pair(f"mellon {self.name}")

    @property
    def encryption(self) -> KeyPair:
        """Mellon has one pair for both purposes."""
        return self.signing

    def metadata(self) -> str:
        """The file Mellon itself reads."""
        return (self.apache.folder / "sp" / "sp.xml").read_text()

    def shown(self, page: str) -> Shown | None:
        """Mellon's variables, by attribute Name: it hands on the text as it stands in the XML."""
        printed = printed_environment(page)
        if "MELLON_NAME_ID" not in printed:
            return None
        attributes = {
            name.removeprefix("MELLON_"): html.unescape(value)
            for name, value in printed.items()
            if name.startswith("MELLON_") and name not in _NOT_ATTRIBUTES
        }
        return Shown(printed["MELLON_NAME_ID"], attributes)

    def start(self, idp_entity_id: str, idp_metadata: str) -> None:
        """Run; the metadata names the identity provider already."""
        assert idp_entity_id in idp_metadata
        (self.apache.folder / "sp" / "idp.xml").write_text(idp_metadata)
        self.apache.start("apache/mellon.conf.j2", "mod_auth_mellon.so")

    def stop(self) -> None:
        """End Apache."""
        self.apache.running.close()
