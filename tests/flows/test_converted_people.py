"""Who logs in with email and password for now gets no Response (DESIGN section 6)."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import pytest
from structlog.testing import capture_logs

from conversion.config import ProxyStatus
from conversion.converted_file import ConvertedFile
from conversion.decision.account import Binding, Source
from conversion.decision.lifecycle import RowState
from conversion.ledger.base import Row
from conversion.proxy_status import ask
from idp_proxy import errors
from tests.flows.configuration import SITE, Wanted
from tests.flows.stage import Stage, demand_refusal
from tests.support.people import ALICE, BOB

if TYPE_CHECKING:
    from pathlib import Path

    from tests.flows.conftest import Builder
    from tests.support.people import Person

LINES = 'converted_file = "converted.txt"\nconverted_key = "file:keys/converted.key"'


@pytest.fixture
def stage(set_up: Builder) -> Stage:
    return set_up(Wanted(service_provider=LINES))


@pytest.fixture
def listed(stage: Stage) -> Path:
    """The file, empty."""
    file = stage.settings.path.parent / "converted.txt"
    file.write_text("")
    return file


def line(stage: Stage, person: Person) -> str:
    converted = stage.settings.service_provider.converted
    assert converted is not None
    octets = person.employee_number.encode()
    return hmac.new(converted.key, octets, hashlib.sha256).hexdigest() + "\n"


def turned_away(stage: Stage, person: Person) -> str:
    begun = stage.begin()
    return demand_refusal(stage.post(begun, stage.answer(begun, person)), errors.PersonConverted)


def test_who_is_listed_is_told_to_use_the_password(stage: Stage, listed: Path) -> None:
    listed.write_text(line(stage, ALICE))
    text = turned_away(stage, ALICE)
    assert f'href="{SITE}/"' in text
    assert stage.on_record() == ["person_converted"]
    assert stage.store.person("e-1001") is None
    assert stage.log_in(BOB).profile.id == "e-1002"


def test_a_listed_person_is_known_by_the_id_on_record_at_a_standby_too(
    stage: Stage, listed: Path
) -> None:
    stage.log_in(ALICE)
    listed.write_text(line(stage, BOB) + line(stage, ALICE))
    stage.switch("standby")
    turned_away(stage, ALICE)


def test_the_list_is_read_again_when_it_changes(stage: Stage, listed: Path) -> None:
    stage.log_in(ALICE)
    listed.write_text(line(stage, ALICE))
    turned_away(stage, ALICE)
    listed.write_text("")
    assert stage.log_in(ALICE).profile.id == "e-1001"


@pytest.mark.parametrize("content", [None, b"alice\n", b"\xff\xfe", b"0" * 63 + b"\n", "folder"])
def test_without_a_readable_list_nobody_counts_as_converted_and_the_log_alarms(
    stage: Stage, listed: Path, content: bytes | str | None
) -> None:
    listed.write_text(line(stage, ALICE))
    turned_away(stage, ALICE)
    listed.unlink()
    if isinstance(content, bytes):
        listed.write_bytes(line(stage, ALICE).encode() + content)
    elif content == "folder":
        listed.mkdir()
    with capture_logs() as lines:
        assert stage.log_in(ALICE).profile.id == "e-1001"
        assert stage.log_in(BOB).profile.id == "e-1002"
    alarms = [one for one in lines if one["log_level"] == "error"]
    assert [one["event"] for one in alarms] == ["converted_file_unreadable"]


def test_a_list_that_is_mended_counts_again_and_alarms_again_when_it_breaks(
    stage: Stage, listed: Path
) -> None:
    listed.write_text("garbage")
    assert stage.log_in(ALICE).profile.id == "e-1001"
    listed.write_text(line(stage, ALICE))
    turned_away(stage, ALICE)
    listed.unlink()
    with capture_logs() as lines:
        stage.log_in(ALICE)
    assert "converted_file_unreadable" in {one["event"] for one in lines}


# What one side writes the other one reads: both are ours, and neither imports the other.


def test_the_list_that_a_campaign_writes_turns_away_whom_it_moved(
    stage: Stage, listed: Path
) -> None:
    converted = stage.settings.service_provider.converted
    assert converted is not None
    now = datetime(2026, 3, 3, 3, 0, tzinfo=UTC)
    way_back = Binding(ALICE.employee_number, Source.SQL, now)
    row = Row("c1", "a" * 26, RowState.CONVERTED, 2, way_back, mfa_active=False, updated_at=now)
    assert ConvertedFile(listed, converted.key).write([row]).listed == 1
    turned_away(stage, ALICE)
    assert stage.log_in(BOB).profile.id == "e-1002"


def test_a_campaign_believes_the_status_page_of_the_proxy(stage: Stage) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        page = stage.client().get(request.url.raw_path.decode())
        return httpx.Response(page.status_code, content=page.content)

    def asked() -> bool | None:
        status = ProxyStatus("https://sso.example.org/status")
        return ask(status, httpx.MockTransport(answer)).works

    assert asked() is None
    stage.log_in(ALICE)
    stage.clock.pass_by(seconds=1)
    assert asked() is True
