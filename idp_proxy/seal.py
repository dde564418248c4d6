"""Sealing: authenticated encryption under a ring of keys, one derived key for each purpose.

What is sealed for one purpose or one context opens for no other. Built on AES-256-GCM with random
96-bit nonces (NIST SP 800-38D 8.2.2: far below 2^32 messages for each key) and HKDF (RFC 5869).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

if TYPE_CHECKING:
    from collections.abc import Sequence

KEY_OCTETS: Final = 32
_NONCE_OCTETS: Final = 12
_TAG_OCTETS: Final = 16
_FINGERPRINT_DIGITS: Final = 32


class KeyRing:
    """The state keys: the first seals, all of them open, so that a key can be replaced in peace."""

    def __init__(self, keys: Sequence[bytes], purpose: str) -> None:
        if not keys or any(len(key) != KEY_OCTETS for key in keys):
            raise ValueError(f"a key ring needs keys of {KEY_OCTETS} octets each")
        self._purpose = purpose.encode()
        self._ciphers = tuple(AESGCM(_derived(key, self._purpose)) for key in keys)

    def seal(self, context: str, content: bytes) -> bytes:
        """`content`, readable only with this ring, for this purpose and this context."""
        nonce = os.urandom(_NONCE_OCTETS)
        return nonce + self._ciphers[0].encrypt(nonce, content, self._bound_to(context))

    def open(self, context: str, sealed: bytes) -> bytes | None:
        """What was sealed for this context, or None: altered, for another context, or too old."""
        if len(sealed) < _NONCE_OCTETS + _TAG_OCTETS:
            return None
        nonce, ciphertext = sealed[:_NONCE_OCTETS], sealed[_NONCE_OCTETS:]
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(nonce, ciphertext, self._bound_to(context))
            except InvalidTag:
                continue
        return None

    def _bound_to(self, context: str) -> bytes:
        return self._purpose + b"\0" + context.encode()


def sealed_text(context: str, content: bytes, ring: KeyRing) -> str:
    """`content`, sealed for this context, in the characters that a cookie or an address takes."""
    return base64.urlsafe_b64encode(ring.seal(context, content)).rstrip(b"=").decode("ascii")


def opened_text(context: str, sealed: str, ring: KeyRing) -> bytes | None:
    """What `sealed_text` sealed; None if this ring did not, or not for this context."""
    try:
        octets = base64.b64decode(
            sealed.encode("ascii") + b"=" * (-len(sealed) % 4), altchars=b"-_", validate=True
        )
    except (binascii.Error, UnicodeEncodeError):
        return None
    return ring.open(context, octets)


def fingerprints(keys: Sequence[bytes]) -> tuple[str, ...]:
    """What each key is known by, to whoever may know that it is the same and nothing else."""
    return tuple(_derived(key, b"fingerprint").hex()[:_FINGERPRINT_DIGITS] for key in keys)


def digest(key: bytes, purpose: str, *parts: str) -> bytes:
    """What stands for `parts` where they must not be readable: HMAC-SHA256 by a derived key."""
    text = "\0".join(str(len(part)) + ":" + part for part in parts)
    return hmac.digest(_derived(key, purpose.encode()), text.encode(), "sha256")


def _derived(key: bytes, purpose: bytes) -> bytes:
    return HKDF(
        algorithm=hashes.SHA256(), length=KEY_OCTETS, salt=None, info=b"idp-proxy " + purpose
    ).derive(key)
