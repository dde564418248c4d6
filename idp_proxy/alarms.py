"""What people are told of a turn of the watch, and when it is over.

`matters` is a function of the turn alone; `Alarms` remembers which matters stand, so that each is
ended once. Who is told, how often and by which channel is the notifier's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from idp_proxy.decision.eligibility import eligible, why_nobody
from idp_proxy.decision.expiry import expiry_step
from idp_proxy.decision.failover import Action, Alarm
from idp_proxy.decision.health import Verdict
from idp_proxy.decision.notices import EVENTS, Kind, Notice
from idp_proxy.decision.switching import Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from idp_proxy.decision.failover import Decision
    from idp_proxy.decision.notices import Fact
    from idp_proxy.decision.switching import SwitchState
    from idp_proxy.decision.traffic import Unanswered
    from idp_proxy.survey import Survey
    from idp_proxy.upstream.probing import Expiry
    from idp_proxy.watch import Turn


class Notifier(Protocol):
    """Tells people, once and again after a pause; never raises. See `notify.Notifier`."""

    def raise_(self, notice: Notice) -> None:
        """A matter stands: at first and again after a pause people hear of it."""

    def resolve(self, key: str) -> None:
        """A matter is over."""

    def standing(self) -> Mapping[str, Kind]:
        """The matters that people were told of and that did not end."""


_STATUS = "idp-proxy status"
#: How long a switch is told by whoever reads of it; each is told once.
_SWITCH_IS_NEWS: Final = timedelta(minutes=10)
_ALARMS = {
    Alarm.OUTAGE: Kind.OUTAGE,
    Alarm.DISABLED: Kind.DISABLED,
    Alarm.FEW_HOSTS: Kind.OUTAGE,
}

#: What is no news before it has lasted: a standby may be restarted, and a process that began looks
#: around first.
_LASTS: Final = {Kind.UNPROTECTED: timedelta(minutes=10)}

#: Matters that only the host itself can end.
_ABOUT_ONE_HOST = ("store", "clock")
_NOT_OF_THE_WATCH = EVENTS | {Kind.DEADLINE, Kind.FINDING}


def matters(
    turn: Turn,
    host: str,
    expiries: Iterable[Expiry],
    traffic: Mapping[str, Unanswered],
    now: datetime,
) -> tuple[Notice, ...]:
    """Everything that stands after this turn of `host`."""
    return (*_of_host(turn, host, now, expiries), *_of_fleet(turn), *_of_traffic(turn, traffic))


def _of_host(turn: Turn, host: str, now: datetime, expiries: Iterable[Expiry]) -> Iterator[Notice]:
    """What concerns this host alone: its way to the store, its clock, what it sees end."""
    if turn.survey is None:
        yield Notice(Kind.STORE, f"store:{host}", {"cause": turn.problem}, _STATUS)
    off = turn.skew or turn.jumped
    if off is not None:
        offset = f"{off.total_seconds():+.0f} s"
        yield Notice(Kind.CLOCK, f"clock:{host}", {"host": host, "offset": offset}, _STATUS)
    for one in expiries:
        step = expiry_step(one.at, now)
        if step is not None:
            facts: dict[str, Fact] = {"what": one.what, "ends": one.at}
            yield Notice(Kind.EXPIRY, f"expiry:{one.what}:{step}", facts, _STATUS)


def _of_fleet(turn: Turn) -> Iterator[Notice]:
    """What every host says alike; the notifier lets one of them say it."""
    seen = turn.survey
    if seen is None:
        return
    yield from _of_switch(turn.switched or seen.state, seen.at)
    yield from _of_mode(turn, seen)
    yield from _of_decision(turn, seen)
    yield from _of_protection(seen)
    yield from _of_canaries(seen)
    yield from _of_refused_probes(seen)
    yield from _of_hosts(seen)
    for report in seen.reports:
        if report.isolated and report.host in seen.situation.fleet.seen:
            why = next(iter(report.isolated.values()))
            facts = {"host": report.host, "cause": why}
            yield Notice(Kind.ISOLATED, f"isolated:{report.host}", facts, _STATUS)


def _of_hosts(seen: Survey) -> Iterator[Notice]:
    """Hosts that do not fit together, and one that nobody hears any more."""
    for discord in seen.discords:
        way_out = "idp-proxy host list"
        if discord.rule == "silent":
            way_out = f'idp-proxy host forget {discord.host} --reason "it will not come back"'
        facts: dict[str, Fact] = {"host": discord.host, "cause": discord.what}
        yield Notice(Kind.HOSTS, f"hosts:{discord.rule}:{discord.host}", facts, way_out)


def _of_switch(state: SwitchState, now: datetime) -> Iterator[Notice]:
    """Logins went elsewhere, by the watch or by a person. Every host tells it as it reads the
    state: the one that switched may have died in between, or never have heard that its commit came
    through; and a command tells nobody.
    """
    origin = next((name for name, left in state.left.items() if left.at == state.since), None)
    # The cause of a state that latched since is that of the latch.
    if origin is None or state.mode is Mode.LATCHED or now - state.since > _SWITCH_IS_NEWS:
        return
    facts = {"origin": origin, "target": state.serving, "cause": state.cause}
    yield Notice(Kind.SWITCHED, f"switched:{state.since.isoformat()}", facts, _STATUS)


def _of_mode(turn: Turn, seen: Survey) -> Iterator[Notice]:
    state = turn.switched or seen.state
    facts = {"serving": state.serving, "cause": state.cause}
    if state.mode is Mode.LATCHED:
        yield Notice(
            Kind.LATCHED,
            f"latched:{state.serving}",
            facts,
            'idp-proxy release --reason "the cause is known"',
        )
    elif state.mode is Mode.HELD:
        yield Notice(
            Kind.HELD,
            f"held:{(state.held_since or state.since):%Y-%m-%dT%H:%M:%S}",
            facts,
            'idp-proxy release --reason "no longer needed"',
            since=state.held_since or state.since,
        )


def _of_decision(turn: Turn, seen: Survey) -> Iterator[Notice]:
    decision, state = seen.decision, seen.state
    kind = None if decision.alarm is None else _ALARMS.get(decision.alarm)
    facts: dict[str, Fact] = {"serving": state.serving, "cause": decision.reason}
    if kind is Kind.OUTAGE and decision.action is Action.PROPOSE and decision.target is not None:
        facts["target"] = decision.target
        key = f"decide:{state.serving}:{decision.target}"
        yield Notice(Kind.DECIDE, key, facts, _way_out(turn, decision))
    elif kind is not None:
        yield Notice(kind, f"{decision.alarm}:{state.serving}", facts, _way_out(turn, decision))
    elif decision.target is not None and (
        decision.action is Action.PROPOSE or decision.awaits_test
    ):
        facts = {"target": decision.target, "cause": decision.reason}
        key = f"proposed:{decision.rule}:{decision.target}"
        yield Notice(Kind.PROPOSED, key, facts, _way_out(turn, decision))


def _of_protection(seen: Survey) -> Iterator[Notice]:
    """While all is well nobody would notice that the standby is not: it is told in time."""
    state, situation = seen.state, seen.situation
    health = situation.health(state.serving)
    if health is None or health.verdict is not Verdict.UP or state.serving in state.disabled:
        return
    others = situation.candidates.keys() - {state.serving}
    if others and eligible(state, situation) is None:
        facts = {"serving": state.serving, "cause": why_nobody(state, situation)}
        yield Notice(Kind.UNPROTECTED, f"unprotected:{state.serving}", facts, _STATUS)


def _way_out(turn: Turn, decision: Decision) -> str:
    """The one command that helps: prove or confirm what is proposed, or reach people otherwise."""
    if decision.awaits_test:
        return f"idp-proxy failback test {decision.target}"
    if turn.proposal is not None:
        return f"idp-proxy switch confirm {turn.proposal}"
    if decision.target is not None:
        return f'idp-proxy switch to {decision.target} --reason "the serving upstream is down"'
    return "sso-conversion now"


def _of_canaries(seen: Survey) -> Iterator[Notice]:
    """A canary that was REFUSED needs a person: its account is locked, expired, or asked for more
    than it can give. One that is BROKEN speaks by the verdict on its upstream.
    """
    for canary in seen.canaries:
        track = canary.track
        if track.refused is not None or track.verdict is Verdict.DOWN:
            facts = {
                "upstream": canary.upstream,
                "outcome": "refused" if track.refused is not None else "broken",
                "cause": track.refused or track.reason,
            }
            yield Notice(Kind.CANARY, f"canary:{canary.upstream}:{canary.name}", facts, _STATUS)


def _of_refused_probes(seen: Survey) -> Iterator[Notice]:
    """A directory that refuses the account it is asked as lets nobody in, and is not down."""
    for name, health in seen.situation.fleet.health.items():
        if health.probe_refused is not None:
            facts = {"upstream": name, "outcome": "refused", "cause": health.probe_refused}
            yield Notice(Kind.CANARY, f"probe:{name}", facts, _STATUS)


def _of_traffic(turn: Turn, traffic: Mapping[str, Unanswered]) -> Iterator[Notice]:
    if turn.survey is None:
        return
    for upstream, found in traffic.items():
        if found.warning is not None:
            facts = {"upstream": upstream, "share": f"{found.share:.0%}"}
            look = f"idp-proxy rehearse {upstream}"
            yield Notice(Kind.L3, f"unanswered:{upstream}", facts, look)
            yield from _of_a_move(turn.survey, upstream, found.warning, look)


def _of_a_move(seen: Survey, upstream: str, warning: str, look: str) -> Iterator[Notice]:
    """What people might do about unanswered logins. It is said and nowhere written: whoever begins
    logins proved nothing, so they make no proposal that waits for a yes (FO-06).
    """
    state, decision = seen.state, seen.decision
    target = eligible(state, seen.situation)
    spoken_for = decision.action is not Action.STAY or decision.alarm is not None
    if upstream != state.serving or target is None or spoken_for:
        return
    facts: dict[str, Fact] = {
        "target": target,
        "cause": f"{warning}. Nobody proved who began them: log in yourself first: {look}",
    }
    command = f'idp-proxy switch to {target} --reason "logins at {upstream} stay unanswered"'
    yield Notice(Kind.PROPOSED, f"proposed:unanswered:{target}", facts, command)


@dataclass(slots=True)
class Alarms:
    """Raises what stands after each turn, and ends what no longer does.

    While the store is away nothing about the fleet ends: it is unknown, not over.
    """

    host: str
    notifier: Notifier
    expiries: Callable[[], Iterable[Expiry]]
    traffic: Callable[[], Mapping[str, Unanswered]]
    now: Callable[[], datetime]
    _standing: set[str] = field(default_factory=set, init=False)
    _begun: dict[str, datetime] = field(default_factory=dict, init=False)
    _knows_the_past: bool = field(default=False, init=False)

    def told(self, turn: Turn) -> None:
        """Take the next turn."""
        found = matters(turn, self.host, self.expiries(), self.traffic(), self.now())
        for notice in found:
            if self._has_lasted(notice):
                self.notifier.raise_(notice)
        standing = {notice.key for notice in found}
        if turn.survey is None:
            self._standing |= standing
            return
        if not self._knows_the_past:
            self._standing |= self._left_by_a_former_process()
            self._knows_the_past = True
        for key in sorted(self._standing - standing):
            self.notifier.resolve(key)
        self._standing = standing
        self._begun = {key: at for key, at in self._begun.items() if key in standing}

    def _has_lasted(self, notice: Notice) -> bool:
        """Whether a matter has stood for as long as it must to be news."""
        begun = self._begun.setdefault(notice.key, self.now())
        return self.now() - begun >= _LASTS.get(notice.kind, timedelta(0))

    def _left_by_a_former_process(self) -> set[str]:
        """What was told before this process started, and may be over by now."""
        others = tuple(f"{about}:" for about in _ABOUT_ONE_HOST)
        own = {f"{about}:{self.host}" for about in _ABOUT_ONE_HOST}
        return {
            key
            for key, kind in self.notifier.standing().items()
            if kind not in _NOT_OF_THE_WATCH and (key in own or not key.startswith(others))
        }
