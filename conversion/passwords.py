"""A password that nobody knows, as the hash that is sent; or, on request, as it is.

Bulk conversion gives an account a password only to take it off SSO; the person then sets one of
their own by the server's reset mail. So the password is 256 bits of randomness (NIST SP 800-63B
section 5.1.1.2 asks for 112), it is hashed here, and it is dropped before the hash is used.

Cost 4, the least bcrypt has, on purpose: a cost slows down guessing, and 2**256 guesses are out of
reach at any speed. Cost 10 would take 50 to 100 ms of processor a person, cost 4 takes 1 to 2 ms.
The prefix `$2a$` is the one that every release of Mattermost reads; one that could not read it
would let nobody in with it, which is what this password is for.

`--plain` sends the password itself, where a server takes no ready hash: it hashes, holds it against
its policy, and writes everybody a mail.
"""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING, Final

import bcrypt

if TYPE_CHECKING:
    from collections.abc import Callable

#: Octets of randomness. As text they are 40 characters, below bcrypt's bound of 72 octets.
RANDOM_OCTETS: Final = 32
#: The least work bcrypt can do: 2**4 rounds.
COST: Final = 4


#: One of each kind that a policy can ask for (facts of the API, section 2).
_KINDS: Final = "aA0!"
#: Octets that the strictest release takes.
LONGEST: Final = 64


def unknown_password(
    shortest: int = 0, random_bytes: Callable[[int], bytes] = secrets.token_bytes
) -> str:
    """A new random password of at least `shortest` characters that keeps to every policy.

    It is in this process and in the server's for as long as the call takes, and kept nowhere.
    """
    password = base64.b85encode(random_bytes(RANDOM_OCTETS)).decode("ascii") + _KINDS
    return password.ljust(min(shortest, LONGEST), _KINDS[0])


def hash_of_an_unknown_password(
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> str:
    """A `$2a$` hash of a new random password, which is kept nowhere. Safe for many threads."""
    password = base64.b85encode(random_bytes(RANDOM_OCTETS))
    return bcrypt.hashpw(password, bcrypt.gensalt(COST, prefix=b"2a")).decode("ascii")
