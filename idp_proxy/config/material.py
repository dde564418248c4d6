"""Keys, certificates and secrets: read from where the file says, and held against KEY-01, KEY-02.

Each function notes what is wrong at the field's path and returns None then. No message holds what
a file or a variable contains.
"""

from __future__ import annotations

import base64
import binascii
import os
import shlex
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from idp_proxy.config.settings import KeyPair, TlsFiles

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import (
        PrivateKeyTypes,
        PublicKeyTypes,
    )

    from idp_proxy.config.findings import Findings

#: Octets of a state key: AES-256 and HKDF-SHA256 take it whole.
SECRET_LENGTH = 32
#: A random secret of 32 octets has fewer different ones about once in 10^17 draws.
_FEWEST_DIFFERENT = 16
_LARGEST_FILE = 1024 * 1024
_SMALLEST_RSA = 2048
_EXPIRES_SOON_DAYS = 60


@dataclass(slots=True)
class Reader:
    """Reads what a configuration refers to. Relative paths count from `folder`."""

    folder: Path
    environ: Mapping[str, str]
    now: datetime
    findings: Findings
    _purposes: dict[bytes, str] = field(default_factory=dict, repr=False)

    def path(self, name: str) -> Path:
        """The file that `name` means."""
        return self.folder / name

    def octets(self, where: str, name: str, *, secret: bool = False) -> bytes | None:
        """What a regular file of at most 1 MiB holds; a secret one is closed to others (KEY-01)."""
        if not name:
            self.findings.problem(where, "missing")
            return None
        try:
            # Path.open takes no opener.
            with open(self.path(name), "rb", opener=_not_waiting) as file:
                status = os.fstat(file.fileno())
                content = file.read(_LARGEST_FILE + 1) if stat.S_ISREG(status.st_mode) else None
        except FileNotFoundError:
            self.findings.problem(where, f"no such file: {name}")
            return None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            self.findings.problem(where, f"cannot be read: {name!r}: {reason}")
            return None
        if content is None:
            self.findings.problem(where, f"not a regular file: {name}")
            return None
        if secret:
            self._judge_mode(where, name, stat.S_IMODE(status.st_mode))
        if len(content) > _LARGEST_FILE:
            self.findings.problem(where, f"larger than 1 MiB: {name}")
            return None
        return content

    def key_pair(
        self, where: str, kind: str, key_name: str, certificate_name: str
    ) -> KeyPair | None:
        """An RSA key and its certificate, from the fields `{kind}_key` and `{kind}_certificate`."""
        key_at, certificate_at = f"{where}.{kind}_key", f"{where}.{kind}_certificate"
        key = self._private_key(key_at, key_name)
        certificate = self.certificate(certificate_at, certificate_name)
        if certificate is not None:
            self._judge_validity(certificate_at, certificate)
        if key is not None and not isinstance(key, RSAPrivateKey):
            self.findings.problem(
                key_at, f"{key_name} holds no RSA key; the other side takes RSA only (KEY-02)"
            )
        if not isinstance(key, RSAPrivateKey) or certificate is None:
            return None
        if certificate.public_key() != key.public_key():
            self.findings.problem(
                certificate_at, f"{certificate_name} is not the certificate of {key_name}"
            )
        self._claim(key_at, _spki(key.public_key()))
        return KeyPair(self.path(key_name), self.path(certificate_name), key, certificate)

    def tls_files(self, where: str, key_name: str, certificate_name: str) -> TlsFiles | None:
        """The listener's key (RSA or EC) and chain."""
        key_at, chain_at = f"{where}.tls_key", f"{where}.tls_certificate"
        key = self._private_key(key_at, key_name)
        chain = self.certificates(chain_at, certificate_name)
        if key is not None and not isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey):
            self.findings.problem(key_at, f"{key_name} holds neither an RSA nor an EC key (KEY-02)")
            return None
        if key is None or not chain:
            return None
        self._judge_validity(chain_at, chain[0])
        if _public_key(chain[0]) != key.public_key():
            self.findings.problem(
                chain_at, f"the first certificate of {certificate_name} is not that of {key_name}"
            )
        self._claim(key_at, _spki(key.public_key()))
        return TlsFiles(self.path(certificate_name), self.path(key_name))

    def certificate(self, where: str, name: str) -> x509.Certificate | None:
        """The one certificate in a PEM file, with an RSA key of at least 2048 bits (KEY-02)."""
        found = self.certificates(where, name)
        if not found:
            return None
        if len(found) != 1:
            self.findings.problem(
                where, f"{name} holds {len(found)} certificates; exactly one is expected"
            )
            return None
        key = _public_key(found[0])
        if not isinstance(key, RSAPublicKey):
            self.findings.problem(where, f"{name} is not for an RSA key (KEY-02)")
            return None
        if key.key_size < _SMALLEST_RSA:
            self.findings.problem(
                where, f"{name} has an RSA key of {key.key_size} bits; at least 2048 (KEY-02)"
            )
            return None
        return found[0]

    def certificates(self, where: str, name: str) -> list[x509.Certificate]:
        """All certificates in a PEM file; none after a problem was noted."""
        content = self.octets(where, name)
        if content is None:
            return []
        if b"PRIVATE KEY-----" in content:
            self.findings.problem(
                where,
                f"{name} holds a private key; a certificate's file is for all to read (KEY-01)",
            )
            return []
        try:
            return x509.load_pem_x509_certificates(content)
        except ValueError:
            self.findings.problem(where, f"no certificate in PEM form: {name}")
            return []

    def ed25519_key(self, where: str, name: str) -> Ed25519PrivateKey | None:
        """A private Ed25519 key in a PEM file."""
        key = self._private_key(where, name)
        if key is not None and not isinstance(key, Ed25519PrivateKey):
            self.findings.problem(where, f"{name} holds no Ed25519 key")
            return None
        return key

    def secret(self, where: str, reference: str) -> bytes | None:
        """A secret of 32 random octets: raw in a file, base64 in a variable (KEY-01)."""
        found = self._referred(where, reference)
        if found is None:
            return None
        source, content = found
        if source == "env":
            try:
                content = base64.b64decode(content, validate=True)
            except binascii.Error:
                self.findings.problem(where, f"{reference} holds no base64")
                return None
        if len(content) != SECRET_LENGTH:
            self.findings.problem(
                where,
                f"{reference} holds {len(content)} octets; it must be exactly 32 random ones: "
                "head -c 32 /dev/urandom" + (" | base64" if source == "env" else " > FILE"),
            )
            return None
        if len(set(content)) < _FEWEST_DIFFERENT:
            self.findings.problem(
                where, f"{reference} is not random; make one: head -c 32 /dev/urandom"
            )
            return None
        self._claim(where, content)
        return content

    def secret_text(self, where: str, reference: str) -> str | None:
        """A secret text, such as a URL with a password: one line of UTF-8."""
        found = self._referred(where, reference)
        if found is None:
            return None
        try:
            text = found[1].decode().rstrip("\r\n")
        except UnicodeDecodeError:
            self.findings.problem(where, f"{reference} is not UTF-8 text")
            return None
        if not text or not text.isprintable():
            self.findings.problem(where, f"{reference} must hold exactly one line of text")
            return None
        return text

    def _referred(self, where: str, reference: str) -> tuple[str, bytes] | None:
        """Whether a file or a variable is meant, and its content."""
        source, _, name = reference.partition(":")
        if source == "file" and name:
            content = self.octets(where, name, secret=True)
            return None if content is None else (source, content)
        if source == "env" and name:
            value = self.environ.get(name)
            if value is None:
                self.findings.problem(where, f"the environment variable {name} is not set")
                return None
            return source, os.fsencode(value)
        self.findings.problem(
            where,
            "a secret may not stand in this file (KEY-01); put it into a file of its own with "
            'chmod 600 and write "file:PATH", or write "env:NAME"',
        )
        return None

    def _private_key(self, where: str, name: str) -> PrivateKeyTypes | None:
        content = self.octets(where, name, secret=True)
        if content is None:
            return None
        try:
            key = load_pem_private_key(content, password=None)
        except TypeError:
            self.findings.problem(
                where, f"{name} is locked by a passphrase; remove it: openssl pkey -in {name}"
            )
            return None
        except (ValueError, UnsupportedAlgorithm):
            self.findings.problem(where, f"no private key in PEM form: {name}")
            return None
        if isinstance(key, RSAPrivateKey) and key.key_size < _SMALLEST_RSA:
            self.findings.problem(
                where, f"{name} is an RSA key of {key.key_size} bits; at least 2048 (KEY-02)"
            )
            return None
        return key

    def _judge_mode(self, where: str, name: str, mode: int) -> None:
        if mode & 0o077:
            self.findings.problem(
                where,
                f"{name} is open to other users (mode {mode:04o}, KEY-01); "
                f"run: chmod 600 {shlex.quote(str(self.path(name)))}",
            )

    def _judge_validity(self, where: str, certificate: x509.Certificate) -> None:
        """Dates only warn: time must never be what stops a start (DESIGN section 2)."""
        ends = certificate.not_valid_after_utc
        if ends <= self.now:
            self.findings.warning(
                where, f"EXPIRED on {ends:%Y-%m-%d}: the other side refuses it at each login"
            )
        elif (days := (ends - self.now).days) < _EXPIRES_SOON_DAYS:
            self.findings.warning(where, f"expires in {days} days, on {ends:%Y-%m-%d} (KEY-02)")
        if certificate.not_valid_before_utc > self.now:
            begins = certificate.not_valid_before_utc
            self.findings.warning(where, f"NOT VALID before {begins:%Y-%m-%d %H:%M} UTC")

    def _claim(self, where: str, key: bytes) -> None:
        """One key serves one purpose (KEY-01)."""
        first = self._purposes.setdefault(key, where)
        if first != where:
            self.findings.problem(
                where, f"the same key as {first}; each purpose needs a key of its own (KEY-01)"
            )


def _not_waiting(path: str, flags: int) -> int:
    """Open without waiting: a named pipe that nobody writes into must not hang the start."""
    return os.open(path, flags | os.O_NONBLOCK)


def _public_key(certificate: x509.Certificate) -> PublicKeyTypes | None:
    try:
        return certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None


def _spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
