"""What is secret about a factor, sealed for one person and one kind.

A row that is copied to another person or another kind opens no more. The first key seals anew
whatever is used, so that nothing depends on an old key but what nobody uses.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from idp_proxy.seal import KeyRing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from idp_proxy.decision.second_factor import Factor, Method

#: For what people's factors are sealed.
PURPOSE: Final = "second-factor"


def key_ring(state_keys: Sequence[bytes]) -> KeyRing:
    """The ring that people's factors are sealed with."""
    return KeyRing(state_keys, PURPOSE)


def sealed(ring: KeyRing, person: str, method: Method, secret: bytes) -> bytes:
    """`secret`, readable for this person and this kind only."""
    return ring.seal(_context(person, method), secret)


def opened(ring: KeyRing, factor: Factor) -> bytes | None:
    """The factor's secret; None if no key of the ring sealed it for this person and kind."""
    return ring.open(_context(factor.person, factor.method), factor.sealed)


def _context(person: str, method: Method) -> str:
    # As JSON: no person's id can be taken for another one with a kind behind it.
    return json.dumps([person, method.value])
