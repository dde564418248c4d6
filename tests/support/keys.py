"""Throw-away keys and certificates: made once in a process, never written unless asked."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.x509.general_name import GeneralName


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A private key and its self-signed certificate, both PEM."""

    key_pem: bytes = field(repr=False)
    certificate_pem: bytes

    @property
    def certificate(self) -> x509.Certificate:
        """The parsed certificate."""
        return x509.load_pem_x509_certificate(self.certificate_pem)

    @property
    def certificate_der(self) -> bytes:
        """What certificate pinning compares."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def certificate_text(self) -> str:
        """The base64 body alone, on one line, as metadata and KeyInfo hold it."""
        lines = self.certificate_pem.decode("ascii").splitlines()
        return "".join(line for line in lines if not line.startswith("-----"))

    def write(self, folder: Path, stem: str) -> tuple[Path, Path]:
        """Write `stem.key` (0600) and `stem.crt`; gives both paths."""
        folder.mkdir(parents=True, exist_ok=True)
        key, certificate = folder / f"{stem}.key", folder / f"{stem}.crt"
        key.touch(mode=0o600)
        key.write_bytes(self.key_pem)
        certificate.write_bytes(self.certificate_pem)
        return key, certificate


@cache
def rsa_pair(name: str, bits: int = 2048) -> KeyPair:
    """The RSA pair of this name: the same one for the life of the process."""
    return self_signed(name, rsa.generate_private_key(public_exponent=65537, key_size=bits))


@cache
def ec_pair(name: str, curve: str = "secp256r1") -> KeyPair:
    """The elliptic-curve pair of this name: the same one for the life of the process."""
    curves: dict[str, ec.EllipticCurve] = {
        "secp256r1": ec.SECP256R1(),
        "secp384r1": ec.SECP384R1(),
        "secp521r1": ec.SECP521R1(),
    }
    return self_signed(name, ec.generate_private_key(curves[curve]))


@cache
def tls_pair(*names: str) -> KeyPair:
    """A pair for a TLS server on loopback; `names` are host names and IP addresses."""
    alternatives = tuple(_general_name(name) for name in names)
    return self_signed(names[0], ec.generate_private_key(ec.SECP256R1()), alternatives=alternatives)


def self_signed(
    name: str,
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    *,
    not_before: datetime | None = None,
    lifetime: timedelta = timedelta(days=365),
    alternatives: tuple[GeneralName, ...] = (),
) -> KeyPair:
    """A certificate over `key`, valid from an hour ago unless told otherwise."""
    start = not_before or datetime.now(UTC) - timedelta(hours=1)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + lifetime)
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    return KeyPair(
        key_pem=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        certificate_pem=certificate.public_bytes(serialization.Encoding.PEM),
    )


def certificate_again(pair: KeyPair) -> KeyPair:
    """The same key under a new certificate, as after a renewal."""
    key = serialization.load_pem_private_key(pair.key_pem, None)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise TypeError("neither RSA nor elliptic curve")
    return self_signed("renewed", key)


def load(key: Path, certificate: Path) -> KeyPair:
    """A pair from two PEM files."""
    return KeyPair(key.read_bytes(), certificate.read_bytes())


def _general_name(name: str) -> GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
