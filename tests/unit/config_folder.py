"""A folder with a valid configuration, for tests that break it in one place at a time."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from idp_proxy.config import SamlSettings, load
from idp_proxy.errors import ConfigError
from tests.support.keys import KeyPair, rsa_pair

if TYPE_CHECKING:
    from pathlib import Path

    from idp_proxy.config import Settings

CONFIGURATION = """\
[proxy]
entity_id = "https://sso.example.org/saml/metadata"
public_url = "https://sso.example.org"
listen = "127.0.0.1:8443"
workers = 2
signing_key = "keys/idp.key"
signing_certificate = "keys/idp.crt"
state_keys = ["file:keys/state.key"]
support_url = "https://help.example.org/sso"
host = "sso1"

[store]
url = "sqlite:///var/idp-proxy.db"

[service_provider]
entity_id = "https://chat.example.org/login/sso/saml"
acs_url = "https://chat.example.org/login/sso/saml"
login_url = "https://chat.example.org/login/sso/saml"
signing_certificates = []
encrypt = false

[service_provider.attributes]
id = "id"
email = "email"
username = "username"
firstname = "first_name"

[[upstream]]
name = "okta"
kind = "saml"
metadata = { file = "okta.xml" }
signing_key = "keys/okta-sp.key"
signing_certificate = "keys/okta-sp.crt"
require_signed = "assertion"

[upstream.attributes]
id = "urn:oid:2.16.840.1.113730.3.1.3"
email = "urn:oid:0.9.2342.19200300.100.1.3"
username = "urn:oid:0.9.2342.19200300.100.1.1"
first_name = "urn:oid:2.5.4.42"

[upstream.limits]
clock_skew_s = 120

[[upstream]]
name = "entra"
metadata = { url = "https://idp.example.org/metadata" }
signing_key = "keys/entra-sp.key"
signing_certificate = "keys/entra-sp.crt"

[upstream.attributes]
link_key = "NameID"

[assurance]
levels = ["password"]
floor = "password"

[audit]
checkpoint_file = "var/checkpoints.log"
checkpoint_key = "keys/audit.key"
"""

NOW = datetime.now(UTC)


@dataclass(slots=True)
class Folder:
    """The configuration and what it names; `set` changes lines, `problems` reads it."""

    path: Path
    text: str = CONFIGURATION
    environ: dict[str, str] = field(default_factory=dict)

    def set(self, old: str, new: str, *, everywhere: bool = False) -> Folder:
        """Replace a piece of the text that must be there."""
        assert old in self.text, old
        self.text = self.text.replace(old, new, -1 if everywhere else 1)
        return self

    def add_pair(self, stem: str, pair: KeyPair) -> None:
        """A key and certificate under keys/."""
        pair.write(self.path / "keys", stem)

    def read(self, now: datetime = NOW) -> Settings:
        """What `load` makes of it. Raises `ConfigError`."""
        file = self.path / "idp-proxy.toml"
        file.write_text(self.text, "utf-8")
        return load(file, now=now, environ=self.environ)

    def problems(self) -> list[str]:
        """Every problem that `load` finds; there is at least one."""
        with pytest.raises(ConfigError) as caught:
            self.read()
        assert caught.value.problems
        return list(caught.value.problems)


def saml_of(settings: Settings) -> list[SamlSettings]:
    """The upstreams of kind "saml"."""
    return [one for one in settings.upstreams if isinstance(one, SamlSettings)]


def private_file(path: Path, content: bytes) -> None:
    """A file that only its owner may read."""
    path.touch(mode=0o600)
    path.write_bytes(content)


def make_folder(path: Path, audit_key: bytes) -> Folder:
    """A folder that `load` has nothing against."""
    folder = Folder(path)
    for stem in ("idp", "okta-sp", "entra-sp"):
        folder.add_pair(stem, rsa_pair(stem))
    private_file(path / "keys" / "state.key", secrets.token_bytes(32))
    private_file(path / "keys" / "audit.key", audit_key)
    (path / "okta.xml").write_text("<EntityDescriptor/>")
    return folder
