"""Journey: convert. People go from SSO to email and password, their way back on disk.

`convert` carries out exactly one stored plan: it journals every binding, holds each person against
the server's list, converts, lets things settle, looks again, and converts anew whom a concurrent
update of the server undid. It can be killed at any point and run again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Final

from conversion.bulk import FINISHED, REFUSED, Came, Deed, Tally, carry_out, groups
from conversion.decision.lifecycle import INTENTS, Event, RowState
from conversion.decision.people import People
from conversion.decision.plan import Planned, recheck
from conversion.decision.settlement import Finding, read
from conversion.errors import MattermostError
from conversion.journal import journaled
from conversion.passwords import hash_of_an_unknown_password, unknown_password
from conversion.truth import (
    change_each,
    look,
    refresh_converted_file,
    settle_rows,
    settled,
    wait_for_calls_of_the_dead,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from conversion.bulk import Bulk
    from conversion.ledger.base import Change, Row


@dataclass(slots=True)
class Converted:
    """What `convert` did, and `counts`, the rows by state; `stopped` says why it ended early.

    `moved` are people of this command who are at email and password now; `waiting` those of the
    plan who are not moved yet; `skipped` are people who are not as they were planned, with the
    reason; `repaired` counts conversions that a concurrent update of the server had undone.
    """

    campaign: str
    moved: int = 0
    waiting: int = 0
    repaired: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    not_in_file: tuple[str, ...] = ()
    counts: Mapping[RowState, int] = field(default_factory=dict)
    stopped: str = ""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a plan is carried out: its first `pilot` people or all; `wave` at a time, each of them
    held against the list before the next, 0 for all at once; `plain` lets the server hash.

    `campaign` is the one that operators agreed to go on with, empty for a new one; None where
    nobody had to agree. `new_envelope`: the plan's own takes the place of the open campaign's.
    """

    pilot: int | None = None
    wave: int = 0
    plain: bool = False
    campaign: str | None = None
    new_envelope: bool = False


def convert(
    bulk: Bulk, plan_digest: str, pilot: int | None = None, manner: Manner | None = None
) -> Converted:
    """Carry out a stored plan, or its first `pilot` people. Raises `PlanStale`, `PlanUnsafe`,
    `ConsentRefused`, `LedgerBusy`, and what the server or the ledger say.
    """
    manner = manner or Manner(pilot)
    if manner.plain:
        threads = min(bulk.limits.plain_threads, bulk.limits.threads)
        bulk = replace(bulk, limits=replace(bulk.limits, threads=threads))
    with bulk.ledger.lock("convert", bulk.actor, bulk.clock()):
        campaign, wanted = journaled(
            bulk, plan_digest, manner.campaign, new_envelope=manner.new_envelope
        )
        return _Conversion(bulk, campaign, wanted, Converted(campaign)).go(manner)


class _Conversion:
    """One `convert`, under the lock."""

    def __init__(self, bulk: Bulk, campaign: str, wanted: People, told: Converted) -> None:
        self._bulk = bulk
        self._campaign = campaign
        self._wanted = wanted
        self._told = told
        self._asked = self._mine = People()
        self._verify_email = False
        self._plain = False
        self._shortest = 0

    def go(self, manner: Manner) -> Converted:
        """All of it. Raises `Unauthorized` at the end where the token was lost on the way."""
        wait_for_calls_of_the_dead(self._bulk, self._campaign)
        config = self._bulk.server.config()
        email = config.get("EmailSettings", {})
        self._verify_email = bool(email.get("RequireEmailVerification"))
        self._shortest = int(config.get("PasswordSettings", {}).get("MinimumLength") or 0)
        self._plain = manner.plain
        self._hold_against_the_list()
        waiting = People(islice((row.user_id for row in self._waiting()), manner.pilot))
        tally = Tally()
        self._asked = waiting
        for wave in groups(waiting, manner.wave or max(1, len(waiting))):
            self._mine = People(wave)
            tally = self._carry_out(self._mine)
            if not tally.stopped:
                tally = self._look_again(tally)
            if tally.stopped:
                break
        self._conclude(tally)
        return self._told

    def _conclude(self, tally: Tally) -> None:
        told, ledger = self._told, self._bulk.ledger
        told.stopped = tally.stopped
        told.not_in_file = refresh_converted_file(self._bulk, self._campaign)
        told.counts = ledger.counts(self._campaign)
        told.moved = sum(row.user_id in self._asked for row in self._rows(RowState.CONVERTED))
        told.waiting = sum(1 for _ in self._waiting())
        if tally.fatal is not None:
            raise tally.fatal

    def _rows(self, *states: RowState) -> Iterator[Row]:
        return self._bulk.ledger.rows(self._campaign, *states)

    def _waiting(self) -> Iterator[Row]:
        return (row for row in self._rows(RowState.PLANNED) if row.user_id in self._wanted)

    def _hold_against_the_list(self) -> None:
        """Settle what a dead process left, and leave out who is not as planned any more."""
        accounts = look(self._bulk)
        settle_rows(self._bulk, self._campaign, accounts, *INTENTS)

        def held(row: Row) -> Change | None:
            account = accounts.get(row.user_id)
            moved_by_hand = read(row.binding, account) is Finding.EMAIL
            if not moved_by_hand and row.user_id in self._wanted:
                return self._skipped(row, recheck(_as_planned(row), account))
            # Who was moved by hand since the plan has to come back all the same: the row is open.
            return settled(self._bulk, row, account)

        for _ in change_each(self._bulk, self._campaign, held, RowState.PLANNED):
            pass

    def _skipped(self, row: Row, why: str | None) -> Change | None:
        if why is None:
            return None
        self._told.skipped.append((row.user_id, why))
        return self._bulk.step(row, Event.SKIP, why)

    def _skip(self, reason: Callable[[Row], str | None]) -> None:
        def skipped(row: Row) -> Change | None:
            return self._skipped(row, reason(row))

        for _ in change_each(self._bulk, self._campaign, skipped, RowState.PLANNED):
            pass

    def _carry_out(self, ids: People) -> Tally:
        """Convert these people, whose rows stand at `planned` or, for a repair, `converted`."""
        # The first are those of this command; who is tried again is among them.
        states = (RowState.PLANNED, RowState.CONVERTED)
        rows = (row for row in self._rows(*states) if row.user_id in ids)
        deed = Deed("convert", Event.CONVERT, self._set_password, self._follow_up, _ENDS)
        tally = carry_out(self._bulk, rows, deed, len(ids))
        self._told.problems += tally.problems
        # Whom the server refuses is still on SSO: out of the plan, with the server's reason.
        self._skip(lambda row: row.note if REFUSED in row.facts else None)
        return tally

    def _set_password(self, row: Row) -> None:
        server = self._bulk.server
        if self._plain:
            server.set_password(row.user_id, unknown_password(self._shortest))
        else:
            server.set_password_hash(row.user_id, hash_of_an_unknown_password())

    def _follow_up(self, row: Row) -> None:
        if self._verify_email:
            self._bulk.server.verify_email(row.user_id)

    def _look_again(self, tally: Tally) -> Tally:
        """Settle, look, finish and repair, until the list shows what the ledger says."""
        for _ in range(self._bulk.limits.attempts):
            again = self._undone(Event.CONVERT)
            if not again:
                return tally
            self._told.repaired += len(again)
            tally = self._carry_out(again)
            if tally.stopped:
                return tally
        self._undone(Event.FOUND_RETURNED)
        return tally

    def _undone(self, then: Event) -> People:
        """Whom the list shows on SSO though this command moved them. What becomes of them is
        `then`: to be converted again, or, after the last attempt, to be left there.
        """
        self._bulk.settle()
        accounts = look(self._bulk)
        settle_rows(self._bulk, self._campaign, accounts, *INTENTS)
        again = [row.user_id for row in self._waiting() if row.user_id in self._mine]
        unfinished = []
        for row in self._rows(RowState.CONVERTED):
            if row.user_id not in self._mine:
                continue
            if read(row.binding, accounts.get(row.user_id)) in _ON_SSO:
                again.append(row.user_id)
            elif FINISHED not in row.facts:
                unfinished.append(row)
        self._finish(unfinished)
        undone = People(again)
        if then is Event.FOUND_RETURNED:
            self._leave(undone)
        return undone

    def _finish(self, rows: Sequence[Row]) -> None:
        """The follow-up of people whose conversion was found done after a crash or a time-out."""
        for row in rows:
            try:
                self._follow_up(row)
            except MattermostError as error:
                self._told.problems.append((row.user_id, f"still to be finished: {error.detail}"))

    def _leave(self, ids: People) -> None:
        why = f"undone by concurrent updates {self._bulk.limits.attempts} times: still on SSO"

        def left(row: Row) -> Change | None:
            return self._bulk.step(row, Event.FOUND_RETURNED, why) if row.user_id in ids else None

        for changes in change_each(self._bulk, self._campaign, left, RowState.CONVERTED):
            self._told.problems += [(change.row.user_id, why) for change in changes]


_ENDS: Final = {
    Came.DONE: Event.CONVERT_DONE,
    Came.REFUSED: Event.UNTOUCHED,
    Came.DUPLICATE: Event.UNTOUCHED,
    Came.PUT_BACK: Event.UNTOUCHED,
}
_ON_SSO: Final = frozenset({Finding.BOUND, Finding.HIDDEN, Finding.REBOUND})


def _as_planned(row: Row) -> Planned:
    return Planned(row.user_id, "", row.binding, row.mfa_active)
