"""What a store keeps of the context classes that upstreams authenticated people by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

#: How many different rows one upstream may fill; what comes after is counted as OTHER.
MOST_CLASSES: Final = 64
#: No context class is empty (SP-09): this stands for all that found no row of their own.
OTHER: Final = ""
#: What fits into an index of every database.
_LONGEST: Final = 255


@dataclass(frozen=True, slots=True)
class SeenContext:
    """`count` authentications by `upstream` with this class, which counted for `level` then; the
    last one at `last`.
    """

    upstream: str
    context: str
    level: str
    count: int
    last: datetime


class SeenContexts(Protocol):
    """What a `store.base.Store` does with them."""

    def add_contexts(self, seen: Sequence[SeenContext]) -> None:
        """Add to the counts. Raises `StoreError`."""

    def contexts(self) -> tuple[SeenContext, ...]:
        """Everything that was counted, by upstream, class and level. Raises `StoreError`."""


def placed(
    seen: Sequence[SeenContext], known: AbstractSet[tuple[str, str, str]]
) -> tuple[SeenContext, ...]:
    """`seen` as it is kept beside the rows that are `known`: under OTHER where an upstream has its
    share of rows, or a class is too long to be one. One row for each, in order.
    """
    rows, found = set(known), dict[tuple[str, str, str], SeenContext]()
    for one in seen:
        key = (one.upstream, one.context, one.level)
        full = sum(upstream == one.upstream for upstream, _, _ in rows) >= MOST_CLASSES
        if len(one.context) > _LONGEST or (full and key not in rows):
            key = (one.upstream, OTHER, one.level)
        rows.add(key)
        before = found.get(key)
        count = one.count + (before.count if before else 0)
        last = max(one.last, before.last) if before else one.last
        found[key] = SeenContext(*key, count, last)
    return tuple(found[key] for key in sorted(found))
