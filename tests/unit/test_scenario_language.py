"""The language of the scenarios. A story that goes wrong is noticed: by what it expects, by laws,
and by an error in the product's log.
"""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from idp_proxy.decision import failover
from tests.support.scenario.playing import Played, play
from tests.support.scenario.reading import read
from tests.support.scenario.words import ScenarioError

if TYPE_CHECKING:
    from idp_proxy.decision.eligibility import Situation
    from idp_proxy.decision.failover import Decision
    from idp_proxy.decision.switching import SwitchState

_ROOT = Path(__file__).parents[2]
_SCENARIOS = _ROOT / "tests" / "scenarios"
_ABOUT = "# It shows something.\n# And this is why.\n"


def played(folder: Path, text: str) -> Played:
    shutil.copy(_SCENARIOS / "answers.toml", folder)
    path = folder / "mine.scenario"
    path.write_text(_ABOUT + text, "utf-8")
    return play(read(path))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ends at 2:00\nexpect always serving okta", "4: no upstream is called okta; there are"),
        ("ends at 2:00\nat 1:00 active explodes", "4: cannot be understood: active explodes; the"),
        ('ends at 2:00\nat 1:00 active fails "meteor"', '4: "meteor" is no recorded answer'),
        ("ends at 2:00\nat 1:00 active fails meteor", "4: meteor must stand in quotes"),
        ("ends at 2:00\nat 1:60x proxy-1 stops", "4: not a time: 1:60x"),
        ("ends at 2:00\nat 1:00 proxy-1 stops\nat 0:30 proxy-1 starts", "5: 0:30 is earlier"),
        ("ends at 2:00\nat 1:00 store clock jumps 1:00", "4: not a span: 1:00"),
        ("ends at 2:00\nexpect soon serving active", "4: expect what when?"),
        ("ends at 2:00\nexpect always", "4: nothing is expected here"),
        ("ends at 2:00\nexpect always mode brave", "4: no mode is called brave"),
        ("ends at 2:00\nexpect never told stories", "4: no kind of notice is called stories"),
        ("ends at 2:00\nexpect always rule brave", "4: no rule is called brave"),
        (
            "ends at 2:00\nexpect always serving active\nchance 3",
            "5: what is so from the beginning",
        ),
        ("ends at 2:00", "mine.scenario: expects nothing"),
        ("expect always serving active", "mine.scenario: says nowhere when it ends"),
        ("ends at 2:00\nexpect by 3:00 serving active", "after the end: expect by 3:00"),
        ("failover tick_s = 20\nends at 2:00\nexpect always serving active", "health.fresh_s"),
        ("failover courage = 3\nends at 2:00\nexpect always serving active", "courage"),
    ],
)
def test_what_cannot_be_read_exactly_is_refused_with_its_line(
    tmp_path: Path, text: str, problem: str
) -> None:
    with pytest.raises(ScenarioError) as refused:
        played(tmp_path, text)
    assert problem in str(refused.value)


def test_a_story_says_what_it_shows(tmp_path: Path) -> None:
    path = tmp_path / "mine.scenario"
    shutil.copy(_SCENARIOS / "answers.toml", tmp_path)
    path.write_text("ends at 2:00\nexpect always serving active\n", "utf-8")
    with pytest.raises(ScenarioError, match="begins with two or three lines"):
        read(path)


@pytest.mark.parametrize(
    ("expected", "problem"),
    [
        ("by 1:10 serving standby", "it came at 01:1"),
        ("by 1:45 serving standby mode held", "it never came"),
        ("from 1:00 to 2:00 serving active", "it did not hold at 01:1"),
        ("never serving standby", "it came at 01:1"),
        ("at the end switches 2", "it never came"),
    ],
)
def test_what_did_not_come_is_said_with_what_happened(
    tmp_path: Path, expected: str, problem: str
) -> None:
    text = f'ends at 3:00\nat 1:00 active fails "takes no connection"\nexpect {expected}'
    drawn = played(tmp_path, text).drawn()
    assert f"mine.scenario:5: expect {expected}: {problem}" in drawn
    assert '01:00.0  -- active fails "takes no connection"' in drawn
    assert "standby serves (auto, epoch 2) [active=down standby=up] serving_down" in drawn


def test_the_same_story_is_the_same_to_the_millisecond() -> None:
    path = _SCENARIOS / "login-broken.scenario"
    assert play(read(path)).stage.timeline == play(read(path)).stage.timeline


_DEAD = 'at 1:00 active fails "takes no connection"'
_TO_AND_FRO = """at 3:00 active answers again
at 5:00 standby fails "takes no connection"
at 7:00 standby answers again
at 9:00 active fails "takes no connection\""""


@pytest.mark.parametrize(
    ("rule", "story", "law"),
    [
        ("_held", f'at 0:50 alice holds "mine"\n{_DEAD}', "changed a switch in Mode.HELD"),
        ("_latched", f"begins latched at active\n{_DEAD}", "changed a switch in Mode.LATCHED"),
        ("_budget_used", f"{_DEAD}\n{_TO_AND_FRO}", "3 automatic switches within 1:00:00"),
        ("_serving_down", _DEAD, "proxy-1 left active serving, though it is down"),
    ],
)
def test_a_watch_without_one_of_its_rules_breaks_a_law(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rule: str, story: str, law: str
) -> None:
    text = f"ends at 12:00\n{story}\nexpect at the end epoch 99"
    assert not any("law: " in one for one in played(tmp_path, text).failures)
    kept = tuple(one for one in failover.RULES if one.__name__ != rule)
    assert len(kept) == len(failover.RULES) - 1
    monkeypatch.setattr(failover, "RULES", kept)
    failures = played(tmp_path, text).failures
    assert any(one.startswith("law: ") and law in one for one in failures), failures


def test_a_watch_that_takes_anybody_breaks_a_law(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(failover, "eligible", lambda _state, _situation: "standby")
    text = f"standby was never rehearsed\nends at 3:00\n{_DEAD}\nexpect always serving active"
    assert any("which is not eligible" in one for one in played(tmp_path, text).failures)


def test_an_error_in_the_product_s_log_fails_a_story(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def faulty(_state: SwitchState, _situation: Situation) -> Decision | None:
        raise ZeroDivisionError

    monkeypatch.setattr(failover, "RULES", (faulty,))
    found = played(tmp_path, "ends at 0:10\nexpect always serving active")
    assert any("the product logged an error: watch_failed" in one for one in found.failures)


def test_every_answer_of_the_scenarios_stands_where_it_was_heard() -> None:
    answers = tomllib.loads((_SCENARIOS / "answers.toml").read_text("utf-8"))["answer"]
    for one in answers:
        source = (_ROOT / one["heard"]).read_text("utf-8")
        assert one.get("as", one["says"]) in source, one
