"""JOURNEY: an authoritative list of people is held against the roster, and then written into it.

    read ....... the whole list, judged, into a file without a name
    plan ....... what it would do, counted; nothing is written (`--dry-run` ends here)
    write ...... part by part, each one commit that looks at its rows again, so that logins go on
                 in between, and what a login said meanwhile counts
    block ...... whom the list does not name, part by part too
    end ........ the audit row, with the import noted as complete

One import at a time: each part is written only while this import is the one on record. An import
that was interrupted has confirmed some people and blocked nobody too many; it is begun again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from idp_proxy.audit.chain import Event
from idp_proxy.decision.roster import (
    GIVEN_UP_AFTER,
    Effect,
    Landed,
    Tally,
    land,
    unnamed,
    why_refused,
)
from idp_proxy.errors import RosterRefused, StoreError
from idp_proxy.store.people import ImportRun, everybody

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from idp_proxy.decision.roster import Listed, RosterRow, Run
    from idp_proxy.listing.base import Staged
    from idp_proxy.store.people import RosterStore, RosterTransaction

#: People in one commit: logins wait for one no longer than they notice.
PART: Final = 400
_TRIES: Final = 3
#: People of each kind that a plan names, for whoever looks at it.
_MOST_NAMED: Final = 50


@dataclass(frozen=True, slots=True)
class Plan:
    """What an import would do. `examples` are ids of people, for an operator's eyes only."""

    run: Run
    tally: Tally
    examples: dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterImport:
    """The journey's needs. `host` is this host, `most_percent` how many may be blocked at once."""

    store: RosterStore
    host: str
    most_percent: int
    now: Callable[[], datetime]
    new_id: Callable[[], str]

    def plan(self, staged: Staged, run: Run) -> Plan:
        """What the list would do to the roster as it is."""
        tally, named = Tally(), _Examples()
        for part in staged.chunks(PART):
            with self.store.writing_people() as tx:
                for before, landed in _landed(tx, part, staged, run):
                    tally.count(before, landed, run)
                    if landed.effect is not Effect.CONFIRMED:
                        named.note(landed.effect.value, landed.rows)
        for row in everybody(self.store):
            tally.rows += 1
            tally.free += not row.blocked and not row.by_hand
            if not staged.names(row.id) and (after := unnamed(row, run)) is not None:
                tally.blocked += not row.blocked
                named.note("missing", (after,))
        return Plan(run, tally, named.found())

    def carry_out(self, staged: Staged, plan: Plan, actor: str, *, overridden: bool) -> None:
        """Write what was planned. Raises `RosterRefused` when it may not happen or when another
        import goes on, and `StoreError`; what was written until then is true, and nobody was
        blocked who would not have been.
        """
        why = why_refused(plan.tally, plan.run, self.most_percent, overridden=overridden)
        if why is not None:
            raise RosterRefused(why)
        mine = self._begin(plan.run)
        try:
            for part in staged.chunks(PART):
                self._patiently(partial(_write, part, staged, plan.run), mine)
            self._block(staged, plan.run, mine)
        except BaseException:
            self._end(mine)
            raise
        self._complete(mine, plan, actor, overridden=overridden)

    def _begin(self, run: Run) -> ImportRun:
        now = self.now()
        with self.store.writing_people() as tx:
            known = {one.source: one for one in tx.import_runs()}
            for other in known.values():
                if other.ended_at is None and now - other.beat_at < GIVEN_UP_AFTER:
                    raise RosterRefused(
                        f"an import ({other.source}) goes on since "
                        f"{other.started_at:%H:%M:%S} UTC on {other.host}; wait for its end"
                    )
            former = known.get(run.source)
            mine = ImportRun(
                source=run.source,
                run=self.new_id(),
                host=self.host,
                started_at=now,
                beat_at=now,
                completed_at=None if former is None else former.completed_at,
                people=0 if former is None else former.people,
            )
            tx.note_import(mine)
        return mine

    def _patiently(self, write: Callable[[RosterTransaction], None], mine: ImportRun) -> None:
        """One commit of this import. Somebody who logs in at this moment may be faster, and hold
        what this waits for: then it is their turn, and this is tried again.
        """
        for left in reversed(range(_TRIES)):
            try:
                with self.store.writing_people() as tx:
                    _demand_mine(tx, mine)
                    tx.note_import(replace(mine, beat_at=self.now()))
                    write(tx)
            except StoreError:
                if not left:
                    raise
            else:
                return

    def _block(self, staged: Staged, run: Run, mine: ImportRun) -> None:
        """Block whom the list does not name; each is looked at again in the commit that does."""
        absent: list[str] = []
        for row in everybody(self.store):
            if not staged.names(row.id) and unnamed(row, run) is not None:
                absent.append(row.id)
            if len(absent) == PART:
                self._patiently(partial(_block, tuple(absent), run), mine)
                absent.clear()
        if absent:
            self._patiently(partial(_block, absent, run), mine)

    def _end(self, mine: ImportRun) -> None:
        """It ended early: another one may begin at once."""
        with self.store.writing_people() as tx:
            if any(one.run == mine.run for one in tx.import_runs()):
                now = self.now()
                tx.note_import(replace(mine, beat_at=now, ended_at=now))

    def _complete(self, mine: ImportRun, plan: Plan, actor: str, *, overridden: bool) -> None:
        now, tally = self.now(), plan.tally
        with self.store.writing_people() as tx:
            _demand_mine(tx, mine)
            tx.note_import(
                replace(
                    mine,
                    beat_at=now,
                    ended_at=now,
                    # A part of the people says nothing about how fresh the whole is (FO-08).
                    completed_at=mine.completed_at if plan.run.partial else plan.run.read_at,
                    people=mine.people if plan.run.partial else tally.named,
                )
            )
            facts: dict[str, str | int | float | bool | None] = {
                "source": plan.run.source,
                "replace": plan.run.replaces,
                "partial": plan.run.partial,
                "overridden": overridden,
                "people": tally.named,
                "blocked": tally.blocked,
                "unblocked": tally.unblocked,
                **{effect.value: tally.effects[effect] for effect in Effect},
            }
            tx.record(Event("roster_import", actor, now, facts=facts))


class _Examples:
    def __init__(self) -> None:
        self._found: dict[str, list[str]] = {}

    def note(self, kind: str, rows: Sequence[RosterRow]) -> None:
        known = self._found.setdefault(kind, [])
        if rows and len(known) < _MOST_NAMED:
            known.append(rows[-1].id)

    def found(self) -> dict[str, tuple[str, ...]]:
        return {kind: tuple(ids) for kind, ids in self._found.items()}


def _landed(
    tx: RosterTransaction, part: Sequence[Listed], staged: Staged, run: Run
) -> Iterator[tuple[RosterRow | None, Landed]]:
    """What each of `part` does, one after the other: each sees what those before it did."""
    found = tx.people(
        [listed.id for listed in part], [listed.key for listed in part if listed.key is not None]
    )
    rows = {row.id: row for row in found}
    holders = {row.lookup_key: row.id for row in found if row.lookup_key is not None}
    for listed in part:
        before = rows.get(listed.id)
        holder = None if listed.key is None else rows.get(holders.get(listed.key, ""))
        moves = holder is not None and staged.moves(holder.id, holder.lookup_key)
        landed = land(listed, before, holder, run, moves=moves)
        for row in landed.rows:
            former = rows.get(row.id)
            if former is not None and former.lookup_key is not None:
                holders.pop(former.lookup_key, None)
        for row in landed.rows:
            rows[row.id] = row
            if row.lookup_key is not None:
                holders[row.lookup_key] = row.id
        yield before, landed


def _write(part: Sequence[Listed], staged: Staged, run: Run, tx: RosterTransaction) -> None:
    rows: dict[str, RosterRow] = {}
    for _, landed in _landed(tx, part, staged, run):
        rows.update((row.id, row) for row in landed.rows)
    tx.save_people(tuple(rows.values()))


def _block(ids: Sequence[str], run: Run, tx: RosterTransaction) -> None:
    blocked = (unnamed(row, run) for row in tx.people(ids, ()))
    tx.save_people(tuple(row for row in blocked if row is not None))


def _demand_mine(tx: RosterTransaction, mine: ImportRun) -> None:
    """Raises `RosterRefused` when another import took over: this one stood still for too long."""
    if not any(one.run == mine.run and one.ended_at is None for one in tx.import_runs()):
        raise RosterRefused("another import began meanwhile; this one ends here")
