"""What a store does with the people's second factors (`decision.second_factor`).

What may count once is changed by compare-and-swap on its mark: of two answers with one code, at
whichever workers and hosts, one counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from idp_proxy.decision.second_factor import Factor, Tries


class FactorWrites(Protocol):
    """What a `store.base.Transaction` does with second factors."""

    def factors(self, person: str) -> tuple[Factor, ...]:
        """Everything that this person set up, the oldest first, held until the transaction ends.
        Raises `StoreError` in the host's spool, as all of these do.
        """

    def add_factors(self, factors: Sequence[Factor]) -> None:
        """Keep what a person set up."""

    def remove_factors(self, person: str, ids: Collection[str]) -> int:
        """Forget these of this person's factors; returns how many there were."""

    def use_factor(self, used: Factor, mark: int, sealed: bytes, at: datetime | None) -> bool:
        """Set the mark and the seal of a factor as it was read; False, and nothing is written,
        when its mark changed meanwhile or it is gone.
        """

    def factor_tries(self, person: str) -> Tries:
        """This person's wrong codes. Nobody else reads or writes them until the transaction ends:
        read this first.
        """

    def save_factor_tries(self, tries: Tries) -> None:
        """Replace what `factor_tries` gave."""


class FactorReads(Protocol):
    """What a `store.base.Store` tells of second factors."""

    def factors_of(self, person: str) -> tuple[Factor, ...]:
        """Everything that this person set up, the oldest first."""

    def factors_after(self, factor_id: str, limit: int) -> tuple[Factor, ...]:
        """Everybody's, the next ones behind this id, in order of ids; "" begins."""

    def factor_tries_of(self, person: str) -> Tries:
        """This person's wrong codes."""

    def factor_holders(self) -> frozenset[str]:
        """The canonical ids of all who have a second factor that can still be used."""
