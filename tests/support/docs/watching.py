"""docs/watch.md: verdicts, decisions and proposals, walked through by the functions themselves."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from idp_proxy.config.failover import PROFILES
from idp_proxy.decision.approval import Act, Granted, Person, Role, Waits
from idp_proxy.decision.eligibility import Candidate, Failback, FailoverLimits, Situation
from idp_proxy.decision.failover import RULES, decide
from idp_proxy.decision.fleet import Fleet, Health
from idp_proxy.decision.health import Outcome, Thresholds, Track, Verdict, follow
from idp_proxy.decision.proposal import (
    PROPOSAL_LASTS,
    Proposal,
    agreed_to,
    propose,
    why_not_confirmable,
)
from idp_proxy.decision.switching import Mode, SwitchState, first_state
from idp_proxy.decision.windows import parse_window
from tests.support.docs.markdown import NOTE, one_line, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)
_NAMES = ("active", "standby")

_HEAD = f"""{NOTE}

# The watch

Each host looks at every upstream in a loop of its own, and has a verdict on it. At every turn it
tells the store what it sees, reads what the others see, makes the fleet's verdict of it, decides,
and writes what it decided by compare-and-swap on the [switch](switching.md). What it does in an
outage you can see without one by [a drill](operations/drills.md), and read in the
[scenarios](../tests/scenarios/README.md).

## The verdict on an upstream

"""

_ABOUT_VERDICTS = """
A look that was *refused* changes nothing, whatever the verdict: a failed authentication is no
evidence of an outage (FO-02). After `fall` failures the rest are asked for at the same moment, on
fresh connections, so that a day of noise makes no outage (FO-07).
"""

_COLUMNS = ("rule", "when", "decision", "target", "alarm", "what it says")
_DECISIONS = """
## What follows

The rows are asked from the top; the first one that holds decides. `STAY` with an alarm wakes
people, `PROPOSE` asks them. Only `serving_down` switches in an outage, and only `failback_auto` and
`failback_scheduled` return without a person.

"""

_PROPOSALS = f"""
## A proposal

What the watch proposes, and what takes two people, waits for a while
({PROPOSAL_LASTS.seconds // 60} minutes):

"""


def watch_page() -> str:
    """The whole page."""
    return "\n".join(
        (
            _HEAD + _picture(_verdicts()),
            _ABOUT_VERDICTS,
            table(["a verdict changes after", *PROFILES], _numbers()),
            _DECISIONS + table(_COLUMNS, _decisions()),
            _PROPOSALS + _picture(_proposals()),
            "\nWho cannot confirm it is told why:\n",
            table(["when", "what it says"], _refusals()),
            "",
        )
    )


def _picture(lines: Iterator[str]) -> str:
    diagram = "\n".join(("stateDiagram-v2", *(f"    {line}" for line in lines)))
    return f"```mermaid\n{diagram}\n```"


# --- verdicts -------------------------------------------------------------------------------------


def _walk(thresholds: Thresholds) -> dict[tuple[Verdict, Verdict], tuple[Outcome, int]]:
    """Every change of a verdict that can happen, with how many outcomes in a row it takes."""
    waiting, seen = [Track()], set()
    found: dict[tuple[Verdict, Verdict], tuple[Outcome, int]] = {}
    while waiting:
        track = waiting.pop()
        key = (track.verdict, track.passes, track.failures)
        if key in seen or max(track.passes, track.failures) > thresholds.down_after + 1:
            continue
        seen.add(key)
        for outcome in Outcome:
            after = follow(track, outcome, "", thresholds, _NOW)
            waiting.append(after)
            if after.verdict is not track.verdict:
                count = max(after.passes, after.failures)
                found[track.verdict, after.verdict] = (outcome, count)
    return found


def _of_profile(name: str) -> Thresholds:
    numbers = PROFILES[name]
    return Thresholds(numbers.suspect_after, numbers.fall, numbers.confirm, numbers.rise)


def _verdicts() -> Iterator[str]:
    yield f"[*] --> {Verdict.UNKNOWN}"
    for (before, after), (outcome, count) in sorted(_walk(_of_profile("default")).items()):
        yield f"{before} --> {after}: {count} in a row {outcome}"


def _numbers() -> Iterator[list[str]]:
    walked = {name: _walk(_of_profile(name)) for name in PROFILES}
    for before, after in sorted(walked["default"]):
        counts = [
            f"{count} {outcome}"
            for outcome, count in (one[before, after] for one in walked.values())
        ]
        yield [f"{before} → {after}", *counts]


# --- decisions ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Case:
    """A situation in which one rule holds. Both upstreams are up unless it is said otherwise."""

    rule: str
    when: str
    state: SwitchState | None
    active: Verdict = Verdict.UP
    standby: Verdict = Verdict.UP
    limits: FailoverLimits = field(default_factory=FailoverLimits)
    fleet: Mapping[str, Any] = field(default_factory=dict)
    proven: datetime | None = _NOW
    up_since: datetime = _NOW - timedelta(hours=1)
    unseen: bool = False

    def situation(self) -> Situation:
        """What the decision is made from."""
        verdicts = {"active": self.active, "standby": self.standby}
        reasons = {Verdict.UP: "answers as it should", Verdict.DOWN: "takes no connection"}
        health = {
            name: Health(name, one, (reasons.get(one, "takes no connection"),), self.up_since)
            for name, one in verdicts.items()
        }
        if self.unseen:
            health["standby"] = replace(health["standby"], unseen_since=frozenset({"active"}))
        usual: dict[str, Any] = {
            "health": health,
            "isolated": {},
            "seen": ("host-1", "host-2"),
            "registered": 2,
            "reference_answers": True,
        }
        known = {name: Candidate(proven_at=_NOW, failback_test_at=self.proven) for name in _NAMES}
        return Situation(Fleet(**usual | dict(self.fleet)), known, self.limits, _NOW)


_FIRST = first_state(_NAMES, _NOW - timedelta(hours=2))
_AWAY = replace(_FIRST, serving="standby", hold_until=_NOW - _MINUTE)
_BY_EVE: dict[str, Any] = {"actor": "eve", "cause": "maintenance"}
_USED = (_NOW - 50 * _MINUTE, _NOW - 20 * _MINUTE)
_DOWN = Verdict.DOWN


def _auto(failback: Failback, window: str = "Thu 02:00-04:00") -> FailoverLimits:
    read = parse_window(window)
    return FailoverLimits(failback=failback, windows=() if read is None else (read,))


_CASES = (
    _Case("store_unreadable", "the store cannot be read", None),
    _Case(
        "isolated",
        "no host can see the serving upstream, nor a neutral address",
        _FIRST,
        active=_DOWN,
        fleet={"isolated": {"active": "the neutral references fail too"}},
    ),
    _Case("held", "a person holds the switch", replace(_FIRST, mode=Mode.HELD, **_BY_EVE)),
    _Case(
        "held",
        "the same, and the serving upstream is down",
        replace(_FIRST, mode=Mode.HELD, **_BY_EVE),
        active=_DOWN,
    ),
    _Case("latched", "the watch latched", replace(_FIRST, mode=Mode.LATCHED, cause="see there")),
    _Case(
        "serving_disabled",
        "the serving upstream is disabled",
        replace(_FIRST, disabled=frozenset({"active"})),
    ),
    _Case(
        "serving_not_configured",
        "the serving upstream is not in the configuration any more",
        replace(_FIRST, serving="former"),
    ),
    _Case(
        "looking_again",
        "the serving upstream is down, and who would take over was not seen since then",
        _FIRST,
        active=_DOWN,
        unseen=True,
    ),
    _Case(
        "nobody_eligible",
        "the serving upstream is down, and no other one may take over",
        _FIRST,
        active=_DOWN,
        standby=_DOWN,
    ),
    _Case(
        "few_hosts",
        "it is down, seen by fewer than half of the hosts, and no neutral address answers",
        _FIRST,
        active=_DOWN,
        fleet={"registered": 5, "reference_answers": False},
    ),
    _Case(
        "budget_used",
        "it is down, and the budget of automatic switches is used up",
        replace(_FIRST, recent_switches=_USED),
        active=_DOWN,
    ),
    _Case("serving_down", "it is down", _FIRST, active=_DOWN),
    _Case(
        "failback_unproven",
        "a preferred one is up, and nobody has logged in there of late",
        _AWAY,
        proven=None,
    ),
    _Case("hold_down", "it has not been up for long enough", _AWAY, up_since=_NOW - _MINUTE),
    _Case(
        "dwell",
        "the serving one has not served for its minimum time",
        replace(_AWAY, hold_until=_NOW + _MINUTE),
    ),
    _Case("failback_approve", 'it may return, `failback = "approve"`', _AWAY),
    _Case(
        "failback_budget",
        "it may return by itself, and the budget is used up",
        replace(_AWAY, recent_switches=_USED),
        limits=_auto(Failback.AUTO),
    ),
    _Case(
        "window",
        '`failback = "scheduled"`, outside of the windows',
        _AWAY,
        limits=_auto(Failback.SCHEDULED),
    ),
    _Case(
        "failback_scheduled",
        "the same, within one",
        _AWAY,
        limits=_auto(Failback.SCHEDULED, "Thu 00:00-02:00"),
    ),
    _Case("failback_auto", '`failback = "auto"`', _AWAY, limits=_auto(Failback.AUTO)),
    _Case("serving_suspect", "the serving upstream is suspect", _FIRST, active=Verdict.SUSPECT),
    _Case("steady", "nothing of all that", _FIRST),
)


def _decisions() -> Iterator[list[str]]:
    asked = set()
    for case in _CASES:
        decision = decide(case.state, case.situation())
        if decision.rule != case.rule:
            raise ValueError(f"{case.when}: {decision.rule}, not {case.rule}")
        asked |= {rule for rule in RULES if case.state is not None and _holds(rule, case)}
        yield [
            f"`{decision.rule}`",
            case.when,
            decision.action.upper(),
            decision.target or "-",
            f"`{decision.alarm}`" if decision.alarm else "-",
            one_line(decision.reason),
        ]
    if missing := set(RULES) - asked:
        raise ValueError(f"no case shows {sorted(rule.__name__ for rule in missing)}")


def _holds(rule: Any, case: _Case) -> bool:
    return rule(case.state, case.situation()) is not None


# --- proposals ------------------------------------------------------------------------------------

_EVE = Person("eve", frozenset({Role.OPERATOR}))
_ADA = Person("ada", frozenset({Role.APPROVER}))


def _proposal() -> Proposal:
    return propose(
        "k7m2",
        Act.SWITCH,
        "standby",
        "active is down",
        epoch=7,
        people=(_EVE.name,),
        now=_NOW,
    )


def _proposals() -> Iterator[str]:
    made = _proposal()
    waits = agreed_to(made, Waits("", made.people, frozenset({Role.APPROVER})))
    done = agreed_to(made, Granted("", (*made.people, _ADA.name)))
    yield f"[*] --> {made.state}: begun by a person, or by the watch"
    yield f"{made.state} --> {waits.state}: somebody agrees, and somebody else must too"
    yield f"{made.state} --> {done.state}: enough have agreed, and it is done"
    yield f"{made.state} --> expired: {PROPOSAL_LASTS.seconds // 60} minutes are over"
    yield f"{made.state} --> void: the switch has moved on"


def _refusals() -> Iterator[list[str]]:
    made = _proposal()
    done = agreed_to(made, Granted("", (*made.people, _ADA.name)))
    late = made.expires_at
    viewer = Person("max", frozenset({Role.VIEWER}))
    for when, why in (
        ("it was confirmed", why_not_confirmable(done, _ADA, epoch=7, now=_NOW)),
        ("its time is over", why_not_confirmable(made, _ADA, epoch=7, now=late)),
        ("the switch has moved on", why_not_confirmable(made, _ADA, epoch=8, now=_NOW)),
        ("the role does not allow it", why_not_confirmable(made, viewer, epoch=7, now=_NOW)),
        ("it is one's own", why_not_confirmable(made, _EVE, epoch=7, now=_NOW)),
    ):
        if why is None:
            raise ValueError(f"{when}: it could be confirmed")
        yield [when, one_line(why)]
