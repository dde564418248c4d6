"""Recovery codes: shown once, kept as digests, each counts once.

80 random bits cannot be guessed; a digest of them needs no slow hash. It is sealed on top of that,
so that who has the database alone cannot even tell whose code a found one is.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_OCTETS: Final = 10
_GROUP: Final = 4
_CODE: Final = re.compile(r"[a-z2-7]{16}", re.ASCII)
_BETWEEN: Final = re.compile(r"[\s-]+")
#: Digits that base32 does not have, as people read the letters that look like them.
_READ_AS: Final = str.maketrans("018", "olb")


def new_code(random_bytes: Callable[[int], bytes]) -> str:
    """A fresh code as it is shown: four groups of four."""
    code = base64.b32encode(random_bytes(_OCTETS)).decode("ascii").lower()
    return "-".join(code[at : at + _GROUP] for at in range(0, len(code), _GROUP))


def normalised(typed: str) -> str | None:
    """A code as it is kept, however it was typed; None if it is none."""
    code = _BETWEEN.sub("", typed).lower().translate(_READ_AS)
    return code if _CODE.fullmatch(code) else None


def digest(person: str, code: str) -> bytes:
    """What is kept of a normalised code."""
    return hashlib.sha256(json.dumps([person, code]).encode("ascii")).digest()


def fits(kept: bytes, person: str, code: str) -> bool:
    """Whether this is the code whose digest was kept, in the same time either way."""
    return hmac.compare_digest(kept, digest(person, code))
