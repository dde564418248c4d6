"""The walk through all accounts, until two passes agree.

The list is paged by offset: who is created or renamed during a walk shifts the others, so that one
comes twice and another is missed. Reading it twice with the same result is the only proof there is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from conversion.decision.account import SAML
from conversion.decision.people import People
from conversion.errors import Unreachable
from conversion.mattermost.roll import Roll

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from conversion.decision.account import Account

T = TypeVar("T")

#: The most the server gives at once. It caps more silently, and answers 0 with an empty list.
PAGE_SIZE: Final = 200
#: Passes before giving up: each takes about 3 s for 100,000 accounts.
MOST_PASSES: Final = 6
#: The fewest that can agree.
_PASSES_THAT_AGREE: Final = 2

_log = structlog.get_logger("conversion.mattermost")


@dataclass(frozen=True, slots=True)
class Listing:
    """All accounts by user id: active and deactivated ones, bots too.

    `total` is what the server counts itself. Where it counts more than it lists, pass after pass,
    `missing` tells how many; that is a finding, for nobody can say who they are.
    """

    roll: Roll
    total: int
    passes: int

    @property
    def accounts(self) -> Collection[Account]:
        """The accounts, in order of user id."""
        return self.roll.values()

    @property
    def missing(self) -> int:
        """How many accounts the server counts and does not list."""
        return max(0, self.total - len(self.roll))


def walk(
    page: Callable[[int], Sequence[Account]],
    total: Callable[[], int],
    ids: Callable[[int], Sequence[str]] | None = None,
) -> Listing:
    """Read page after page, pass after pass, until two passes found the same people.

    The first pass needs to know who is there and no more: `ids` gives a page of that. Raises
    `Unreachable` when the list does not hold still.
    """
    names = ids or (lambda number: [one.id for one in page(number)])
    before = _fingerprint(People(_one_pass(names, str)))
    for passes in range(_PASSES_THAT_AGREE, MOST_PASSES + 1):
        found = Roll(_one_pass(page, _id))
        fingerprint = _fingerprint(found.people)
        counted = total()
        # A short list gets one pass more: two passes can miss the same row to the same rename.
        enough = len(found) >= counted or passes > _PASSES_THAT_AGREE
        if fingerprint == before and enough:
            listing = Listing(found, counted, passes)
            _tell(listing)
            return listing
        before = fingerprint
        del found
    raise Unreachable(
        f"the list of accounts changed during each of {MOST_PASSES} passes: accounts are being"
        " created or removed all the time; try again when that has ended"
    )


def shows_auth_data(accounts: Iterable[Account]) -> bool:
    """Whether the server shows `auth_data`: one SAML account with a value proves it."""
    return any(one.auth_service == SAML and one.auth_data for one in accounts)


def _one_pass(page: Callable[[int], Sequence[T]], name: Callable[[T], str]) -> Iterator[T]:
    previous: tuple[str, ...] = ()
    number = 0
    # Only an empty page is the end: a server that caps lower than asked gives short ones.
    while rows := page(number):
        ids = tuple(map(name, rows))
        if ids == previous:
            raise Unreachable(
                f"pages {number - 1} and {number} of the list of accounts are the same: something"
                " before the server answers without it"
            )
        yield from rows
        previous = ids
        number += 1


def _id(account: Account) -> str:
    return account.id


def _fingerprint(people: People) -> bytes:
    """Who was found, in 32 octets: two passes need not be in memory at once."""
    return hashlib.sha256(bytes(people)).digest()


def _tell(listing: Listing) -> None:
    if listing.missing:
        _log.warning("mattermost_lists_fewer", missing=listing.missing, total=listing.total)
