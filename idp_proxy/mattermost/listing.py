"""Everybody, by a list that is paged by offset: who is created or renamed meanwhile shifts it.

Reading it twice with the same people is the only proof that nobody was missed. A pass waits in an
unnamed file, so that memory stays small however many there are.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Final

from idp_proxy.errors import MattermostUnreachable
from idp_proxy.mattermost.rows import User

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: The most the server gives at once; it caps more silently.
PAGE_SIZE: Final = 200
#: Passes before giving up, and pages of one: ten million people.
MOST_PASSES: Final = 5
MOST_PAGES: Final = 50_000
_BITS: Final = 1 << 256


def walk(
    page: Callable[[int], Sequence[User]], total: Callable[[], int], own_id: str
) -> Iterator[User]:
    """Everybody once, after two passes found the same people, no fewer than the server counts, the
    token's own account among them. Raises `MattermostUnreachable` when that never happens.
    """
    before: tuple[int, int] | None = None
    why = ""
    for _ in range(MOST_PASSES):
        with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
            found = _one_pass(page, own_id, file)
            counted = total()
            if found is not None and found == before and found[0] >= counted:
                file.seek(0)
                yield from map(_read, file)
                return
        listed = "a shifting list" if found is None else f"{found[0]} people"
        why = f"it lists {listed} and counts {counted}"
        before = found
    raise MattermostUnreachable(
        f"the list of people did not hold still in {MOST_PASSES} passes ({why}); run this again "
        "when nobody creates or removes accounts"
    )


def _one_pass(
    page: Callable[[int], Sequence[User]], own_id: str, file: IO[str]
) -> tuple[int, int] | None:
    """How many there are and a fingerprint of who, in any order; None where the list shifted."""
    count, sum_of, shifted, own = 0, 0, False, False
    previous: frozenset[str] = frozenset()
    for number in range(MOST_PAGES):
        rows = page(number)
        if not rows:
            break
        ids = frozenset(row.id for row in rows)
        if ids == previous:
            raise MattermostUnreachable(
                f"pages {number - 1} and {number} of the list of people are the same: something "
                "before the server answers without it"
            )
        shifted = shifted or len(ids) != len(rows) or not ids.isdisjoint(previous)
        own = own or own_id in ids
        for row in rows:
            file.write(json.dumps(asdict(row)) + "\n")
            sum_of = (sum_of + _digest(row.id)) % _BITS
        count, previous = count + len(rows), ids
    else:
        raise MattermostUnreachable(f"the list of people does not end after {MOST_PAGES} pages")
    if not own and not shifted:
        raise MattermostUnreachable(
            "the list of people lacks the account of service_provider.api.token: it is not whole; "
            "look at what stands before the server"
        )
    return None if shifted else (count, sum_of)


def _digest(user_id: str) -> int:
    return int.from_bytes(hashlib.sha256(user_id.encode()).digest())


def _read(line: str) -> User:
    row = json.loads(line)
    return User(**row | {"roles": tuple(row["roles"])})
