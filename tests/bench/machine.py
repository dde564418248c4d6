"""How fast this machine is at what logins mostly wait for, so that figures can be compared."""

from __future__ import annotations

import time
from functools import cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

_SIGNATURES = 40


def rsa_signature_ms() -> float:
    """CPU of one RSA-2048 signature with SHA-256, the mean of a few, in milliseconds."""
    key = _key()
    began = time.thread_time()
    for _ in range(_SIGNATURES):
        key.sign(b"a message", padding.PKCS1v15(), hashes.SHA256())
    return (time.thread_time() - began) / _SIGNATURES * 1000


@cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)
