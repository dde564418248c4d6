"""Certificates and files of ours, and Mattermost's certificates, as evidence."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from sqlalchemy.engine import make_url

from idp_proxy.config import SamlSettings
from idp_proxy.decision.review import CertificateSeen, PrivateFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cryptography.x509 import Certificate

    from idp_proxy.config import ServiceProviderSettings, Settings


def certificate_seen(what: str, certificate: Certificate) -> CertificateSeen:
    """What the review asks of a certificate."""
    key, signed_with = certificate.public_key(), certificate.signature_hash_algorithm
    return CertificateSeen(
        what=what,
        begins=certificate.not_valid_before_utc,
        ends=certificate.not_valid_after_utc,
        algorithm="RSA" if isinstance(key, RSAPublicKey) else "EC",
        bits=getattr(key, "key_size", 0),
        signature_hash="" if signed_with is None else signed_with.name,
    )


def own_certificates(settings: Settings) -> Iterator[tuple[str, Certificate]]:
    """Our own, by the field that names each."""
    yield "proxy.signing_certificate", settings.proxy.signing.certificate
    for one in settings.upstreams:
        if isinstance(one, SamlSettings):
            yield f"{one.name}: signing_certificate", one.signing.certificate
            if one.decryption is not None:
                yield f"{one.name}: decryption_certificate", one.decryption.certificate


def party_certificates(party: ServiceProviderSettings) -> Iterator[tuple[str, Certificate]]:
    """Mattermost's own certificates, as far as they were given to the proxy."""
    for number, one in enumerate(party.signing_certificates, 1):
        yield f"service_provider.signing_certificates {number}", one
    if party.encryption is not None:
        yield "service_provider.encryption_certificate", party.encryption.certificate


def private_files(settings: Settings) -> Iterator[PrivateFile]:
    """Every file with a secret that the settings name; one that is not there yet has no mode."""
    paths = [settings.proxy.signing.key_file]
    if settings.proxy.tls is not None:
        paths.append(settings.proxy.tls.key_file)
    for one in settings.upstreams:
        if isinstance(one, SamlSettings):
            pairs = (one.signing, one.decryption)
            paths += [pair.key_file for pair in pairs if pair is not None]
    url = make_url(settings.store.url)
    if url.get_backend_name() == "sqlite" and url.database:
        paths.append(settings.path.parent / url.database)
    paths.append(settings.proxy.data_dir / "spool.db")
    for path in paths:
        found = _private_file(path, settings.path.parent)
        if found is not None:
            yield found


def _private_file(path: Path, folder: Path) -> PrivateFile | None:
    try:
        found = path.stat()
    except OSError:
        return None
    ours = found.st_uid in {0, os.getuid()} or os.getuid() == 0
    return PrivateFile(_short(path, folder), stat.S_IMODE(found.st_mode), ours)


def conversion_token(settings: Settings) -> PrivateFile | None:
    """The file of the conversion's token. It may be another user's, who keeps it from this one."""
    if settings.conversion_token is None:
        return None
    found = _private_file(settings.conversion_token, settings.path.parent)
    return None if found is None else replace(found, ours=True)


def _short(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
