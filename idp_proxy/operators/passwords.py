"""Operators' passwords: argon2id (RFC 9106), and what a password must be before it is hashed.

Verifying takes the same work whether there is a hash or not: for nobody, a decoy is verified.
"""

from __future__ import annotations

import base64
import secrets
import unicodedata
from typing import TYPE_CHECKING, Final

from argon2 import Parameters, PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from idp_proxy.operators.refusals import OperatorInvalid

if TYPE_CHECKING:
    from collections.abc import Callable

SHORTEST: Final = 12
#: A longer one is no stronger, and somebody must hash it.
LONGEST: Final = 256
_FEWEST_DIFFERENT: Final = 5
#: A shorter name stands in many a good password by chance.
_NAME_THAT_SHOWS: Final = 4


class Passwords:
    """Hashes and verifies by one set of parameters: RFC 9106's second recommended option."""

    def __init__(
        self,
        parameters: Parameters = RFC_9106_LOW_MEMORY,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._hasher = PasswordHasher.from_parameters(parameters)
        self._decoy = _decoy(parameters, random_bytes)

    def hash(self, password: str) -> str:
        """The hash to keep, with its salt and parameters, as PHC string."""
        return self._hasher.hash(_normal(password))

    def verify(self, kept: str | None, password: str) -> bool:
        """Whether `password` is the one behind `kept`; None does the same work and says no."""
        try:
            fits = self._hasher.verify(self._decoy if kept is None else kept, _normal(password))
        except (VerificationError, InvalidHashError):
            return False
        return fits and kept is not None

    def is_outdated(self, kept: str) -> bool:
        """Whether `kept` was made by other parameters than new hashes are."""
        return self._hasher.check_needs_rehash(kept)


def check_password(password: str, name: str) -> None:
    """Raises `OperatorInvalid` unless `password` may be an operator's (NIST SP 800-63B 3.1.1.2)."""
    if len(_normal(password)) < SHORTEST:
        raise OperatorInvalid(f"the password is too short: at least {SHORTEST} characters")
    if len(password) > LONGEST:
        raise OperatorInvalid(f"the password is too long: at most {LONGEST} characters")
    if not password.isprintable():
        raise OperatorInvalid("the password holds a control character: type it again")
    if len(name) >= _NAME_THAT_SHOWS and name in password.casefold():
        raise OperatorInvalid("the password holds the operator's name: choose another one")
    if len(set(password)) < _FEWEST_DIFFERENT:
        raise OperatorInvalid(
            f"the password repeats itself: use at least {_FEWEST_DIFFERENT} different characters"
        )


def _normal(password: str) -> bytes:
    """The octets that are hashed: one form, however the keyboard composes its letters.

    NIST SP 800-63B 3.1.1.2 asks for NFKC. Lone surrogates, which a terminal may give for octets
    that are not UTF-8, are kept as they are.
    """
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")


def _decoy(parameters: Parameters, random_bytes: Callable[[int], bytes]) -> str:
    """A hash that nothing has, to be verified at the same cost as a real one."""
    salt, digest = random_bytes(parameters.salt_len), random_bytes(parameters.hash_len)
    cost = f"m={parameters.memory_cost},t={parameters.time_cost},p={parameters.parallelism}"
    return f"$argon2id$v={parameters.version}${cost}${_base64(salt)}${_base64(digest)}"


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii").rstrip("=")
