"""What is true before a cutover: of Mattermost, of the proxy, of the upstreams."""

from __future__ import annotations

from dataclasses import dataclass

# Typer reads the annotation of an option at run time.
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import (
    Certificate,
    load_der_x509_certificate,
    load_pem_x509_certificate,
)

from idp_proxy import way_back
from idp_proxy.adapters import open_upstreams
from idp_proxy.cli.session import clock, tell
from idp_proxy.cli.standby_table import printable
from idp_proxy.decision import cutover
from idp_proxy.decision.cutover import Obstacle, Ours, Place
from idp_proxy.errors import ConfigError, CutoverRefused, SamlError, UpstreamUnavailable
from idp_proxy.saml.metadata import MAX_METADATA, read_metadata
from idp_proxy.store.base import proven
from idp_proxy.upstream.fetch import FetchFailed, fetch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from idp_proxy.config import Settings
    from idp_proxy.cutover import Api
    from idp_proxy.decision.saml_settings import Seen
    from idp_proxy.saml.metadata import UpstreamMetadata
    from idp_proxy.store.sql import SqlStore
    from idp_proxy.way_back import WayBack

WHAT: Final = "cutover"
PROVE: Final = (
    "prove it now: log in on every node of Mattermost, in a private window, and look at the account"
)
CertificateOption = Annotated[
    Path | None,
    typer.Option(
        "--certificate",
        metavar="FILE",
        help="The upstream's certificate (PEM), where its metadata has several or none.",
    ),
]


@dataclass(frozen=True, slots=True)
class Looked:
    """What is true now. `upstream` is the name of whom Mattermost trusts, if it is one of ours, and
    `certificate` (DER) the one by which it does, if that is certain. `way` leads back.
    """

    seen: Seen
    ours: Ours
    place: Place
    upstream: str
    certificate: bytes | None
    way: WayBack | None
    obstacles: tuple[Obstacle, ...]

    @property
    def trusted(self) -> str:
        """Whom Mattermost trusts, in words."""
        known = {Place.PROXY: "the proxy", Place.UPSTREAM: self.upstream}
        issuer = printable(self.seen.text("IdpDescriptorURL")) or "no identity provider"
        return f"{known.get(self.place, 'somebody whom the configuration does not name')}: {issuer}"


def look(settings: Settings, api: Api, store: SqlStore | None, given: bytes | None) -> Looked:
    """All of it; `given` is the certificate (DER) that somebody named, `store` is None while that
    is away. Raises `MattermostError`, `StoreError`.
    """
    seen, known, ours = api.saml(), metadata_of(settings), ours_of(settings)
    entity_ids = {name: one.entity_id for name, one in known.items()}
    place, upstream = cutover.place(seen, ours, entity_ids)
    way, unusable = _way(settings)
    unreached = tuple(_unreached(settings))
    if place is Place.PROXY:
        found = (*cutover.otherwise(seen, ours), *unreached, *unusable, *_no_way(way, unusable))
        return Looked(seen, ours, place, "", None, way, found)
    current = certificates_of(known, upstream)
    certificate = cutover.certificate(None, current, given)
    state = None if store is None else store.switch_state()
    serving = state.serving if state else settings.upstreams[0].name
    proven_at = None if store is None else proven(store).get(serving)
    found = (
        *cutover.obstacles(seen, ours, proven_at=proven_at, serving=serving, now=clock()),
        *_not_the_active(settings, place, upstream),
        *_uncertain(certificate, current),
        *unreached,
        *unusable,
    )
    return Looked(seen, ours, place, upstream, certificate, way, found)


def _way(settings: Settings) -> tuple[WayBack | None, tuple[Obstacle, ...]]:
    """The way back, and what is wrong with its file."""
    try:
        return way_back.read(way_back.path_of(settings.path)), ()
    except CutoverRefused as error:
        cure = "put your copy of it there, or move it away"
        return None, (Obstacle("the way back", f"cannot be used: {error.detail}", cure),)


def _no_way(way: WayBack | None, unusable: tuple[Obstacle, ...]) -> Iterator[Obstacle]:
    if way is None and not unusable:
        yield Obstacle(
            "the way back",
            "is not on this host: `cutover apply` was run elsewhere, or not at all",
            "copy the file from where it was run; else keep the old settings and certificate at "
            "hand: docs/operations/mattermost-settings.md#the-way-back",
        )


def metadata_of(settings: Settings) -> dict[str, UpstreamMetadata]:
    """What counts for each upstream that has metadata."""
    found = {}
    for name, upstream in open_upstreams(settings).items():
        try:
            if upstream.feed is not None:
                found[name] = upstream.feed.current(clock())
        except UpstreamUnavailable as error:
            tell(f"note: {name}: {error.detail}")
    return found


def certificates_of(known: Mapping[str, UpstreamMetadata], name: str) -> tuple[bytes, ...]:
    """Those that an upstream signs by, in DER; none for one without metadata."""
    return known[name].signing_certificates if name in known else ()


def ours_of(settings: Settings) -> Ours:
    """The proxy; people are who the active says."""
    registered, proxy = settings.service_provider, settings.proxy
    return Ours(
        entity_id=proxy.entity_id,
        sso_url=f"{proxy.public_url}/saml/sso",
        metadata_url=f"{proxy.public_url}/saml/metadata",
        sp_entity_id=registered.entity_id,
        acs_url=registered.acs_url,
        sent=registered.attributes,
        read=settings.upstreams[0].attributes,
        encrypts=registered.encryption is not None,
        demands_signature=registered.require_signed_requests,
        checks_signature=bool(registered.signing_certificates),
        roles=registered.role_attributes,
    )


def read_certificate(file: Path | None) -> bytes | None:
    """The certificate in a PEM file, as DER; None for no file. Raises `ConfigError`."""
    if file is None:
        return None
    try:
        found = load_pem_x509_certificate(file.read_bytes())
    except OSError as error:
        raise ConfigError([f"--certificate: {file}: {error.strerror}"]) from error
    except ValueError as error:
        raise ConfigError([f"--certificate: {file}: holds no certificate in PEM"]) from error
    return found.public_bytes(Encoding.DER)


def pem(certificate: Certificate) -> str:
    """As Mattermost takes it: LF, one certificate."""
    return certificate.public_bytes(Encoding.PEM).decode("ascii")


def show(obstacles: tuple[Obstacle, ...]) -> None:
    """Each with its cure."""
    for one in obstacles:
        typer.echo(f"in the way: {one.field} {one.problem}")
        typer.echo(f"  cure: {one.cure}")


def _not_the_active(settings: Settings, place: Place, upstream: str) -> Iterator[Obstacle]:
    """Ids of the same name at another provider may be other ids."""
    active = settings.upstreams[0].name
    if place is not Place.UPSTREAM or upstream != active:
        yield Obstacle(
            "IdpDescriptorURL",
            f"is not {active}'s: people may have other ids there, and would become somebody else",
            f"let Mattermost trust {active} first, or name that provider as the first upstream",
        )


def _uncertain(certificate: bytes | None, current: tuple[bytes, ...]) -> Iterator[Obstacle]:
    """Mattermost never hands its certificate out, and without it there is no way back."""
    if certificate is None:
        why = "its metadata has several" if current else "the configuration does not name it"
        yield Obstacle(
            "IdpCertificateFile",
            f"cannot be written down for the way back: of the present identity provider {why}",
            "get the certificate from that provider, and name it by --certificate FILE",
        )
        return
    until = load_der_x509_certificate(certificate).not_valid_after_utc
    if certificate not in current or until <= clock():
        why = "is none of the provider's metadata" if certificate not in current else "has expired"
        yield Obstacle(
            "IdpCertificateFile",
            f"would be wrong on the way back: the certificate {why}",
            "name the one by which the provider signs today, by --certificate FILE",
        )


def _unreached(settings: Settings) -> Iterator[Obstacle]:
    """Where browsers will be sent, this very proxy answers, by a certificate that is still good."""
    proxy = settings.proxy
    url = f"{proxy.public_url}/saml/metadata"
    own = proxy.signing.certificate
    try:
        octets = fetch(url, proxy.outbound, MAX_METADATA)
        found = read_metadata(octets, insecure_loopback=proxy.insecure_loopback)
    except (FetchFailed, SamlError) as error:
        yield Obstacle(
            "the proxy", f"does not answer this host: {error}"[:300], "start it, look at its name"
        )
        return
    certified = own.public_bytes(Encoding.DER) in found.signing_certificates
    if found.entity_id != proxy.entity_id or not certified:
        yield Obstacle(
            "the proxy",
            f"at {url} is another one, or runs by another configuration than this",
            "restart it, or look at what stands before it",
        )
    if own.not_valid_after_utc <= clock():
        yield Obstacle(
            "the proxy",
            f"signs by a certificate that expired on {own.not_valid_after_utc:%Y-%m-%d}",
            "docs/operations/mattermost-settings.md#replacing-the-proxys-certificate",
        )
