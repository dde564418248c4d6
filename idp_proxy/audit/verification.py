"""Whether chains are what was written: pure, one pass, memory for chains and not for rows.

What is found: a row altered in any field, missing, out of its order, put in; a chain that starts
late without a signed checkpoint; an end that was cut off, as far as a checkpoint, the head row or
a joining row remembers it; a history rewritten after a checkpoint; spool chains that were lost.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from idp_proxy.audit.chain import SPOOL_JOINED, SPOOL_OPENED, Head, digest_of, host_of, start

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from datetime import datetime

    from idp_proxy.audit.chain import Row
    from idp_proxy.audit.checkpoint import Checkpoint


class Why(enum.Enum):
    """What is wrong with the first broken row."""

    ALTERED = "altered"
    MISSING = "missing"
    ORDER = "out of order"
    CUT_TAIL = "the end was cut off"
    UNKNOWN_START = "starts late without a signed checkpoint"
    UNJOINED = "a spool chain that was never joined"


@dataclass(frozen=True, slots=True)
class Break:
    """The first row that is not what was written: the number it has, or should have."""

    chain: str
    seq: int
    why: Why
    detail: str

    def __str__(self) -> str:
        return f"{self.chain} row {self.seq}: {self.why.value} ({self.detail})"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found. `unjoined` names spool chains that still wait for their merge."""

    rows: int
    chains: tuple[str, ...]
    checkpoints: int
    unjoined: tuple[str, ...] = ()
    broken: Break | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing was altered, lost or put in."""
        return self.broken is None


class _BrokenError(Exception):
    def __init__(self, chain: str, seq: int, why: Why, detail: str) -> None:
        super().__init__(detail)
        self.found = Break(chain, seq, why, detail)


@dataclass(slots=True)
class _Claim:
    """Somebody remembers that a chain had this row."""

    head: Head
    by: str


@dataclass(slots=True)
class _Spool:
    opened_at: datetime
    end: Head


@dataclass(slots=True)
class _State:
    anchors: frozenset[Head]
    ends: dict[str, int] | None
    claims: dict[str, dict[int, list[_Claim]]] = field(default_factory=dict)
    spools: dict[str, _Spool] = field(default_factory=dict)
    joined: set[str] = field(default_factory=set)
    chains: list[str] = field(default_factory=list)
    rows: int = 0

    def claim(self, head: Head, by: str) -> None:
        self.claims.setdefault(head.chain, {}).setdefault(head.seq, []).append(_Claim(head, by))


def verify(
    rows: Iterable[Row],
    checkpoints: Iterable[Checkpoint] = (),
    heads: Iterable[Head] | None = None,
    elsewhere: Collection[str] = (),
) -> Verdict:
    """Check every row of every chain and name the first that is broken.

    `rows` come chain by chain, a host's spool chains before its main chain, each chain in order.
    `checkpoints` have been verified against the audit's key; `heads` are the ends that the log
    itself remembers, one for each chain, of the same moment as `rows`. `elsewhere` names chains
    that are kept in another database, such as the main chain of a host whose spool this is.
    """
    signed = tuple(checkpoints)
    ends = None if heads is None else tuple(heads)
    state = _State(
        anchors=frozenset(checkpoint.head for checkpoint in signed),
        ends=None if ends is None else {head.chain: head.seq for head in ends},
    )
    for checkpoint in signed:
        state.claim(checkpoint.head, "a signed checkpoint")
    for head in ends or ():
        if head.seq:
            state.claim(head, "the log's own head row")
    broken: Break | None = None
    try:
        for chain, group in groupby(rows, key=lambda row: row.chain):
            _check_chain(state, chain, group)
        _check_unseen(state, elsewhere)
        _check_joins(state, elsewhere)
    except _BrokenError as error:
        broken = error.found
    waiting = tuple(sorted(state.spools.keys() - state.joined))
    return Verdict(state.rows, tuple(state.chains), len(signed), waiting, broken)


def _check_chain(state: _State, chain: str, rows: Iterator[Row]) -> None:
    """Every row of one chain, then what others remember of it."""
    if chain in state.chains:
        row = next(rows)
        raise _BrokenError(chain, row.seq, Why.ORDER, "stands apart from the rest of its chain")
    state.chains.append(chain)
    first = next(rows)
    head = _entry(state, first)
    claims = state.claims.get(chain, {})
    _check_row(head, first, rows)
    _check_opening(state, first)
    row = first
    while True:
        head = row.head
        state.rows += 1
        _check_claims(head, claims.get(row.seq, ()))
        if row.kind == SPOOL_JOINED:
            _check_joined(state, row)
        following = next(rows, None)
        if following is None:
            break
        row = following
        _check_row(head, row, rows)
    _check_tail(head, claims)
    _check_end(state, head)
    if host_of(chain) is not None:
        state.spools[chain] = _Spool(first.at, head)


def _entry(state: _State, first: Row) -> Head:
    """The head before the first row: the start, or a signed checkpoint of what was pruned."""
    if first.seq == 1:
        return start(first.chain)
    before = Head(first.chain, first.seq - 1, first.previous)
    if before not in state.anchors:
        detail = f"no signed checkpoint vouches for row {first.seq - 1} of a pruned chain"
        raise _BrokenError(first.chain, first.seq, Why.UNKNOWN_START, detail)
    return before


def _check_row(head: Head, row: Row, rest: Iterator[Row]) -> None:
    """Whether `row` is the one after `head`, as it was written."""
    expected = head.seq + 1
    if row.seq > expected:
        later = any(other.seq == expected for other in rest)
        why = Why.ORDER if later else Why.MISSING
        raise _BrokenError(head.chain, expected, why, f"row {row.seq} stands in its place")
    if row.seq < expected:
        detail = f"a row numbered {row.seq} stands in its place"
        raise _BrokenError(head.chain, expected, Why.ORDER, detail)
    if row.previous != head.digest:
        raise _BrokenError(row.chain, row.seq, Why.ALTERED, "does not follow the row before it")
    try:
        intact = digest_of(row) == row.digest
    except ValueError:
        intact = False
    if not intact:
        raise _BrokenError(row.chain, row.seq, Why.ALTERED, "its digest does not fit its content")


def _check_opening(state: _State, first: Row) -> None:
    """A spool chain starts with what its host had last seen of the main chain."""
    host = host_of(first.chain)
    if host is None:
        return
    if first.kind != SPOOL_OPENED:
        raise _BrokenError(first.chain, first.seq, Why.ALTERED, "the chain has no opening row")
    known = _named(first, host, "after_seq", "after_digest")
    if known.seq:
        state.claim(known, f"the opening row of {first.chain}")


def _named(row: Row, chain: str | None, number: str, digest: str) -> Head:
    """The end of a chain that the facts of `row` name; a forger may have written nonsense."""
    try:
        facts = row.facts
        return Head(chain or str(facts["spool"]), int(str(facts[number])), str(facts[digest]))
    except (KeyError, TypeError, ValueError):
        detail = f"a {row.kind} row without its facts"
        raise _BrokenError(row.chain, row.seq, Why.ALTERED, detail) from None


def _check_claims(head: Head, claims: Iterable[_Claim]) -> None:
    for claim in claims:
        if claim.head.digest != head.digest:
            detail = f"{claim.by} remembers another digest"
            raise _BrokenError(head.chain, head.seq, Why.ALTERED, detail)


def _check_tail(head: Head, claims: dict[int, list[_Claim]]) -> None:
    """Nobody remembers a row behind the last one."""
    beyond = max(claims, default=0)
    if beyond > head.seq:
        detail = f"{claims[beyond][0].by} remembers row {beyond}"
        raise _BrokenError(head.chain, head.seq + 1, Why.CUT_TAIL, detail)


def _check_end(state: _State, head: Head) -> None:
    """The log itself knows of every row there is."""
    if state.ends is None:
        return
    end = state.ends.get(head.chain, 0)
    if end < head.seq:
        detail = f"the log's own head row ends the chain at {end}"
        raise _BrokenError(head.chain, end + 1, Why.ORDER, detail)


def _check_joined(state: _State, row: Row) -> None:
    """The spool chain that a joining row names is there, whole, and ends as the row says."""
    end = _named(row, None, "rows", "digest")
    spool = state.spools.get(end.chain)
    if spool is None:
        detail = f"row {row.seq} of {row.chain} joins this chain, and it is not there"
        raise _BrokenError(end.chain, 1, Why.MISSING, detail)
    if spool.end.seq < end.seq:
        detail = f"row {row.seq} of {row.chain} joins {end.seq} rows"
        raise _BrokenError(end.chain, spool.end.seq + 1, Why.CUT_TAIL, detail)
    if spool.end != end:
        detail = f"row {row.seq} of {row.chain} joins another end"
        raise _BrokenError(end.chain, end.seq, Why.ALTERED, detail)
    state.joined.add(end.chain)


def _check_unseen(state: _State, elsewhere: Collection[str]) -> None:
    """A chain that somebody remembers is there at all."""
    for chain in sorted(state.claims.keys() - set(state.chains) - set(elsewhere)):
        claims = state.claims[chain]
        by = claims[max(claims)][0].by
        raise _BrokenError(chain, 1, Why.MISSING, f"{by} remembers this chain, and it is gone")


def _check_joins(state: _State, elsewhere: Collection[str]) -> None:
    """Of each host only the newest spool chain may still wait for its joining row."""
    newest: dict[str | None, str] = {}
    for chain in sorted(state.spools, key=lambda name: (state.spools[name].opened_at, name)):
        newest[host_of(chain)] = chain
    for chain in sorted(state.spools.keys() - state.joined - set(newest.values())):
        if host_of(chain) in elsewhere:
            continue
        detail = f"{newest[host_of(chain)]} is newer"
        raise _BrokenError(chain, state.spools[chain].end.seq, Why.UNJOINED, detail)
