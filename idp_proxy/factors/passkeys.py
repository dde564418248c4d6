"""Passkeys, by the library `webauthn` (WebAuthn level 3): what a browser is asked, what it answers.

A passkey counts only with user verification (PIN, finger, face): it is the second step of a login
whose first one may be known to somebody else. No attestation is asked, and none is trusted.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes, parse_client_data_json
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

#: How long a browser waits for the person, in milliseconds.
_TIMEOUT_MS: Final = 120_000
#: Characters that an answer of a browser stays within.
LONGEST_ANSWER: Final = 16_384
CHALLENGE_OCTETS: Final = 32
_USUAL_PORTS: Final = {"http": 80, "https": 443}
#: Whatever the library meets in an answer that is not of its shape.
_UNFIT: Final = (WebAuthnException, ValueError, TypeError, KeyError, AttributeError, IndexError)


class NoPasskey(Exception):
    """The answer proves no passkey: forged, altered, for another challenge, site or person."""


@dataclass(frozen=True, slots=True)
class Passkey:
    """What is kept of one: its id, by which the browser finds it, and its public key."""

    id: bytes
    public_key: bytes = field(repr=False)

    def text(self) -> bytes:
        """As it is sealed."""
        return json.dumps([_text(self.id), _text(self.public_key)]).encode("ascii")

    @classmethod
    def of(cls, text: bytes) -> Passkey:
        """What `text` was made of."""
        identifier, key = json.loads(text)
        return cls(_octets(identifier), _octets(key))


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """For whom passkeys are: the host of the proxy's public address, and pages of it only."""

    id: str
    origin: str
    name: str

    @classmethod
    def of(cls, public_url: str, name: str) -> RelyingParty | None:
        """None where the address has no name: there are no passkeys for IP addresses."""
        parts = urlsplit(public_url)
        host, usual = parts.hostname or "", _USUAL_PORTS.get(parts.scheme)
        try:
            ip_address(host)
        except ValueError:
            port = "" if parts.port in {None, usual} else f":{parts.port}"
            return cls(host, f"{parts.scheme}://{host}{port}", name)
        return None

    def ask_new(
        self, person: str, shown: str, challenge: bytes, known: Iterable[Passkey]
    ) -> dict[str, Any]:
        """The options of `navigator.credentials.create`: a new one, on a device without `known`."""
        options = generate_registration_options(
            rp_id=self.id,
            rp_name=self.name,
            user_id=hashlib.sha256(b"idp-proxy person\0" + person.encode()).digest(),
            user_name=shown,
            challenge=challenge,
            timeout=_TIMEOUT_MS,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.DISCOURAGED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=_descriptors(known),
        )
        return _plain(options_to_json(options))

    def made(self, answer: str, challenge: bytes) -> tuple[Passkey, int]:
        """The passkey that a browser made, and its counter. Raises `NoPasskey`."""
        credential = _read(answer)
        try:
            done = verify_registration_response(
                credential=credential,
                expected_challenge=challenge,
                expected_rp_id=self.id,
                expected_origin=self.origin,
                require_user_verification=True,
            )
            _demand_own_page(credential)
        except _UNFIT as error:
            raise NoPasskey(f"{type(error).__name__}: {error}") from error
        return Passkey(done.credential_id, done.credential_public_key), done.sign_count

    def ask(self, challenge: bytes, known: Iterable[Passkey]) -> dict[str, Any]:
        """The options of `navigator.credentials.get`: one of `known` is to answer."""
        options = generate_authentication_options(
            rp_id=self.id,
            challenge=challenge,
            timeout=_TIMEOUT_MS,
            allow_credentials=_descriptors(known),
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return _plain(options_to_json(options))

    def shown(self, answer: str, challenge: bytes, passkey: Passkey) -> int:
        """The counter in an answer that `passkey` signed. Raises `NoPasskey`.

        Whether it counted on is for the caller, who can tell a copied passkey from a forgery: the
        library looks at the counter before the signature.
        """
        credential = _read(answer)
        try:
            done = verify_authentication_response(
                credential=credential,
                expected_challenge=challenge,
                expected_rp_id=self.id,
                expected_origin=self.origin,
                credential_public_key=passkey.public_key,
                credential_current_sign_count=0,
                require_user_verification=True,
            )
            _demand_own_page(credential)
        except _UNFIT as error:
            raise NoPasskey(f"{type(error).__name__}: {error}") from error
        return done.new_sign_count


def answered_by(answer: str) -> bytes | None:
    """The id of the passkey that an answer names; None if it names none. Nothing is proven yet."""
    try:
        return _octets(_read(answer)["rawId"])
    except (NoPasskey, *_UNFIT):
        return None


def _read(answer: str) -> dict[str, Any]:
    if len(answer) > LONGEST_ANSWER:
        raise NoPasskey(f"an answer of {len(answer)} characters")
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise NoPasskey("the answer is no JSON") from error
    if not isinstance(found, dict):
        raise NoPasskey("the answer is no object")
    return found


def _demand_own_page(credential: dict[str, Any]) -> None:
    """Raises `NoPasskey` for what a frame in another site's page was answered: none of our pages is
    shown in one (WebAuthn 7.1 and 7.2, `crossOrigin`), and the library leaves that to its user.
    """
    octets = base64url_to_bytes(credential["response"]["clientDataJSON"])
    if parse_client_data_json(octets).cross_origin:
        raise NoPasskey("answered in a frame of another site's page")


def _descriptors(known: Iterable[Passkey]) -> list[PublicKeyCredentialDescriptor]:
    return [PublicKeyCredentialDescriptor(id=one.id) for one in known]


def _plain(options: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(options)
    return found


def _text(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def _octets(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
