"""`idp-proxy init`: a folder with fresh keys, and a configuration to be filled in."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from idp_proxy.config.addresses import is_word, name_problem, origin_problem, support_problem
from idp_proxy.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

#: The name of the configuration file that `init` writes.
CONFIG_NAME = "idp-proxy.toml"
#: KEY-02: new RSA keys.
RSA_BITS = 3072
#: Mattermost refuses an expired certificate at each login, and changing it is a coordinated act.
VALID_FOR = timedelta(days=3653)
_BACKDATED = timedelta(hours=1)
_LONGEST_COMMON_NAME = 64


@dataclass(frozen=True, slots=True)
class NewUpstream:
    """An upstream to be: its name, and where its metadata is: a file or a URL."""

    name: str
    metadata: str

    @property
    def is_url(self) -> bool:
        """Whether the metadata is fetched."""
        return self.metadata.startswith(("https://", "http://"))


@dataclass(frozen=True, slots=True)
class Blueprint:
    """What the new configuration is for; the first upstream is the active."""

    public_url: str
    mattermost_url: str
    upstreams: tuple[NewUpstream, ...]
    support_url: str = ""

    @property
    def on_loopback(self) -> bool:
        """Whether this is a trial on one machine, by plain http."""
        return self.public_url.startswith("http://")


def initialise(folder: Path, blueprint: Blueprint, now: datetime, bits: int = RSA_BITS) -> Path:
    """Fill `folder` with keys and a configuration, and give the path of that file.

    `folder` must be empty or not exist yet. A metadata file that exists already is copied into it.
    Raises `ConfigError`; nothing of this is left behind then.
    """
    problems = [*_blueprint_problems(blueprint), *_folder_problems(folder)]
    if problems:
        raise ConfigError(problems)
    existed = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        _fill(folder, blueprint, now, bits)
    except OSError as error:
        _empty(folder, remove=not existed)
        raise ConfigError([f"{folder}: cannot be written: {error.strerror}"]) from error
    return folder / CONFIG_NAME


def _blueprint_problems(blueprint: Blueprint) -> Iterator[str]:
    for option, url in (
        ("--public-url", blueprint.public_url),
        ("--mattermost-url", blueprint.mattermost_url),
    ):
        if (problem := origin_problem(url, loopback_http=True)) is not None:
            yield f"{option}: {problem}"
    if blueprint.support_url and (problem := support_problem(blueprint.support_url)) is not None:
        yield f"--support-url: {problem}"
    if blueprint.mattermost_url.startswith("http://") and not blueprint.on_loopback:
        yield "--mattermost-url: plain http needs --public-url on loopback too (WEB-01)"
    names = [upstream.name for upstream in blueprint.upstreams]
    if not names:
        yield "--upstream: at least one is needed, as NAME=METADATA"
    for upstream in blueprint.upstreams:
        if (problem := name_problem(upstream.name)) is not None:
            yield f"--upstream: {problem}"
        if not is_word(upstream.metadata):
            yield f"--upstream: {upstream.name}: {upstream.metadata!r} is no file and no URL"
        if names.count(upstream.name) > 1:
            yield f"--upstream: {upstream.name} is named twice"


def _folder_problems(folder: Path) -> Iterator[str]:
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            yield f"{folder}: not an empty folder; name a new one, nothing is ever overwritten"
    except (OSError, ValueError) as error:
        yield f"{folder}: cannot be read: {error}"


def _fill(folder: Path, blueprint: Blueprint, now: datetime, bits: int) -> None:
    keys = folder / "keys"
    keys.mkdir(mode=0o700)
    (folder / "var").mkdir(mode=0o700)
    host = urlsplit(blueprint.public_url).hostname or ""
    write_key_pair(keys, "idp", common_name=host, now=now, bits=bits)
    for upstream in blueprint.upstreams:
        write_key_pair(
            keys, f"{upstream.name}-sp", common_name=f"{upstream.name}.{host}", now=now, bits=bits
        )
        if _is_at_hand(upstream):
            shutil.copyfile(upstream.metadata, folder / f"{upstream.name}.xml")
    write_private(keys / "state.key", secrets.token_bytes(32))
    write_private(keys / "audit.key", private_pem(Ed25519PrivateKey.generate()))
    write_private(folder / CONFIG_NAME, _configuration(blueprint).encode())


def _is_at_hand(upstream: NewUpstream) -> bool:
    """Whether the metadata is a file that can be copied now."""
    return not upstream.is_url and Path(upstream.metadata).is_file()


def _empty(folder: Path, *, remove: bool) -> None:
    """Take back what a failed run wrote into a folder that was empty before."""
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    if remove and folder.is_dir():
        folder.rmdir()


def write_key_pair(folder: Path, stem: str, *, common_name: str, now: datetime, bits: int) -> None:
    """Write `stem`.key (0600) and `stem`.crt, a self-signed certificate of ten years for it."""
    key = generate_private_key(public_exponent=65537, key_size=bits)
    write_private(folder / f"{stem}.key", private_pem(key))
    certificate = self_signed(key, common_name, now)
    (folder / f"{stem}.crt").write_bytes(certificate.public_bytes(Encoding.PEM))


def self_signed(key: RSAPrivateKey, common_name: str, now: datetime) -> x509.Certificate:
    """A certificate that says nothing but "this is the key": SAML peers pin it (KEY-02)."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:_LONGEST_COMMON_NAME])])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + VALID_FOR)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, SHA256())
    )


def write_private(path: Path, content: bytes) -> None:
    """Write a new file that only its owner may read, from its first moment on (KEY-01)."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def private_pem(key: RSAPrivateKey | Ed25519PrivateKey) -> bytes:
    """A private key as PKCS #8 in PEM, without a passphrase: the file's mode guards it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _text(value: str) -> str:
    """A TOML basic string (TOML 1.0): JSON's escapes are a part of it."""
    return json.dumps(value, ensure_ascii=False)


def _configuration(blueprint: Blueprint) -> str:
    acs = _text(f"{blueprint.mattermost_url}/login/sso/saml")
    listen = urlsplit(blueprint.public_url).netloc if blueprint.on_loopback else "127.0.0.1:8443"
    if blueprint.on_loopback and urlsplit(blueprint.public_url).port is None:
        listen = f"{listen}:80"
    head = _HEAD.format(
        entity_id=_text(f"{blueprint.public_url}/saml/metadata"),
        public_url=_text(blueprint.public_url),
        listen=_text(listen),
        support_url=_text(blueprint.support_url),
        transport=_LOOPBACK if blueprint.on_loopback else _BEHIND_PROXY,
        acs=acs,
    )
    return head + "".join(_upstream(upstream) for upstream in blueprint.upstreams) + _TAIL


def _upstream(upstream: NewUpstream) -> str:
    if upstream.is_url:
        metadata = f"{{ url = {_text(upstream.metadata)} }}"
    else:
        name = f"{upstream.name}.xml" if _is_at_hand(upstream) else upstream.metadata
        metadata = f"{{ file = {_text(name)} }}"
    return _UPSTREAM_TABLE.format(name=upstream.name, metadata=metadata)


_BEHIND_PROXY = """\
# Behind a reverse proxy on this machine that speaks https. To let idp-proxy speak https itself,
# remove trusted_proxies and name tls_certificate and tls_key.
trusted_proxies = ["127.0.0.1"]"""

_LOOPBACK = """\
# A trial on one machine. Never set this where anybody else could log in.
insecure_loopback = true"""

_HEAD = """\
# Configuration of idp-proxy. Relative paths count from the folder of this file.
# Check it at any time:  idp-proxy check-config --config idp-proxy.toml
# All fields: docs/configuration.md

[proxy]
# What Mattermost calls this identity provider: "Identity Provider Issuer URL".
entity_id = {entity_id}
# Where browsers reach it: https, the bare host.
public_url = {public_url}
listen = {listen}
{transport}
workers = 2
# Mattermost pins this certificate: "Identity Provider Public Certificate".
signing_key = "keys/idp.key"
signing_certificate = "keys/idp.crt"
# Seals logins that are under way. The first key seals, all of them open.
state_keys = ["file:keys/state.key"]
# Where a person who cannot log in finds help: https://... or mailto:...
support_url = {support_url}

[store]
url = "sqlite:///var/idp-proxy.db"

# Mattermost.
[service_provider]
entity_id = {acs}
acs_url = {acs}
login_url = {acs}
# Who takes encrypted assertions only ("Enable Encryption"): set encrypt = true and name
# Mattermost's public certificate.
encrypt = false
# encryption_certificate = "mattermost.crt"
# Who signs AuthnRequests: require_signed_requests = true and Mattermost's public certificate.
# signing_certificates = ["mattermost.crt"]

# The name that Mattermost reads = the canonical name, which each upstream maps below.
[service_provider.attributes]
id = "id"
email = "email"
username = "username"
firstname = "first_name"
lastname = "last_name"

# The upstreams in order of preference: the first is the active, the others are standbys.
"""

_UPSTREAM_TABLE = """
[[upstream]]
name = "{name}"
kind = "saml"
metadata = {metadata}
signing_key = "keys/{name}-sp.key"
signing_certificate = "keys/{name}-sp.crt"

# The canonical name = the Name of the attribute in this upstream's assertions, or "NameID".
[upstream.attributes]
id = "urn:oid:2.16.840.1.113730.3.1.3"
email = "urn:oid:0.9.2342.19200300.100.1.3"
username = "urn:oid:0.9.2342.19200300.100.1.1"
first_name = "urn:oid:2.5.4.42"
last_name = "urn:oid:2.5.4.4"
# What every upstream knows of a person, where that is not the id:
# link_key = "urn:oid:2.16.840.1.113730.3.1.3"
"""

_TAIL = """
# How strongly a standby's people must have been authenticated: docs/operations/assurance.md.
# Until this is set, a standby that asks for less than the active weakens every login by it.
# [assurance]
# levels = ["password", "mfa"]
# floor = "mfa"

[audit]
# Signed proofs of what the audit held. Better on another disk than the store.
checkpoint_file = "var/audit-checkpoints.log"
checkpoint_key = "keys/audit.key"
"""
