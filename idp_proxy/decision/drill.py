"""A drill with real people: who of them goes to a standby, until when, and what ends it.

A drill never changes who serves. It leads the browsers of named people past the serving upstream,
and everything else of a standby's login holds for them. It ends by its time, by hand, by any
switch, and as soon as the serving upstream is suspected: no exercise goes on in an outage.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from idp_proxy.decision.health import Verdict
from idp_proxy.decision.switching import Departure, Left

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from idp_proxy.decision.switching import Grace, SwitchState

#: The longest that a drill may last, and the most people in it.
LONGEST: Final = timedelta(minutes=60)
MOST_PEOPLE: Final = 200


@dataclass(frozen=True, slots=True)
class Drill:
    """The one row about drills. `version` counts its changes, by which it is swapped.

    `people` are digests of lookup keys (`person_digest`). `serving` served when it began, `since`
    when that had begun to: whoever finds it otherwise knows that somebody switched.
    """

    id: str
    version: int
    upstream: str
    serving: str
    since: datetime
    started_at: datetime
    until: datetime
    people: frozenset[str]
    actor: str
    reason: str
    ended: Left | None = None
    why_ended: str = ""


def person_digest(lookup_key: str) -> str:
    """What a drill knows a person by: no name stands in its row, its cookies and its links."""
    return hashlib.sha256(lookup_key.encode("utf-8", "surrogatepass")).hexdigest()


def why_not_started(
    before: Drill | None,
    state: SwitchState,
    upstream: str,
    usable: Mapping[str, str | None],
    now: datetime,
) -> str | None:
    """Why no drill by `upstream` may begin now; None if it may. `usable` is in order of preference,
    each with None or the reason why it cannot serve.
    """
    if before is not None and end_of(before, state, now) is None:
        return f"a drill by {before.upstream} is going on until {before.until:%H:%M} UTC"
    active, *standbys = usable
    if upstream not in standbys:
        known = ", ".join(standbys) or "there is none"
        return f"{upstream} is no standby of {active}: {known}"
    if upstream == state.serving:
        return f"{upstream} is serving: everybody's login goes there already"
    if upstream in state.disabled:
        return f"{upstream} is disabled"
    if (why := usable[upstream]) is not None:
        return f"{upstream} cannot serve: {why}"
    return None


def end_of(drill: Drill, state: SwitchState, now: datetime) -> Left | None:
    """When and how the drill ended; None while it goes on."""
    ends = [] if drill.ended is None else [drill.ended]
    if (state.serving, state.since) != (drill.serving, drill.since):
        ends.append(state.left.get(drill.serving) or Left(state.since, Departure.PLANNED))
    if drill.until <= now:
        ends.append(Left(drill.until, Departure.PLANNED))
    return min(ends, key=lambda end: end.at, default=None)


def drill_route(
    drill: Drill | None, state: SwitchState, drill_id: str, person: str, now: datetime
) -> str | None:
    """Where somebody who joined is sent instead of the serving upstream; None: as everybody."""
    if drill is None or drill.id != drill_id or person not in drill.people:
        return None
    if end_of(drill, state, now) is not None or drill.upstream in state.disabled:
        return None
    return drill.upstream


def refuses_drill_answer(
    drill: Drill | None, state: SwitchState, drill_id: str, grace: Grace, now: datetime
) -> str | None:
    """Why an answer to a login of this drill is no longer taken; None if it is.

    What was under way when the drill ended counts as it would after a switch (FO-03).
    """
    if drill is None or drill.id != drill_id:
        return f"the drill {drill_id} is not known any more"
    if drill.upstream in state.disabled:
        return f"{drill.upstream} is disabled"
    end = end_of(drill, state, now)
    if end is None or drill.upstream == state.serving:
        return None
    allowed = grace.planned if end.how is Departure.PLANNED else grace.failover
    if now - end.at > allowed:
        return f"the drill {drill_id} ended {(now - end.at).total_seconds():.0f} s ago"
    return None


def stopped(drill: Drill, how: Departure, why: str, now: datetime) -> Drill:
    """The drill as it is once somebody or something ended it: it knows nobody any more."""
    return replace(
        drill,
        version=drill.version + 1,
        people=frozenset(),
        ended=Left(now, how),
        why_ended=why,
    )


def forgotten(drill: Drill, state: SwitchState, now: datetime) -> Drill | None:
    """The drill without its people, once it is over by its time or by a switch, which nobody
    stopped; None if there is nothing to forget.
    """
    if not drill.people or end_of(drill, state, now) is None:
        return None
    return replace(drill, version=drill.version + 1, people=frozenset())


def ends_a_drill(verdict: Verdict) -> bool:
    """Whether the fleet's verdict on the serving upstream ends a drill: an outage may begin."""
    return verdict in {Verdict.SUSPECT, Verdict.DOWN}
