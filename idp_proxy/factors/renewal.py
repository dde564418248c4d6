"""Factors that an old state key sealed, sealed anew by the first, so that the old one may go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from idp_proxy.factors.sealing import key_ring, opened, sealed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from idp_proxy.store.base import Store

_AT_ONCE: Final = 500


def renew(store: Store, state_keys: Sequence[bytes]) -> tuple[int, int]:
    """How many were sealed anew, and how many no key opens. Raises `StoreError`.

    One that is used at the same moment is sealed anew by that, and left alone here.
    """
    first, ring = key_ring(state_keys[:1]), key_ring(state_keys)
    renewed, lost, after = 0, 0, ""
    while page := store.factors_after(after, _AT_ONCE):
        after = page[-1].id
        old = [one for one in page if opened(first, one) is None]
        readable = [(one, secret) for one in old if (secret := opened(ring, one)) is not None]
        lost += len(old) - len(readable)
        if readable:
            with store.transaction() as tx:
                for one, secret in readable:
                    anew = sealed(first, one.person, one.method, secret)
                    renewed += tx.use_factor(one, one.mark, anew, one.used_at)
    return renewed, lost
