"""`[failover]` and `[health]`: profiles, numbers of one's own, and what does not fit together."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from idp_proxy.config.failover import PROFILES
from idp_proxy.config.failover_shape import FailoverTable, HealthTable
from idp_proxy.decision.eligibility import Failback
from idp_proxy.errors import ConfigError

if TYPE_CHECKING:
    from tests.unit.config_folder import Folder


def more(folder: Folder, text: str) -> None:
    """Add sections at the end of the file, where a header ends the table before it."""
    folder.text += f"\n{text}"


def test_without_the_section_the_default_profile_holds_and_nothing_is_warned(
    folder: Folder,
) -> None:
    settings = folder.read()
    found = settings.failover
    assert (found.profile, found.tick, found.thresholds.down_after) == (
        "default",
        timedelta(seconds=2),
        6,
    )
    assert (found.limits.failback, found.limits.automatic) == (Failback.APPROVE, 2)
    assert settings.health.references == ()
    assert settings.warnings == ()


def test_a_profile_gives_the_numbers_and_each_may_be_set(folder: Folder) -> None:
    more(
        folder,
        '[failover]\nprofile = "fast"\nfall = 3\ndwell_s = 60\nfailback = "scheduled"\n'
        'windows = ["Sat 02:00-04:00"]\n[health]\nreferences = ["https://example.net/"]\n',
    )
    settings = folder.read()
    found = settings.failover
    assert (found.cadence.interval, found.thresholds.fall) == (timedelta(seconds=1), 3)
    assert (found.limits.dwell, len(found.limits.windows)) == (timedelta(minutes=1), 1)
    assert settings.warnings == ()


#: What else must be set for a value to be possible.
_BESIDE = {"windows": ('failback = "scheduled"',), "failback": ("windows = ['Sat 02:00-04:00']",)}
_OTHER = {
    "profile": '"fast"',
    "failback": '"scheduled"',
    "windows": '["Sun 01:00-02:00 UTC"]',
    "references": '["https://example.net/"]',
}


@pytest.mark.parametrize(
    ("section", "fields"),
    [("failover", FailoverTable.model_fields), ("health", HealthTable.model_fields)],
)
def test_every_field_may_be_set_and_counts(
    folder: Folder, section: str, fields: dict[str, Any]
) -> None:
    """One that is read and goes nowhere would be a promise that nobody keeps."""
    before, bare = getattr(folder.read(), section), folder.text
    for name in fields:
        value = _OTHER[name] if name in _OTHER else _changed(name)
        lines = (*_BESIDE.get(name, ()), f"{name} = {value}")
        folder.text = "\n".join((bare, f"[{section}]", *lines, ""))
        assert getattr(folder.read(), section) != before, name


def _changed(name: str) -> str:
    """Another number than the default profile has, that fits the rest."""
    default = {**HealthTable().model_dump(), **FailoverTable().model_dump()}[name]
    usual = getattr(PROFILES["default"], name) if default is None else default
    smaller = name in {"unanswered_share", "jitter", "suspect_after", "connect_timeout_s"}
    return str(usual / 2 if smaller and usual != 2 else 1 if smaller else usual + 1)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("late_answers_s = 281", "failover.late_answers_s: 281 is too large"),
        ("jitter = 0.6", "failover.jitter: 0.6 is too large"),
        ("[health]\nunanswered_share = 0", "health.unanswered_share: 0 is too small"),
        ("[health]\nunanswered_after_s = 900", "health.unanswered_after_s: 900 is too large"),
        ("connect_timeout_s = 6", "failover.connect_timeout_s: longer than timeout_s"),
        ("suspect_after = 4", "failover.suspect_after: more than fall"),
        ("rehearsed_by_canary_s = 300", "failover.rehearsed_by_canary_s: must be longer"),
        ('windows = ["Sat"]', "failover.windows[0]: not a window: 'Sat'"),
        ('failback = "scheduled"', "failover.windows: missing"),
        ('profile = "brave"', "failover.profile: unknown value 'brave'"),
        ("interval_s = 0", "failover.interval_s: 0"),
        ('tick_s = "2"', "failover.tick_s: must be a number without quotes"),
        ("fail = 3", "failover.fail: unknown field; did you mean fall?"),
        ("tick_s = 20", "health.fresh_s: must be at least 3 times"),
        ('[health]\nreferences = ["ftp://x"]', "health.references[0]: "),
    ],
)
def test_what_does_not_fit_is_named(folder: Folder, line: str, problem: str) -> None:
    more(folder, f"[failover]\n{line}\n")
    with pytest.raises(ConfigError) as refused:
        folder.read()
    assert any(one.startswith(problem) for one in refused.value.problems), refused.value.problems


def test_a_rehearsal_that_may_be_long_ago_is_a_warning(folder: Folder) -> None:
    more(folder, "[failover]\nrehearsal_max_age_s = 604800\n")
    assert any("failover.rehearsal_max_age_s" in one for one in folder.read().warnings)
