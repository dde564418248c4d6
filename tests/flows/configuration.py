"""A configuration as an operator would write it, with the keys it names."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from idp_proxy.config import load
from tests.support import identity_provider as idp
from tests.support import people
from tests.support.keys import rsa_pair

if TYPE_CHECKING:
    from pathlib import Path

    from idp_proxy.config import Settings

PUBLIC = "https://sso.example.org"
SITE = "https://chat.example.net"
SUPPORT = "https://help.example.org/sso"
DIRECTORY_PASSWORD = "the reader's word"
MATTERMOST_PATH = f"{SITE}/login/sso/saml"

_PROXY = """\
[proxy]
entity_id = "{public}/saml/metadata"
public_url = "{public}"
listen = "127.0.0.1:8443"
signing_key = "keys/idp.key"
signing_certificate = "keys/idp.crt"
state_keys = ["file:keys/state.key"]
support_url = "{support}"
host = "sso1"
{proxy}

[store]
url = "sqlite:///var/idp-proxy.db"

[service_provider]
entity_id = "{mattermost}"
acs_url = "{mattermost}"
login_url = "{mattermost}"
encryption_certificate = "keys/mattermost.crt"
{service_provider}

[service_provider.attributes]
id = "id"
email = "email"
username = "username"
firstname = "first_name"
{sent}

"""
_UPSTREAM = """\
[[upstream]]
name = "{name}"
metadata = {{ file = "{name}.xml" }}
signing_key = "keys/sp-{name}.key"
signing_certificate = "keys/sp-{name}.crt"
{more}

[upstream.attributes]
{attributes}

"""
_ATTRIBUTES = {
    "id": people.EMPLOYEE_NUMBER,
    "email": people.MAIL,
    "username": people.UID,
    "first_name": people.GIVEN_NAME,
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a test wants to be otherwise. `proxy`, `service_provider` and the values of `upstreams`
    are lines of TOML; `attributes` is canonical name -> attribute Name, the same at each upstream;
    `link_keys` adds where an upstream has the link key, and a standby then gives nothing else;
    `metadata` replaces an upstream's own; `directory` is an `[[upstream]]` of kind "ldap", right
    behind the active, and its password stands in keys/directory.password; `more` is further TOML.
    """

    upstreams: dict[str, str] = field(default_factory=lambda: {"active": "", "standby": ""})
    proxy: str = ""
    service_provider: str = ""
    sent: str = ""
    attributes: dict[str, str] = field(default_factory=lambda: dict(_ATTRIBUTES))
    link_keys: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, bytes] = field(default_factory=dict)
    directory: str = ""
    more: str = ""
    public: str = PUBLIC

    def linked_by_mail(self) -> Wanted:
        """Every upstream knows people by their mail address, and the id beside it."""
        return replace(self, attributes={**self.attributes, "link_key": people.MAIL})


def provider(name: str) -> idp.Provider:
    """The identity provider that plays the upstream of this name."""
    base = f"https://{name}.example.com"
    return idp.Provider(f"{base}/metadata", f"{base}/sso", rsa_pair(f"idp-{name}"))


def write(folder: Path, wanted: Wanted) -> Settings:
    """Write the file and all that it names, and read it as `serve` does."""
    keys = folder / "keys"
    for stem in ("idp", "mattermost", "decryption", *(f"sp-{name}" for name in wanted.upstreams)):
        rsa_pair(stem).write(keys, stem)
    for stem in ("state", "converted"):
        (keys / f"{stem}.key").touch(mode=0o600)
        (keys / f"{stem}.key").write_bytes(secrets.token_bytes(32))
    text = _PROXY.format(
        public=wanted.public,
        support=SUPPORT,
        mattermost=MATTERMOST_PATH,
        proxy=wanted.proxy,
        service_provider=wanted.service_provider,
        sent=wanted.sent,
    )
    active = next(iter(wanted.upstreams))
    for name, more in wanted.upstreams.items():
        described = wanted.metadata.get(name) or idp.metadata(provider(name))
        (folder / f"{name}.xml").write_bytes(described)
        attributes = dict(wanted.attributes)
        if name in wanted.link_keys:
            attributes = attributes if name == active else {}
            attributes["link_key"] = wanted.link_keys[name]
        lines = "\n".join(f'{canonical} = "{at}"' for canonical, at in attributes.items())
        text += _UPSTREAM.format(name=name, more=more, attributes=lines)
        if name == active and wanted.directory:
            text += wanted.directory
            (keys / "directory.password").touch(mode=0o600)
            (keys / "directory.password").write_text(f"{DIRECTORY_PASSWORD}\n")
    file = folder / "idp-proxy.toml"
    file.write_text(f"{text}\n{wanted.more}\n", "utf-8")
    return load(file)
