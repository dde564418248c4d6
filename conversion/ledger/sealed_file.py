"""A file that only the holder of a key can read, and nobody can alter, cut or reorder unseen.

Chunks of 1 MiB under AES-256-GCM (NIST SP 800-38D), each with its number as the nonce, and the last
one marked in what is authenticated (the STREAM construction: Hoang, Reyhanitabar, Rogaway, Vizar,
CRYPTO 2015). Every file has a key of its own, by HKDF (RFC 5869) from the given key and a random
salt, so that no nonce is ever used twice under one key.
"""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from conversion.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY_OCTETS: Final = 32

_MAGIC: Final = b"sso-conversion backup 1\n"
_SALT_OCTETS: Final = 32
_NONCE_OCTETS: Final = 12
_TAG_OCTETS: Final = 16
_CHUNK: Final = 1 << 20


def seal(plain: IO[bytes], sealed: IO[bytes], key: bytes) -> None:
    """Write what `plain` holds to `sealed`. Raises `LedgerError` on a key of another length."""
    salt = os.urandom(_SALT_OCTETS)
    cipher = _cipher(key, salt)
    sealed.write(_MAGIC + salt)
    for number, (chunk, last) in enumerate(_chunks(plain, _CHUNK)):
        sealed.write(cipher.encrypt(_nonce(number), chunk, _mark(last=last)))


def unseal(sealed: IO[bytes], put: Callable[[bytes], object], key: bytes) -> None:
    """Hand what was sealed to `put`, in order. Raises `LedgerError`: then nothing of it counts."""
    if sealed.read(len(_MAGIC)) != _MAGIC:
        raise LedgerError("this file is no backup of a ledger, or of another version")
    cipher = _cipher(key, sealed.read(_SALT_OCTETS))
    for number, (chunk, last) in enumerate(_chunks(sealed, _CHUNK + _TAG_OCTETS)):
        try:
            put(cipher.decrypt(_nonce(number), chunk, _mark(last=last)))
        except InvalidTag:
            raise LedgerError(
                "the backup cannot be opened: it was made with another key, or was altered or cut"
            ) from None


def _cipher(key: bytes, salt: bytes) -> AESGCM:
    if len(key) != KEY_OCTETS:
        raise LedgerError(f"the key of backups has {len(key)} octets; it needs {KEY_OCTETS}")
    purpose = b"sso-conversion ledger backup"
    return AESGCM(HKDF(hashes.SHA256(), KEY_OCTETS, salt, purpose).derive(key))


def _chunks(file: IO[bytes], size: int) -> Iterator[tuple[bytes, bool]]:
    """The chunks of `file`, at least one, each with whether it is the last."""
    chunk = file.read(size)
    while True:
        following = file.read(size)
        yield chunk, not following
        if not following:
            return
        chunk = following


def _nonce(number: int) -> bytes:
    return number.to_bytes(_NONCE_OCTETS, "big")


def _mark(*, last: bool) -> bytes:
    return b"last" if last else b"more"
