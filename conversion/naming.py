"""People by the names that people know: user ids are for machines.

The inventory has the user name of everybody who was found on SSO, so that no server is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from conversion.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from conversion.ledger.base import Ledger


def names_of(ledger: Ledger, user_ids: Iterable[str]) -> Mapping[str, str]:
    """The user name for each of these ids, in one line; the id itself where none is known."""
    wanted = set(user_ids)
    found = {one: one for one in wanted}
    if wanted:
        for row in ledger.inventory():
            if row.user_id in wanted:
                found[row.user_id] = printable(row.username)
    return found


def ids_of(ledger: Ledger, words: Iterable[str], option: str) -> frozenset[str]:
    """The user ids of people who are named by id or by user name.

    Raises `ConfigError` with every word that is neither: a slip of the pen must not leave somebody
    out in silence.
    """
    wanted = {word.strip() for word in words}
    if not wanted:
        return frozenset()
    campaign = ledger.current_campaign()
    # Who came since the last prepare may be in the campaign and not in the inventory.
    found = {
        word: word
        for word in wanted
        if campaign is not None and ledger.row(campaign.id, word) is not None
    }
    for row in ledger.inventory():
        for word in (row.user_id, row.username):
            if word in wanted:
                found[word] = row.user_id
    if missing := sorted(wanted - found.keys()):
        raise ConfigError(
            f"{option}: nobody in the inventory has the user name or id {printable(word)[:64]!a}"
            for word in missing
        )
    return frozenset(found.values())


def printable(text: str) -> str:
    """`text` without line breaks and whatever else a terminal would obey."""
    return "".join(character if character.isprintable() else " " for character in text)
