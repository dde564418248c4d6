"""What the watch holds: never waits, never raises, loses nothing that counts."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine
from structlog.testing import capture_logs

from idp_proxy.decision.notices import Kind, Notice
from idp_proxy.errors import StoreError
from idp_proxy.notify import Manner, Notifier, open_channels
from idp_proxy.notify.tables import metadata
from idp_proxy.notify.telling import Telling
from tests.unit.pager import Pager, running_pager

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sqlalchemy import Connection, Engine

PATIENCE_S = 20
MANNER = Manner(timeout=timedelta(seconds=PATIENCE_S))


@pytest.fixture
def pager() -> Iterator[Pager]:
    yield from running_pager()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = create_engine(f"sqlite:///{tmp_path / 'notices.db'}")
    metadata.create_all(made)
    yield made
    made.dispose()


def utc_now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def notifier(pager: Pager, engine: Engine) -> Iterator[Notifier]:
    made = Notifier(open_channels([pager.json_url], PATIENCE_S), engine.begin, MANNER, utc_now)
    yield made
    made.close(PATIENCE_S)


def outage(upstream: str) -> Notice:
    return Notice(Kind.OUTAGE, f"outage:{upstream}", {"serving": upstream, "cause": "503"})


def switched(epoch: int) -> Notice:
    facts = {"origin": "okta", "target": "entra", "cause": f"epoch {epoch}"}
    return Notice(Kind.SWITCHED, f"switched:{epoch}", facts)


def test_what_is_raised_is_told_and_what_is_resolved_is_ended(
    pager: Pager, notifier: Notifier
) -> None:
    notifier.raise_(outage("okta"))
    assert notifier.flush(PATIENCE_S)
    assert notifier.standing() == {"outage:okta": Kind.OUTAGE}
    notifier.resolve("outage:okta")
    assert notifier.flush(PATIENCE_S)
    assert [subject.partition(":")[0] for subject in pager.subjects] == ["OUTAGE", "over"]


def test_a_watch_that_repeats_itself_is_heard_once(pager: Pager, notifier: Notifier) -> None:
    for _ in range(500):
        notifier.raise_(outage("okta"))
        notifier.resolve("outage:entra")
    assert notifier.flush(PATIENCE_S)
    assert len(pager.messages) == 1


def test_the_watch_does_not_wait_for_a_channel_that_hangs(pager: Pager, notifier: Notifier) -> None:
    pager.hangs.set()
    began = time.monotonic()
    for number in range(100):
        notifier.raise_(outage(f"u{number}"))
    assert time.monotonic() - began < 1
    assert not notifier.flush(0.05)
    pager.hangs.clear()
    pager.released.set()


def test_an_event_is_told_although_the_watch_has_moved_on(pager: Pager, engine: Engine) -> None:
    """The watch raises a switch in one turn and resolves it in the next, half a second later."""
    busy = threading.Event()

    @contextmanager
    def slow() -> Iterator[Connection]:
        busy.wait(PATIENCE_S)
        with engine.begin() as connection:
            yield connection

    notifier = Notifier(open_channels([pager.json_url], PATIENCE_S), slow, MANNER, utc_now)
    notifier.raise_(outage("okta"))
    time.sleep(0.05)
    notifier.raise_(switched(5))
    notifier.resolve("switched:5")
    notifier.raise_(outage("entra"))
    notifier.resolve("outage:entra")
    busy.set()
    assert notifier.flush(PATIENCE_S)
    assert sorted(pager.subjects) == [
        "Logins moved from okta to entra",
        "OUTAGE: okta is down, nobody can take over",
    ]
    notifier.close(PATIENCE_S)


def test_more_than_can_wait_is_dropped_aloud(pager: Pager, engine: Engine) -> None:
    busy = threading.Event()

    @contextmanager
    def slow() -> Iterator[Connection]:
        busy.wait(PATIENCE_S)
        with engine.begin() as connection:
            yield connection

    notifier = Notifier((), slow, MANNER, utc_now)
    with capture_logs() as lines:
        for number in range(1000):
            notifier.raise_(outage(f"u{number}"))
            notifier.resolve(f"nothing:{number}")
        dropped = [line for line in lines if line["event"] == "notice_dropped"]
    assert 1000 - 2 * 256 <= len(dropped) < 1000
    busy.set()
    notifier.close(PATIENCE_S)
    assert pager.messages == []


def test_a_fault_in_one_notice_does_not_silence_the_next(pager: Pager, engine: Engine) -> None:
    faults = [RuntimeError("a fault of ours")]

    def now() -> datetime:
        if faults:
            raise faults.pop()
        return utc_now()

    notifier = Notifier(open_channels([pager.json_url], PATIENCE_S), engine.begin, MANNER, now)
    with capture_logs() as lines:
        notifier.raise_(outage("okta"))
        notifier.flush(PATIENCE_S)
        notifier.raise_(outage("entra"))
        notifier.flush(PATIENCE_S)
    assert pager.subjects == ["OUTAGE: entra is down, nobody can take over"]
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["notify_failed"]
    assert notifier.close(PATIENCE_S)


def test_with_the_store_away_it_tells_all_the_same(pager: Pager) -> None:
    def away() -> AbstractContextManager[Connection]:
        raise StoreError("away")

    notifier = Notifier(open_channels([pager.json_url], PATIENCE_S), away, MANNER, utc_now)
    for _ in range(3):
        notifier.raise_(Notice(Kind.STORE, "store:sso1", {"cause": "no route to host"}))
        assert notifier.flush(PATIENCE_S)
    assert pager.subjects == ["The proxy cannot reach its store"]
    assert notifier.close(PATIENCE_S)


def test_what_was_raised_before_the_end_is_still_told(pager: Pager, engine: Engine) -> None:
    notifier = Notifier(open_channels([pager.json_url], PATIENCE_S), engine.begin, MANNER, utc_now)
    notifier.raise_(switched(5))
    assert notifier.close(PATIENCE_S)
    with capture_logs() as lines:
        notifier.raise_(switched(6))
    assert pager.subjects == ["Logins moved from okta to entra"]
    assert [line["event"] for line in lines] == ["notice_dropped"]
    assert notifier._thread is not None
    assert not notifier._thread.is_alive()


def test_what_a_channel_refused_is_tried_again_without_being_raised_again(
    pager: Pager, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("idp_proxy.notify.notifier.TURN", timedelta(milliseconds=20))
    monkeypatch.setattr("idp_proxy.notify.telling.TURN", timedelta(0))
    pager.status = 500
    notifier = Notifier(open_channels([pager.json_url], PATIENCE_S), engine.begin, MANNER, utc_now)
    notifier.raise_(switched(5))
    assert not notifier.flush(PATIENCE_S)
    pager.status = 200
    until = time.monotonic() + PATIENCE_S
    while not pager.messages and time.monotonic() < until:
        notifier.resolve("nothing")
        time.sleep(0.005)
    assert pager.subjects == ["Logins moved from okta to entra"]
    assert notifier.close(PATIENCE_S)


def test_who_waits_for_what_was_raised_waits_for_a_second_try_under_way(
    pager: Pager, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("idp_proxy.notify.notifier.TURN", timedelta(milliseconds=20))
    monkeypatch.setattr("idp_proxy.notify.telling.TURN", timedelta(0))
    began, goes_on = threading.Event(), threading.Event()

    def slow(telling: Telling, now: datetime) -> None:
        if pager.status == 200:
            began.set()
            goes_on.wait(PATIENCE_S)
        turn(telling, now)

    turn = Telling.turn
    monkeypatch.setattr(Telling, "turn", slow)
    pager.status = 500
    notifier = Notifier(open_channels([pager.json_url], PATIENCE_S), engine.begin, MANNER, utc_now)
    notifier.raise_(switched(5))
    assert not notifier.flush(PATIENCE_S)
    pager.status = 200
    assert began.wait(PATIENCE_S)
    threading.Timer(0.05, goes_on.set).start()
    assert notifier.flush(PATIENCE_S)
    assert notifier.close(PATIENCE_S)


def test_without_anything_to_tell_there_is_no_thread(engine: Engine) -> None:
    notifier = Notifier((), engine.begin, MANNER, utc_now)
    assert notifier.flush(0)
    assert notifier.close(0)
