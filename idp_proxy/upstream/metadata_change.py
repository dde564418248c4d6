"""What becomes of newly fetched metadata whose only warrant is TLS (MD-01). Pure.

    nothing approved yet, or another entity ID ....... waits for approval as a whole
    a key or an address that was not approved ........ waits; the rest goes on
    an approved key or address no longer listed ...... dropped at once, while another remains
    no approved key listed any more .................. nothing is dropped; alarm

A removed key may have been stolen, so dropping cannot wait for a person; an added one may be the
thief's, so it must. Dropping the last one would lock everybody out on the word of a web server.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

if TYPE_CHECKING:
    from collections.abc import Mapping

    from idp_proxy.saml.metadata import UpstreamMetadata
    from idp_proxy.saml.signature import PublicKey


@dataclass(frozen=True, slots=True)
class MetadataDiff:
    """What an approval would change, a line each, and the digest over exactly these lines."""

    upstream: str
    lines: tuple[str, ...]

    @property
    def digest(self) -> str:
        """What `metadata approve NAME --digest` takes: `sha256:` and 64 hex digits."""
        text = "\n".join((f"upstream {self.upstream}", *self.lines))
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Settled:
    """What counts from now on, what waits for approval, and what somebody must be woken for."""

    effective: UpstreamMetadata | None
    waiting: MetadataDiff | None
    alarm: str | None = None


def settle(upstream: str, approved: UpstreamMetadata | None, offered: UpstreamMetadata) -> Settled:
    """What fetched metadata changes by itself, held against what was approved."""
    if approved is None or approved.entity_id != offered.entity_id:
        return Settled(approved, diff(upstream, approved, offered))
    listed = _by_key(offered)
    kept = {spki: pair for spki, pair in _by_key(approved).items() if spki in listed}
    alarm = None
    if not kept:
        kept = _by_key(approved)
        alarm = (
            f"{upstream} lists none of its approved signing keys any more; nothing was dropped."
            f" Ask its operators, then: idp-proxy metadata diff {upstream}"
        )
    effective = replace(
        offered,
        sso=_kept_addresses(approved.sso, offered.sso),
        signing_certificates=tuple(der for der, _ in kept.values()),
        keys=tuple(key for _, key in kept.values()),
    )
    return Settled(effective, diff(upstream, effective, offered), alarm)


def diff(
    upstream: str, approved: UpstreamMetadata | None, offered: UpstreamMetadata
) -> MetadataDiff | None:
    """What approving `offered` would change, or None: entity ID, keys and addresses."""
    lines: list[str] = []
    before = approved.entity_id if approved else "none"
    if before != offered.entity_id:
        lines.append(f"entity ID: {before} -> {offered.entity_id}")
    old_keys, new_keys = _by_key(approved) if approved else {}, _by_key(offered)
    lines += [f"+ key {_described(*new_keys[spki])}" for spki in new_keys if spki not in old_keys]
    lines += [f"- key {_described(*old_keys[spki])}" for spki in old_keys if spki not in new_keys]
    old_sso, new_sso = approved.sso.items() if approved else (), offered.sso.items()
    lines += [f"+ address {_address(*item)}" for item in new_sso if item not in old_sso]
    lines += [f"- address {_address(*item)}" for item in old_sso if item not in new_sso]
    return MetadataDiff(upstream, tuple(lines)) if lines else None


def _kept_addresses(approved: Mapping[str, str], offered: Mapping[str, str]) -> dict[str, str]:
    kept = {binding: url for binding, url in approved.items() if offered.get(binding) == url}
    return kept or dict(approved)


def _by_key(metadata: UpstreamMetadata) -> dict[bytes, tuple[bytes, PublicKey]]:
    """By public key: a certificate that was renewed around the same key adds no trust."""
    found: dict[bytes, tuple[bytes, PublicKey]] = {}
    for der, key in zip(metadata.signing_certificates, metadata.keys, strict=True):
        spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        found.setdefault(spki, (der, key))
    return found


def _described(der: bytes, key: PublicKey) -> str:
    """Fingerprint, kind and end of a certificate; nothing in it is text of the sender's choice."""
    kind = f"RSA {key.key_size}" if isinstance(key, rsa.RSAPublicKey) else f"EC {key.curve.name}"
    end = x509.load_der_x509_certificate(der).not_valid_after_utc
    return f"sha256:{hashlib.sha256(der).hexdigest()} ({kind}, certificate until {end:%Y-%m-%d})"


def _address(binding: str, url: str) -> str:
    return f"{binding.rpartition(':')[2]} {url}"
