"""Reminders and deadlines reach people: once, again after a pause, and when it is over."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from conversion.alarms import inventory_notice, notice_of, tell
from conversion.campaign import convert as carry_out
from conversion.config import NotifySettings
from conversion.decision.deadline import Deadlines, waiting
from conversion.decision.lifecycle import RowState
from conversion.decision.situation import OpenCampaign
from conversion.homecoming import return_people
from conversion.situation import campaign_of
from tests.support.conversion_stage import Stage
from tests.unit.conversion_night import Night, convert, night
from tests.unit.pager import TOKEN, Pager, running_pager

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["night"]

NOW = datetime(2026, 3, 3, 3, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
COMMAND = "sso-conversion status"
USUAL = Deadlines()


@pytest.fixture
def pager() -> Iterator[Pager]:
    yield from running_pager()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path) as opened:
        yield opened


def channels(pager: Pager, **changes: object) -> NotifySettings:
    usual = NotifySettings((pager.json_url,), "en", 24 * HOUR, timedelta(seconds=5))
    return replace(usual, **changes)  # type: ignore[arg-type]  # fields by name


def campaign(*hours: float, until: datetime | None = None) -> OpenCampaign:
    away = waiting((NOW - hour * HOUR for hour in hours), NOW, USUAL)
    return OpenCampaign("c1", NOW - 100 * HOUR, until, {RowState.CONVERTED: len(hours)}, away)


@pytest.mark.parametrize(
    ("found", "key"),
    [
        (campaign(), None),
        (campaign(23), None),
        (campaign(24), "deadline:c1:reminder"),
        (campaign(72), "deadline:c1:alarm"),
        (campaign(1, until=NOW), "deadline:c1:alarm"),
        (campaign(1, until=NOW + HOUR), None),
        # Nobody is away: an envelope that ended harms nobody.
        (campaign(until=NOW - HOUR), None),
    ],
)
def test_what_is_due_becomes_a_matter(found: OpenCampaign, key: str | None) -> None:
    notice = notice_of(found, USUAL, NOW, COMMAND)
    assert (None if notice is None else notice.key) == key


def away(stage: Stage, pager: Pager) -> bool:
    """One look, as cron does it."""
    now = stage.now()
    found = campaign_of(stage.ledger, now, USUAL)
    notice = None if found is None else notice_of(found, USUAL, now, COMMAND)
    notices = [] if notice is None else [notice]
    return tell(stage.ledger, channels(pager), notices, now, COMMAND)


def test_people_hear_of_it_once_again_after_the_pause_and_when_it_is_over(
    stage: Stage, pager: Pager
) -> None:
    until = stage.now() + 200 * HOUR
    carry_out(stage.bulk, stage.plan("user000001", "user000002", until=until))
    assert away(stage, pager)
    assert pager.messages == []
    stage.sleep(25 * 3600)
    for _ in range(3):
        assert away(stage, pager)
    assert len(pager.messages) == 1
    stage.sleep(24 * 3600)
    away(stage, pager)
    assert len(pager.messages) == 2
    stage.sleep(24 * 3600)
    away(stage, pager)
    # The deadline is a matter of its own, told whenever the last reminder was.
    assert len(pager.messages) == 3
    assert all("still away: 2" in subject for subject in pager.subjects)
    assert "OVERDUE" in pager.bodies[-1]
    assert f"next: {COMMAND}" in pager.bodies[-1]
    # It told, and returned nobody.
    assert stage.states()[RowState.CONVERTED] == 2
    stage.server.give_session(stage.user("operator").id, is_saml=True)
    return_people(stage.bulk, stage.orders()).must_be_complete()
    before = len(pager.messages)
    away(stage, pager)
    away(stage, pager)
    assert all("over: " in one for one in pager.subjects[before:])
    assert len(pager.messages) - before == 2


def test_nobody_is_named_in_a_message(stage: Stage, pager: Pager) -> None:
    stage.convert("user000001")
    stage.sleep(80 * 3600)
    away(stage, pager)
    said = " ".join((*pager.subjects, *pager.bodies))
    assert pager.messages
    for secret in ("user000001", stage.user("user000001").id, "nameid-"):
        assert secret not in said


def test_a_channel_that_fails_is_told_and_tried_at_the_next_run(stage: Stage, pager: Pager) -> None:
    stage.convert("user000001")
    stage.sleep(80 * 3600)
    pager.status = 500
    assert not away(stage, pager)
    pager.status = 200
    stage.sleep(60)
    assert away(stage, pager)
    assert len(pager.messages) == 1


def with_channel(night: Night, pager: Pager, name: str = "pager.url") -> None:
    url = night.folder / name
    url.write_text(pager.json_url + "\n")
    url.chmod(0o600)
    config = night.folder / "c.toml"
    config.write_text(
        config.read_text()
        + f'remind_h = 1e-9\ndeadline_h = 2e-9\n[notify]\nurls = ["file:{name}"]\nlanguage = "de"\n'
    )


def test_cron_runs_status_and_the_pager_rings_in_its_language(night: Night, pager: Pager) -> None:
    night.run("prepare")
    convert(night, "--user", "user000001")
    with_channel(night, pager)
    assert night.run("status", "--notify") == 3
    assert len(pager.messages) == 1
    assert pager.subjects[0].startswith("Kampagne") or "Kampagne" in pager.subjects[0]
    assert TOKEN not in night.out + night.err
    assert night.run("status", "--notify") == 3
    assert len(pager.messages) == 1


def test_a_channel_that_takes_nothing_is_an_error_of_the_command(
    night: Night, pager: Pager
) -> None:
    night.run("prepare")
    convert(night, "--user", "user000001")
    with_channel(night, pager)
    pager.status = 500
    assert night.run("status", "--notify") == 1
    assert "a channel of [notify] did not take the message" in night.err
    assert TOKEN not in night.out + night.err


def test_status_notifies_nobody_without_being_asked(night: Night, pager: Pager) -> None:
    night.run("prepare")
    convert(night, "--user", "user000001")
    with_channel(night, pager)
    assert night.run("status") == 3
    assert pager.messages == []


@pytest.mark.parametrize("words", [("status", "--notify"), ("notify", "test")])
def test_without_a_channel_the_field_is_named(night: Night, words: tuple[str, ...]) -> None:
    assert night.run(*words) == 2
    assert "notify.urls: no channel is set" in night.err


@pytest.mark.parametrize(
    ("hours", "told"),
    [
        (None, "there is none"),
        (26, None),
        (27, "27 h old, 26 h allowed"),
        (-1, "-1 h old, 26 h allowed"),
    ],
)
def test_an_inventory_that_is_too_old_or_of_tomorrow_is_a_matter(
    hours: float | None, told: str | None
) -> None:
    age = None if hours is None else hours * HOUR
    notice = inventory_notice(age, 26 * HOUR, NOW, "sso-conversion prepare")
    assert (None if notice is None else notice.facts["age"]) == told


def test_cron_tells_that_prepare_does_not_come_through_and_when_it_does_again(
    night: Night, pager: Pager
) -> None:
    with_channel(night, pager)
    for _ in range(2):
        assert night.run("status", "--notify") == 0
    assert len(pager.messages) == 1
    assert "there is none" in pager.bodies[0] or "there is none" in pager.subjects[0]
    assert "sso-conversion" in pager.bodies[0]
    assert "prepare" in pager.bodies[0]
    assert night.run("prepare") == 0
    for _ in range(2):
        assert night.run("status", "--notify") == 0
    assert len(pager.messages) == 2


def test_a_test_message_reaches_every_channel_and_says_that_nothing_happened(
    night: Night, pager: Pager
) -> None:
    with_channel(night, pager)
    assert night.run("notify", "test") == 0
    assert "notify.urls[0]" in night.out
    assert "ops-1" in pager.subjects[0]
    assert night.json("notify", "test")["channels"][0]["sent"] is True
    pager.status = 500
    assert night.run("notify", "test") == 1
    assert "1 of 1 channels did not take the message" in night.err
    assert night.next() == ["notify", "test"]
    assert TOKEN not in night.out + night.err


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3cr3t url", "holds no URL of Apprise's"),
        ("json://host/s3cr3t?verify=no", "verify=no"),
        ("json://[::1/s3cr3t", "malformed"),
    ],
)
def test_a_channel_that_cannot_be_is_named_by_its_place_and_never_shown(
    night: Night, url: str, said: str
) -> None:
    file = night.folder / "pager.url"
    file.write_text(url)
    file.chmod(0o600)
    config = night.folder / "c.toml"
    config.write_text(config.read_text() + '[notify]\nurls = ["file:pager.url"]\n')
    assert night.run("status") == 2
    assert "notify.urls[0]: " in night.err
    assert said in night.err
    assert "s3cr3t" not in night.err


def test_a_channel_in_the_file_itself_is_refused(night: Night) -> None:
    config = night.folder / "c.toml"
    config.write_text(config.read_text() + '[notify]\nurls = ["json://host/s3cr3t"]\n')
    assert night.run("status") == 2
    assert "a secret may not stand in this file" in night.err
    assert "s3cr3t" not in night.err
