"""`standby-logins ...` as a person types it, in front of a server that may lie."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from idp_proxy.audit.log import rows as audit_rows
from idp_proxy.cli import standby_logins as command
from idp_proxy.decision.standby_logins import StandbyLogin
from idp_proxy.mattermost import MattermostApi
from idp_proxy.store.standby_logins import standby_logins
from tests.unit.roster_bench import bench, known, outage, person, settings, store
from tests.unit.test_mattermost_api import ADMIN, API, ME, SECTION, TOKEN, row

if TYPE_CHECKING:
    from idp_proxy.config import Settings
    from idp_proxy.store.sql import SqlStore
    from tests.unit.at_the_terminal import Bench

__all__ = ["bench", "settings", "store"]

ANN = "1" * 26
SINCE = ("--since", "2020-01-01T00:00")


class Server:
    """One account and its sessions; `keeps` says yes to every end and ends nothing."""

    def __init__(self, bench: Bench) -> None:
        self.made = round((bench.now - timedelta(hours=1)).timestamp() * 1000)
        self.people = [ME, row(ANN, username="ann", email="ann@example.org")]
        self.sessions = [
            self.session("a"),
            self.session("b", props={"isSaml": "true", "type": "UserAccessToken"}),
            self.session("c", create_at=self.made + 3_600_000),
            self.session("d", props={"isSaml": "false"}),  # of the desktop app
            self.session("e", is_oauth=True),
        ]
        self.me = ME
        self.keeps = False
        self.fails = False
        self.revokes_until_refusal = 9

    def session(self, letter: str, **other: Any) -> dict[str, Any]:
        usual = {"create_at": self.made, "expires_at": 0, "props": {"isSaml": "true"}}
        return {"id": letter * 26, "user_id": ANN} | usual | other

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v4")
        first = request.url.params.get("page", "0") == "0"
        known: dict[str, Any] = {
            "/users/me": self.me,
            "/users/stats/filtered": {"total_users_count": len(self.people)},
            "/users": self.people if first else [],
        }
        if path in known:
            return httpx.Response(200, json=known[path])
        revokes = path.endswith("/revoke")
        self.revokes_until_refusal -= revokes
        self.fails = self.fails or self.revokes_until_refusal < 0
        if self.fails:
            return httpx.Response(401, json={"id": "gone", "message": TOKEN})
        if not revokes:
            return httpx.Response(200, json=self.sessions)
        gone = json.loads(request.content)["session_id"]
        if not self.keeps:
            self.sessions = [one for one in self.sessions if one["id"] != gone]
        return httpx.Response(200, json={"status": "OK"})

    @property
    def left(self) -> list[str]:
        return [one["id"][0] for one in self.sessions]


@pytest.fixture
def server(bench: Bench, store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> Server:
    folder = bench.program.folder
    folder.text += SECTION
    bench.program.write()
    made = Server(bench)
    monkeypatch.setattr(
        command,
        "open_api",
        lambda *_: MattermostApi(
            API, TOKEN, sleep=lambda _: None, transport=httpx.MockTransport(made)
        ),
    )
    known(store, person(bench, "ann"))
    with store.transaction() as tx:
        at = bench.now - timedelta(hours=1)
        tx.note_standby_login(StandbyLogin("e-ann", "entra", 2, at))
    return made


def run(bench: Bench, *words: str) -> tuple[int | str | None, str, str]:
    done = bench.program(*words)
    return done.code, done.out, done.err


def kept(bench: Bench, store: SqlStore) -> int:
    with store.reading() as connection:
        return len(standby_logins(connection, bench.now - timedelta(days=1)))


def audited(store: SqlStore) -> list[dict[str, Any]]:
    with store.reading() as connection:
        return [
            dict(row.facts) for row in audit_rows(connection) if row.kind.startswith("standby_")
        ]


def test_list_shows_and_ends_nothing(bench: Bench, server: Server) -> None:
    code, out, _ = run(bench, "standby-logins", "list", *SINCE)
    assert code == 3
    assert "e-ann" in out
    assert "next: idp-proxy standby-logins revoke" in out
    assert server.left == ["a", "b", "c", "d", "e"]


def test_revoke_ends_what_the_standby_made_and_nothing_else(
    bench: Bench, server: Server, store: SqlStore
) -> None:
    code, out, err = run(bench, "standby-logins", "revoke", *SINCE)
    assert (code, server.left) == (0, ["b", "c", "e"]), out + err
    assert "wipe its data on the phone" in err
    assert kept(bench, store) == 0
    code, out, _ = run(bench, "standby-logins", "revoke", *SINCE, "--json")
    assert (code, json.loads(out)["people"]) == (0, 0)


def test_a_dry_run_ends_nothing(bench: Bench, server: Server, store: SqlStore) -> None:
    code, *_ = run(bench, "standby-logins", "revoke", *SINCE, "--dry-run")
    assert (code, server.left, kept(bench, store)) == (3, ["a", "b", "c", "d", "e"], 1)


def test_a_server_that_says_yes_and_ends_nothing_is_not_believed(
    bench: Bench, server: Server, store: SqlStore
) -> None:
    server.keeps = True
    code, out, _ = run(bench, "standby-logins", "revoke", *SINCE, "--json")
    assert code == 3
    assert "still there" in json.loads(out)["logins"][0]["open"]
    assert kept(bench, store) == 1


def test_who_cannot_be_told_apart_stays_open_with_the_reason(
    bench: Bench, server: Server, store: SqlStore
) -> None:
    server.people.append(row("2" * 26, username="ann\x1b[31m", email="ann@example.org"))
    code, out, _ = run(bench, "standby-logins", "revoke", *SINCE, "--json")
    assert code == 3
    assert "2 accounts" in json.loads(out)["logins"][0]["open"]
    assert (server.left, kept(bench, store)) == (["a", "b", "c", "d", "e"], 1)


def test_a_token_that_is_taken_away_stops_it_and_is_not_shown(bench: Bench, server: Server) -> None:
    server.fails = True
    code, out, err = run(bench, "standby-logins", "revoke", *SINCE, "--upstream", "entra")
    assert code == 3
    assert "neither revoked nor expired" in err
    assert "next: idp-proxy standby-logins revoke --since 2020-01-01T00:00 --upstream entra" in out
    assert TOKEN not in out + err


def test_what_was_ended_before_the_token_was_taken_away_is_on_record(
    bench: Bench, server: Server, store: SqlStore
) -> None:
    server.revokes_until_refusal = 1
    code, out, _ = run(bench, "standby-logins", "revoke", *SINCE, "--json", "--reason", "the night")
    told = json.loads(out)["logins"][0]
    assert (code, server.left, kept(bench, store)) == (3, ["b", "c", "d", "e"], 1)
    assert (told["found"], told["ended"]) == (2, 0)
    assert "whether they ended is not known" in told["open"]
    began, ended = audited(store)
    assert (began["cause"], began["people"]) == ("the night", 1)
    assert (ended["found"], ended["left"]) == (2, True)


def test_a_response_that_may_still_be_used_leaves_it_open(
    bench: Bench, server: Server, store: SqlStore
) -> None:
    bench.now -= timedelta(minutes=55)
    code, out, _ = run(bench, "standby-logins", "revoke", *SINCE, "--json")
    assert (code, server.left, kept(bench, store)) == (3, ["b", "c", "e"], 1)
    assert "may still make a session" in json.loads(out)["logins"][0]["open"]
    bench.now += timedelta(minutes=6)
    code, *_ = run(bench, "standby-logins", "revoke", *SINCE)
    assert (code, kept(bench, store)) == (0, 0)


@pytest.mark.usefixtures("server")
def test_whoever_ends_sessions_while_a_standby_serves_is_told_that_they_come_back(
    bench: Bench, store: SqlStore, settings: Settings
) -> None:
    outage(store, settings)
    _, _, err = run(bench, "standby-logins", "revoke", *SINCE)
    assert "entra serves: whoever is logged out now comes back through it" in err


def test_sessions_that_were_ended_by_hand_count_where_no_account_is_certain(
    bench: Bench, server: Server, store: SqlStore
) -> None:
    by_hand = ("--by-hand", "e-ann")
    code, _, err = run(bench, "standby-logins", "revoke", *SINCE, *by_hand)
    assert (code, len(server.left)) == (2, 5)
    assert "--by-hand: e-ann: only for a person" in err
    server.people.append(row("2" * 26, username="ann", email="ann@example.org"))
    code, *_ = run(bench, "standby-logins", "revoke", *SINCE, *by_hand)
    assert (code, len(server.left), kept(bench, store)) == (0, 5, 0)
    assert audited(store)[-1]["by_hand"] is True


def test_nobody_is_asked_for_a_password_before_mattermost_answers(
    bench: Bench, server: Server
) -> None:
    server.me = row(ADMIN)
    code, _, err = run(bench, "standby-logins", "revoke", *SINCE, "--as", "nobody")
    assert (code, bench.asked) == (1, [])
    assert "no system administrator" in err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--since", "yesterday"), "--since: not a time"),
        (("--since", "2126-12-01T02:30"), "is yet to come"),
        ((*SINCE, "--upstream", "nobody"), "--upstream: no upstream is called so"),
    ],
)
def test_bad_options_are_named(bench: Bench, words: tuple[str, ...], problem: str) -> None:
    code, _, err = run(bench, "standby-logins", "list", *words)
    assert code == 2
    assert problem in err


# --- without [service_provider.api] ---------------------------------------------------------------


@pytest.fixture
def by_hand(bench: Bench, store: SqlStore) -> Bench:
    """Two came through a standby, and nobody can ask Mattermost."""
    known(store, person(bench, "ann"))
    with store.transaction() as tx:
        for name in ("ann", "ben"):
            at = bench.now - timedelta(hours=1)
            tx.note_standby_login(StandbyLogin(f"e-{name}", "entra", 2, at))
    return bench


def test_without_the_section_it_says_who_came_and_what_to_type(
    by_hand: Bench, store: SqlStore
) -> None:
    code, out, err = run(by_hand, "standby-logins", "list", *SINCE)
    assert code == 3
    for shown in ("e-ann", "ann", "e-ben"):
        assert shown in out
    assert "service_provider.api: missing" in err
    assert "System Console: User Management, Users, the person, Revoke Sessions" in err
    follow = "standby-logins revoke --since 2020-01-01T00:00 --all-by-hand"
    assert f"next: idp-proxy {follow}" in out
    code, _, err = run(by_hand, "standby-logins", "revoke", *SINCE)
    assert (code, kept(by_hand, store)) == (2, 2)
    assert "service_provider.api: missing" in err


def test_what_was_ended_by_hand_is_on_record_and_forgotten(by_hand: Bench, store: SqlStore) -> None:
    code, out, _ = run(by_hand, "standby-logins", "revoke", *SINCE, "--by-hand", "e-ben", "--json")
    told = {one["person"]: one["open"] for one in json.loads(out)["logins"]}
    assert (code, kept(by_hand, store)) == (3, 1)
    assert told["e-ben"] is None
    assert "Mattermost is not asked" in told["e-ann"]
    code, out, _ = run(by_hand, "standby-logins", "revoke", *SINCE, "--all-by-hand")
    assert (code, kept(by_hand, store)) == (0, 0)
    assert "next: idp-proxy status" in out
    assert [one["by_hand"] for one in audited(store) if "by_hand" in one] == [False, True, True]


def test_with_the_section_all_by_hand_is_for_whom_mattermost_cannot_tell(
    bench: Bench, server: Server, store: SqlStore
) -> None:
    with store.transaction() as tx:
        at = bench.now - timedelta(hours=1)
        tx.note_standby_login(StandbyLogin("e-gone", "entra", 2, at))
    code, *_ = run(bench, "standby-logins", "revoke", *SINCE, "--all-by-hand")
    assert (code, server.left, kept(bench, store)) == (0, ["b", "c", "e"], 0)
