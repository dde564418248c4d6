"""What the double plays beyond the recordings: each trap of the real server, and each release."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import pytest

from tests.support.mattermost_api import (
    DuplicateError,
    MattermostServer,
    RateLimit,
    SamlRefusedError,
    app,
)
from tests.support.mattermost_api.releases import VERSIONS

PASSWORD = "Temp-Pass-001"


def ask(
    server: MattermostServer, method: str, path: str, body: Any = None, token: str | None = None
) -> httpx.Response:
    async def one() -> httpx.Response:
        transport = httpx.ASGITransport(app(server))
        async with httpx.AsyncClient(transport=transport, base_url="http://mattermost") as client:
            used = server.admin_token if token is None else token
            return await client.request(
                method,
                f"/api/v4{path}",
                json=body,
                headers={"Authorization": f"Bearer {used}"},
            )

    return asyncio.run(one())


def convert(server: MattermostServer, user_id: str) -> None:
    body = {"new_password": server.hashed(PASSWORD), "already_hashed": "true"}
    assert ask(server, "PUT", f"/users/{user_id}/password", body).status_code == 200


def give_back(server: MattermostServer, user_id: str, data: str) -> httpx.Response:
    body = {"auth_service": "saml", "auth_data": data}
    return ask(server, "PUT", f"/users/{user_id}/auth", body)


def login(server: MattermostServer, name: str, password: str = PASSWORD) -> httpx.Response:
    body = {"login_id": name, "password": password}
    return ask(server, "POST", "/users/login", body, token="")


@pytest.mark.parametrize("text", VERSIONS)
def test_a_converted_person_logs_in_by_password_and_not_by_saml(text: str) -> None:
    server = MattermostServer(text)
    user = server.add_saml("alice")
    assert login(server, "alice").json()["id"] == (
        "api.user.login.invalid_credentials_email_username"
    )

    convert(server, user.id)

    assert login(server, "alice").status_code == 200
    assert login(server, "alice@corp.test").status_code == 200
    with pytest.raises(SamlRefusedError, match="email_exists"):
        server.saml_login("nameid-alice", "alice@corp.test", "alice")


@pytest.mark.parametrize("text", VERSIONS)
def test_a_returned_person_logs_in_by_saml_to_the_same_account(text: str) -> None:
    server = MattermostServer(text)
    user = server.add_saml("alice")
    convert(server, user.id)
    give_back(server, user.id, "nameid-alice")

    session = server.saml_login("nameid-alice", "other@corp.test", "other")

    assert (session.user_id, session.is_saml) == (user.id, True)
    assert login(server, "alice").status_code == 401


def test_a_return_by_email_is_bound_anew_by_the_next_login() -> None:
    server = MattermostServer()
    user = server.add_saml("alice")
    convert(server, user.id)
    give_back(server, user.id, user.email)

    server.saml_login("nameid-alice", user.email, "alice")

    assert server.users[user.id].auth_data == "nameid-alice"


def test_a_person_who_logs_in_by_saml_with_a_changed_id_gets_a_second_account() -> None:
    server = MattermostServer()
    server.add_saml("alice")

    session = server.saml_login("NAMEID-ALICE", "alice2@corp.test", "alice2")

    assert server.users[session.user_id].username == "alice2"


@pytest.mark.parametrize(("text", "undone"), [("5.37", True), ("9.3", False)])
def test_below_9_3_a_live_session_undoes_a_return(text: str, undone: bool) -> None:
    server = MattermostServer(text)
    user = server.add_saml("alice")
    convert(server, user.id)
    token = login(server, "alice").headers["Token"]
    give_back(server, user.id, "nameid-alice")

    body = {"current_password": PASSWORD, "new_password": "Own-Pass-2000!"}
    ask(server, "PUT", f"/users/{user.id}/password", body, token)

    assert (server.users[user.id].auth_service == "") is undone


def test_an_empty_patch_after_the_return_stops_the_session_and_the_reset_link() -> None:
    server = MattermostServer("5.37")
    user = server.add_saml("alice")
    convert(server, user.id)
    token = login(server, "alice").headers["Token"]
    ask(server, "POST", "/users/password/reset/send", {"email": user.email}, token="")
    link = server.outbox[-1].token
    give_back(server, user.id, "nameid-alice")
    ask(server, "PUT", f"/users/{user.id}/patch", {})

    own = {"current_password": PASSWORD, "new_password": "Own-Pass-2000!"}
    by_session = ask(server, "PUT", f"/users/{user.id}/password", own, token)
    reset = {"token": link, "new_password": "Own-Pass-2000!"}
    by_mail = ask(server, "POST", "/users/password/reset", reset, token="")

    assert by_session.json()["id"] == "api.user.update_password.oauth.app_error"
    assert by_mail.json()["id"] == "api.user.reset_password.sso.app_error"
    assert server.users[user.id].auth_data == "nameid-alice"


def test_without_the_patch_the_reset_link_undoes_the_return() -> None:
    server = MattermostServer("5.37")
    user = server.add_saml("alice")
    convert(server, user.id)
    ask(server, "POST", "/users/password/reset/send", {"email": user.email}, token="")
    give_back(server, user.id, "nameid-alice")

    reset = {"token": server.outbox[-1].token, "new_password": "Own-Pass-2000!"}
    assert ask(server, "POST", "/users/password/reset", reset, token="").status_code == 200

    assert server.users[user.id].auth_service == ""


@pytest.mark.parametrize(("text", "left"), [("11.9", 1), ("11.10", 0)])
def test_from_11_10_on_a_return_ends_sessions_and_leaves_tokens(text: str, left: int) -> None:
    server = MattermostServer(text)
    user = server.add_saml("alice")
    token = server.give_token(user.id).token
    server.give_session(user.id)

    give_back(server, user.id, "nameid-alice")

    assert len(server.sessions.of(user.id)) == left
    assert ask(server, "GET", "/users/me", token=token).status_code == 200


@pytest.mark.parametrize(
    ("text", "hashed", "left"),
    [("9.8", False, 1), ("9.11", False, 0), ("9.11", True, 1), ("11.10", True, 1)],
)
def test_a_plain_password_ends_sessions_from_9_11_on_and_a_hash_never(
    text: str, hashed: bool, left: int
) -> None:
    server = MattermostServer(text)
    user = server.add_saml("alice")
    server.give_session(user.id, is_saml=True)

    if hashed:
        convert(server, user.id)
    else:
        ask(server, "PUT", f"/users/{user.id}/password", {"new_password": PASSWORD})

    assert len(server.sessions.of(user.id)) == left
    assert [mail.kind for mail in server.outbox] == ([] if hashed else ["password_changed"])


@pytest.mark.parametrize(
    ("text", "body", "status"),
    [
        ("11.8", {"auth_service": "nosuch", "auth_data": "x"}, 200),
        ("11.9", {"auth_service": "nosuch", "auth_data": "x"}, 400),
        ("11.9", {"auth_service": "SAML", "auth_data": "x"}, 400),
        ("11.9", {"auth_service": "email"}, 200),
        ("11.9", {"auth_service": "email", "auth_data": "x"}, 400),
        ("11.9", {"auth_service": "saml", "auth_data": ""}, 400),
        ("5.37", {"auth_service": "saml", "auth_data": 7}, 400),
    ],
)
def test_services_are_checked_from_11_9_on(text: str, body: dict[str, Any], status: int) -> None:
    server = MattermostServer(text)
    user = server.add("alice")

    assert ask(server, "PUT", f"/users/{user.id}/auth", body).status_code == status


def test_a_non_administrator_learns_no_binding_in_any_release() -> None:
    for text in VERSIONS:
        server = MattermostServer(text)
        alice, mallory = server.add_saml("alice"), server.add("mallory")
        token = server.give_session(mallory.id).token

        found = ask(server, "GET", f"/users/{alice.id}", token=token).json()

        assert (found["auth_data"], found["auth_service"]) == ("", "")


def test_an_administrator_sees_the_key_of_bound_accounts_only_from_10_11_on() -> None:
    server = MattermostServer("10.11")
    alice, bob = server.add_saml("alice"), server.add("bob")

    assert ask(server, "GET", f"/users/{alice.id}").json()["auth_data"] == "nameid-alice"
    assert "auth_data" not in ask(server, "GET", f"/users/{bob.id}").json()


def test_the_unique_constraint_holds_over_services_and_deactivated_rows_and_by_case() -> None:
    server = MattermostServer()
    server.add("ldap", auth_service="ldap", auth_data="X1", delete_at=1)
    user = server.add("alice")

    assert give_back(server, user.id, "X1").status_code == 400
    assert give_back(server, user.id, "x1").status_code == 200
    with pytest.raises(DuplicateError):
        server.change(user.id, auth_data="X1")


def test_two_people_cannot_swap_their_bindings() -> None:
    server = MattermostServer()
    one, other = server.add_saml("one"), server.add_saml("other")

    assert give_back(server, one.id, "nameid-other").status_code == 400
    assert give_back(server, other.id, "nameid-one").status_code == 400


def test_lost_updates_undo_the_named_share_after_the_yes_and_are_repeatable() -> None:
    def lost(seed: int) -> list[str]:
        server = MattermostServer(seed=seed)
        server.trouble.lost_updates = 0.3
        server.people(200)
        for number in range(200):
            convert(server, f"p{number:025d}")
        server.settle()
        return [row.username for row in server.users.values() if row.auth_service]

    found = lost(7)

    assert 35 <= len(found) <= 85
    assert found == lost(7)


def test_a_late_lost_update_comes_after_its_time() -> None:
    server = MattermostServer(clock=lambda: 1_800_000_000.0)
    server.trouble.lost_updates, server.trouble.lost_after_s = 1.0, 5.0
    user = server.add_saml("alice")
    convert(server, user.id)

    server.settle()
    assert server.users[user.id].auth_service == ""
    server.ahead_s += 6
    server.settle()
    assert server.users[user.id].auth_data == "nameid-alice"


def test_from_11_0_on_a_login_in_flight_undoes_a_return() -> None:
    server = MattermostServer("11.0", clock=lambda: 1_800_000_000.0)
    server.trouble.login_lag_s = 1.0
    user = server.add_saml("alice")
    convert(server, user.id)
    login(server, "alice")
    give_back(server, user.id, "nameid-alice")

    server.ahead_s += 2
    server.settle()

    assert server.users[user.id].auth_service == ""


def test_the_cache_is_forgotten_after_half_an_hour_and_by_a_restart() -> None:
    for forget in ("time", "restart"):
        server = MattermostServer("5.37", clock=lambda: 1_800_000_000.0)
        user = server.add_saml("alice")
        convert(server, user.id)
        give_back(server, user.id, "nameid-alice")
        path = f"/users/{user.id}"
        assert ask(server, "GET", path).json()["auth_service"] == ""

        if forget == "time":
            server.ahead_s += 1801
        else:
            server.restart()

        assert ask(server, "GET", path).json()["auth_service"] == "saml"


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 60),
        ("?per_page=0", 0),
        ("?per_page=-1", 60),
        ("?per_page=x", 60),
        ("?per_page=999", 200),
    ],
)
def test_pages_are_as_long_as_the_real_ones(query: str, count: int) -> None:
    server = MattermostServer()
    server.people(250)

    assert len(ask(server, "GET", f"/users{query}").json()) == count


def test_an_unknown_filter_is_ignored() -> None:
    server = MattermostServer()
    server.add_saml("alice")

    assert len(ask(server, "GET", "/users?auth_service=saml").json()) == 2


def test_enforced_mfa_locks_a_converted_person_without_one_out_of_everything_but_enrolment() -> (
    None
):
    server = MattermostServer()
    server.settings["ServiceSettings"]["EnableMultifactorAuthentication"] = True
    server.settings["ServiceSettings"]["EnforceMultifactorAuthentication"] = True
    user = server.add_saml("alice")
    convert(server, user.id)
    token = login(server, "alice").headers["Token"]

    refused = ask(server, "GET", "/users", token=token)

    assert refused.json()["id"] == "api.context.mfa_required.app_error"
    assert ask(server, "GET", "/users/me", token=token).status_code == 200


def test_too_many_wrong_passwords_lock_and_a_new_one_unlocks() -> None:
    server = MattermostServer()
    user = server.add("alice", password=server.hashed(PASSWORD))
    for _ in range(10):
        login(server, "alice", "wrong")
    assert login(server, "alice").json()["id"].endswith("too_many.app_error")

    convert(server, user.id)

    assert login(server, "alice").status_code == 200


def test_a_remote_user_has_no_password_from_8_1_on() -> None:
    server = MattermostServer("9.3")
    user = server.add_saml("friend", remote_id="r" * 26)

    body = {"new_password": server.hashed(PASSWORD), "already_hashed": "true"}
    assert ask(server, "PUT", f"/users/{user.id}/password", body).status_code == 500
    assert server.users[user.id].auth_service == "saml"


def test_the_limit_lets_the_burst_through_and_then_so_many_a_second() -> None:
    limit = RateLimit(10, 20)

    burst = [limit.take("a", 0.0)[0] for _ in range(30)]
    later = [limit.take("a", 1.0)[0] for _ in range(30)]

    assert burst.count(True) == 21
    assert later.count(True) == 10
    assert limit.take("b", 1.0)[0]


def test_a_hundred_thousand_people_are_seeded_in_seconds() -> None:
    server = MattermostServer()
    started = time.process_time()
    server.people(100_000)

    assert time.process_time() - started < 15
    assert len(server.users.ordered()) == 100_001
