from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from idp_proxy.alarms import Alarms, matters
from idp_proxy.decision.eligibility import Candidate, FailoverLimits, Situation
from idp_proxy.decision.failover import decide
from idp_proxy.decision.fleet import HostReport, judge_fleet
from idp_proxy.decision.health import Canary, Track, Verdict
from idp_proxy.decision.membership import Discord
from idp_proxy.decision.notices import FACTS, Kind, Notice
from idp_proxy.decision.switching import Departure, Left, Mode, SwitchState, first_state
from idp_proxy.decision.traffic import Unanswered
from idp_proxy.survey import Survey
from idp_proxy.upstream.probing import Expiry
from idp_proxy.watch import Turn

NOW = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
NAMES = ("okta", "entra")
FRESH = timedelta(seconds=30)
UP = Track(Verdict.UP, 9, 0, NOW - timedelta(hours=1), NOW, NOW, "answers")
DOWN = Track(Verdict.DOWN, failures=9, since=NOW, at=NOW, reason="no answer")


def state(**changes: Any) -> SwitchState:
    return replace(first_state(NAMES, NOW - timedelta(hours=2)), **changes)


def turn(
    of: SwitchState | None = None,
    *,
    okta: Track = UP,
    entra: Track = UP,
    canaries: tuple[Canary, ...] = (),
    isolated: dict[str, str] | None = None,
    **found: Any,
) -> Turn:
    """A turn in a fleet of one host that sees these tracks."""
    now_state = of or state()
    tracks = {"okta": okta, "entra": entra}
    reports = (HostReport("proxy-1", NOW, tracks, isolated or {}),)
    fleet = judge_fleet(NAMES, reports, canaries, FRESH, NOW)
    candidates = {name: Candidate(proven_at=NOW, failback_test_at=NOW) for name in NAMES}
    situation = Situation(fleet, candidates, FailoverLimits(), NOW)
    seen = Survey(NOW, now_state, situation, decide(now_state, situation), reports, canaries)
    return Turn(seen, **found)


def told(of: Turn, expiries: tuple[Expiry, ...] = ()) -> dict[Kind, Notice]:
    found = matters(of, "proxy-1", expiries, {}, NOW)
    for notice in found:
        assert notice.facts.keys() <= FACTS[notice.kind], notice
        assert notice.next, notice
    return {notice.kind: notice for notice in found}


def test_a_calm_turn_tells_nobody_anything() -> None:
    assert told(turn()) == {}


def test_hosts_that_do_not_fit_together_and_one_that_is_gone_are_told() -> None:
    calm = turn()
    assert calm.survey is not None
    keys = Discord("state_keys", "proxy-2", "proxy-2 cannot finish logins")
    gone = Discord("silent", "proxy-3", "proxy-3 was last heard at noon")
    for discord, key, way_out in (
        (keys, "hosts:state_keys:proxy-2", "idp-proxy host list"),
        (
            gone,
            "hosts:silent:proxy-3",
            'idp-proxy host forget proxy-3 --reason "it will not come back"',
        ),
    ):
        notice = told(replace(calm, survey=replace(calm.survey, discords=(discord,))))[Kind.HOSTS]
        assert (notice.key, notice.next) == (key, way_out)
        assert notice.facts == {"host": discord.host, "cause": discord.what}


def test_an_automatic_switch_says_from_where_to_where_and_why() -> None:
    notice = told(turn(okta=DOWN, switched=switched()))[Kind.SWITCHED]
    assert notice.key == "switched:2026-03-01T02:30:00+00:00"
    assert (notice.facts["origin"], notice.facts["target"]) == ("okta", "entra")
    assert "no answer" in str(notice.facts["cause"])


@pytest.mark.parametrize("mode", [Mode.HELD, Mode.AUTO], ids=["switch to", "failback"])
def test_a_switch_by_a_person_is_told_too(mode: Mode) -> None:
    """Who switched stands in the audit; that logins went elsewhere concerns everybody on call."""
    by_hand = switched(actor="operator:eve", cause="incident 4711", mode=mode)
    notice = told(turn(by_hand))[Kind.SWITCHED]
    assert notice.facts == {"origin": "okta", "target": "entra", "cause": "incident 4711"}


def switched(**changes: Any) -> SwitchState:
    left = {"okta": Left(NOW, Departure.FAILOVER)}
    by_watch = {"actor": "watch:proxy-1", "cause": "okta is down: no answer", "since": NOW}
    return state(**{"epoch": 2, "serving": "entra", "left": left} | by_watch | changes)


def test_a_switch_is_told_by_every_host_that_reads_of_it_for_a_while() -> None:
    """The host that switched may be gone, or never have heard that its commit came through."""
    other = told(turn(switched()))[Kind.SWITCHED]
    assert other == told(turn(okta=DOWN, switched=switched()))[Kind.SWITCHED]
    disabled = switched(epoch=3, disabled=frozenset({"okta"}))
    assert told(turn(disabled))[Kind.SWITCHED] == other
    long_ago = NOW - timedelta(minutes=11)
    left = {"okta": Left(long_ago, Departure.FAILOVER)}
    for quiet in (
        switched(mode=Mode.LATCHED),
        switched(left={}),
        switched(since=long_ago, left=left),
    ):
        assert Kind.SWITCHED not in told(turn(quiet))


def test_what_stands_when_the_watch_switches_goes_on_to_stand() -> None:
    refused = Canary("okta", "staff", replace(UP, refused="the password has expired"))
    found = told(turn(okta=DOWN, canaries=(refused,), switched=switched()))
    assert found.keys() == {Kind.SWITCHED, Kind.CANARY}


def test_with_both_down_people_are_led_to_the_conversion() -> None:
    notice = told(turn(okta=DOWN, entra=DOWN, isolated={}))[Kind.OUTAGE]
    assert notice.key == "outage:okta"
    assert notice.next == "sso-conversion now"


def test_in_held_an_outage_is_told_with_the_proposal_to_confirm() -> None:
    held = state(mode=Mode.HELD, actor="host:eve", cause="maintenance")
    notices = told(turn(held, okta=DOWN, proposal="k7m2"))
    assert Kind.OUTAGE not in notices
    assert notices[Kind.DECIDE].facts["target"] == "entra"
    assert notices[Kind.DECIDE].next == "idp-proxy switch confirm k7m2"
    assert notices[Kind.HELD].since == held.since


def test_a_hold_is_as_old_as_itself_whatever_is_disabled_meanwhile() -> None:
    """The upstream may have served for months: that reminds nobody of a hold of this minute."""
    held = state(mode=Mode.HELD, since=NOW - timedelta(days=90), held_since=NOW)
    notice = told(turn(held))[Kind.HELD]
    assert notice.since == NOW
    later = told(turn(replace(held, epoch=held.epoch + 1, disabled=frozenset({"entra"}))))
    assert later[Kind.HELD].key == notice.key


def test_without_a_proposal_the_command_itself_is_there_to_copy() -> None:
    held = state(mode=Mode.HELD)
    assert told(turn(held, okta=DOWN))[Kind.DECIDE].next.startswith("idp-proxy switch to entra ")


def test_a_latch_says_how_to_release_it() -> None:
    notice = told(turn(state(mode=Mode.LATCHED)))[Kind.LATCHED]
    assert notice.next.startswith("idp-proxy release ")


def test_a_return_that_waits_for_a_person_is_proposed() -> None:
    notice = told(turn(state(serving="entra"), proposal="k7m2"))[Kind.PROPOSED]
    assert notice.facts["target"] == "okta"
    assert notice.next == "idp-proxy switch confirm k7m2"


def test_a_return_without_a_canary_asks_somebody_to_prove_it() -> None:
    seen = turn(state(serving="entra"))
    assert seen.survey is not None
    situation = replace(
        seen.survey.situation,
        candidates={
            name: replace(one, failback_test_at=None)
            for name, one in seen.survey.situation.candidates.items()
        },
    )
    waits = replace(
        seen, survey=replace(seen.survey, decision=decide(seen.survey.state, situation))
    )
    notice = told(waits)[Kind.PROPOSED]
    assert (notice.facts["target"], notice.next) == ("okta", "idp-proxy failback test okta")


def test_a_disabled_serving_upstream_is_its_own_alarm() -> None:
    assert Kind.DISABLED in told(turn(state(disabled=frozenset({"okta"}))))


@pytest.mark.parametrize(
    ("track", "outcome"),
    [
        (replace(UP, refused="the password has expired"), "refused"),
        (DOWN, "broken"),
    ],
)
def test_a_canary_that_does_not_come_through_needs_a_person(track: Track, outcome: str) -> None:
    notice = told(turn(canaries=(Canary("entra", "staff", track),)))[Kind.CANARY]
    assert (notice.key, notice.facts["outcome"]) == ("canary:entra:staff", outcome)


def test_a_directory_that_refuses_our_account_is_told_and_is_no_outage() -> None:
    notices = told(turn(okta=replace(UP, refused="the account is locked")))
    assert list(notices) == [Kind.CANARY]
    assert notices[Kind.CANARY].key == "probe:okta"
    assert notices[Kind.CANARY].facts["cause"] == "the account is locked"


def test_a_host_that_sees_nothing_is_named() -> None:
    cut = {"okta": "the references fail too", "entra": "the references fail too"}
    notice = told(turn(okta=DOWN, entra=DOWN, isolated=cut))[Kind.ISOLATED]
    assert (notice.key, notice.facts["host"]) == ("isolated:proxy-1", "proxy-1")


def test_the_store_and_the_clock_are_told_by_host() -> None:
    assert told(Turn(None, "no answer"))[Kind.STORE].key == "store:proxy-1"
    jumped = told(turn(jumped=timedelta(seconds=-90)))[Kind.CLOCK]
    assert (jumped.key, jumped.facts["offset"]) == ("clock:proxy-1", "-90 s")
    skewed = told(turn(skew=timedelta(seconds=40)))[Kind.CLOCK]
    assert (skewed.key, skewed.facts["offset"]) == ("clock:proxy-1", "+40 s")


@pytest.mark.parametrize(
    ("days", "step"), [(31, None), (30, 30), (14, 14), (6, 7), (1, 1), (-1, 0)]
)
def test_what_ends_is_told_at_each_step(days: int, step: int | None) -> None:
    ends = (Expiry("TLS certificate of okta.example", NOW + timedelta(days=days)),)
    notice = told(turn(), ends).get(Kind.EXPIRY)
    wanted = None if step is None else f"expiry:TLS certificate of okta.example:{step}"
    assert (notice.key if notice else None) == wanted


def test_unanswered_logins_warn_and_name_the_share() -> None:
    traffic = {"okta": Unanswered(40, 10, 0.05, "30 of 40"), "entra": Unanswered(40, 39, 0, None)}
    notice, proposed = matters(turn(), "proxy-1", (), traffic, NOW)
    assert (notice.kind, notice.facts) == (Kind.L3, {"upstream": "okta", "share": "75%"})
    assert notice.next == "idp-proxy rehearse okta"
    assert (proposed.kind, proposed.facts["target"]) == (Kind.PROPOSED, "entra")
    assert proposed.next.startswith("idp-proxy switch to entra --reason ")


@pytest.mark.parametrize(
    ("of", "entra"),
    [
        (state(), DOWN),
        (state(serving="entra"), UP),
        (state(disabled=frozenset({"entra"})), UP),
        (state(mode=Mode.LATCHED), UP),
    ],
    ids=["nobody may take over", "another one serves", "disabled", "already told"],
)
def test_unanswered_logins_propose_only_what_could_help(of: SwitchState, entra: Track) -> None:
    traffic = {"okta": Unanswered(40, 10, 0.05, "30 of 40")}
    found = matters(turn(of, entra=entra), "proxy-1", (), traffic, NOW)
    assert Kind.L3 in {one.kind for one in found}
    assert not any(one.key.startswith("proposed:unanswered") for one in found)


class Bell:
    """Who is told; `left` is what a former process told and never ended."""

    def __init__(self, left: dict[str, Kind] | None = None) -> None:
        self.left = left or {}
        self.raised: list[str] = []
        self.over: list[str] = []

    def raise_(self, notice: Notice) -> None:
        self.raised.append(notice.key)

    def resolve(self, key: str) -> None:
        self.over.append(key)

    def standing(self) -> dict[str, Kind]:
        return self.left


def alarms(bell: Bell) -> Alarms:
    return Alarms("proxy-1", bell, lambda: (), dict, lambda: NOW)


def test_a_matter_is_ended_once_it_no_longer_stands() -> None:
    bell = Bell()
    told_to = alarms(bell)
    told_to.told(turn(okta=DOWN, entra=DOWN, isolated={}))
    assert (bell.raised, bell.over) == (["outage:okta"], [])
    told_to.told(turn())
    told_to.told(turn())
    assert bell.over == ["outage:okta"]


def test_a_standby_that_is_gone_is_told_before_it_counts_once_that_has_lasted() -> None:
    bell = Bell()
    told_to = Alarms("proxy-1", bell, lambda: (), dict, lambda: NOW)
    gone = turn(entra=DOWN)
    for after, raised in ((0, []), (9, []), (10, ["unprotected:okta"])):
        told_to.now = lambda chosen=after: NOW + timedelta(minutes=chosen)  # type: ignore[misc] # bound now
        told_to.told(gone)
        assert bell.raised == raised
    told_to.told(turn())
    assert bell.over == ["unprotected:okta"]
    told_to.told(gone)
    assert bell.raised == ["unprotected:okta"], "it has to last again"


def test_who_begins_anew_does_not_say_that_it_is_over_before_it_was_looked_at() -> None:
    bell = Bell({"unprotected:okta": Kind.UNPROTECTED})
    alarms(bell).told(turn(entra=DOWN))
    assert (bell.raised, bell.over) == ([], [])


@pytest.mark.parametrize(
    "quiet",
    [
        turn(),
        turn(okta=DOWN, entra=DOWN),
        turn(state(disabled=frozenset({"okta"})), entra=DOWN),
    ],
    ids=["all well", "an outage is another matter", "nobody serves"],
)
def test_only_a_serving_upstream_that_is_well_can_be_unprotected(quiet: Turn) -> None:
    assert Kind.UNPROTECTED not in told(quiet)


def test_while_the_store_is_away_nothing_about_the_fleet_is_over() -> None:
    bell = Bell()
    told_to = alarms(bell)
    told_to.told(turn(okta=DOWN, entra=DOWN, isolated={}))
    told_to.told(Turn(None, "no answer"))
    assert bell.over == []
    told_to.told(turn(okta=DOWN, entra=DOWN, isolated={}))
    assert bell.over == ["store:proxy-1"]


def test_a_store_that_was_away_at_the_start_is_told_to_be_back() -> None:
    bell = Bell()
    told_to = alarms(bell)
    told_to.told(Turn(None, "no answer"))
    told_to.told(turn())
    assert bell.over == ["store:proxy-1"]


def test_what_a_former_process_told_is_ended_but_not_what_another_host_says_of_itself() -> None:
    left = {
        "outage:okta": Kind.OUTAGE,
        "store:proxy-1": Kind.STORE,
        "store:proxy-2": Kind.STORE,
        "switched:7": Kind.SWITCHED,
        "deadline:c1": Kind.DEADLINE,
    }
    bell = Bell(left)
    told_to = alarms(bell)
    told_to.told(Turn(None, "no answer"))
    told_to.told(turn())
    assert bell.over == ["outage:okta", "store:proxy-1"]
