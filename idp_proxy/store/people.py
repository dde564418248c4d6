"""What an import, and an operator's question, may ask of the roster. Raises `StoreError`.

Beside `store.base.Store`, which knows what a login may ask: one person at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from idp_proxy.store.base import Transaction

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from idp_proxy.decision.roster import Forecast, RosterRow

#: How many people `named` gives at most.
MOST_NAMED = 20
_PAGE = 2000


@dataclass(frozen=True, slots=True)
class ImportRun:
    """An import of `source`: the last one, or the one that goes on.

    `beat_at` moves on while it writes. `ended_at` is None until it ended in whatever way;
    `completed_at` is the end of the last one that wrote everything, with so many `people` named.
    """

    source: str
    run: str
    host: str
    started_at: datetime
    beat_at: datetime
    ended_at: datetime | None = None
    completed_at: datetime | None = None
    people: int = 0


class RosterTransaction(Transaction, Protocol):
    """Writes of an import, committed together or not at all."""

    def people(self, ids: Collection[str], keys: Collection[str]) -> tuple[RosterRow, ...]:
        """The rows of these ids, and those that hold these lookup keys; held until the end, in the
        order of their ids.
        """

    def save_people(self, rows: Sequence[RosterRow]) -> None:
        """As `save_person` for each; a lookup key may move between them in any direction.
        Raises `StoreConflict` when somebody else holds one.
        """

    def import_runs(self) -> tuple[ImportRun, ...]:
        """The last import of each source; nobody else begins one until this transaction ends."""

    def note_import(self, run: ImportRun) -> None:
        """Keep it in place of what is known of its source."""

    def keep_forecast(self, forecast: Forecast) -> None:
        """Keep it in place of the last one."""


class RosterStore(Protocol):
    """The roster as a whole."""

    def writing_people(self) -> AbstractContextManager[RosterTransaction]:
        """As `Store.transaction`."""

    def people_after(self, person_id: str, limit: int) -> tuple[RosterRow, ...]:
        """The next rows behind this id, in order of ids; "" begins. Each page is a snapshot."""

    def named(self, text: str) -> tuple[RosterRow, ...]:
        """Whoever has this id, link key, email address or user name, in whatever case; at most
        `MOST_NAMED`.
        """

    def import_runs(self) -> tuple[ImportRun, ...]:
        """The last import of each source, in order of sources."""

    def forecast(self) -> Forecast | None:
        """The last forecast."""


def everybody(store: RosterStore) -> Iterator[RosterRow]:
    """Every row of the roster, page by page: a million people are never in memory at once."""
    after = ""
    while page := store.people_after(after, _PAGE):
        yield from page
        after = page[-1].id
