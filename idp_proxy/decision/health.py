"""How an upstream is, as one observer sees it: a verdict from the outcomes of its probes in a row.

Only evidence counts that a failed authentication cannot make (FO-02): a canary that was REFUSED
moves nothing. `fleet` makes one verdict of what all hosts see.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime


class Verdict(enum.StrEnum):
    """What is thought of an upstream."""

    UNKNOWN = "unknown"
    UP = "up"
    SUSPECT = "suspect"
    DOWN = "down"


class Outcome(enum.StrEnum):
    """How one probe or canary ended. REFUSED: the upstream works, and said no (FO-02)."""

    PASSED = "passed"
    BROKEN = "broken"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """How many outcomes in a row change a verdict.

    `fall` failures ask for `confirm` more at once, on fresh connections; only when these fail too
    it is DOWN (FO-07). A day of noise therefore switches nothing, and an outage is seen no later.
    """

    suspect_after: int
    fall: int
    confirm: int
    rise: int

    @property
    def down_after(self) -> int:
        """Failures in a row that make it DOWN."""
        return self.fall + self.confirm


@dataclass(frozen=True, slots=True)
class Track:
    """What one observer has seen of one upstream: a verdict and the outcomes in a row behind it.

    `since` is when the verdict was reached, `at` the last outcome. `refused` has the reason while
    the last outcome was REFUSED.
    """

    verdict: Verdict = Verdict.UNKNOWN
    passes: int = 0
    failures: int = 0
    since: datetime | None = None
    at: datetime | None = None
    passed_at: datetime | None = None
    reason: str = "not probed yet"
    refused: str | None = None


def follow(
    track: Track, outcome: Outcome, reason: str, thresholds: Thresholds, now: datetime
) -> Track:
    """The track after one more outcome, seen at `now`."""
    if outcome is Outcome.REFUSED:
        return replace(track, at=now, reason=reason, refused=reason)
    passed = outcome is Outcome.PASSED
    passes, failures = (track.passes + 1, 0) if passed else (0, track.failures + 1)
    verdict = _next_verdict(track.verdict, passes, failures, thresholds)
    return Track(
        verdict=verdict,
        passes=passes,
        failures=failures,
        since=track.since if verdict is track.verdict and track.since else now,
        at=now,
        passed_at=now if passed else track.passed_at,
        reason=reason,
    )


def seen_since(track: Track, fallen: Track) -> bool:
    """Whether this one answered after the other one went DOWN. What was seen before says nothing
    about now: both may have died in the same moment, or the way to them.
    """
    if fallen.verdict is not Verdict.DOWN or fallen.since is None:
        return True
    return track.passed_at is not None and track.passed_at >= fallen.since


def _next_verdict(verdict: Verdict, passes: int, failures: int, thresholds: Thresholds) -> Verdict:
    if failures >= thresholds.down_after:
        return Verdict.DOWN
    if passes >= thresholds.rise:
        return Verdict.UP
    if verdict is Verdict.UP and failures >= thresholds.suspect_after:
        return Verdict.SUSPECT
    return verdict


@dataclass(frozen=True, slots=True)
class Cadence:
    """When an observer looks again. `jitter` is a share of the interval, to either side."""

    interval: timedelta
    in_transition: timedelta
    timeout: timedelta
    connect: timedelta
    jitter: float = 0.2


@dataclass(frozen=True, slots=True)
class NextProbe:
    """Look again after `delay` (counted from the begin of the last look), `count` times at once."""

    delay: timedelta
    count: int


def next_probe(track: Track, thresholds: Thresholds, cadence: Cadence, chance: float) -> NextProbe:
    """When and how often to look next; `chance` is a random number in [0, 1).

    What refuses works: there is no failure to confirm at once.
    """
    falling = thresholds.fall <= track.failures < thresholds.down_after
    if falling and track.refused is None:
        return NextProbe(timedelta(0), thresholds.down_after - track.failures)
    settled = (track.verdict is Verdict.UP and not track.failures) or (
        track.verdict is Verdict.DOWN and not track.passes
    )
    base = cadence.interval if settled else cadence.in_transition
    return NextProbe(base * (1 + cadence.jitter * (2 * chance - 1)), 1)


# --- what one host can see ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reference:
    """What a neutral address answered last, asked on the path of the upstream that it guards."""

    answered: bool
    reason: str
    at: datetime


def isolation(
    tracks: Mapping[str, Track],
    references: Mapping[str, Sequence[Reference]],
    refused_by_proxy: Mapping[str, str],
    *,
    configured: bool,
    fresh: timedelta,
    now: datetime,
) -> dict[str, str]:
    """The upstreams that this host has no way to see, each with the reason.

    `references` has, by upstream, what its neutral addresses answered; `configured` says whether
    there are any. `refused_by_proxy`: what the outbound proxy itself said to the last probe.
    """
    failing = {name for name, track in tracks.items() if track.failures}
    if not configured:
        found = {name: why for name, why in refused_by_proxy.items() if name in failing}
        if failing and failing == tracks.keys():
            why = "every upstream fails at once, and no neutral reference is configured"
            found = dict.fromkeys(failing, why) | found
        return found
    # An outbound proxy also refuses when the upstream is dead: the references, asked by the same
    # proxy, tell the two apart.
    found = {}
    for name in failing:
        recent = [one for one in references.get(name, ()) if now - one.at <= fresh]
        if not recent:
            found[name] = "no neutral reference was asked yet"
        elif not any(one.answered for one in recent):
            found[name] = f"the neutral references fail too: {recent[0].reason}"
    return found


# --- whose turn a canary is -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Canary:
    """A canary login of one population at one upstream, as the fleet knows it.

    `host` ran it last; `lease_until` is set while a host runs it.
    """

    upstream: str
    name: str
    track: Track = field(default_factory=Track)
    host: str | None = None
    lease_host: str | None = None
    lease_until: datetime | None = None


def may_run(
    canary: Canary,
    host: str,
    fresh_hosts: Iterable[str],
    now: datetime,
    *,
    interval: timedelta,
    retry: timedelta,
) -> bool:
    """Whether `host` may run this canary now, all hosts agreeing on who runs it.

    It is due after `interval`, or `retry` after a failure; then another host looks, if there is
    one, because the fault may be the first one's own.
    """
    if canary.lease_until is not None and now < canary.lease_until:
        return False
    track = canary.track
    if track.at is None:
        return True
    unsure = bool(track.failures) and track.verdict is not Verdict.DOWN
    # A time ahead is of a clock that jumped back: waiting for it could take for ever.
    if track.at <= now < track.at + (retry if unsure else interval):
        return False
    others = set(fresh_hosts) - {canary.host}
    return not (track.failures and canary.host == host and others)
