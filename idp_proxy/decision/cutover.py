"""Whom Mattermost trusts, and what must hold before that changes.

Mattermost trusts one identity provider: `SamlSettings` name it, and say which attributes of it are
read; its certificate is uploaded beside them and never given back. A cutover makes the proxy that
provider, the way back makes it the upstream again, with the very settings of before
(docs/operations/mattermost-settings.md).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from idp_proxy.decision.saml_settings import ATTRIBUTES, UPLOADED, untouched

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from idp_proxy.decision.saml_settings import Seen

#: How old a proof may be that logins through the proxy work.
PROVEN_WITHIN: Final = timedelta(hours=24)


class Place(enum.StrEnum):
    """Whom Mattermost trusts."""

    PROXY = "proxy"
    UPSTREAM = "upstream"
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True)
class Ours:
    """What the proxy is for Mattermost, and how the active describes people.

    `sent` maps the names that the proxy sends to canonical ones; `read` maps canonical names to
    the active's. `encrypts` and `demands_signature` are `encrypt` and `require_signed_requests`;
    `checks_signature` is whether it knows Mattermost's certificate, `roles` is `role_attributes`.
    """

    entity_id: str
    sso_url: str
    metadata_url: str
    sp_entity_id: str
    acs_url: str
    sent: Mapping[str, str]
    read: Mapping[str, str]
    encrypts: bool
    demands_signature: bool
    checks_signature: bool
    roles: frozenset[str] = frozenset()

    def fields(self) -> dict[str, str]:
        """What Mattermost's settings become: all of `CHANGED`. A name that the proxy does not send
        is emptied, so that no login empties what Mattermost knows of the person.
        """
        names = {canonical: name for name, canonical in self.sent.items()}
        return {
            "IdpURL": self.sso_url,
            "IdpDescriptorURL": self.entity_id,
            "IdpMetadataURL": self.metadata_url,
            **{field: names.get(canonical, "") for field, canonical in ATTRIBUTES.items()},
        }


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What stands in the way: the field, what is wrong with it, and what to do."""

    field: str
    problem: str
    cure: str


def place(seen: Seen, ours: Ours, upstreams: Mapping[str, str]) -> tuple[Place, str]:
    """Whom Mattermost trusts, and the name of the upstream if it is one; `upstreams` maps names to
    entity IDs.
    """
    trusted = seen.text("IdpDescriptorURL")
    if trusted == ours.entity_id:
        return Place.PROXY, ""
    for name, entity_id in upstreams.items():
        if trusted == entity_id:
            return Place.UPSTREAM, name
    return Place.ELSEWHERE, ""


def changed_since(seen: Seen, then: Mapping[str, str]) -> Iterator[Obstacle]:
    """What somebody changed of `untouched` since `then`: logins by the upstream may need it."""
    for field, now in untouched(seen).items():
        if now != then.get(field, now):
            yield Obstacle(
                field,
                f"is {now!r}, and was {then[field]!r} before the cutover",
                f"set it to {then[field]!r} in the System Console, unless it was changed at the "
                "upstream too",
            )


def obstacles(
    seen: Seen, ours: Ours, *, proven_at: datetime | None, serving: str, now: datetime
) -> tuple[Obstacle, ...]:
    """Everything that stands in the way of a cutover to the proxy; nothing may.

    `proven_at` is the last verified login by `serving` through the proxy.
    """
    return (
        *_needed(seen, ours),
        *_people(seen, ours),
        *pinned(seen, ours.fields()),
        *_proof(proven_at, serving, now),
    )


def _needed(seen: Seen, ours: Ours) -> Iterator[Obstacle]:
    """What logins by the proxy need of settings that no cutover changes."""
    yield from _switches(seen, ours)
    yield from _service_provider(seen, ours)
    yield from _signatures(seen, ours)
    yield from _roles(seen, ours)
    yield from _certificate_file(seen)


def otherwise(seen: Seen, ours: Ours) -> Iterator[Obstacle]:
    """Where Mattermost trusts the proxy: what it has in another way than the proxy needs."""
    yield from _needed(seen, ours)
    wanted = ours.fields()
    for field in seen.differing(wanted):
        yield Obstacle(
            field,
            f"is {seen.text(field)!r}, and for the proxy it must be {wanted[field]!r}",
            "set it in the System Console, or run `cutover back` and `cutover apply`",
        )


def pinned(seen: Seen, wanted: Mapping[str, str]) -> Iterator[Obstacle]:
    """Fields that would have to change and that Mattermost takes from its environment."""
    for name in seen.differing(wanted):
        if name in seen.pinned:
            variable = f"MM_SAMLSETTINGS_{name.upper()}"
            yield Obstacle(
                name,
                f"is set by {variable} on Mattermost's hosts, where no API reaches it",
                f"set {variable} to {wanted[name]!r} there and restart, or take it away",
            )
    if "IdpCertificateFile" in seen.pinned and seen.text("IdpCertificateFile") != UPLOADED:
        yield Obstacle(
            "IdpCertificateFile",
            "is set by MM_SAMLSETTINGS_IDPCERTIFICATEFILE on Mattermost's hosts, so that an upload "
            "would not be what it trusts",
            "take it away there, with the present certificate uploaded in the System Console",
        )


def certificate(
    stored: bytes | None, current: Collection[bytes], given: bytes | None
) -> bytes | None:
    """The certificate (DER) that Mattermost needs to trust an upstream: the one that somebody
    named, else the `stored` one unless the upstream signs by others, else the only `current` one;
    None where that is not certain. The service can write `current`, so that it never replaces what
    is `stored`.
    """
    if given is not None:
        return given
    if stored is not None:
        return stored if stored in current or not current else None
    return next(iter(current)) if len(current) == 1 else None


def _switches(seen: Seen, ours: Ours) -> Iterator[Obstacle]:
    if not seen.is_on("Enable"):
        yield Obstacle(
            "Enable",
            "is off: nobody logs in by SAML",
            "Enable = true; what was never set up is set up by hand first: "
            "docs/operations/mattermost-settings.md",
        )
    if not seen.is_on("Verify"):
        yield Obstacle(
            "Verify", "is off: Mattermost would take what nobody signed", "Verify = true, now"
        )
    if seen.is_on("Encrypt") != ours.encrypts:
        there, here = ("on", "false") if not ours.encrypts else ("off", "true")
        yield Obstacle(
            "Encrypt",
            f"is {there}, and service_provider.encrypt here is {here}: each login would fail",
            "both or neither",
        )


def _certificate_file(seen: Seen) -> Iterator[Obstacle]:
    """Mattermost reads its certificate from where an upload goes; else the upload itself would
    change a setting, and load the new one with the old addresses.
    """
    found = seen.text("IdpCertificateFile")
    if found != UPLOADED and "IdpCertificateFile" not in seen.pinned:
        yield Obstacle(
            "IdpCertificateFile",
            f"is {found!r}: an upload would be loaded before the settings that belong to it",
            f"upload the present certificate in the System Console, so that it is {UPLOADED!r}",
        )


def _service_provider(seen: Seen, ours: Ours) -> Iterator[Obstacle]:
    for field, wanted, setting in (
        ("ServiceProviderIdentifier", ours.sp_entity_id, "entity_id"),
        ("AssertionConsumerServiceURL", ours.acs_url, "acs_url"),
    ):
        if (found := seen.text(field)) != wanted:
            yield Obstacle(
                field,
                f"is {found!r}, and service_provider.{setting} here is {wanted!r}",
                "make them the same to the letter; what is registered at the upstream stays",
            )


def _signatures(seen: Seen, ours: Ours) -> Iterator[Obstacle]:
    if not seen.is_on("SignRequest"):
        if ours.demands_signature:
            yield Obstacle(
                "SignRequest",
                "is off, and service_provider.require_signed_requests here is true",
                "SignRequest = true, or require_signed_requests = false",
            )
        return
    if not ours.checks_signature:
        yield Obstacle(
            "SignRequest",
            "is on, and service_provider.signing_certificates here is empty: each login would fail",
            "name Mattermost's certificate there, or SignRequest = false",
        )
    for field, bad, good in (
        ("SignatureAlgorithm", "RSAwithSHA1", "RSAwithSHA256"),
        ("CanonicalAlgorithm", "Canonical1.1", "Canonical1.0"),
    ):
        if seen.text(field) == bad:
            yield Obstacle(field, f"is {bad}: each login would fail", f"{field} = {good}")


def _people(seen: Seen, ours: Ours) -> Iterator[Obstacle]:
    """Everybody stays who they are: Mattermost finds accounts by what `IdAttribute` reads."""
    bound = seen.text("IdAttribute")
    if not bound:
        yield Obstacle(
            "IdAttribute",
            "is empty: accounts are bound by their address, and a login by the proxy could bind "
            "them to another spelling of it for good",
            "by hand: docs/operations/mattermost-settings.md#who-somebody-is",
        )
    elif bound != ours.read.get("id"):
        yield Obstacle(
            "IdAttribute",
            f"is {bound!r}, and the active's id here is {ours.read.get('id')!r}: people would "
            "become somebody else, and could not go back",
            f"upstream.attributes.id = {bound!r} for the active; docs/operations/"
            "mattermost-settings.md#who-somebody-is has what may be done otherwise",
        )
    for field, canonical in ATTRIBUTES.items():
        found, ours_is = seen.text(field), ours.read.get(canonical)
        if canonical != "id" and found and canonical in ours.sent.values() and found != ours_is:
            yield Obstacle(
                field,
                f"is {found!r}, and the active's {canonical} here is {ours_is!r}: each login "
                "would change it",
                f"upstream.attributes.{canonical} = {found!r} for the active",
            )


def _roles(seen: Seen, ours: Ours) -> Iterator[Obstacle]:
    """Both fields have the form name=value; what such a name reads must be sent by that name."""
    asked = [("GuestAttribute", "guests would come as members")]
    if seen.is_on("EnableAdminAttribute"):
        asked.append(("AdminAttribute", "administrators would lose their role at their next login"))
    for field, else_ in asked:
        name = seen.text(field).partition("=")[0]
        canonical = ours.sent.get(name, "")
        if name and not (ours.read.get(canonical) == name and canonical in ours.roles):
            yield Obstacle(
                field,
                f"reads {name!r}, which the proxy does not send as the active says it, or not as a "
                f"role: {else_}",
                f"{name!r} in service_provider.attributes and in the active's, and its canonical "
                f"name in role_attributes; or empty {field}",
            )


def _proof(proven_at: datetime | None, serving: str, now: datetime) -> Iterator[Obstacle]:
    if proven_at is None or now - proven_at > PROVEN_WITHIN:
        yield Obstacle(
            "the proxy",
            f"no login by {serving} through it in the last 24 hours",
            f"idp-proxy rehearse {serving}",
        )
