"""Matters that are told over real channels, with one database for all hosts."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, event, func, inspect, select
from structlog.testing import capture_logs

from idp_proxy.decision.notices import Kind, Notice, NoticeRecord
from idp_proxy.errors import StoreError
from idp_proxy.notify import Manner, open_channels, records
from idp_proxy.notify.tables import KEY_LENGTH, metadata, notice
from idp_proxy.notify.telling import Telling
from idp_proxy.store import schema
from idp_proxy.store.database import Database
from tests.unit.pager import TOKEN, Pager, running_pager

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sqlalchemy import Connection, Engine

    Transaction = Callable[[], AbstractContextManager[Connection]]

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
OUTAGE = Notice(
    Kind.OUTAGE, "outage:okta", {"serving": "okta", "cause": "503"}, "sso-conversion now"
)
SWITCH = Notice(
    Kind.SWITCHED, "switched:5", {"origin": "okta", "target": "entra", "cause": "okta is down"}
)
TOLD = "OUTAGE: okta is down, nobody can take over"
MANNER = Manner(timeout=timedelta(seconds=20))


@pytest.fixture
def pager() -> Iterator[Pager]:
    yield from running_pager()


@pytest.fixture
def other() -> Iterator[Pager]:
    yield from running_pager()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A database as the store has it: a writer waits for its turn when it begins."""
    made = create_engine(f"sqlite:///{tmp_path / 'notices.db'}", connect_args={"timeout": 30})

    @event.listens_for(made, "connect")
    def by_hand(connection: object, _record: object) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined]  # sqlite3's connection

    @event.listens_for(made, "begin")
    def at_once(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    metadata.create_all(made)
    yield made
    made.dispose()


class Store:
    """The database, which may be away."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.away = False
        self.asked = 0

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        self.asked += 1
        if self.away:
            raise StoreError("away")
        with self.engine.begin() as connection:
            yield connection


@pytest.fixture
def store(engine: Engine) -> Store:
    return Store(engine)


def host(pager: Pager, store: Store, manner: Manner = MANNER) -> Telling:
    channels = open_channels([pager.json_url], manner.timeout.total_seconds())
    return Telling(channels, store.writing, manner)


def test_a_notice_arrives_with_subject_cause_and_the_command_to_copy(
    pager: Pager, store: Store
) -> None:
    host(pager, store).tell(OUTAGE, NOW)
    assert pager.subjects == [TOLD]
    assert "Cause: 503" in pager.bodies[0]
    assert "Since: 2026-11-22 03:00 UTC" in pager.bodies[0]
    assert "\nnext: sso-conversion now\n" in pager.bodies[0]
    assert pager.messages[0]["type"] == "failure"


def test_it_arrives_at_a_webhook_of_mattermost(pager: Pager, store: Store) -> None:
    channels = open_channels([pager.mattermost_url], 20)
    Telling(channels, store.writing, MANNER).tell(OUTAGE, NOW)
    assert pager.paths == [f"/hooks/{TOKEN}"]
    assert TOLD in pager.messages[0]["text"]
    assert "next: sso-conversion now" in pager.messages[0]["text"]


def test_it_speaks_german(pager: Pager, store: Store) -> None:
    telling = host(pager, store, replace(MANNER, language="de"))
    telling.tell(OUTAGE, NOW)
    telling.end(OUTAGE.key, NOW + HOUR)
    assert pager.subjects == [
        "AUSFALL: okta ist weg, niemand übernimmt",
        "vorbei: AUSFALL: okta ist weg, niemand übernimmt",
    ]
    assert "Ursache: 503" in pager.bodies[0]


def test_a_matter_that_goes_on_is_told_again_after_the_pause_and_ended_once(
    pager: Pager, store: Store
) -> None:
    telling = host(pager, store)
    for minute in range(130):
        telling.tell(OUTAGE, NOW + minute * MINUTE)
    assert pager.subjects == [TOLD] * 3
    for second in range(100):
        telling.end(OUTAGE.key, NOW + 130 * MINUTE + second * SECOND)
    assert pager.subjects[3:] == [f"over: {TOLD}"]
    assert "after 130 min" in pager.bodies[3]
    telling.tell(OUTAGE, NOW + 140 * MINUTE)
    assert pager.subjects[4:] == [TOLD]
    assert "Since: 2026-11-22 05:20 UTC" in pager.bodies[4]


def test_the_end_of_what_nobody_was_told_of_is_no_news(pager: Pager, store: Store) -> None:
    host(pager, store).end("outage:okta", NOW)
    assert pager.messages == []


def test_of_ten_hosts_at_once_one_tells(pager: Pager, store: Store) -> None:
    hosts = [host(pager, store) for _ in range(10)]

    def all_at_once(act: Callable[[Telling], None]) -> None:
        start = threading.Barrier(len(hosts))

        def together(one: Telling) -> None:
            start.wait()
            act(one)

        threads = [threading.Thread(target=together, args=(one,)) for one in hosts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    all_at_once(lambda one: one.tell(OUTAGE, NOW))
    assert pager.subjects == [TOLD]
    all_at_once(lambda one: one.tell(OUTAGE, NOW + HOUR))
    assert pager.subjects == [TOLD] * 2
    all_at_once(lambda one: one.end(OUTAGE.key, NOW + 2 * HOUR))
    assert pager.subjects == [TOLD, TOLD, f"over: {TOLD}"]


def test_a_host_that_dies_between_claim_and_message_is_replaced(pager: Pager, store: Store) -> None:
    dies, lives = host(pager, store), host(pager, store)
    assert dies._claim(OUTAGE, NOW, HOUR) is not None
    lives.tell(OUTAGE, NOW + SECOND)
    assert pager.messages == []
    lives.tell(OUTAGE, NOW + MINUTE)
    assert pager.subjects == [TOLD]


def test_a_host_whose_channels_fail_leaves_the_telling_to_another(
    pager: Pager, other: Pager, store: Store
) -> None:
    pager.status = 500
    cut_off, reaches = host(pager, store), host(other, store)
    cut_off.tell(OUTAGE, NOW)
    reaches.tell(OUTAGE, NOW + SECOND)
    assert other.subjects == [TOLD]
    pager.status = 200
    cut_off.turn(NOW + 40 * SECOND)
    assert pager.messages == []
    assert cut_off.is_done


def test_a_channel_that_answers_500_is_tried_at_the_next_turn_alone(
    pager: Pager, other: Pager, store: Store
) -> None:
    pager.status = 500
    channels = open_channels([pager.json_url, other.json_url], 20)
    telling = Telling(channels, store.writing, MANNER)
    with capture_logs() as lines:
        telling.tell(OUTAGE, NOW)
    (failed,) = [line for line in lines if line["event"] == "notice_not_sent"]
    assert (failed["channel"], failed["code"], failed["status"]) == (0, "refused", 500)
    assert not telling.is_done
    telling.turn(NOW + 30 * SECOND)
    pager.status = 200
    telling.turn(NOW + MINUTE)
    telling.turn(NOW + 2 * MINUTE)
    assert (pager.subjects, other.subjects) == ([TOLD], [TOLD])
    assert telling.is_done


def test_what_no_channel_takes_is_tried_again_but_not_at_each_look(
    pager: Pager, store: Store
) -> None:
    pager.status = 500
    telling = host(pager, store)
    for second in range(60):
        telling.tell(OUTAGE, NOW + second * SECOND)
    assert len(pager.paths) == 2
    pager.status = 200
    telling.turn(NOW + MINUTE)
    assert pager.subjects == [TOLD]
    assert telling.is_done


def test_an_event_is_not_lost_because_its_channel_was_away(pager: Pager, store: Store) -> None:
    pager.status = 503
    telling = host(pager, store)
    telling.tell(SWITCH, NOW)
    telling.end(SWITCH.key, NOW + SECOND)
    pager.status = 200
    telling.turn(NOW + HOUR)
    telling.turn(NOW + 2 * HOUR)
    telling.end(SWITCH.key, NOW + 2 * HOUR)
    assert pager.subjects == ["Logins moved from okta to entra"]


def test_a_matter_that_ended_unheard_is_not_told_any_more(pager: Pager, store: Store) -> None:
    pager.status = 500
    telling = host(pager, store)
    telling.tell(OUTAGE, NOW)
    telling.end(OUTAGE.key, NOW + SECOND)
    pager.status = 200
    telling.turn(NOW + MINUTE)
    assert pager.messages == []
    assert telling.is_done


def test_a_message_is_given_up_after_a_day(pager: Pager, store: Store) -> None:
    pager.status = 500
    telling = host(pager, store)
    telling.tell(SWITCH, NOW)
    with capture_logs() as lines:
        telling.turn(NOW + 24 * HOUR)
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["notice_given_up"]
    assert telling.is_done


def test_while_the_store_is_away_this_process_tells_each_matter_once(
    pager: Pager, store: Store
) -> None:
    store.away = True
    telling = host(pager, store)
    for minute in range(70):
        telling.tell(OUTAGE, NOW + minute * MINUTE)
    assert pager.subjects == [TOLD] * 2
    store.away = False
    telling.tell(OUTAGE, NOW + 80 * MINUTE)
    assert pager.subjects == [TOLD] * 2
    telling.end(OUTAGE.key, NOW + 90 * MINUTE)
    telling.end(OUTAGE.key, NOW + 95 * MINUTE)
    assert pager.subjects[2:] == [f"over: {TOLD}"]


def test_what_was_told_before_the_store_went_away_is_not_told_again(
    pager: Pager, store: Store
) -> None:
    telling = host(pager, store)
    telling.tell(OUTAGE, NOW)
    store.away = True
    telling.tell(OUTAGE, NOW + 30 * MINUTE)
    assert pager.subjects == [TOLD]
    telling.end(OUTAGE.key, NOW + 40 * MINUTE)
    assert pager.subjects[1:] == [f"over: {TOLD}"]
    store.away = False
    telling.tell(OUTAGE, NOW + 50 * MINUTE)
    assert pager.subjects[2:] == [TOLD]


def test_a_restart_tells_nothing_twice_and_knows_what_stands(pager: Pager, store: Store) -> None:
    host(pager, store).tell(OUTAGE, NOW)
    host(pager, store).tell(SWITCH, NOW)
    restarted = host(pager, store)
    restarted.tell(OUTAGE, NOW + MINUTE)
    assert len(pager.messages) == 2
    assert restarted.standing() == {"outage:okta": Kind.OUTAGE}
    restarted.end("outage:okta", NOW + 2 * MINUTE)
    assert pager.subjects[2:] == [f"over: {TOLD}"]
    assert restarted.standing() == {}
    store.away = True
    assert restarted.standing() == {}


def test_a_matter_raised_at_each_look_asks_the_store_seldom(pager: Pager, store: Store) -> None:
    telling = host(pager, store)
    for second in range(60):
        telling.tell(OUTAGE, NOW + second * SECOND)
        telling.end("isolated:sso2", NOW + second * SECOND)
    assert store.asked <= 6
    assert pager.subjects == [TOLD]


def test_without_channels_the_log_is_told(store: Store) -> None:
    telling = Telling((), store.writing, MANNER)
    with capture_logs() as lines:
        telling.tell(OUTAGE, NOW)
        telling.tell(OUTAGE, NOW + SECOND)
    assert [(line["event"], line["subject"]) for line in lines] == [("notice", TOLD)]


def test_two_long_keys_stay_two_matters(pager: Pager, store: Store, engine: Engine) -> None:
    telling = host(pager, store)
    for end in "ab":
        telling.tell(replace(OUTAGE, key="x" * 500 + end), NOW)
    assert len(pager.messages) == 2
    with engine.connect() as connection:
        assert (
            connection.execute(select(func.max(func.length(notice.c.key)))).scalar() == KEY_LENGTH
        )


def test_old_matters_are_forgotten(pager: Pager, store: Store, engine: Engine) -> None:
    telling = host(pager, store)
    telling.tell(SWITCH, NOW)
    telling.tell(OUTAGE, NOW + timedelta(days=60))
    telling.turn(NOW + timedelta(days=91))
    with engine.connect() as connection:
        assert list(connection.execute(select(notice.c.key)).scalars()) == [OUTAGE.key]


def test_neither_log_nor_database_holds_the_token(
    pager: Pager, store: Store, engine: Engine, capfd: pytest.CaptureFixture[str]
) -> None:
    pager.status = 401
    urls = [
        pager.json_url,
        pager.mattermost_url,
        f"json://127.0.0.1:1/{TOKEN}",
        f"json://127.0.0.1:2/{TOKEN}",
        f"nosuchscheme://{TOKEN}",
        f"slack://{TOKEN}",
    ]
    with capture_logs() as lines:
        channels = open_channels(urls, 20)
        telling = Telling(channels, store.writing, MANNER)
        telling.tell(OUTAGE, NOW)
        telling.turn(NOW + MINUTE)
    with engine.connect() as connection:
        rows = connection.execute(select(notice)).all()
    out, err = capfd.readouterr()
    assert len(pager.paths) >= 2
    assert len([line for line in lines if line["event"] == "notice_not_sent"]) >= 6
    for where in (repr(lines), repr(rows), out, err, repr(channels), repr(telling)):
        assert TOKEN not in where


def test_the_migrations_make_the_table_that_is_used(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'idp-proxy.db'}"
    schema.migrate(url)
    engine = create_engine(url)
    looked = inspect(engine)
    found = {column["name"]: column["nullable"] for column in looked.get_columns("notice")}
    key = looked.get_pk_constraint("notice")["constrained_columns"]
    engine.dispose()
    assert found == {column.name: column.nullable for column in notice.c}
    assert key == ["key"]


def test_it_tells_with_the_stores_own_transaction(pager: Pager, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'idp-proxy.db'}"
    schema.migrate(url)
    database = Database(url)
    channels = open_channels([pager.json_url], 20)
    for minute in range(3):
        Telling(channels, database.writing, MANNER).tell(OUTAGE, NOW + minute * MINUTE)
    database.close()
    assert pager.subjects == [TOLD]


def test_a_store_that_goes_away_while_a_message_is_sent_leads_to_no_second_one(
    pager: Pager, store: Store
) -> None:
    telling = host(pager, store)
    record = telling._claim(OUTAGE, NOW, HOUR)
    assert record is not None
    store.away = True
    telling._send_claimed(OUTAGE, record, NOW)
    store.away = False
    for minute in range(59):
        telling.tell(OUTAGE, NOW + minute * MINUTE)
    assert pager.subjects == [TOLD]


def test_a_row_that_another_host_wrote_first_stays_as_it_is(engine: Engine) -> None:
    first = NoticeRecord(OUTAGE.key, Kind.OUTAGE, "first", NOW)
    with engine.begin() as connection:
        kept = records.put(connection, first)
        assert records.put(connection, replace(first, subject="second")) is None
        assert records.put(connection, replace(first, subject="third", version=9)) is None
        assert records.find(connection, OUTAGE.key) == kept


def test_an_end_seen_just_after_another_host_told_is_told(pager: Pager, store: Store) -> None:
    tells, sees_end = host(pager, store), host(pager, store)
    record = tells._claim(OUTAGE, NOW, HOUR)
    assert record is not None
    sees_end.tell(OUTAGE, NOW)
    tells._send_claimed(OUTAGE, record, NOW)
    sees_end.end(OUTAGE.key, NOW + SECOND)
    assert pager.subjects == [TOLD, f"over: {TOLD}"]


def test_an_end_that_no_channel_took_is_told_later(pager: Pager, store: Store) -> None:
    telling = host(pager, store)
    telling.tell(OUTAGE, NOW)
    pager.status = 500
    for second in range(3):
        telling.end(OUTAGE.key, NOW + HOUR + second * SECOND)
    assert not telling.is_done
    pager.status = 200
    telling.turn(NOW + 2 * HOUR)
    assert pager.subjects[1:] == [f"over: {TOLD}"]
    assert telling.is_done


def test_what_a_channel_missed_is_not_told_once_it_is_over(
    pager: Pager, other: Pager, store: Store
) -> None:
    pager.status = 500
    channels = open_channels([pager.json_url, other.json_url], 20)
    telling = Telling(channels, store.writing, MANNER)
    telling.tell(OUTAGE, NOW)
    pager.status = 200
    telling.end(OUTAGE.key, NOW + SECOND)
    telling.turn(NOW + MINUTE)
    assert pager.subjects == [f"over: {TOLD}"]
    assert other.subjects == [TOLD, f"over: {TOLD}"]


def test_memory_has_a_bound_and_the_store_does_not_forget(
    pager: Pager, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("idp_proxy.notify.telling._MOST_REMEMBERED", 2)
    telling = host(pager, store)
    for _ in range(2):
        for name in ("okta", "entra", "adfs", "keycloak"):
            telling.tell(replace(OUTAGE, key=f"outage:{name}"), NOW)
    assert len(telling._memory) == 2
    assert len(pager.messages) == 4


def test_a_turn_without_the_store_tells_what_is_left_to_tell(pager: Pager, store: Store) -> None:
    pager.status = 500
    telling = host(pager, store)
    telling.tell(SWITCH, NOW)
    pager.status, store.away = 200, True
    with capture_logs() as lines:
        telling.turn(NOW + MINUTE)
    assert len(pager.messages) == 1
    assert "notices_not_pruned" in [line["event"] for line in lines]
