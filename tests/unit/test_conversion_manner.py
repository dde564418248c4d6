"""How a plan is carried out: by ready hashes or by passwords the server hashes, in waves or not."""

from __future__ import annotations

import string
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversion.campaign import Manner, convert
from conversion.decision.lifecycle import RowState
from conversion.homecoming import return_people
from conversion.passwords import LONGEST, RANDOM_OCTETS, unknown_password
from tests.support.conversion_stage import Stage
from tests.support.mattermost_api import Fault, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conversion.campaign import Converted
    from conversion.mattermost.roll import Roll

STRICT = {"MinimumLength": 60, "Lowercase": True, "Uppercase": True, "Number": True, "Symbol": True}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path) as opened:
        yield opened


def plain(stage: Stage, *names: str, **manner: Any) -> Converted:
    return convert(stage.bulk, stage.plan(*names), manner=Manner(plain=True, **manner))


@given(st.binary(min_size=RANDOM_OCTETS, max_size=RANDOM_OCTETS), st.integers(0, 80))
def test_a_password_keeps_to_every_policy_whatever_chance_gives(chance: bytes, least: int) -> None:
    password = unknown_password(least, lambda _count: chance)
    assert min(least, LONGEST) <= len(password.encode()) <= LONGEST
    for kind in (string.ascii_lowercase, string.ascii_uppercase, string.digits, "!"):
        assert set(kind) & set(password)
    # All the randomness is in it: what comes behind is the same for everybody.
    assert len(password.rstrip("a")) >= 40


def test_plain_passwords_differ_and_take_all_the_randomness() -> None:
    asked: list[int] = []

    def random_bytes(count: int) -> bytes:
        asked.append(count)
        return bytes(count)

    unknown_password(0, random_bytes)
    assert asked == [32]
    assert len({unknown_password() for _ in range(20)}) == 20


@pytest.mark.parametrize("version", ["5.37", "10.11", "11.10"])
def test_the_server_hashes_by_its_strictest_policy_and_mails_everybody(
    tmp_path: Path, version: str
) -> None:
    with Stage(tmp_path, version) as stage:
        stage.server.settings["PasswordSettings"].update(STRICT)
        told = plain(stage)
        assert (told.moved, told.problems) == (12, [])
        assert len([mail for mail in stage.server.outbox if mail.kind == "password_changed"]) == 12
        return_people(stage.bulk, stage.orders()).must_be_complete()
        assert stage.bindings() == stage.before


def test_a_ready_hash_mails_nobody(stage: Stage) -> None:
    stage.convert()
    assert stage.server.outbox == []


@pytest.mark.parametrize(("ends", "left"), [(True, 0), (False, 1)])
def test_plain_ends_sessions_only_where_the_server_is_set_to(
    tmp_path: Path, ends: bool, left: int
) -> None:
    with Stage(tmp_path, "10.11") as stage:
        stage.server.settings["ServiceSettings"]["TerminateSessionsOnPasswordChange"] = ends
        person = stage.user("user000001").id
        stage.server.give_session(person, is_saml=True)
        plain(stage, "user000001")
        assert len(stage.client.sessions(person)) == left


def test_a_policy_that_refuses_leaves_the_person_on_sso_with_the_reason(stage: Stage) -> None:
    stage.server.settings["PasswordSettings"]["MinimumLength"] = 70
    limits = replace(stage.limits, error_budget_percent=100)
    told = convert(
        replace(stage.bulk, limits=limits), stage.plan("user000001"), manner=Manner(plain=True)
    )
    assert told.moved == 0
    assert "pwd" in told.skipped[0][1]
    assert stage.bindings() == stage.before


def test_few_ask_a_server_to_hash_at_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    send = stage.client.set_password
    now = 0

    def counted(user_id: str, password: str) -> None:
        nonlocal now
        now += 1
        seen.append(now)
        send(user_id, password)
        now -= 1

    monkeypatch.setattr(stage.client, "set_password", counted)
    plain(stage)
    assert max(seen) <= stage.limits.plain_threads == 2


def test_a_wave_is_held_against_the_list_before_the_next_one_goes(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    send, look = stage.client.set_password_hash, stage.client.all_accounts

    def sent(user_id: str, bcrypt_hash: str) -> None:
        order.append("call")
        send(user_id, bcrypt_hash)

    def looked() -> Roll:
        order.append("look")
        return look()

    monkeypatch.setattr(stage.client, "set_password_hash", sent)
    monkeypatch.setattr(stage.client, "all_accounts", looked)
    digest = stage.plan()
    order.clear()
    told = convert(stage.bulk, digest, manner=Manner(wave=5))
    assert told.moved == 12
    assert order == ["look", *["call"] * 5, "look", *["call"] * 5, "look", *["call"] * 2, "look"]


def test_waves_end_with_the_wave_that_breaks_the_error_budget(stage: Stage) -> None:
    digest = stage.plan()
    stage.server.trouble.faults.append(Fault(Kind.SERVER_ERROR, "PUT", "/password$", times=10_000))
    told = convert(stage.bulk, digest, manner=Manner(wave=6))
    assert "more than 5 %" in told.stopped
    assert stage.bindings() == stage.before
    assert told.counts[RowState.PLANNED] + told.counts.get(RowState.CONVERTING, 0) == 12


def test_a_pilot_goes_in_waves_too(stage: Stage) -> None:
    told = convert(stage.bulk, stage.plan(), manner=Manner(pilot=3, wave=2))
    assert told.moved == 3
    assert told.counts == {RowState.CONVERTED: 3, RowState.PLANNED: 9}
