"""What all hosts together think of each upstream.

Each host publishes what it sees; the majority of the hosts heard of late has the say. Who cannot
see the network at all (ISOLATED) has no vote about anybody.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from idp_proxy.decision.health import Track, Verdict, seen_since
from idp_proxy.decision.membership import Membership

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from idp_proxy.decision.health import Canary


@dataclass(frozen=True, slots=True)
class HostReport:
    """What a host publishes at every turn. `at` is the store's clock when it was written.

    `isolated` has the upstreams it cannot see, with the reason; `reference_answers` says whether
    any neutral reference answered it of late; `member` what the host is made of; `barred` what its
    own files have against an upstream, in the eyes of the review.
    """

    host: str
    at: datetime
    tracks: Mapping[str, Track]
    isolated: Mapping[str, str] = field(default_factory=dict)
    reference_answers: bool = False
    member: Membership = field(default_factory=Membership)
    barred: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Health:
    """The fleet's verdict on one upstream.

    `up_since` is when the last of the voters came to think so; `canary_passed_at` is the oldest of
    the canaries' last successes, None without a canary or while one has none; `refused` has what
    each REFUSED canary was told, `probe_refused` what a voter's own probe was told last.
    `unseen_since` names the upstreams since whose fall most voters have not seen this one answer.
    `coming_back`: the voters think it DOWN, and most of them saw it answer last.
    """

    name: str
    verdict: Verdict
    reasons: tuple[str, ...]
    up_since: datetime | None = None
    has_canary: bool = False
    canary_passed_at: datetime | None = None
    refused: tuple[str, ...] = ()
    probe_refused: str | None = None
    failures: int = 0
    unseen_since: frozenset[str] = frozenset()
    coming_back: bool = False


@dataclass(frozen=True, slots=True)
class Fleet:
    """All hosts' sight. `isolated`, by upstream: no host that is fresh can see it."""

    health: Mapping[str, Health]
    isolated: Mapping[str, str]
    seen: tuple[str, ...]
    registered: int
    reference_answers: bool

    @property
    def few(self) -> bool:
        """Fewer than half of the registered hosts are fresh: they may be the part cut off."""
        return 2 * len(self.seen) < self.registered


def barred_elsewhere(reports: Iterable[HostReport], host: str) -> Mapping[str, tuple[str, ...]]:
    """By upstream, what the other hosts have against it: whoever switches there takes them along,
    and their files may differ from this host's.
    """
    found: dict[str, tuple[str, ...]] = {}
    for one in reports:
        for name, reasons in one.barred.items() if one.host != host else ():
            found[name] = (*found.get(name, ()), *(f"on {one.host}: {why}" for why in reasons))
    return found


#: A report from the future by more than this is of another clock, and counts for nothing.
_CLOCK_TOLERANCE: Final = timedelta(seconds=5)


def judge_fleet(
    names: Sequence[str],
    reports: Iterable[HostReport],
    canaries: Iterable[Canary],
    fresh: timedelta,
    now: datetime,
) -> Fleet:
    """What all hosts together think of each upstream, `now` by the store's clock.

    The majority of the hosts that were heard within `fresh` and are not isolated has the say. A
    canary is one observation for the whole fleet: its DOWN is the upstream's.
    """
    registered = tuple(reports)
    heard = [one for one in registered if -_CLOCK_TOLERANCE <= now - one.at <= fresh]
    known = tuple(canaries)
    health, isolated = {}, {}
    for name in names:
        voters = [one for one in heard if name not in one.isolated]
        if heard and not voters:
            isolated[name] = next(one.isolated[name] for one in heard)
        own = [canary for canary in known if canary.upstream == name]
        judged = _judge(name, [one.tracks.get(name, Track()) for one in voters], own)
        health[name] = replace(judged, unseen_since=_unseen_since(name, names, voters))
    return Fleet(
        health=health,
        isolated=isolated,
        seen=tuple(one.host for one in heard),
        registered=len(registered),
        reference_answers=any(one.reference_answers for one in heard),
    )


def _judge(name: str, tracks: Sequence[Track], canaries: Sequence[Canary]) -> Health:
    voted, reasons = _vote(tracks)
    verdict = voted
    for canary in canaries:
        track = canary.track
        if track.passed_at is not None and track.verdict in {Verdict.DOWN, Verdict.SUSPECT}:
            reasons = (*reasons, f"canary {canary.name}: {track.reason}")
            verdict = _worse(verdict, track.verdict)
    passed = [canary.track.passed_at for canary in canaries]
    since = [track.since for track in (*tracks, *(one.track for one in canaries))]
    return Health(
        name=name,
        verdict=verdict,
        reasons=reasons,
        up_since=max(filter(None, since), default=None) if verdict is Verdict.UP else None,
        has_canary=bool(canaries),
        canary_passed_at=min(filter(None, passed), default=None) if all(passed) else None,
        refused=tuple(why for one in canaries if (why := _counts_for_nothing(one)) is not None),
        probe_refused=next((track.refused for track in tracks if track.refused), None),
        failures=max((track.failures for track in tracks), default=0),
        coming_back=(
            voted is Verdict.DOWN and 2 * sum(not one.failures for one in tracks) > len(tracks)
        ),
    )


def _counts_for_nothing(canary: Canary) -> str | None:
    """Why a canary that did not pass says nothing about its upstream; None if it passed or counts.

    One that never passed may be wrongly set up, which must not take the upstream away from people.
    """
    track = canary.track
    if track.refused:
        return f"canary {canary.name}: {track.refused}"
    if track.failures and track.passed_at is None:
        return f"canary {canary.name} never passed, so it counts for nothing yet: {track.reason}"
    return None


def _unseen_since(name: str, names: Sequence[str], voters: Sequence[HostReport]) -> frozenset[str]:
    """Each host compares by its own clock what it saw of both."""

    def saw(one: HostReport, fallen: str) -> bool:
        return seen_since(one.tracks.get(name, Track()), one.tracks.get(fallen, Track()))

    return frozenset(
        fallen
        for fallen in names
        if fallen != name and voters and 2 * sum(saw(one, fallen) for one in voters) <= len(voters)
    )


def _vote(tracks: Sequence[Track]) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict of more than half of the voters; SUSPECT when they do not agree."""
    if not tracks:
        return Verdict.UNKNOWN, ("no host can see it",)
    for verdict in Verdict:
        agreeing = [track for track in tracks if track.verdict is verdict]
        if 2 * len(agreeing) > len(tracks):
            return verdict, tuple(dict.fromkeys(track.reason for track in agreeing))
    counts = {verdict: sum(track.verdict is verdict for track in tracks) for verdict in Verdict}
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    return Verdict.SUSPECT, (f"the hosts do not agree: {said}",)


_ORDER: Final = (Verdict.UP, Verdict.UNKNOWN, Verdict.SUSPECT, Verdict.DOWN)


def _worse(one: Verdict, other: Verdict) -> Verdict:
    return max(one, other, key=_ORDER.index)
