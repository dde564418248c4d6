"""The six lines for the management: two languages, the same facts, nothing that was not seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversion.decision.deadline import Waiting
from conversion.decision.lifecycle import RowState
from conversion.decision.situation import (
    Door,
    OpenCampaign,
    Situation,
    alarm_of,
    lines,
    next_words,
)
from conversion.decision.triage import Load
from conversion.report import Language, brief_of
from conversion.report.brief import STEPS

NOW = datetime(2026, 3, 3, 3, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
UPDATE = NOW + timedelta(minutes=30)
LOADS = (
    Load(timedelta(0), 14, timedelta(minutes=84)),
    Load(8 * HOUR, 96, timedelta(minutes=576)),
    Load(24 * HOUR, 310, 31 * HOUR),
)
DOWN = Situation(
    now=NOW,
    sso_works=False,
    sso="IS DOWN",
    server="",
    token="",
    inventory_age=3 * HOUR,
    inventory_max_age=26 * HOUR,
    known=1200,
    people=1200,
    release="11.0.0",
    door=Door(by_email=True, by_name=True),
    loads=LOADS,
    out_now=("ada", "bob", "cy", "dora"),
)
AWAY = OpenCampaign(
    "c1", NOW - HOUR, NOW + HOUR, {RowState.CONVERTED: 8, RowState.VERIFIED: 4, RowState.SKIPPED: 1}
)


def english(found: Situation) -> list[str]:
    return brief_of(found, Language.EN, UPDATE, "the identity team").splitlines()


def test_six_lines_say_what_is_so_whom_it_hits_and_what_comes_next() -> None:
    assert english(replace(DOWN, campaign=AWAY)) == [
        (
            "2026-03-03 03:00 UTC: Single sign-on to Mattermost is down; whoever is logged in keeps"
            " working."
        ),
        "Affected: 14 of 1200 people cannot log in now, 96 within 8 hours, 310 within 24 hours.",
        (
            "Done so far: 12 people were given email and password for now; 4 are back on single"
            " sign-on, 8 still to return."
        ),
        "Help desk: about 1 hours of calls now, 31 within 24 hours, if everybody affected calls.",
        "To watch: nothing is overdue.",
        (
            "Next: we give those who are locked out a password login. Next news at 03:30 UTC,"
            " from the identity team."
        ),
    ]


_CASES = [
    DOWN,
    replace(DOWN, sso_works=True),
    replace(DOWN, sso_works=None),
    replace(DOWN, sso_works=None, last_saml_login=NOW - HOUR / 12),
    replace(DOWN, loads=(), campaign=AWAY),
    replace(DOWN, server="DOES NOT ANSWER", people=0, known=0, loads=()),
    replace(DOWN, loads=()),
    replace(DOWN, known=1000),
    replace(DOWN, inventory_age=None),
    replace(DOWN, inventory_age=30 * HOUR),
    replace(DOWN, campaign=AWAY),
    replace(DOWN, sso_works=True, campaign=AWAY),
    replace(DOWN, campaign=replace(AWAY, until=NOW)),
    replace(DOWN, campaign=replace(AWAY, waiting=Waiting(8, 3, 0, NOW - 25 * HOUR))),
    replace(DOWN, campaign=replace(AWAY, waiting=Waiting(8, 3, 2, NOW - 80 * HOUR))),
    replace(DOWN, sso_works=True, campaign=replace(AWAY, counts={RowState.SKIPPED: 1})),
]


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("found", _CASES)
def test_there_are_six_lines_whatever_is_so(found: Situation, language: Language) -> None:
    text = brief_of(found, language, UPDATE, "")
    assert len(text.splitlines()) == 6
    assert text.endswith("\n")
    assert "None" not in text
    assert all(line == line.strip() and "  " not in line for line in text.splitlines())


@pytest.mark.parametrize("found", _CASES)
def test_both_languages_tell_the_same_figures(found: Situation) -> None:
    figures = [
        sorted("".join(c if c.isdigit() else " " for c in line).split())
        for line in brief_of(found, Language.EN, UPDATE).splitlines()
    ]
    assert figures == [
        sorted("".join(c if c.isdigit() else " " for c in line).split())
        for line in brief_of(found, Language.DE, UPDATE).splitlines()
    ]


def test_nobody_is_named_to_the_management() -> None:
    for language in Language:
        text = brief_of(DOWN, language, UPDATE)
        assert not any(name in text for name in DOWN.out_now)


def test_what_was_not_looked_at_is_not_told_as_a_figure() -> None:
    said = english(replace(DOWN, loads=()))
    assert said[1] == "Affected: how many cannot log in was not looked at."
    assert said[3] == "Help desk: the load was not estimated."


def test_nothing_is_promised_while_nobody_knows_whether_there_is_an_outage() -> None:
    unknown = replace(DOWN, sso_works=None)
    assert next_words(unknown)[0] == "plan"
    assert "is not known yet" in english(unknown)[0]
    assert english(unknown)[5].startswith("Next: we check and mend what stands in the way.")
    came = replace(unknown, last_saml_login=NOW - HOUR / 12)
    assert english(came)[0].endswith("Single sign-on to Mattermost works.")


def test_every_command_that_now_proposes_has_words_in_each_language() -> None:
    proposed = {next_words(found)[0] for found in _CASES}
    assert {"plan", "return", "verify", "prepare", "preflight", "status"} == proposed
    for language in Language:
        assert proposed <= STEPS[language].keys()


@given(st.text())
def test_an_owner_cannot_add_a_line(owner: str) -> None:
    assert len(brief_of(DOWN, Language.DE, UPDATE, owner).splitlines()) == 6


@pytest.mark.parametrize(
    ("campaign", "said"),
    [
        (AWAY, "to end by 2026-03-03 04:00 UTC"),
        (replace(AWAY, until=None), ""),
        (
            replace(AWAY, until=NOW, waiting=Waiting(8, 0, 0, NOW)),
            "OVERDUE: it was to end at 2026-03-03 03:00 UTC, and 8 people are away",
        ),
        (
            replace(AWAY, waiting=Waiting(8, 3, 0, NOW - 25 * HOUR)),
            "reminder: 3 people are away for long, the first since 2026-03-02 02:00 UTC",
        ),
        (
            replace(AWAY, waiting=Waiting(8, 3, 2, NOW - 80 * HOUR)),
            "OVERDUE: 2 people are past the deadline, the first since 2026-02-27 19:00 UTC",
        ),
    ],
)
def test_what_is_due_stands_with_the_campaign(campaign: OpenCampaign, said: str) -> None:
    assert alarm_of(campaign, NOW) == said
    assert dict(lines(replace(DOWN, campaign=campaign)))["campaign"].endswith(said)


@pytest.mark.parametrize(
    ("door", "said"),
    [
        (Door(), "not known"),
        (Door(by_email=True), "open: people can log in with email and a password"),
        (Door(by_email=False, by_name=True), "open: people can log in with user name and"),
        (Door(by_email=True, by_name=True), "open: people can log in with email or user name"),
        (Door(by_email=False, by_name=False), "SHUT"),
        (Door(by_email=False), "not known"),
    ],
)
def test_the_door_is_open_shut_or_not_known(door: Door, said: str) -> None:
    assert str(door).startswith(said)


def test_those_locked_out_now_are_named_as_far_as_a_line_goes() -> None:
    said = dict(lines(DOWN))["locked out"]
    assert said == "14 now (ada, bob, cy, 1 more), 96 within 8 h, 310 within 24 h"
    assert dict(lines(replace(DOWN, out_now=("ada",))))["locked out"].startswith("14 now (ada), 96")
