"""The people's second factors in memory: `store.factor_base` for tests."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from idp_proxy.decision.second_factor import Factor, Tries, has_any

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime


@dataclass(slots=True)
class FactorContents:
    """What is remembered; a transaction writes into a copy."""

    factors: dict[str, Factor] = field(default_factory=dict)
    tries: dict[str, Tries] = field(default_factory=dict)

    def copy(self) -> FactorContents:
        """The same, to be changed apart."""
        return FactorContents(dict(self.factors), dict(self.tries))

    def of(self, person: str) -> tuple[Factor, ...]:
        """One person's, the oldest first."""
        mine = (one for one in self.factors.values() if one.person == person)
        return tuple(sorted(mine, key=lambda one: (one.added_at, one.id)))


class MemoryFactorWrites:
    """`store.factor_base.FactorWrites`; one transaction is open at a time."""

    staged_factors: FactorContents

    def factors(self, person: str) -> tuple[Factor, ...]:
        """See `store.factor_base.FactorWrites`."""
        return self.staged_factors.of(person)

    def add_factors(self, factors: Sequence[Factor]) -> None:
        """See `store.factor_base.FactorWrites`."""
        self.staged_factors.factors.update((one.id, one) for one in factors)

    def remove_factors(self, person: str, ids: Collection[str]) -> int:
        """See `store.factor_base.FactorWrites`."""
        mine = [one.id for one in self.factors(person) if one.id in ids]
        for gone in mine:
            del self.staged_factors.factors[gone]
        return len(mine)

    def use_factor(self, used: Factor, mark: int, sealed: bytes, at: datetime | None) -> bool:
        """See `store.factor_base.FactorWrites`."""
        known = self.staged_factors.factors.get(used.id)
        if known is None or (known.person, known.mark) != (used.person, used.mark):
            return False
        self.staged_factors.factors[used.id] = replace(known, mark=mark, sealed=sealed, used_at=at)
        return True

    def factor_tries(self, person: str) -> Tries:
        """See `store.factor_base.FactorWrites`."""
        return self.staged_factors.tries.get(person, Tries(person))

    def save_factor_tries(self, tries: Tries) -> None:
        """See `store.factor_base.FactorWrites`."""
        self.staged_factors.tries[tries.person] = tries


class MemoryFactorReads:
    """`store.factor_base.FactorReads`."""

    _factors: FactorContents

    def factors_of(self, person: str) -> tuple[Factor, ...]:
        """See `store.factor_base.FactorReads`."""
        return self._factors.of(person)

    def factors_after(self, factor_id: str, limit: int) -> tuple[Factor, ...]:
        """See `store.factor_base.FactorReads`."""
        behind = [one for one in self._factors.factors.values() if one.id > factor_id]
        return tuple(sorted(behind, key=lambda one: one.id)[:limit])

    def factor_tries_of(self, person: str) -> Tries:
        """See `store.factor_base.FactorReads`."""
        return self._factors.tries.get(person, Tries(person))

    def factor_holders(self) -> frozenset[str]:
        """See `store.factor_base.FactorReads`."""
        known = tuple(self._factors.factors.values())
        return frozenset(one.person for one in known if has_any((one,)))
