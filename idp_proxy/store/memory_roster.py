"""The roster as a whole, in memory: `store.people.RosterStore` and its transaction."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from idp_proxy.decision.roster import lookup_key
from idp_proxy.errors import StoreConflict
from idp_proxy.store.people import MOST_NAMED, ImportRun

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from idp_proxy.decision.roster import AdmittedByHand, Forecast, RosterRow


@dataclass(slots=True)
class People:
    """What is remembered of people; a transaction writes into one of its own first."""

    rows: dict[str, RosterRow] = field(default_factory=dict)
    ids_by_key: dict[str, str] = field(default_factory=dict)
    by_hand: dict[str, AdmittedByHand] = field(default_factory=dict)
    runs: dict[str, ImportRun] = field(default_factory=dict)
    forecast: Forecast | None = None

    def take(self, staged: People) -> None:
        """What a transaction wrote becomes true."""
        for row in staged.rows.values():
            former = self.rows.get(row.id)
            if former is not None and former.lookup_key is not None:
                self.ids_by_key.pop(former.lookup_key, None)
        for row in staged.rows.values():
            self.rows[row.id] = row
            if row.lookup_key is not None:
                self.ids_by_key[row.lookup_key] = row.id
        self.by_hand.update(staged.by_hand)
        self.runs.update(staged.runs)
        self.forecast = staged.forecast or self.forecast


class MemoryRosterWrites:
    """The part of a transaction that knows the roster: reads through `staged` to `committed`."""

    def __init__(self, committed: People) -> None:
        self._known = committed
        self.staged_people = People()

    def person(self, person_id: str) -> RosterRow | None:
        """See `store.base.Transaction`."""
        return self.staged_people.rows.get(person_id) or self._known.rows.get(person_id)

    def person_by_lookup_key(self, key: str) -> RosterRow | None:
        """See `store.base.Transaction`."""
        for row in self.staged_people.rows.values():
            if row.lookup_key == key:
                return row
        holder = self._known.ids_by_key.get(key)
        if holder is None or holder in self.staged_people.rows:
            return None
        return self._known.rows[holder]

    def save_person(self, row: RosterRow) -> None:
        """See `store.base.Transaction`."""
        holder = None if row.lookup_key is None else self.person_by_lookup_key(row.lookup_key)
        if holder is not None and holder.id != row.id:
            raise StoreConflict("another person holds this lookup key")
        self.staged_people.rows[row.id] = row

    def save_people(self, rows: Sequence[RosterRow]) -> None:
        """See `store.people.RosterTransaction`."""
        for row in rows:
            known = self.person(row.id)
            if known is not None and known.lookup_key != row.lookup_key:
                self.staged_people.rows[row.id] = replace(known, lookup_key=None)
        for row in rows:
            self.save_person(row)

    def admitted_by_hand(self, person_id: str) -> AdmittedByHand | None:
        """See `store.base.Transaction`."""
        staged = self.staged_people.by_hand.get(person_id)
        return staged or self._known.by_hand.get(person_id)

    def admit_by_hand(self, admission: AdmittedByHand) -> None:
        """See `store.base.Transaction`."""
        self.staged_people.by_hand[admission.person] = admission

    def people(self, ids: Collection[str], keys: Collection[str]) -> tuple[RosterRow, ...]:
        """See `store.people.RosterTransaction`."""
        found = [self.person(one) for one in ids]
        found += [self.person_by_lookup_key(key) for key in keys]
        by_id = {row.id: row for row in found if row is not None}
        return tuple(by_id[name] for name in sorted(by_id))

    def import_runs(self) -> tuple[ImportRun, ...]:
        """See `store.people.RosterTransaction`."""
        runs = self._known.runs | self.staged_people.runs
        return tuple(runs[source] for source in sorted(runs))

    def note_import(self, run: ImportRun) -> None:
        """See `store.people.RosterTransaction`."""
        self.staged_people.runs[run.source] = run

    def keep_forecast(self, forecast: Forecast) -> None:
        """See `store.people.RosterTransaction`."""
        self.staged_people.forecast = forecast


def named(people: People, text: str) -> tuple[RosterRow, ...]:
    """As `store.people.RosterStore.named`."""
    found = (
        row
        for row in people.rows.values()
        if text == row.id
        or row.lookup_key == lookup_key(text)
        or text.lower() in {row.email.lower(), row.username.lower()}
    )
    return tuple(sorted(found, key=lambda row: row.id))[:MOST_NAMED]


def page(people: People, after: str, limit: int) -> tuple[RosterRow, ...]:
    """As `store.people.RosterStore.people_after`."""
    ids = sorted(one for one in people.rows if one > after)
    return tuple(people.rows[one] for one in ids[:limit])
