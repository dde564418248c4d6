"""The private keys of throw-away pairs, as `cryptography` objects."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

if TYPE_CHECKING:
    from tests.support.keys import KeyPair


@cache
def private(pair: KeyPair) -> rsa.RSAPrivateKey:
    """The RSA private key of a pair; loaded once."""
    key = serialization.load_pem_private_key(pair.key_pem, None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key
