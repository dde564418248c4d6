"""Make throw-away keys and certificates for the examples in docs/ and for trials.

    python certs.example/make_keys.py [FOLDER]

Writes into certs.example/generated/ unless told otherwise, and never over an existing file. None of
these keys may ever reach a machine on which somebody logs in: make those by `idp-proxy init`.
"""

from __future__ import annotations

import base64
import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding

from idp_proxy.initialise import RSA_BITS, private_pem, self_signed, write_key_pair, write_private

#: A pair for each purpose (KEY-01), and the other parties that the examples name.
PAIRS = {
    "idp": "sso.example.org",
    "tls": "sso.example.org",
    "active-sp": "active.sso.example.org",
    "active-decryption": "active.sso.example.org",
    "standby-sp": "standby.sso.example.org",
    "standby-decryption": "standby.sso.example.org",
    "mattermost": "chat.example.org",
    "federation": "metadata.example.org",
}

#: Metadata of made-up upstreams: the host, and whether its certificate is signed with SHA-1. What
#: they sign with is not kept: nobody logs in there.
UPSTREAMS = {
    "active": ("active.example.org", False),
    "standby": ("standby.example.net", False),
    "old": ("old.example.org", True),
}

_METADATA = """\
<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata"
    xmlns:ds="http://www.w3.org/2000/09/xmldsig#" entityID="https://{host}/idp">
  <md:IDPSSODescriptor WantAuthnRequestsSigned="true"
      protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
    <md:KeyDescriptor use="signing"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>
{certificate}
    </ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>
    <md:NameIDFormat>urn:oasis:names:tc:SAML:2.0:nameid-format:persistent</md:NameIDFormat>
    <md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
        Location="https://{host}/idp/sso"/>
  </md:IDPSSODescriptor>
</md:EntityDescriptor>
"""
#: 1.2.840.113549.1.1.11 and .5, sha256WithRSAEncryption and sha1WithRSAEncryption, in DER.
_SHA256_WITH_RSA = bytes.fromhex("2a864886f70d01010b")
_SHA1_WITH_RSA = bytes.fromhex("2a864886f70d010105")


def make(folder: Path, now: datetime, bits: int = RSA_BITS) -> list[Path]:
    """Write what is not there yet, and give the paths of the new files."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    before = set(folder.iterdir())
    # Of strong.toml's [store], for a program whose file may lie elsewhere: by its whole path.
    store = folder.resolve().parents[1] / "build" / "examples" / "strong" / "idp-proxy.db"
    for stem, common_name in PAIRS.items():
        if not (folder / f"{stem}.key").exists():
            write_key_pair(folder, stem, common_name=common_name, now=now, bits=bits)
    for name, content in (
        ("state.key", secrets.token_bytes(32)),
        ("converted.key", secrets.token_bytes(32)),
        ("backup.key", secrets.token_bytes(32)),
        ("audit.key", private_pem(Ed25519PrivateKey.generate())),
        ("directory.pw", secrets.token_urlsafe(24).encode()),
        ("mattermost.token", secrets.token_hex(13).encode()),
        ("store.url", f"sqlite:///{store}".encode()),
        ("channel.url", f"json://127.0.0.1:9/{secrets.token_urlsafe(24)}".encode()),
    ):
        if not (folder / name).exists():
            write_private(folder / name, content)
    for stem, (host, old_hash) in UPSTREAMS.items():
        if not (folder / f"{stem}.xml").exists():
            key = generate_private_key(public_exponent=65537, key_size=bits)
            certificate = self_signed(key, host, now).public_bytes(Encoding.DER)
            if old_hash:
                certificate = with_sha1(certificate, key)
            (folder / f"{stem}.xml").write_text(_metadata(host, certificate), "ascii")
    return sorted(set(folder.iterdir()) - before)


def with_sha1(certificate: bytes, key: RSAPrivateKey) -> bytes:
    """`certificate` (DER), signed again by its own `key` with SHA-1, as old providers have theirs.

    No library makes one any more, and rightly so: the same octets, with the other algorithm.
    """
    signed = x509.load_der_x509_certificate(certificate)
    body = signed.tbs_certificate_bytes
    old_body = body.replace(_SHA256_WITH_RSA, _SHA1_WITH_RSA)
    signature = key.sign(old_body, PKCS1v15(), SHA1())  # noqa: S303 - what review has to find
    return (
        certificate.replace(body, old_body)
        .replace(_SHA256_WITH_RSA, _SHA1_WITH_RSA)
        .replace(signed.signature, signature)
    )


def _metadata(host: str, certificate: bytes) -> str:
    text = base64.encodebytes(certificate).decode("ascii").strip()
    return _METADATA.format(host=host, certificate=text)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).with_name("generated")
    for path in make(target, datetime.now(UTC)):
        sys.stdout.write(f"{path}\n")
