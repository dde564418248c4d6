"""What hosts must have in common: keys, upstreams in one order, and to be heard."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from idp_proxy.decision.dissent import as_dissenter
from idp_proxy.decision.eligibility import FailoverLimits
from idp_proxy.decision.failover import Action, Alarm, Decision, after
from idp_proxy.decision.fleet import HostReport
from idp_proxy.decision.membership import (
    Membership,
    discords,
    may_be_forgotten,
    why_name_is_taken,
    why_outvoted,
)
from idp_proxy.decision.switching import first_state

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FRESH = timedelta(seconds=30)
USUAL = Membership(("okta", "entra"), ("aa", "bb"))
OTHER = replace(USUAL, preference=("entra", "okta"))


def reports(*members: Membership, ago: timedelta = timedelta(0)) -> list[HostReport]:
    return [
        HostReport(f"sso{number}", NOW - ago, {}, member=member)
        for number, member in enumerate(members, 1)
    ]


def found(*members: Membership) -> list[tuple[str, str]]:
    return [(one.rule, one.host) for one in discords(reports(*members), FRESH, NOW)]


def test_hosts_that_are_alike_fit_together_and_one_that_says_nothing_is_not_judged() -> None:
    assert found(USUAL, USUAL, USUAL) == []
    assert found(USUAL, Membership()) == []
    assert found() == []


def test_a_key_that_is_being_replaced_host_by_host_is_no_discord() -> None:
    assert found(USUAL, replace(USUAL, keys=("aa", "bb", "cc"))) == []
    assert found(replace(USUAL, keys=("bb", "aa")), USUAL) == []


def test_who_lacks_the_key_by_which_another_one_seals_is_named() -> None:
    alone = replace(USUAL, keys=("cc",))
    assert found(USUAL, USUAL, alone) == [
        ("state_keys", "sso1"),
        ("state_keys", "sso2"),
        ("state_keys", "sso3"),
    ]
    (one,) = discords(reports(USUAL, replace(USUAL, keys=("cc", "aa"))), FRESH, NOW)
    assert one.what.startswith("sso1 cannot finish logins that began at sso2: ")


def test_who_prefers_other_upstreams_than_most_is_named() -> None:
    assert found(USUAL, OTHER, USUAL) == [("preference", "sso2")]
    (one,) = discords(reports(USUAL, OTHER, USUAL), FRESH, NOW)
    assert "sso2 has the upstreams entra, okta, others have okta, entra" in one.what


def test_a_host_that_is_not_heard_is_named_and_may_be_forgotten() -> None:
    gone = reports(OTHER, ago=timedelta(minutes=6))
    (one,) = discords([*gone, *reports(USUAL)[:0]], FRESH, NOW)
    assert (one.rule, one.what) == ("silent", "sso1 was last heard at 2026-03-01 11:54 UTC")
    assert may_be_forgotten(gone[0], NOW)
    assert not may_be_forgotten(reports(USUAL)[0], NOW)


@pytest.mark.parametrize(
    ("members", "may"),
    [
        ((USUAL,), True),
        ((USUAL, USUAL, OTHER), True),
        ((OTHER, USUAL, USUAL), False),
        ((USUAL, OTHER), False),
        ((USUAL, Membership()), True),
        ((Membership(), OTHER), True),
        ((), True),
    ],
)
def test_a_minority_and_each_half_switch_nothing(
    members: tuple[Membership, ...], may: bool
) -> None:
    why = why_outvoted("sso1", reports(*members))
    assert (why is None) is may
    assert may or "hosts prefer the upstreams as sso1 does" in str(why)


@pytest.mark.parametrize(
    ("action", "target", "left"),
    [
        (Action.SWITCH, "entra", Action.PROPOSE),
        (Action.LATCH, "entra", Action.PROPOSE),
        (Action.LATCH, None, Action.STAY),
        (Action.FAILBACK, "okta", Action.STAY),
        (Action.STAY, None, Action.STAY),
        (Action.PROPOSE, "entra", Action.PROPOSE),
    ],
)
def test_an_outvoted_host_acts_on_nothing(action: Action, target: str | None, left: Action) -> None:
    decided = Decision(action, "serving_down", "okta is down", target)
    assert as_dissenter(decided, None) == decided
    found = as_dissenter(decided, "only 1 of 3 hosts")
    assert (found.action, found.target) == (left, target)
    state = first_state(["okta", "entra"], NOW)
    assert after(state, found, FailoverLimits(), "watch:sso1", NOW) is None
    if action is not left:
        assert found.reason == "okta is down; but only 1 of 3 hosts"
        assert (found.alarm is Alarm.OUTAGE) is (left is Action.PROPOSE)


MINE = replace(USUAL, installation="here", run="r1")


@pytest.mark.parametrize(
    ("theirs", "ago", "begins", "taken"),
    [
        pytest.param(MINE, 0, False, False, id="this process"),
        pytest.param(USUAL, 0, False, False, id="an older version does not say"),
        pytest.param(replace(MINE, run="r0"), 0, True, False, id="the one before, on this machine"),
        pytest.param(replace(MINE, run="r0"), 0, False, True, id="a copy of this machine"),
        pytest.param(replace(MINE, run="r0"), 21, False, False, id="a copy that fell silent"),
        pytest.param(
            replace(MINE, run="r0", installation="there"), 19, True, True, id="another machine"
        ),
        pytest.param(
            replace(MINE, run="r0", installation="there"), 21, True, False, id="one set up anew"
        ),
    ],
)
def test_a_name_is_of_one_host(theirs: Membership, ago: int, *, begins: bool, taken: bool) -> None:
    (known,) = reports(theirs, ago=timedelta(seconds=ago))
    (own,) = reports(MINE)
    why = why_name_is_taken(known, own, NOW, begins=begins)
    assert (why is not None) is taken
    if why is not None:
        assert "somebody else runs as host sso1" in why
        assert "needs a [proxy] host and a data_dir of its own" in why
    assert why_name_is_taken(known, replace(own, member=USUAL), NOW, begins=begins) is None
