"""Who may switch, and when: each command with the fleet, the operators and the watch in its way."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from idp_proxy.adapters import open_standards, open_store, open_upstreams
from idp_proxy.config import load
from idp_proxy.decision.fleet import HostReport
from idp_proxy.decision.health import Canary, Track, Verdict
from idp_proxy.decision.standby_logins import StandbyLogin
from idp_proxy.lookout import Proposer
from idp_proxy.store.base import Evidence
from idp_proxy.store.standby_logins import forget_standby_logins
from idp_proxy.survey import survey
from tests.support.keys import rsa_pair
from tests.support.upstream_metadata import upstream_metadata
from tests.unit.at_the_terminal import Bench, Program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from idp_proxy.config import Settings
    from idp_proxy.store.sql import SqlStore
    from tests.unit.config_folder import Folder

BY_URL = '{ url = "https://idp.example.org/metadata" }'
UP = Verdict.UP
DOWN = Verdict.DOWN


@pytest.fixture
def bench(
    folder: Folder,
    empty_database: bytes,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Bench:
    for name in ("okta", "entra"):
        metadata = upstream_metadata(rsa_pair(f"{name}-idp"), entity_id=f"https://{name}.example")
        (folder.path / f"{name}.xml").write_bytes(metadata)
    folder.set(BY_URL, '{ file = "entra.xml" }')
    program = Program(folder, capsys)
    program.write()
    program.make_store(empty_database)
    return Bench(program, monkeypatch)


@pytest.fixture
def settings(bench: Bench) -> Settings:
    return load(bench.program.file)


@pytest.fixture
def fleet(settings: Settings, bench: Bench) -> Iterator[Fleet]:
    bench.program.ok("status")
    store = open_store(settings)
    yield Fleet(settings, store)
    store.close()


class Fleet:
    """One host that watches, and what it has seen."""

    def __init__(self, settings: Settings, store: SqlStore) -> None:
        self.settings = settings
        self.store = store

    def sees(self, okta: Verdict = UP, entra: Verdict = UP, *, rehearsed: bool = True) -> None:
        now = self.store.clock()
        long_ago = now - timedelta(hours=1)
        tracks = {
            name: Track(
                verdict,
                failures=9 if verdict is DOWN else 0,
                since=long_ago,
                at=now,
                passed_at=long_ago if verdict is DOWN else now,
                reason=f"{name} is {verdict}",
            )
            for name, verdict in (("okta", okta), ("entra", entra))
        }
        self.store.publish(HostReport("sso1", now, tracks, reference_answers=True))
        if rehearsed:
            for name in tracks:
                self.store.note_evidence(Evidence.REHEARSAL, name, now)

    def proposes(self) -> str:
        """The watch's own proposal after a look."""
        state = self.store.switch_state()
        assert state is not None
        standards = open_standards(self.settings, open_upstreams(self.settings))
        seen = survey(self.store, state, standards, self.store.clock())
        found = Proposer(self.store, "sso1")(seen)
        assert found is not None, seen.decision
        return found

    @property
    def now(self) -> tuple[str, str, int]:
        state = self.store.switch_state()
        assert state is not None
        return state.serving, state.mode.value, state.epoch


TO_ENTRA = ("switch", "to", "entra", "--reason", "okta is down")
BACK = ("failback", "--reason", "okta is back")


# --- one person, before there are operators -------------------------------------------------------


def test_an_eligible_standby_takes_one_command(bench: Bench, fleet: Fleet) -> None:
    fleet.sees(okta=DOWN)
    done = bench.program.ok(*TO_ENTRA)
    assert done.err == ""
    assert fleet.now == ("entra", "held", 2)


def test_before_the_first_operator_an_ineligible_one_is_warned_of(
    bench: Bench, fleet: Fleet
) -> None:
    fleet.sees(entra=DOWN, rehearsed=False)
    done = bench.program.ok(*TO_ENTRA)
    assert "it is down: entra is down" in done.err
    assert "never rehearsed" in done.err
    assert fleet.now == ("entra", "held", 2)


def test_a_failback_goes_home_and_hands_the_switch_back(bench: Bench, fleet: Fleet) -> None:
    fleet.sees()
    bench.program.ok(*TO_ENTRA)
    done = bench.program.ok(*BACK)
    assert "okta serves new logins (epoch 3, auto)" in done.out
    assert fleet.now == ("okta", "auto", 3)
    assert [kind for kind, _ in bench.audit()] == ["switch", "failback"]


def test_back_at_the_active_the_sessions_that_the_standby_made_are_what_comes_next(
    bench: Bench, fleet: Fleet
) -> None:
    fleet.sees()
    bench.program.ok(*TO_ENTRA)
    came = fleet.store.clock().replace(second=30, microsecond=0)
    with fleet.store.transaction() as tx:
        for person, minutes in (("ann", 5), ("ann", 0), ("bob", 2)):
            at = came + timedelta(minutes=minutes)
            tx.note_standby_login(StandbyLogin(person, "entra", 2, at))
    assert bench.program.status()["left_by_standbys"] is None  # while it serves, they are at work

    done = bench.program.ok(*BACK)
    since = f"{came:%Y-%m-%dT%H:%M}"
    assert "2 people came through a standby since" in done.out
    assert f"next: idp-proxy standby-logins list --since {since}" in done.out
    shown = bench.program.ok("status")
    assert "after:   2 people came through a standby since" in shown.out
    assert "in Mattermost, and are ended there by hand. The first of them is for" in shown.out
    assert f"next: idp-proxy standby-logins list --since {since}" in shown.out
    document = bench.program.status()
    assert document["left_by_standbys"] == {
        "people": 2,
        "since": came.isoformat(),
        "known_until": (came + timedelta(days=90, seconds=510)).isoformat(),
    }

    with fleet.store.writing() as connection:
        for person, all_minutes in (("ann", {0, 5}), ("bob", {2})):
            times = [came + timedelta(minutes=one) for one in all_minutes]
            assert forget_standby_logins(connection, person, times) == len(times)
    assert bench.program.status()["left_by_standbys"] is None


def test_a_failback_to_who_is_not_up_is_refused_with_each_reason(
    bench: Bench, fleet: Fleet
) -> None:
    fleet.sees()
    bench.program.ok(*TO_ENTRA)
    fleet.sees(okta=DOWN)
    done = bench.program(*BACK)
    assert done.code == 1
    assert "okta may not take over now: it is down: okta is down" in done.err
    assert "idp-proxy switch to okta" in done.err
    assert fleet.now == ("entra", "held", 2)


def test_where_the_active_serves_a_failback_releases_or_is_refused(
    bench: Bench, fleet: Fleet
) -> None:
    fleet.sees()
    assert bench.program(*BACK).code == 1
    bench.program.ok("hold", "--reason", "maintenance at okta")
    assert fleet.now == ("okta", "held", 2)
    bench.program.ok(*BACK)
    assert fleet.now == ("okta", "auto", 3)


def test_hold_and_release(bench: Bench, fleet: Fleet) -> None:
    fleet.sees()
    bench.program.ok("hold", "--reason", "maintenance")
    assert bench.program("hold", "--reason", "again").code == 1
    assert bench.program.status()["mode"] == "held"
    bench.program.ok("release", "--reason", "done")
    assert bench.program("release", "--reason", "again").code == 1
    assert fleet.now == ("okta", "auto", 3)
    assert [kind for kind, _ in bench.audit()] == ["hold", "release"]


# --- what the watch proposes ----------------------------------------------------------------------


def test_the_hosts_user_confirms_what_the_watch_proposes(bench: Bench, fleet: Fleet) -> None:
    fleet.sees()
    bench.program.ok("hold", "--reason", "maintenance")
    fleet.sees(okta=DOWN)
    proposal = fleet.proposes()
    read = bench.program.status()
    assert [one["id"] for one in read["proposals"]] == [proposal]
    assert read["next"].startswith(f"idp-proxy switch confirm {proposal}")
    done = bench.program.ok("switch", "confirm", proposal)
    assert "the watch asks: switch entra: okta is down" in done.err
    assert fleet.now == ("entra", "held", 3)
    again = bench.program("switch", "confirm", proposal)
    assert again.code == 1
    assert "was confirmed already" in again.err


def test_a_failback_that_the_watch_proposes_hands_the_switch_back(
    bench: Bench, fleet: Fleet
) -> None:
    fleet.sees()
    bench.program.ok(*TO_ENTRA)
    bench.program.ok("release", "--reason", "the watch may")
    fleet.store.note_evidence(Evidence.FAILBACK_TEST, "okta", fleet.store.clock())
    bench.program.ok("switch", "confirm", fleet.proposes())
    assert fleet.now == ("okta", "auto", 4)


def test_a_proposal_is_void_when_its_target_went_down(bench: Bench, fleet: Fleet) -> None:
    fleet.sees()
    bench.program.ok("hold", "--reason", "maintenance")
    fleet.sees(okta=DOWN)
    proposal = fleet.proposes()
    fleet.sees(okta=DOWN, entra=DOWN)
    done = bench.program("switch", "confirm", proposal)
    assert done.code == 1
    assert "entra may not take over now" in done.err
    fleet.sees(okta=DOWN)
    bench.program.ok("switch", "confirm", proposal)
    assert fleet.now == ("entra", "held", 3)


def test_a_proposal_is_void_after_another_switch(bench: Bench, fleet: Fleet) -> None:
    fleet.sees()
    bench.program.ok("hold", "--reason", "maintenance")
    fleet.sees(okta=DOWN)
    proposal = fleet.proposes()
    bench.program.ok("release", "--reason", "no need")
    done = bench.program("switch", "confirm", proposal)
    assert done.code == 1
    assert "was made for epoch 2, and the switch is at 3" in done.err


# --- operators ------------------------------------------------------------------------------------


def test_two_approvers_make_every_switch_a_matter_of_two(bench: Bench, fleet: Fleet) -> None:
    bench.staff()
    fleet.sees(okta=DOWN)
    first = bench(*TO_ENTRA, "--as", "olga", typed=bench.signs_in("olga"))
    assert first.code == 3
    assert fleet.now == ("okta", "auto", 1)
    words = first.next.removeprefix("next: idp-proxy ").split(" --config")[0].split()
    assert words[:2] == ["switch", "confirm"]
    second = bench(*words, "--as", "anna", typed=bench.signs_in("anna"))
    assert second.code == 0, second.err
    assert fleet.now == ("entra", "held", 2)
    assert bench.audit()[-1] == ("switch", "operator:olga (confirmed by operator:anna)")


def test_two_agree_to_what_the_watch_proposes(bench: Bench, fleet: Fleet) -> None:
    bench.staff()
    fleet.sees()
    assert bench("hold", "--reason", "x", "--as", "olga", typed=bench.signs_in("olga")).code == 0
    fleet.sees(okta=DOWN)
    confirm = ("switch", "confirm", fleet.proposes())
    first = bench(*confirm, "--as", "olga", typed=bench.signs_in("olga"))
    assert first.code == 3, first.err
    assert fleet.now == ("okta", "held", 2)
    same = bench(*confirm, "--as", "olga", typed=bench.signs_in("olga"))
    assert "has agreed to proposal" in same.err
    assert bench(*confirm, "--as", "adam", typed=bench.signs_in("adam")).code == 0
    assert fleet.now == ("entra", "held", 3)


def test_root_without_a_credential_confirms_only_by_override(bench: Bench, fleet: Fleet) -> None:
    bench.staff()
    bench.uid = 0
    fleet.sees()
    assert bench("hold", "--reason", "maintenance").code == 0
    fleet.sees(okta=DOWN)
    confirm = ("switch", "confirm", fleet.proposes())
    refused = bench(*confirm)
    assert refused.code == 1
    assert "--override" in refused.err
    assert bench(*confirm, "--override", "nobody else is awake").code == 0
    assert bench.paused == 60
    assert fleet.now == ("entra", "held", 3)
    assert [kind for kind, _ in bench.told] == ["override"]


def test_an_ineligible_standby_takes_two_also_with_one_approver(bench: Bench, fleet: Fleet) -> None:
    assert bench.add("olga", "operator", "approver").code == 0
    fleet.sees(okta=DOWN, entra=DOWN)
    waits = bench(*TO_ENTRA, "--as", "olga", typed=bench.signs_in("olga"))
    assert waits.code == 3
    assert fleet.now == ("okta", "auto", 1)
    alone = ("--as", "olga", "--override", "the probes are wrong")
    assert bench(*TO_ENTRA, *alone, typed=bench.signs_in("olga")).code == 0
    assert fleet.now == ("entra", "held", 2)


def test_hold_disable_and_enable_take_one_operator_and_say_who(bench: Bench, fleet: Fleet) -> None:
    bench.staff()
    for words in (
        ("hold",),
        ("upstream", "disable", "entra"),
        ("upstream", "enable", "entra"),
    ):
        done = bench(*words, "--reason", "x", "--as", "olga", typed=bench.signs_in("olga"))
        assert done.code == 0, done.err
    assert fleet.now == ("okta", "held", 4)
    assert {actor for _, actor in bench.audit()[-3:]} == {"operator:olga"}


def test_a_switch_in_between_voids_what_was_agreed(bench: Bench, fleet: Fleet) -> None:
    bench.staff()
    fleet.sees()
    bench.uid = 0

    def switch_meanwhile() -> None:
        state = fleet.store.switch_state()
        assert state is not None
        if state.epoch == 1:
            with fleet.store.transaction() as transaction:
                transaction.swap(1, replace(state, epoch=2, serving="entra"))

    bench.during_pause = switch_meanwhile
    done = bench(*TO_ENTRA, "--override", "alone")
    assert done.code == 1
    assert "somebody switched during the countdown" in done.err
    assert fleet.now == ("entra", "auto", 2)


@pytest.mark.parametrize("command", ["switch", "failback"])
def test_who_goes_down_while_people_agree_is_not_switched_to(
    bench: Bench, fleet: Fleet, command: str
) -> None:
    """A countdown takes a minute, a password and a code as long: the consent was to go to one that
    may serve.
    """
    bench.staff()
    bench.uid = 0
    fleet.sees(okta=DOWN)
    words: tuple[str, ...] = TO_ENTRA
    if command == "failback":
        assert bench(*TO_ENTRA, "--override", "alone").code == 0
        fleet.sees()
        words = ("failback", "--reason", "okta is back")
    before = fleet.now
    bench.during_pause = lambda: fleet.sees(okta=DOWN, entra=DOWN)
    done = bench(*words, "--override", "alone")
    assert done.code == 1
    assert "may not take over now: it is down" in done.err
    assert fleet.now == before


# --- new keys -------------------------------------------------------------------------------------


def test_new_metadata_keys_take_two_people(bench: Bench) -> None:
    bench.program.folder.set('{ file = "entra.xml" }', BY_URL)
    bench.program.write()
    bench.staff()
    upstream = open_upstreams(load(bench.program.file))["entra"]
    fresh = upstream_metadata(rsa_pair("entra-new"), entity_id="https://entra.example")
    assert upstream.feed is not None
    with upstream.feed._disk.writing():
        upstream.feed._disk.replace(upstream.feed._disk.pending, fresh)
    shown = bench.program.ok("metadata", "diff", "entra").next
    words = shown.removeprefix("next: idp-proxy ").split(" --config")[0].split()
    first = bench(*words, "--as", "olga", typed=bench.signs_in("olga"))
    assert first.code == 3
    confirm = first.next.removeprefix("next: idp-proxy ").split(" --config")[0].split()
    assert not bench.program.status()["upstreams"][1]["usable"]
    assert confirm[:2] == ["metadata", "confirm"]
    second = bench(*confirm, "--as", "anna", typed=bench.signs_in("anna"))
    assert second.code == 0, second.err
    assert "entra is https://entra.example from now on" in second.out
    assert bench.program.status()["upstreams"][1]["usable"]
    assert bench.audit()[-1] == ("metadata_approved", "operator:olga (confirmed by operator:anna)")


def test_nobody_is_asked_to_agree_to_another_digest(bench: Bench) -> None:
    bench.staff()
    done = bench("metadata", "approve", "okta", "--digest", " 0 ", "--as", "olga")
    assert done.code == 1
    assert bench.asked == []


# --- what is shown --------------------------------------------------------------------------------


def test_status_says_what_would_happen_next(bench: Bench, fleet: Fleet) -> None:
    fleet.sees()
    out = bench.program.ok("status").out
    assert "watch:   stay: okta serves" in out
    assert "if it fails: entra takes over; 2 of 2 automatic switches left" in out
    read = bench.program.status()
    assert (read["watched"], read["would_take_over"]) == (True, "entra")
    assert [one["verdict"] for one in read["upstreams"]] == ["up", "up"]
    assert read["hosts"][0]["counts"]


def test_status_shows_why_nobody_may_take_over(bench: Bench, fleet: Fleet) -> None:
    fleet.sees(okta=DOWN, entra=DOWN)
    read = bench.program.status()
    assert read["decision"]["rule"] == "nobody_eligible"
    assert read["next"] == "sso-conversion now"
    out = bench.program.ok("status").out
    assert "okta: down: okta is down" in out
    assert "entra may not take over: it is down: entra is down" in out


def test_status_shows_several_hosts_and_canaries(bench: Bench, fleet: Fleet) -> None:
    fleet.sees()
    now = fleet.store.clock()
    assert fleet.store.lease_canary("entra", "staff", "sso1", now + timedelta(minutes=1))
    track = Track(UP, at=now, passed_at=now, refused="the password has expired")
    assert fleet.store.save_canary(Canary("entra", "staff", track, host="sso1"))
    read = json.loads(bench.program.ok("status", "--json").out)
    # One that is not configured does not count, and is not shown.
    assert read["canaries"] == []


def test_an_override_that_waits_for_review_is_not_forgotten(bench: Bench, fleet: Fleet) -> None:
    bench.staff()
    fleet.sees()
    assert bench.program.status()["overrides_to_review"] == 2
    assert bench.program.status()["next"].startswith("idp-proxy override list")
