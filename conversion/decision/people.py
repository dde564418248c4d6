"""A set of user ids in little memory: 100,000 of them in 2.6 MiB instead of 12.

A campaign remembers who is meant, who is under way and who is to be done again; each of these sets
may be everybody.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Set as AbstractSet
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class People(AbstractSet[str]):
    """User ids in order, each once; never changed. Ids hold no NUL."""

    __slots__ = ("_count", "_octets", "_width")

    def __init__(self, ids: Iterable[str] = ()) -> None:
        ordered = sorted(map(octets, ids))
        width = self._width = max(map(len, ordered), default=0)
        self._octets = b"".join(one.ljust(width, b"\0") for one, _ in groupby(ordered))
        self._count = len(self._octets) // width if width else 0

    def position(self, user_id: str) -> int | None:
        """The how-manieth this one is, from 0; None for somebody else."""
        wanted = octets(user_id)
        if not self._count or len(wanted) > self._width:
            return None
        wanted = wanted.ljust(self._width, b"\0")
        found = bisect_left(range(self._count), wanted, key=self._at)
        return found if found < self._count and self._at(found) == wanted else None

    def __contains__(self, user_id: object) -> bool:
        return isinstance(user_id, str) and self.position(user_id) is not None

    def __iter__(self) -> Iterator[str]:
        return (text(self._at(number).rstrip(b"\0")) for number in range(self._count))

    def __len__(self) -> int:
        return self._count

    def __bytes__(self) -> bytes:
        """Octets that two sets of the same people share."""
        return self._octets

    def _at(self, number: int) -> bytes:
        start = number * self._width
        return self._octets[start : start + self._width]


def octets(told: str) -> bytes:
    """A text of the server's as octets, whatever it holds."""
    return told.encode("utf-8", "surrogatepass")


def text(stored: bytes | bytearray) -> str:
    """The text that became `stored`."""
    return stored.decode("utf-8", "surrogatepass")
