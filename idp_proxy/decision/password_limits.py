"""How many wrong passwords may be tried at a directory, by whom and from where. Pure (LDAP-04).

A directory locks an account after some failures. Two strikes below that we ask it nothing more for
this person, so that nobody can lock an account through us. Of these tries one half is kept for
where the person is at home: a source from which they logged in before, or a known network. Whoever
fails from elsewhere, from however many addresses, cannot use it up. The directory has one count for
both halves, and forgets it when the last failure of all is a window ago: so do we, and not earlier.

Each source has a budget of failures. Everything that is at home nowhere shares one more: one
password for a thousand people from a thousand addresses is a failure each, and stands out only
together. A try is taken before the directory is asked and given back when the password was right:
of many at once no more go through than one after another.
"""

from __future__ import annotations

import enum
import unicodedata
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

#: Below the directory's lockout, for what else fails with the same account: a phone, a mailbox.
SPARE: Final = 2
#: The fewest failures of a directory's lockout with which this can work.
LEAST_LOCKOUT: Final = 4
#: For how long a source is remembered from which somebody logged in.
AT_HOME_FOR: Final = timedelta(days=90)


class Scope(enum.StrEnum):
    """What a count is about; the value is for the log."""

    PERSON_AT_HOME = "person_at_home"
    PERSON_ELSEWHERE = "person_elsewhere"
    SOURCE = "source"
    NETWORK = "known_network"
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True)
class Budget:
    """At most so many failures. `drains`: they are forgiven evenly over the `window`; else all at
    once when the last one is a window ago, as directories count.
    """

    scope: Scope
    most: int
    window: timedelta
    drains: bool = True


@dataclass(frozen=True, slots=True)
class Count:
    """Failures so far, as of `at`."""

    failures: float
    at: datetime


@dataclass(frozen=True, slots=True)
class Exhausted:
    """No further try: this budget is used up."""

    scope: Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordLimits:
    """`lockout_after` and `lockout_window` are the directory's own; the rest is ours. `elsewhere`
    is for all sources together that nobody is at home at. By `late` the directory may count a
    failure later than we do: what reaching it may take, and the difference of clocks.
    """

    lockout_after: int = 10
    lockout_window: timedelta = timedelta(minutes=30)
    late: timedelta = timedelta(minutes=3)
    per_source: int = 20
    elsewhere: int = 200
    window: timedelta = timedelta(minutes=15)

    def of_person(self, *, at_home: bool) -> Budget:
        """For one person, from home or from everywhere else together."""
        whole = self.lockout_after - SPARE
        half = whole // 2
        scope = Scope.PERSON_AT_HOME if at_home else Scope.PERSON_ELSEWHERE
        most = whole - half if at_home else half
        return Budget(scope, most, self.kept, drains=False)

    @property
    def kept(self) -> timedelta:
        """How long a person's failures count: until the directory has surely forgotten them."""
        return self.lockout_window + self.late

    def of_source(self) -> Budget:
        """For one address (IPv4) or one site (IPv6 /64)."""
        return Budget(Scope.SOURCE, self.per_source, self.window)

    def of_network(self, failures: int) -> Budget:
        """For a known network as a whole."""
        return Budget(Scope.NETWORK, failures, self.window)

    def of_elsewhere(self) -> Budget:
        """For everything that is at home nowhere."""
        return Budget(Scope.ELSEWHERE, self.elsewhere, self.window)


def spelled(typed: str) -> str:
    """One name for what a directory may take for one: by case, width and blanks they do not tell
    names apart. For people whom it does not have.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", typed).casefold())
    return " ".join(folded.split())


def standing(budget: Budget, count: Count | None, now: datetime) -> float:
    """The failures that still count. A clock that went back forgives nothing."""
    if count is None:
        return 0.0
    passed = max(now - count.at, timedelta(0))
    if passed >= budget.window:
        return 0.0
    if not budget.drains:
        return count.failures
    return max(0.0, count.failures - budget.most * (passed / budget.window))


def allows(budget: Budget, count: Count | None, now: datetime) -> bool:
    """Whether one more try may fail."""
    return standing(budget, count, now) + 1 <= budget.most


def taken(
    budgets: Mapping[bytes, Budget], counts: Mapping[bytes, Count], now: datetime
) -> dict[bytes, Count] | Exhausted:
    """A try taken from every budget at once, or from none."""
    for key, budget in budgets.items():
        if not allows(budget, counts.get(key), now):
            return Exhausted(budget.scope)
    return {
        key: Count(standing(budget, counts.get(key), now) + 1, _latest(counts.get(key), now))
        for key, budget in budgets.items()
    }


def given_back(
    budgets: Mapping[bytes, Budget], counts: Mapping[bytes, Count], now: datetime
) -> dict[bytes, Count]:
    """A try that did not fail; `counts` are those of now, others may have tried meanwhile."""
    found = {}
    for key, budget in budgets.items():
        known = counts.get(key)
        if known is not None:
            at = _latest(known, now) if budget.drains else known.at
            found[key] = Count(max(0.0, standing(budget, known, now) - 1), at)
    return found


def of_one_account(
    counts: Mapping[bytes, Count], keys: Sequence[bytes], kept: timedelta, now: datetime
) -> dict[bytes, Count]:
    """A person's counts, from home and from elsewhere, as the directory counts: all of them since
    the last failure, wherever that was. Each for itself would be forgiven while the directory's
    own goes on, and the halves would add up to more than its lockout.
    """
    last = max((counts[key].at for key in keys if counts[key].failures > 0), default=now)
    if now - last >= kept:
        return {key: Count(0.0, now) for key in keys}
    return {key: Count(counts[key].failures, last) for key in keys}


def cleared(taken: Mapping[bytes, Count], counts: Mapping[bytes, Count]) -> dict[bytes, Count]:
    """What the directory does on a right password: it counts from nothing again. What others tried
    since it was `taken` may have come behind it, and still counts.
    """
    return {
        key: Count(max(0.0, counts[key].failures - before.failures), counts[key].at)
        for key, before in taken.items()
    }


def _latest(known: Count | None, now: datetime) -> datetime:
    return now if known is None else max(known.at, now)
