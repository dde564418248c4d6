"""The client's calls against the double, over HTTP on loopback."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx
import pytest
import uvicorn
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from conversion.decision.account import SAML, Account
from conversion.errors import (
    DuplicateBinding,
    MattermostError,
    NotFound,
    Rejected,
    Unauthorized,
    Unreachable,
)
from conversion.mattermost import Access, Mattermost, Version, shows_auth_data
from tests.support.launch import Party, in_thread
from tests.support.mattermost_api import Fault, Kind, MattermostServer, RateLimit, Shift, app
from tests.support.mattermost_api.releases import VERSIONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UNKNOWN = "a" * 26
NOW = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)


@contextmanager
def connected(server: MattermostServer, **access: float) -> Iterator[Mattermost]:
    with in_thread(app(server)) as url, Mattermost(Access(url, server.admin_token, **access)) as it:  # type: ignore[arg-type] # numbers
        yield it


@pytest.fixture
def server() -> MattermostServer:
    return MattermostServer("5.37")


@pytest.fixture
def mattermost(server: MattermostServer) -> Iterator[Mattermost]:
    with connected(server) as client:
        yield client


def listed(mattermost: Mattermost, user_id: str) -> Account:
    return next(one for one in mattermost.all_accounts().values() if one.id == user_id)


@pytest.mark.parametrize("text", VERSIONS)
def test_the_release_is_read_from_any_answer(text: str) -> None:
    with connected(MattermostServer(text)) as mattermost:
        assert mattermost.version() == Version.parse(text)


def test_the_server_is_looked_at(mattermost: Mattermost, server: MattermostServer) -> None:
    assert mattermost.license() is True
    assert mattermost.ping() == dict.fromkeys(
        ("database_status", "filestore_status", "status"), "OK"
    )
    assert mattermost.config()["PasswordSettings"]["MinimumLength"] == 10
    assert mattermost.me().id == server.admin.id
    assert mattermost.me().is_admin


@pytest.mark.parametrize("text", VERSIONS)
def test_there_and_back_in_every_release(text: str) -> None:
    server = MattermostServer(text)
    user = server.add_saml("alice", mfa_active=True)
    with connected(server) as mattermost:
        mattermost.set_password_hash(user.id, server.hashed("Temp-Pass-001"))
        assert listed(mattermost, user.id).auth_service == ""

        mattermost.set_binding(user.id, "nameid-alice")
        mattermost.patch_empty(user.id)
        back = listed(mattermost, user.id)

    assert back.auth_service == SAML
    assert back.mfa_active
    assert server.users[user.id].auth_data == "nameid-alice"
    assert server.users[user.id].password == ""


@pytest.mark.parametrize(("text", "shown"), [("10.10", False), ("10.11", True), ("11.10", True)])
def test_bindings_are_shown_to_administrators_from_10_11_on(text: str, shown: bool) -> None:
    server = MattermostServer(text)
    user = server.add_saml("alice")
    with connected(server) as mattermost:
        accounts = mattermost.all_accounts().values()

    assert shows_auth_data(accounts) is shown
    found = next(one for one in accounts if one.id == user.id)
    assert found.auth_data == ("nameid-alice" if shown else None)


def test_every_kind_of_account_is_listed_for_what_it_is(
    mattermost: Mattermost, server: MattermostServer
) -> None:
    server.add("robot", is_bot=True)
    server.add_saml("guest", roles="system_guest")
    server.add_saml("leaver", delete_at=1_700_000_000_000)
    server.add("friend", remote_id="r" * 26)

    found = {one.username: one for one in mattermost.all_accounts().values()}

    assert found["robot"].is_bot
    assert found["guest"].is_guest
    assert found["sysadmin"].is_admin
    assert found["friend"].is_remote
    assert not found["leaver"].active
    assert found["leaver"].deleted_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def test_a_token_that_lost_its_right_takes_nobody_for_moved(
    mattermost: Mattermost, server: MattermostServer
) -> None:
    """Such a role still lists and counts, and sees every account as one of email and password."""
    server.add_saml("alice")
    server.change(server.admin.id, roles="system_user system_manager")
    assert {one.auth_service for one in mattermost.list_accounts(0)} == {""}
    with pytest.raises(Unauthorized, match=r"sysadmin.* is no system administrator"):
        mattermost.all_accounts()


def test_a_name_that_would_command_a_terminal_is_one_line(
    mattermost: Mattermost, server: MattermostServer
) -> None:
    user = server.add_saml("alice")
    server.change(user.id, username="a\x1b[2J\r\nb", email="x\u202e@corp.test")
    found = mattermost.all_accounts()[user.id]
    assert (found.username, found.email) == ("a [2J  b", "x @corp.test")


@pytest.mark.parametrize("version", ["5.37", "10.11"])
def test_people_of_another_server_are_counted_as_they_are_listed(version: str) -> None:
    server = MattermostServer(version)
    server.add("friend", remote_id="r" * 26)
    with connected(server) as mattermost:
        found = mattermost.walk_accounts()
    assert (found.total, len(found.roll)) == (2, 2)


@pytest.mark.parametrize("shift", [Shift.INSERT, Shift.RENAME])
def test_a_list_that_shifts_during_the_walk_loses_nobody(shift: Shift) -> None:
    server = MattermostServer("9.11")
    server.people(1500)
    server.trouble.shift, server.trouble.shifts_left = shift, 3
    with connected(server) as mattermost:
        found = mattermost.walk_accounts()

    assert {one.id for one in found.accounts} == set(server.users)
    assert len(found.accounts) == len(server.users) == found.total
    assert found.passes > 2


def test_a_password_of_an_unknown_id_is_told_from_a_missing_right(
    mattermost: Mattermost, server: MattermostServer
) -> None:
    user = server.add_saml("alice")
    with pytest.raises(NotFound):
        mattermost.set_password_hash(UNKNOWN, server.hashed("x"))

    server.change(server.admin.id, roles="system_user")
    with pytest.raises(Unauthorized):
        mattermost.set_password_hash(user.id, server.hashed("x"))
    assert server.users[user.id].auth_service == SAML


def test_a_binding_of_an_unknown_id_is_answered_by_yes_which_proves_nothing(
    mattermost: Mattermost, server: MattermostServer
) -> None:
    mattermost.set_binding(UNKNOWN, "ghost")

    assert server.users.find("auth_data", "ghost") is None


def test_a_binding_that_somebody_else_holds_is_a_duplicate_even_by_a_deactivated_one(
    mattermost: Mattermost, server: MattermostServer
) -> None:
    user = server.add("alice")
    server.add("old", auth_service="ldap", auth_data="alice-nameid-001", delete_at=1)

    with pytest.raises(DuplicateBinding, match="another account"):
        mattermost.set_binding(user.id, "alice-nameid-001")


def test_the_holder_of_a_binding_is_found_from_11_8_on() -> None:
    server = MattermostServer("11.8")
    user = server.add_saml("alice", auth_data="a b&c=d/\u00e9")
    with connected(server) as mattermost:
        assert mattermost.account_by_auth_data("a b&c=d/\u00e9") == mattermost.account(user.id)
        assert mattermost.account_by_auth_data("nobody") is None

    with connected(MattermostServer("10.11")) as older, pytest.raises(Rejected, match="walk"):
        older.account_by_auth_data("nobody")


def test_a_single_account_is_stale_below_9_3_and_an_empty_patch_cures_it(
    mattermost: Mattermost, server: MattermostServer
) -> None:
    user = server.add_saml("alice")
    mattermost.set_password_hash(user.id, server.hashed("x"))
    mattermost.set_binding(user.id, "nameid-alice")

    assert mattermost.account(user.id).auth_service == ""
    assert listed(mattermost, user.id).auth_service == SAML
    mattermost.patch_empty(user.id)
    assert mattermost.account(user.id).auth_service == SAML


def test_sessions_tell_saml_logins_tokens_and_expired_ones_apart(
    mattermost: Mattermost, server: MattermostServer
) -> None:
    user = server.add_saml("alice")
    server.give_session(user.id, is_saml=True, hours=1)
    server.give_session(user.id, hours=8)
    soon = datetime.now(UTC) + timedelta(hours=2)

    found = mattermost.sessions(user.id)

    assert sorted(one.is_saml for one in found) == [False, True]
    assert [one.live(soon) for one in found if one.is_saml] == [False]
    assert [one.live(soon) for one in found if not one.is_saml] == [True]
    assert mattermost.sessions(UNKNOWN) == ()
    tool = mattermost.sessions(server.admin.id)
    assert [(one.is_token, one.live(NOW)) for one in tool] == [(True, False)]
    assert all(one.expires_at and one.expires_at > NOW + timedelta(days=36_000) for one in tool)


def test_tokens_and_audits_are_listed(mattermost: Mattermost, server: MattermostServer) -> None:
    user = server.add_saml("alice")
    for number in range(205):
        server.give_token(user.id, f"token {number}")

    mattermost.set_binding(user.id, "nameid-alice")

    assert len(mattermost.tokens(user.id)) == 205
    assert mattermost.audits()[0].actor == server.admin.id
    assert mattermost.audits()[0].extra == f"updated user {user.id} auth to service=saml"


def test_mfa_verification_and_sessions_are_changed(
    mattermost: Mattermost, server: MattermostServer
) -> None:
    user = server.add("alice", mfa_active=True, mfa_secret="S" * 32)
    first = server.give_session(user.id)

    mattermost.clear_mfa(user.id)
    mattermost.verify_email(user.id)
    kept = server.give_session(user.id)
    mattermost.revoke_session(user.id, first.id)

    row = server.users[user.id]
    assert (row.mfa_active, row.email_verified) == (False, True)
    assert server.sessions.of(user.id) == [kept]
    with pytest.raises(Rejected):
        mattermost.revoke_session(user.id, first.id)


def test_the_policy_of_plain_passwords_is_the_server_s(
    mattermost: Mattermost, server: MattermostServer
) -> None:
    user = server.add_saml("alice")

    with pytest.raises(Rejected) as caught:
        mattermost.set_password(user.id, "short")

    assert caught.value.error_id.startswith("model.user.is_valid.pwd")
    mattermost.set_password(user.id, "Temp-Pass-001")
    assert [mail.kind for mail in server.outbox] == ["password_changed"]


def test_the_export_gives_every_binding_and_leaves_nothing_behind(
    mattermost: Mattermost, server: MattermostServer, tmp_path: Path
) -> None:
    server.people(50)
    server.add_saml("leaver", delete_at=1_700_000_000_000)

    found = {one.username: one for one in mattermost.export_users(tmp_path, poll_s=0.01)}

    assert len(found) == 52
    assert found["user000007"].auth_data == "nameid-user000007"
    assert found["user000007"].auth_service == SAML
    assert found["sysadmin"].auth_data is None
    assert found["leaver"].deleted_at is not None
    assert server.exports == {}
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_is_left_in_the_middle_is_deleted_too(
    mattermost: Mattermost, server: MattermostServer, tmp_path: Path
) -> None:
    server.people(5)
    users = mattermost.export_users(tmp_path, poll_s=0.01)

    next(users)
    users.close()  # type: ignore[attr-defined] # it is a generator

    assert server.exports == {}


def test_a_damaged_export_is_an_error_and_deleted(
    mattermost: Mattermost,
    server: MattermostServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.support.mattermost_api.system.archive", lambda _server: b"PK no zip")

    with pytest.raises(Unreachable, match="damaged"):
        list(mattermost.export_users(tmp_path, poll_s=0.01))

    assert server.exports == {}


def test_an_export_that_takes_too_long_says_what_to_do(
    server: MattermostServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.mattermost_api.system.LOOKS", 10**6)

    with connected(server) as mattermost, pytest.raises(Unreachable, match="by SQL"):
        list(mattermost.export_users(tmp_path, deadline_s=0.05, poll_s=0.01))


AFTER = [Kind.ERROR_AFTER, Kind.HANG_AFTER, Kind.CUT_AFTER, Kind.HALF_JSON]
BEFORE = [Kind.UNAVAILABLE, Kind.SERVER_ERROR, Kind.HANG, Kind.JUNK]


@pytest.mark.parametrize("kind", AFTER + BEFORE)
def test_a_change_of_unknown_outcome_is_unreachable_and_the_list_tells(
    server: MattermostServer, kind: Kind
) -> None:
    user = server.add_saml("alice")
    server.trouble.hang_s = 0.6
    server.trouble.faults = [Fault(kind, "PUT", "/password$")]
    with connected(server, deadline_s=0.3) as mattermost:
        if kind is Kind.HALF_JSON:
            # The change needs no word of its answer; the list is asked in any case.
            mattermost.set_password_hash(user.id, server.hashed("x"))
        else:
            with pytest.raises(Unreachable):
                mattermost.set_password_hash(user.id, server.hashed("x"))
        found = listed(mattermost, user.id)

    assert server.calls["PUT password"] == 1
    assert found.auth_service == ("" if kind.after else SAML)


def test_a_token_that_is_revoked_half_way_ends_the_work(server: MattermostServer) -> None:
    server.people(5)
    server.trouble.faults = [Fault(Kind.REVOKED, "PUT", spare=3)]
    with connected(server) as mattermost:
        for number in range(3):
            mattermost.patch_empty(f"p{number:025d}")
        with pytest.raises(Unauthorized) as caught:
            mattermost.patch_empty(f"p{3:025d}")

    assert caught.value.error_id == "api.context.session_expired.app_error"


def test_a_restart_is_waited_for_by_what_reads(server: MattermostServer) -> None:
    with connected(server) as mattermost:
        server.restart(down_s=0.4)
        with pytest.raises(Unreachable):
            mattermost.patch_empty(server.admin.id)
        assert mattermost.me().id == server.admin.id


def test_eight_threads_keep_the_rate_limit_together(server: MattermostServer) -> None:
    server.people(80)
    server.trouble.rate_limit = RateLimit(per_second=40, burst=20)
    failed: list[MattermostError] = []

    def some(mattermost: Mattermost, start: int) -> None:
        try:
            for number in range(start, 80, 8):
                mattermost.patch_empty(f"p{number:025d}")
        except MattermostError as error:
            failed.append(error)

    with connected(server) as mattermost:
        threads = [threading.Thread(target=some, args=(mattermost, n)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)

    assert failed == []
    assert server.calls["PUT patch"] < 80 * 1.5


def test_the_emergency_door_works_without_a_token(tmp_path: Path) -> None:
    path = tmp_path / "local.socket"
    for text, returns in (("10.11", False), ("11.0", True)):
        server = MattermostServer(text)
        user = server.add_saml("alice")
        with (
            on_socket(server, path),
            Mattermost(Access("", local_socket=path)) as mattermost,
        ):
            mattermost.set_password_hash(user.id, server.hashed("x"))
            assert listed(mattermost, user.id).auth_service == ""
            if returns:
                mattermost.set_binding(user.id, "nameid-alice")
            else:
                with pytest.raises(Rejected, match="does not know the call"):
                    mattermost.set_binding(user.id, "nameid-alice")


@contextmanager
def on_socket(server: MattermostServer, path: Path) -> Iterator[None]:
    """The server's local mode at a socket."""
    bound = socket.socket(socket.AF_UNIX)
    path.unlink(missing_ok=True)
    bound.bind(str(path))
    running = uvicorn.Server(
        uvicorn.Config(app(server, local=True), log_level="error", lifespan="off")
    )
    thread = threading.Thread(target=running.run, args=([bound],), daemon=True)
    thread.start()
    Retrying(
        stop=stop_after_delay(10), wait=wait_fixed(0.01), retry=retry_if_result(lambda up: not up)
    )(lambda: running.started)
    try:
        yield
    finally:
        running.should_exit = True
        thread.join(timeout=5)
        bound.close()


def test_the_double_runs_as_a_process_and_is_steered(tmp_path: Path) -> None:
    token = tmp_path / "token"
    options = ("--version=11.10", "--people=300", f"--token-file={token}")
    party = Party("mattermost", "tests.support.mattermost_api", options, tmp_path / "log")
    party.start()
    try:
        party.wait()
        with Mattermost(Access(party.url, token.read_text())) as mattermost:
            assert len(mattermost.all_accounts()) == 301
            person = {"do": "saml_login", "id": "new", "email": "n@corp.test", "username": "new"}
            orders = [
                {"do": "add_saml", "username": "alice"},
                {"do": "trouble", "faults": [{"kind": "SERVER_ERROR", "method": "PUT"}]},
                person,
            ]
            for order in orders:
                done = httpx.post(f"{party.url}/control", json=order, trust_env=False)
                assert done.status_code == 200
            with pytest.raises(Unreachable):
                mattermost.patch_empty("p" + "0" * 25)
            assert [one.is_saml for one in mattermost.sessions(done.json()["user_id"])] == [True]
            assert len(mattermost.all_accounts()) == 303
    finally:
        party.kill()


def test_an_address_with_a_wrong_path_says_so(server: MattermostServer) -> None:
    with (
        in_thread(app(server)) as url,
        Mattermost(replace(Access(url, server.admin_token), url=f"{url}/chat")) as mattermost,
        pytest.raises(Rejected, match="path too much"),
    ):
        mattermost.version()
