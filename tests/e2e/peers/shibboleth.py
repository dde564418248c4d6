"""Shibboleth SP (OpenSAML) from Debian in Mattermost's place: the strictest of the peers."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from tests.e2e.peers.rendering import FILES, demand, program, render
from tests.e2e.peers.service_provider import Apache, Shown, printed_environment
from tests.support.keys import KeyPair, rsa_pair
from tests.support.processes import Process, free_port

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.e2e.peers.authority import Authority

_POLICY = Path("/etc/shibboleth/security-policy.xml")


@dataclass(slots=True)
class ShibbolethSp:
    """A `ServiceProvider`: refuses unsolicited Responses and validates each against the schemas.

    `attribute_names` are the SAML Names the application wants to see; others are dropped.
    """

    parent: Path
    name: str
    authority: Authority
    attribute_names: Sequence[str]
    sign_requests: bool = False
    apache: Apache = field(init=False)
    _listener_port: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Lay out folder and keys; nothing runs yet."""
        self.apache = Apache(self.parent, self.name, self.authority)
        self._listener_port = free_port()
        self._place.mkdir(mode=0o755)
        self.signing.write(self._place, "sp")
        self.encryption.write(self._place, "encryption")
        shutil.copy(FILES / "shibboleth" / "console.logger", self._place)
        policy = demand(_POLICY, "libapache2-mod-shib").read_text()
        strict, changed = re.subn(r'validate="false"', 'validate="true"', policy)
        assert changed >= 2
        (self._place / "security-policy.xml").write_text(strict)

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return self.apache.origin

    @property
    def entity_id(self) -> str:
        """A name of our choice."""
        return f"{self.origin}/shibboleth"

    @property
    def acs_url(self) -> str:
        """Where Responses are posted to."""
        return f"{self.origin}/Shibboleth.sso/SAML2/POST"

    @property
    def protected_url(self) -> str:
        """The page behind the login."""
        return f"{self.origin}/protected/"

    @property
    def signing(self) -> KeyPair:
        """What it signs AuthnRequests with."""
        return rsa_pair(f"shibboleth {self.name}")

    @property
    def encryption(self) -> KeyPair:
        """What assertions for it are encrypted to."""
        return rsa_pair(f"shibboleth {self.name} encryption")

    def metadata(self) -> str:
        """As its own handler generates it; it must run."""
        return httpx.get(
            f"{self.origin}/Shibboleth.sso/Metadata",
            verify=self.authority.client_context(),
            timeout=10,
            trust_env=False,
        ).text

    def shown(self, page: str) -> Shown | None:
        """The exported variables, by attribute Name."""
        printed = printed_environment(page)
        if "nameid" not in printed:
            return None
        named = self._variables()
        attributes = {name: printed[named[name]] for name in named if named[name] in printed}
        return Shown(printed["nameid"], attributes)

    def start(self, idp_entity_id: str, idp_metadata: str) -> None:
        """Run shibd, then Apache, which would wait two seconds for a shibd that is not there."""
        (self._place / "idp.xml").write_text(idp_metadata)
        render(
            "shibboleth/attribute-map.xml.j2",
            self._place / "attribute-map.xml",
            attributes=self._variables(),
        )
        configuration = render(
            "shibboleth/shibboleth2.xml.j2",
            self._place / "shibboleth2.xml",
            folder=self._place,
            listener_port=self._listener_port,
            entity_id=self.entity_id,
            idp_entity_id=idp_entity_id,
            sign_requests=self.sign_requests,
        )
        daemon = Process(
            name=f"shibd of {self.name}",
            argv=(
                program("/usr/sbin/shibd"),
                *("-F", "-f", "-c", str(configuration)),
                *("-p", str(self.apache.folder / "run" / "shibd.pid")),
            ),
            log=self.apache.folder / "log" / "shibd.log",
        )
        self.apache.running.enter_context(daemon.start())
        daemon.wait_for_port(self._listener_port)
        self.apache.start("apache/shibboleth.conf.j2", "mod_shib.so")

    def stop(self) -> None:
        """End Apache, then shibd."""
        self.apache.running.close()

    @property
    def _place(self) -> Path:
        return self.apache.folder / "shibboleth"

    def _variables(self) -> dict[str, str]:
        """Attribute Name -> name of the variable it is exported as."""
        return {name: re.sub(r"\W", "_", name) for name in self.attribute_names}
