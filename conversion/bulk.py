"""How a bulk command goes through people: intents on disk, then calls, then what came of them.

People go in groups. While the calls of one group run, the results of the group before it and the
intents of the group behind it are committed together, so that one fsync serves all and none waits
for the network. Calls are made by threads; the ledger is used by the caller's thread alone.
"""

from __future__ import annotations

import enum
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from time import sleep
from typing import TYPE_CHECKING, Final, TypeVar

from conversion.decision.lifecycle import Event, RowState, advance
from conversion.errors import (
    DuplicateBinding,
    LedgerConflict,
    MattermostError,
    NotFound,
    RateLimited,
    Rejected,
    Unauthorized,
)
from conversion.ledger.base import LEFT_BY, MOVED, Change
from idp_proxy.audit.chain import Event as AuditEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from conversion.converted_file import ConvertedFile
    from conversion.ledger.base import Ledger, Row
    from conversion.mattermost.version import Capabilities
    from conversion.server import Server

T = TypeVar("T")

#: Whoever leaves a row in one of these knows most about it, and a report names them.
_EXCEPTIONS: Final = frozenset(
    {RowState.CONFLICT, RowState.FAILED, RowState.SKIPPED, RowState.WITHDRAWN, RowState.WRITTEN_OFF}
)
#: Below so many calls the error budget counts as if there had been so many.
FEWEST: Final = 20


def _now() -> datetime:
    return datetime.now(UTC)


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Limits:
    """How careful a command is. `attempts` bounds how often one person is converted or returned
    anew after a lost update; `group` is how many people one commit announces; `plain_threads` are
    the calls at once where the server hashes: more than it has cores only add to everybody's
    waiting, and every login waits with them (facts of the API, section 6).
    """

    threads: int = 8
    plain_threads: int = 2
    group: int = 256
    error_budget_percent: float = 5.0
    settle_delay: timedelta = timedelta(seconds=5)
    attempts: int = 5


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a command is: `done` of `total` people, `failed` of them in vain."""

    command: str
    done: int
    failed: int
    total: int


def _silent(_progress: Progress) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Bulk:
    """What every bulk command works with. `stop` is asked between people and may be set by a
    signal; `actor` stands in the audit.
    """

    server: Server
    capabilities: Capabilities
    ledger: Ledger
    actor: str
    limits: Limits = field(default_factory=Limits)
    converted: ConvertedFile | None = None
    clock: Callable[[], datetime] = _now
    sleep: Callable[[float], None] = sleep
    stop: Callable[[], bool] = _never
    tell: Callable[[Progress], None] = _silent

    def settle(self) -> None:
        """Let what is under way at the server come to its end, before it is asked."""
        self.sleep(self.limits.settle_delay.total_seconds())

    def step(
        self, row: Row, event: Event, note: str = "", facts: Mapping[str, str] | None = None
    ) -> Change:
        """The change of `row` by `event`. Raises `LedgerConflict` where the table knows no way."""
        to = advance(row.state, event)
        if to is None:
            raise LedgerConflict(
                f"{row.user_id}: {event.name} leads nowhere from {row.state.value}"
            )
        now = self.clock()
        kept = row.facts if facts is None else facts
        changed = replace(
            row,
            state=to,
            version=row.version + 1,
            updated_at=now,
            note=note,
            facts={**kept, LEFT_BY: self.actor} if to in _EXCEPTIONS else kept,
        )
        told = {"campaign": row.campaign, "was": row.state.value, "cause": event.name.lower()}
        return Change(
            changed, row.state, AuditEvent(f"row_{to.value}", self.actor, now, row.user_id, told)
        )


class Came(enum.Enum):
    """What came of one call."""

    DONE = "the server said yes"
    DUPLICATE = "another account holds the binding"
    REFUSED = "the server refused, and will again"
    PUT_BACK = "nothing was sent, or it was turned away before anything was done"
    UNKNOWN = "nobody knows: the server must be asked"


def _nothing(_row: Row) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Deed:
    """What a command does to one person. `act` is the call that the intent announces, `follow_up`
    what must come after it; `ends` says which event each outcome is, none for UNKNOWN. `learnt` has
    the facts that the calls brought to light, for the row.
    """

    name: str
    intent: Event
    act: Callable[[Row], None]
    follow_up: Callable[[Row], None]
    ends: Mapping[Came, Event]
    marks: Mapping[str, str] = field(default_factory=dict)
    learnt: Callable[[Row], Mapping[str, str]] = _nothing


@dataclass(frozen=True, slots=True)
class Ended:
    """One person, after the calls. `finished` means that the follow-up is done too."""

    row: Row
    came: Came
    note: str = ""
    finished: bool = False


@dataclass(slots=True)
class Tally:
    """How a command went. `stopped` says why it ended before its last person."""

    total: int = 0
    done: int = 0
    failed: int = 0
    stopped: str = ""
    fatal: MattermostError | None = None
    problems: list[tuple[str, str]] = field(default_factory=list)

    @property
    def called(self) -> int:
        """How many people were tried."""
        return self.done + self.failed


#: A fact of a row: all calls of its deed were made, the follow-up among them.
FINISHED: Final = "finished"
#: A fact of a row: the server refused the last deed.
REFUSED: Final = "refused"


def carry_out(bulk: Bulk, rows: Iterable[Row], deed: Deed, total: int) -> Tally:
    """Do `deed` to all `rows`, of which there are `total`, as long as nothing speaks against it.

    Whoever was announced and not reached is put back; whoever's outcome is unknown keeps the
    intent. Raises `LedgerError`, after the calls that were under way have ended.
    """
    run = _Run(bulk, deed, total)
    with ThreadPoolExecutor(max_workers=bulk.limits.threads) as pool:
        try:
            run.go(pool, groups(rows, bulk.limits.group))
        finally:
            run.halt.set()
    return run.tally


def groups(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """`items` in lists of at most `size`."""
    iterator = iter(items)
    while group := list(islice(iterator, size)):
        yield group


class _Run:
    """One `carry_out`."""

    def __init__(self, bulk: Bulk, deed: Deed, total: int) -> None:
        self.halt = threading.Event()
        self.tally = Tally(total=total)
        self._bulk = bulk
        self._deed = deed

    def go(self, pool: ThreadPoolExecutor, waiting: Iterator[list[Row]]) -> None:
        """All groups, one after the other, each committed ahead of its calls."""
        ended: list[Ended] = []
        current = self._commit(ended, self._next(waiting))
        while current:
            calls = [pool.submit(self._one, row) for row in current]
            upcoming = self._commit(ended, self._next(waiting))
            ended = [self._counted(call) for call in calls]
            current = upcoming
        self._commit(ended, ())

    def _next(self, waiting: Iterator[list[Row]]) -> Sequence[Row]:
        return () if self._is_over() else next(waiting, ())

    def _is_over(self) -> bool:
        if not self.halt.is_set() and self._bulk.stop():
            self._stop("asked to stop")
        return self.halt.is_set()

    def _stop(self, why: str) -> None:
        self.tally.stopped = self.tally.stopped or why
        self.halt.set()

    def _commit(self, ended: Sequence[Ended], rows: Sequence[Row]) -> list[Row]:
        """Results and intents in one go; gives the rows whose intent is on disk."""
        deed, bulk = self._deed, self._bulk
        results = [change for one in ended if (change := self._result(one)) is not None]
        intents = [bulk.step(row, deed.intent, deed.name, begun(row, deed)) for row in rows]
        changes = [*results, *intents]
        lost = {row.user_id for row in bulk.ledger.commit(changes)} if changes else set()
        self.tally.problems += [(user_id, "somebody else changed the row") for user_id in lost]
        return [change.row for change in intents if change.row.user_id not in lost]

    def _result(self, one: Ended) -> Change | None:
        event = self._deed.ends.get(one.came)
        if event is None:
            return None
        facts = {**one.row.facts, **self._deed.learnt(one.row)}
        if one.finished:
            facts[FINISHED] = "yes"
        if one.came is Came.REFUSED:
            facts[REFUSED] = "yes"
        if one.came is Came.DONE:
            facts.setdefault(MOVED, self._bulk.clock().isoformat())
        return self._bulk.step(one.row, event, one.note, facts)

    def _one(self, row: Row) -> Ended:
        """In a thread: the calls for one person."""
        if self._is_over():
            return Ended(row, Came.PUT_BACK, "stopped before this person")
        try:
            self._deed.act(row)
        except MattermostError as error:
            return self._failed(row, error)
        try:
            self._deed.follow_up(row)
        except MattermostError as error:
            self._note_fatal(error)
            return Ended(row, Came.DONE, f"still to be finished: {error.detail}")
        return Ended(row, Came.DONE, "", finished=True)

    def _failed(self, row: Row, error: MattermostError) -> Ended:
        self._note_fatal(error)
        return Ended(row, outcome(error), error.detail)

    def _note_fatal(self, error: MattermostError) -> None:
        if isinstance(error, Unauthorized):
            self.tally.fatal = error
            self._stop("the server does not accept the token any more")

    def _counted(self, call: Future[Ended]) -> Ended:
        """In the caller's thread: the tally, the error budget, the progress."""
        one = call.result()
        if one.came is not Came.PUT_BACK or not self.halt.is_set():
            good = one.came is Came.DONE
            self.tally.done += good
            self.tally.failed += not good
        if one.note and one.came is not Came.PUT_BACK:
            self.tally.problems.append((one.row.user_id, one.note))
        tally, allowed = self.tally, self._bulk.limits.error_budget_percent
        if tally.failed * 100 > allowed * max(tally.called, FEWEST):
            self._stop(f"{tally.failed} of {tally.called} failed, more than {allowed:g} %")
        self._bulk.tell(Progress(self._deed.name, tally.called, tally.failed, tally.total))
        return one


def begun(row: Row, deed: Deed) -> dict[str, str]:
    """The facts of a row whose deed begins: how an earlier one ended does not count."""
    kept = {name: row.facts[name] for name in row.facts if name not in {FINISHED, REFUSED}}
    return {**kept, **deed.marks}


def outcome(error: MattermostError) -> Came:
    """What the error of the announced call means for the row."""
    if isinstance(error, DuplicateBinding):
        return Came.DUPLICATE
    if isinstance(error, Rejected | NotFound):
        return Came.REFUSED
    # A 429 is given before anything is done. A 401 is too, but not every proxy's 403.
    return Came.PUT_BACK if isinstance(error, RateLimited) else Came.UNKNOWN
