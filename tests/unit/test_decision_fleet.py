"""One verdict of what all hosts see."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from idp_proxy.decision.fleet import HostReport, barred_elsewhere, judge_fleet
from idp_proxy.decision.health import Canary, Track, Verdict

NOW = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
FRESH = timedelta(seconds=30)
LONG = NOW - timedelta(hours=1)
TRACKS = {
    "u": Track(Verdict.UP, 9, 0, LONG, NOW, NOW, "answers"),
    "s": Track(Verdict.SUSPECT, 0, 2, NOW, NOW, LONG, "slow"),
    "d": Track(Verdict.DOWN, 0, 9, NOW, NOW, LONG, "no answer"),
    "?": Track(),
}


def hosts(seen: str, isolated: str = "", at: datetime = NOW) -> list[HostReport]:
    """A host for each letter of `seen`; those at the places of an x in `isolated` see nothing."""
    cut = isolated.ljust(len(seen))
    return [
        HostReport(
            f"proxy-{number}", at, {"okta": TRACKS[sign]}, {"okta": "cut"} if x == "x" else {}
        )
        for number, (sign, x) in enumerate(zip(seen, cut, strict=True))
    ]


def test_what_another_host_has_against_an_upstream_bars_it_here_too() -> None:
    reports = [
        replace(one, barred={"okta": (f"why {number}",)} if number else {})
        for number, one in enumerate(hosts("uuu"))
    ]
    assert barred_elsewhere(reports, "proxy-0") == {
        "okta": ("on proxy-1: why 1", "on proxy-2: why 2")
    }
    assert barred_elsewhere(reports, "proxy-1") == {"okta": ("on proxy-2: why 2",)}
    assert barred_elsewhere(reports[:1], "proxy-1") == {}


def verdict(reports: list[HostReport], canaries: tuple[Canary, ...] = ()) -> Verdict:
    return judge_fleet(["okta"], reports, canaries, FRESH, NOW).health["okta"].verdict


@pytest.mark.parametrize(
    ("seen", "isolated", "expected"),
    [
        ("u", "", Verdict.UP),
        ("d", "", Verdict.DOWN),
        ("ud", "", Verdict.SUSPECT),
        ("udd", "", Verdict.DOWN),
        ("uud", "", Verdict.UP),
        ("usd", "", Verdict.SUSPECT),
        ("dd?", "", Verdict.DOWN),
        ("???", "", Verdict.UNKNOWN),
        ("udd", " xx", Verdict.UP),
        ("uddd", "x   ", Verdict.DOWN),
        ("ddd", "xxx", Verdict.UNKNOWN),
        ("", "", Verdict.UNKNOWN),
    ],
)
def test_the_majority_of_those_who_see_has_the_say(
    seen: str, isolated: str, expected: Verdict
) -> None:
    assert verdict(hosts(seen, isolated)) is expected


def test_when_nobody_sees_it_the_fleet_is_isolated() -> None:
    fleet = judge_fleet(["okta"], hosts("dd", "xx"), (), FRESH, NOW)
    assert fleet.isolated == {"okta": "cut"}
    assert judge_fleet(["okta"], hosts("dd", "x"), (), FRESH, NOW).isolated == {}


@pytest.mark.parametrize(
    ("age_s", "counts"), [(0, True), (30, True), (31, False), (-5, True), (-6, False)]
)
def test_only_who_was_heard_of_late_counts_and_nobody_from_the_future(
    age_s: int, counts: bool
) -> None:
    at = NOW - timedelta(seconds=age_s)
    fleet = judge_fleet(["okta"], hosts("d", at=at), (), FRESH, NOW)
    assert (fleet.seen == ("proxy-0",)) is counts
    assert fleet.few is not counts
    assert fleet.registered == 1


def test_a_canary_speaks_for_the_whole_fleet() -> None:
    down = Canary("okta", "staff", TRACKS["d"])
    other = replace(down, upstream="entra")
    assert verdict(hosts("uuu"), (down,)) is Verdict.DOWN
    assert verdict(hosts("uuu"), (other,)) is Verdict.UP
    assert verdict(hosts("ddd"), (Canary("okta", "staff", TRACKS["u"]),)) is Verdict.DOWN
    health = judge_fleet(["okta"], hosts("u"), (down,), FRESH, NOW).health["okta"]
    assert health.reasons == ("answers", "canary staff: no answer")


def test_a_canary_that_never_passed_takes_no_upstream_away() -> None:
    """It may be wrongly set up: a field's name, a host, an attribute that the account lacks."""
    new = Canary("okta", "new", replace(TRACKS["d"], passed_at=None))
    health = judge_fleet(["okta"], hosts("uuu"), (new,), FRESH, NOW).health["okta"]
    assert (health.verdict, health.reasons) == (Verdict.UP, ("answers",))
    assert health.refused == ("canary new never passed, so it counts for nothing yet: no answer",)
    assert (health.has_canary, health.canary_passed_at) == (True, None)


def test_every_population_s_canary_must_have_passed() -> None:
    older = replace(TRACKS["u"], passed_at=LONG, since=LONG + timedelta(minutes=5))
    both = (Canary("okta", "staff", TRACKS["u"]), Canary("okta", "guests", older))
    health = judge_fleet(["okta"], hosts("u"), both, FRESH, NOW).health["okta"]
    assert (health.canary_passed_at, health.up_since) == (LONG, LONG + timedelta(minutes=5))
    never = (*both, Canary("okta", "new", Track(refused="expired")))
    health = judge_fleet(["okta"], hosts("u"), never, FRESH, NOW).health["okta"]
    assert (health.canary_passed_at, health.refused) == (None, ("canary new: expired",))


def test_a_refused_probe_of_any_voter_is_known_and_changes_no_verdict() -> None:
    seen = list(hosts("uuu"))
    refused = replace(TRACKS["u"], refused="the account is locked")
    seen[1] = replace(seen[1], tracks={"okta": refused})
    health = judge_fleet(["okta"], seen, (), FRESH, NOW).health["okta"]
    assert (health.verdict, health.probe_refused) == (Verdict.UP, "the account is locked")


def saw(okta_down_ago_s: int | None, entra_passed_ago_s: int | None) -> HostReport:
    """A host that sees okta DOWN since then, or UP, and entra UP, which it saw answer then."""

    def ago(seconds: int | None) -> datetime | None:
        return None if seconds is None else NOW - timedelta(seconds=seconds)

    okta = TRACKS["u"] if okta_down_ago_s is None else TRACKS["d"]
    return HostReport(
        f"host-{okta_down_ago_s}-{entra_passed_ago_s}",
        NOW,
        {
            "okta": replace(okta, since=ago(okta_down_ago_s)),
            "entra": replace(TRACKS["u"], passed_at=ago(entra_passed_ago_s)),
        },
    )


@pytest.mark.parametrize(
    ("reports", "unseen"),
    [
        ([saw(5, 4)], False),
        ([saw(5, 5)], False),
        ([saw(5, 6)], True),
        ([saw(5, None)], True),
        ([saw(None, 60)], False),
        ([saw(5, 4), saw(5, 6)], True),
        ([saw(5, 4), saw(9, 6), saw(5, 6)], False),
        ([saw(5, 4), saw(5, 6), saw(5, 7)], True),
        ([saw(5, 6), saw(None, 60), saw(None, 61)], False),
        ([], False),
    ],
)
def test_what_was_seen_before_another_one_fell_says_nothing_about_now(
    reports: list[HostReport], *, unseen: bool
) -> None:
    """Each host by its own clock, and more than half of them."""
    health = judge_fleet(["okta", "entra"], reports, (), FRESH, NOW).health
    assert health["entra"].unseen_since == (frozenset({"okta"}) if unseen else frozenset())
    assert health["okta"].unseen_since == frozenset()


@pytest.mark.parametrize(
    ("seen", "coming_back"),
    [("d", False), ("b", True), ("bbd", True), ("bdd", False), ("bd", False), ("u", False)],
)
def test_what_is_down_and_answers_most_of_them_again_is_coming_back(
    seen: str, *, coming_back: bool
) -> None:
    tracks = TRACKS | {"b": Track(Verdict.DOWN, 1, 0, LONG, NOW, NOW, "answers")}
    reports = [
        HostReport(f"proxy-{number}", NOW, {"okta": tracks[sign]})
        for number, sign in enumerate(seen)
    ]
    health = judge_fleet(["okta"], reports, (), FRESH, NOW).health["okta"]
    assert health.coming_back is coming_back


def test_a_canary_that_is_down_is_not_coming_back_by_a_page_that_answers() -> None:
    broken = Canary("okta", "staff", replace(TRACKS["d"]))
    health = judge_fleet(["okta"], hosts("u"), (broken,), FRESH, NOW).health["okta"]
    assert (health.verdict, health.coming_back) == (Verdict.DOWN, False)
