"""What happened in an outage, out of the audit: who served when and why, who got in, who acted.

People are counted by their pseudonyms and never named; whoever acted is named as the audit does.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

#: Counted, and not told one by one.
_LOGIN: Final = "login"
_REFUSED: Final = "login_refused"
#: Who does what nobody does by hand.
_ITSELF: Final = "idp-proxy"


@dataclass(frozen=True, slots=True)
class Happened:
    """A row of the audit. `person` is a pseudonym."""

    at: datetime
    kind: str
    actor: str
    person: str | None
    facts: Mapping[str, Any]

    @property
    def moves(self) -> tuple[str, str] | None:
        """From which upstream to which one logins were led, if they were."""
        came, went = self.facts.get("from"), self.facts.get("to")
        return (came, went) if isinstance(came, str) and isinstance(went, str) else None


@dataclass(frozen=True, slots=True)
class Stretch:
    """For how long an upstream served within the period, and why it began to: `cause` and `actor`
    are "" where that was before.
    """

    upstream: str
    begin: datetime
    end: datetime
    cause: str = ""
    actor: str = ""


@dataclass(frozen=True, slots=True)
class Logins:
    """What an upstream's word led to: logins that were let in, of how many people, and refusals by
    their reason.
    """

    upstream: str
    let_in: int
    people: int
    refused: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Incident:
    """A period as the audit has it. `events` is what somebody did or the watch decided, in order of
    time; `counted` is what else people met beside a login, such as a wrong code, by kind.
    """

    begin: datetime
    end: datetime
    stretches: tuple[Stretch, ...]
    logins: tuple[Logins, ...]
    counted: Mapping[str, int]
    events: tuple[Happened, ...]


@dataclass(slots=True)
class _Counts:
    let_in: int = 0
    people: set[str] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)


def incident(rows: Iterable[Happened], begin: datetime, end: datetime, serving: str) -> Incident:
    """The period from `begin` to before `end`. `rows` are all of it, in any order, and may be more
    than that; `serving` is who serves now, for a time in which nothing moved logins.

    Memory is for what is told and a pseudonym a person, not for every login.
    """
    counts: dict[str, _Counts] = defaultdict(_Counts)
    counted: Counter[str] = Counter()
    events, moves = [], []
    for row in rows:
        if row.moves is not None:
            moves.append(row)
        if not begin <= row.at < end:
            continue
        if row.kind in {_LOGIN, _REFUSED}:
            _count(counts[str(row.facts.get("upstream", ""))], row)
        elif row.person is not None and row.actor == _ITSELF:
            counted[row.kind] += 1
        else:
            events.append(row)
    return Incident(
        begin,
        end,
        tuple(_stretches(sorted(moves, key=_when), begin, end, serving)),
        tuple(_logins(name, counts[name]) for name in sorted(counts)),
        dict(sorted(counted.items())),
        tuple(sorted(events, key=_when)),
    )


def _count(counts: _Counts, row: Happened) -> None:
    if row.kind == _REFUSED:
        counts.refused[str(row.facts.get("reason") or "unknown")] += 1
        return
    counts.let_in += 1
    if row.person is not None:
        counts.people.add(row.person)


def _logins(name: str, counts: _Counts) -> Logins:
    by_frequency = dict(counts.refused.most_common())
    return Logins(name, counts.let_in, len(counts.people), by_frequency)


def _stretches(
    moves: list[Happened], begin: datetime, end: datetime, serving: str
) -> Iterable[Stretch]:
    """Who served at the begin is whom the last move before it led to, else whom the first one
    after it came from.
    """
    upstream, since, cause, actor = _first(moves, begin, serving), begin, "", ""
    for row in moves:
        if row.moves is None or not begin <= row.at < end or row.moves[1] == upstream:
            continue
        yield Stretch(upstream, since, row.at, cause, actor)
        upstream, since = row.moves[1], row.at
        cause, actor = str(row.facts.get("cause") or ""), row.actor
    yield Stretch(upstream, since, end, cause, actor)


def _first(moves: list[Happened], begin: datetime, serving: str) -> str:
    before = [row.moves[1] for row in moves if row.moves is not None and row.at < begin]
    after = [row.moves[0] for row in moves if row.moves is not None and row.at >= begin]
    return (*before[-1:], *after, serving)[0]


def _when(row: Happened) -> tuple[datetime, int]:
    """Of two hosts' rows of one moment, the earlier epoch is the earlier one."""
    epoch = row.facts.get("epoch")
    return row.at, epoch if isinstance(epoch, int) else 0
