"""A throw-away certificate authority for TLS on loopback."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.support.keys import KeyPair

if TYPE_CHECKING:
    from pathlib import Path

_LIFETIME = dt.timedelta(days=2)
_AN_HOUR = dt.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What a TLS server is configured with: both PEM files."""

    key: Path
    certificate: Path


@dataclass(frozen=True, slots=True)
class Authority:
    """Vouches for `localhost` and 127.0.0.1: some clients check the one, some the other.

    `expired` is a pair that it vouched for until an hour ago.
    """

    bundle: Path
    server: TlsFiles
    expired: TlsFiles
    certificate: x509.Certificate = field(repr=False)

    @classmethod
    def create(cls, folder: Path) -> Authority:
        """A new authority and its server pairs; `bundle` is what a client must trust."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _authority_certificate(key)
        bundle = folder / "authority.crt"
        bundle.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        now = dt.datetime.now(dt.UTC)
        server = _server_pair(key, certificate, now + _LIFETIME).write(folder, "tls")
        expired = _server_pair(key, certificate, now - _AN_HOUR).write(folder, "tls-expired")
        return cls(bundle, TlsFiles(*server), TlsFiles(*expired), certificate)

    def client_context(self) -> ssl.SSLContext:
        """TLS that trusts this authority and nobody else."""
        return ssl.create_default_context(cafile=str(self.bundle))


def _authority_certificate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = _named("end-to-end test authority")
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        _template(name, name, key, dt.datetime.now(dt.UTC) + _LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _server_pair(
    issuer_key: ec.EllipticCurvePrivateKey, issuer: x509.Certificate, ends: dt.datetime
) -> KeyPair:
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName(
        [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    )
    issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    certificate = (
        _template(_named("localhost"), issuer.subject, key, ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(names, critical=False)
        .add_extension(issuer_id, critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return KeyPair(
        key_pem=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        certificate_pem=certificate.public_bytes(serialization.Encoding.PEM),
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _template(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, ends: dt.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(ends - _LIFETIME - 2 * _AN_HOUR)
        .not_valid_after(ends)
    )
