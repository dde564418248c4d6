"""An outage, measured from outside: people arrive at a steady pace while something breaks.

Everything runs on one machine, so its wall clock is that of the log, of the store and of the
people: times are differences of it.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support.processes import NotReadyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.sight import Sight, Switch

#: After the first login by the standby people go on to arrive for so long: workers may know a
#: switch a second later than others.
_AFTERWARDS_S = 1.2


class LoginLost(Exception):
    """A person did not get in; the message says where it ended."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One person's login: seconds of the wall clock, and who answered, or None and why not."""

    began: float
    ended: float
    by: str | None
    why: str = ""


@dataclass(slots=True)
class Arrivals:
    """People who arrive every `every_s` seconds, whether those before them are done or not.

    `visit` is one whole login on a new device: it gives the upstream that answered, or raises
    `LoginLost`.
    """

    visit: Callable[[], str]
    every_s: float
    visits: list[Visit] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list, init=False, repr=False)
    _over: threading.Event = field(default_factory=threading.Event, init=False, repr=False)

    @contextmanager
    def arriving(self) -> Iterator[None]:
        """People arrive while the block runs; at its end everybody is in, or lost."""
        self._over.clear()
        door = threading.Thread(target=self._let_arrive, daemon=True)
        door.start()
        try:
            yield
        finally:
            self._over.set()
            door.join()
            for thread in self._threads:
                thread.join()
            self._threads.clear()

    def first_by(self, name: str, since: float) -> float | None:
        """When the first person who began after `since` was let in by `name`."""
        ends = [one.ended for one in self.visits if one.by == name and one.began >= since]
        return min(ends, default=None)

    def _let_arrive(self) -> None:
        due = time.monotonic()
        while not self._over.is_set():
            thread = threading.Thread(target=self._arrive, daemon=True)
            self._threads.append(thread)
            thread.start()
            due += self.every_s
            self._over.wait(max(0.0, due - time.monotonic()))

    def _arrive(self) -> None:
        began = time.time()
        try:
            by, why = self.visit(), ""
        except LoginLost as lost:
            by, why = None, str(lost)
        self.visits.append(Visit(began, time.time(), by, why))


@dataclass(frozen=True, slots=True)
class Outage:
    """Seconds from the fault until the verdict DOWN, until the switch was written, and until the
    first person was in by the standby; who arrived from the fault on, and who of them was lost.
    """

    down_s: float
    switch_s: float
    login_s: float
    arrived: int
    lost: int
    wrong: tuple[Switch, ...]


def measure(
    sight: Sight,
    arrivals: Arrivals,
    fault: Callable[[], object],
    *,
    active: str,
    standby: str,
    within_s: float,
) -> Outage:
    """Let people arrive, cause the `fault` of the active, and wait until the standby lets them in.

    Raises `NotReadyError` when nobody is in by the standby within `within_s`.
    """
    before = len(sight.switches())
    with arrivals.arriving():
        time.sleep(2 * arrivals.every_s)
        broken = time.time()
        fault()
        first = _wait_for_first(arrivals, standby, broken, within_s)
        time.sleep(_AFTERWARDS_S)
    later = [one for one in arrivals.visits if one.ended >= broken]
    made = [one for one in sight.switches()[before:] if one.by_itself]
    return Outage(
        down_s=_first(sight, broken, event="verdict", upstream=active, verdict="down") - broken,
        switch_s=_first(sight, broken, event="switched", serving=standby) - broken,
        login_s=first - broken,
        arrived=len(later),
        lost=sum(one.by is None for one in later),
        wrong=tuple(made[1:] if made and made[0].target == standby else made),
    )


def _wait_for_first(arrivals: Arrivals, name: str, since: float, within_s: float) -> float:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        first = arrivals.first_by(name, since)
        if first is not None:
            return first
        time.sleep(0.01)
    ends = ", ".join(sorted({one.why or str(one.by) for one in arrivals.visits}))
    raise NotReadyError(f"nobody was let in by {name} within {within_s:g} s: {ends}")


def _first(sight: Sight, since: float, **wanted: Any) -> float:
    """When `serve` first logged this after `since`."""
    for at, event in sight.events(since):
        if wanted.items() <= event.items():
            return at
    raise AssertionError(f"never logged: {wanted}")
