"""The double of Mattermost against every recording of a real 5.37.0: none is left out.

Each recorded request is sent again, after a set-up that makes the double what the real server was.
Status, error id, keys and their order, types, telling values, content type and the decisive headers
must agree. Messages are translated by a server, and ids and times are its own: they may differ.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
import zipfile
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.support.mattermost_api import MattermostServer, RateLimit, User, app
from tests.support.mattermost_api.records import ResetToken
from tests.support.mattermost_api.settings import RECORDINGS, recording
from tests.support.mattermost_api.system import archive

if TYPE_CHECKING:
    from collections.abc import Callable

ALICE = "5m7z9ib9mjbczmocxbk6sdyr8o"
ADMIN = "cdzncyfe5jboijqoxs9trp769a"
JUDY = "y3mpoqzbqbgzxqzzzrnwrww6wa"
ADDRESS = "127.0.0.1"
PASSWORD = "Temp-Pass-001"

#: Fields whose recorded value the set-up brings about, so that it must come back.
TELLING = frozenset(
    {
        "action", "auth_data", "auth_service", "database_status", "delete_at", "email",
        "EnableSaml", "expired_notify", "extra_info", "filestore_status", "first_name",
        "follow_link", "is_bot", "is_oauth", "isSaml", "IsLicensed", "last_name", "roles",
        "status", "status_code", "type", "user_id", "username", "Version",
    }
)  # fmt: skip
OWN_VALUE = frozenset({"x-request-id", "x-version-id", "etag", "content-length", "connection"})


@dataclass(frozen=True, slots=True)
class Ready:
    """Who asks (the administrator without a word), and what stood where a recording was blanked."""

    token: str | None = None
    blanked: dict[str, str] = field(default_factory=dict)


def alice(server: MattermostServer) -> User:
    return server.add_saml(
        "alice", id=ALICE, auth_data="alice-nameid-001", first_name="Alice", last_name="Example"
    )


def perf(server: MattermostServer, number: int, **fields: Any) -> User:
    name = f"perf{number:06d}"
    user_id = f"p{number:025d}"
    return server.add_saml(
        name, id=user_id, email=f"perf{number}@corp.test", auth_data=f"perf-{user_id}", **fields
    )


def plain(server: MattermostServer) -> Ready:
    return Ready(server.give_session(server.add("plain").id).token)


def nothing(_server: MattermostServer) -> Ready:
    return Ready()


def with_alice(server: MattermostServer) -> Ready:
    alice(server)
    return Ready()


def alice_and_plain(server: MattermostServer) -> Ready:
    alice(server)
    return plain(server)


def alice_and_no_token(server: MattermostServer) -> Ready:
    alice(server)
    return Ready(token="")


def alice_and_bad_token(server: MattermostServer) -> Ready:
    alice(server)
    return Ready(token="x" * 26)


def converted_alice(server: MattermostServer) -> Ready:
    server.put_password(alice(server).id, server.hashed(PASSWORD))
    return Ready()


def returned_alice(server: MattermostServer) -> Ready:
    converted_alice(server)
    server.put_auth(ALICE, "saml", "alice-nameid-001")
    return Ready()


def alice_and_another(server: MattermostServer) -> Ready:
    alice(server)
    server.add("bob", id="4wytx5bd53n9dfqu8ia1dsmhoe")
    return Ready()


def another(server: MattermostServer) -> Ready:
    server.add("bob", id="4wytx5bd53n9dfqu8ia1dsmhoe")
    return Ready()


def alice_and_admin(server: MattermostServer) -> Ready:
    alice(server)
    administrator(server)
    return Ready()


def administrator(server: MattermostServer) -> Ready:
    server.add("mmadmin", id=ADMIN, email="mmadmin@mm.test", roles="system_admin system_user")
    return Ready(server.give_token(ADMIN).token)


def judy(server: MattermostServer) -> Ready:
    server.add("judy", id=JUDY, password=server.hashed(PASSWORD), failed_attempts=10)
    return Ready()


def judys_doings(server: MattermostServer) -> Ready:
    judy(server)
    session = server.give_session(JUDY).id
    server.note(JUDY, "/api/v4/users/login", "authenticated")
    server.note(JUDY, "/api/v4/users/login", f"success session_user={JUDY}", session)
    server.note(JUDY, "/api/v4/users/me/patch", "", session)
    return Ready()


def everybodys_doings(server: MattermostServer) -> Ready:
    judy(server)
    other = "z36ccezhetfc5m77f7ojm51rqh"
    server.note(other, "/api/v4/users/login", "authenticated")
    server.note(other, "/api/v4/users/login", f"success session_user={other}", "s")
    server.note(JUDY, "/api/v4/users/me/patch", "", "s")
    return Ready()


def robot(server: MattermostServer) -> Ready:
    server.add(
        "robot",
        id="gapjkfdztpfiidigz6m7wwgs5h",
        email="robot@localhost",
        first_name="r",
        is_bot=True,
    )
    return Ready(blanked={"password": "Robot-Pass-1"})


def two_sessions(server: MattermostServer) -> Ready:
    converted_alice(server)
    recorded = recording("get-user-sessions")["response"]["body"]
    for _ in recorded:
        server.give_session(ALICE)
    return Ready()


def saml_session(server: MattermostServer) -> Ready:
    server.give_session(perf(server, 3).id, is_saml=True)
    return Ready()


def token_in_use(server: MattermostServer) -> Ready:
    asked = recording("get-user-sessions-token")
    row = asked["response"]["body"][0]
    user = server.add("tok", id=row["user_id"], roles=row["roles"])
    server.session_by(server.give_token(user.id).token)
    return Ready()


def session_of_another(server: MattermostServer) -> Ready:
    asked = recording("post-session-revoke-of-another")["request"]
    session = server.give_session(alice(server).id)
    session.id = asked["body"]["session_id"]
    return Ready()


def deactivated(server: MattermostServer) -> Ready:
    server.add("frank", password=server.hashed(PASSWORD), delete_at=1)
    return Ready(blanked={"password": PASSWORD})


def enrolled(server: MattermostServer) -> Ready:
    server.settings["ServiceSettings"]["EnableMultifactorAuthentication"] = True
    server.put_password(perf(server, 1, mfa_active=True).id, server.hashed(PASSWORD))
    return Ready(blanked={"password": PASSWORD})


def unverified(server: MattermostServer) -> Ready:
    server.settings["EmailSettings"]["RequireEmailVerification"] = True
    server.put_password(perf(server, 1).id, server.hashed(PASSWORD))
    return Ready(blanked={"password": PASSWORD})


def saml_enabled(server: MattermostServer) -> Ready:
    server.settings["SamlSettings"]["Enable"] = True
    perf(server, 1)
    return Ready(blanked={"password": PASSWORD})


def ivan_by_password(server: MattermostServer) -> Ready:
    server.add("ivan", password=server.hashed("Temp-Pass-300"))
    return Ready(token="")


def ivan_by_saml(server: MattermostServer) -> Ready:
    server.add_saml("ivan")
    return Ready()


def ivan_himself(server: MattermostServer) -> Ready:
    return Ready(server.give_session(server.add_saml("ivan").id, is_saml=True).token)


def grace(server: MattermostServer) -> Ready:
    server.add("grace", password=server.hashed(PASSWORD))
    return Ready(token="")


def grace_by_saml(server: MattermostServer) -> Ready:
    server.add_saml("grace")
    return Ready(token="")


def unused_link(server: MattermostServer) -> Ready:
    user = server.add_saml("grace")
    token = server.new_id(64)
    server.resets[token] = ResetToken(user.id, server.now_ms)
    return Ready(token="", blanked={"token": token, "new_password": PASSWORD})


def perf_1(server: MattermostServer) -> Ready:
    user = replace(perf(server, 1), mfa_secret="X" * 32)
    server.users[user.id] = user
    server.put_password(user.id, server.hashed(PASSWORD))
    return Ready()


def judy_at_ease(server: MattermostServer) -> Ready:
    server.add("judy", id=JUDY)
    return Ready()


def hank(server: MattermostServer) -> Ready:
    server.add("hank", id="jb7z6am8rty93gm4z846an8cur")
    session = server.give_session("jb7z6am8rty93gm4z846an8cur")
    session.id = "dfzcsyzrdt8amj85err6nku53o"
    return Ready()


def guest_to_be(server: MattermostServer) -> Ready:
    server.add("dora", id="tseiaezgrtgjbfh7x9hn75a16w")
    return Ready()


def for_policy(server: MattermostServer) -> Ready:
    server.add_saml("paul", id="wydhxwms9ine7qpjjmzg3n59oa")
    return Ready()


def to_hash(server: MattermostServer) -> Ready:
    server.add_saml("harry", id="jkpjxq1ycfdemqf7fjzzsfombh")
    return Ready()


def sso_self(server: MattermostServer) -> Ready:
    server.add_saml("rita", id="rtdkqba7g3gjbjbu3igqkrm6cy")
    return Ready(server.give_session("rtdkqba7g3gjbjbu3igqkrm6cy", is_saml=True).token)


def nearly_used_up(server: MattermostServer) -> Ready:
    user = perf(server, 2)
    server.trouble.rate_limit = RateLimit(10, 20)
    for _ in range(21):
        server.trouble.rate_limit.take(ADDRESS, server.now)
    return Ready(blanked={"auth_data": str(user.auth_data)})


def hardly_used(server: MattermostServer) -> Ready:
    user = perf(server, 2)
    server.trouble.rate_limit = RateLimit(10, 20)
    server.trouble.rate_limit.take(ADDRESS, server.now)
    return Ready(blanked={"auth_data": str(user.auth_data)})


#: Every recorded exchange, and what makes the double what the real server was.
EXCHANGES: dict[str, Callable[[MattermostServer], Ready]] = {
    "create-saml-user": nothing,
    "create-user-email-exists": lambda server: (perf(server, 6), Ready())[1],
    "get-audits": everybodys_doings,
    "get-bot-user": robot,
    "get-config-nonadmin": plain,
    "get-sessions-nonadmin": alice_and_plain,
    "get-user-after-conversion": converted_alice,
    "get-user-audits": judys_doings,
    "get-user-by-email": with_alice,
    "get-user-missing": nothing,
    "get-user-saml": with_alice,
    "get-user-sessions": two_sessions,
    "get-user-sessions-saml": saml_session,
    "get-user-sessions-token": token_in_use,
    "get-users-page": alice_and_admin,
    "license-client-old": nothing,
    "login-after-revert": returned_alice,
    "login-bot": robot,
    "login-converted-user": converted_alice,
    "login-deactivated": deactivated,
    "login-locked": judy,
    "login-mfa-required": enrolled,
    "login-not-verified": unverified,
    "login-sso-user-saml-enabled": saml_enabled,
    "login-switch-email-to-saml": ivan_by_password,
    "login-switch-saml-to-email-by-admin": ivan_by_saml,
    "login-switch-saml-to-email-self": ivan_himself,
    "migrate-auth-saml": nothing,
    "password-reset-send-email": grace,
    "password-reset-send-sso": grace_by_saml,
    "password-reset-send-unknown": nothing,
    "password-reset-token-after-revert-refused": unused_link,
    "patch-empty": with_alice,
    "patch-props": judy_at_ease,
    "ping": nothing,
    "ping-full": nothing,
    "post-demote": guest_to_be,
    "post-email-verify-member": perf_1,
    "post-jobs-export": nothing,
    "post-session-revoke": hank,
    "post-session-revoke-nothing": nothing,
    "post-session-revoke-of-another": session_of_another,
    "post-session-revoke-unknown": nothing,
    "post-sessions-revoke-all": hank,
    "post-users-ids": with_alice,
    "put-auth-bad-id": nothing,
    "put-auth-bad-token": alice_and_bad_token,
    "put-auth-duplicate-authdata": alice_and_another,
    "put-auth-duplicate-authdata-other-service": alice_and_another,
    "put-auth-no-token": alice_and_no_token,
    "put-auth-nonadmin": alice_and_plain,
    "put-auth-nonexistent-id": nothing,
    "put-auth-revert-to-saml": converted_alice,
    "put-auth-saml-ok": with_alice,
    "put-auth-too-long-129": another,
    **{f"put-auth-variant-{number}": with_alice for number in range(7)},
    "put-password-already-hashed": to_hash,
    "put-password-nonadmin": alice_and_plain,
    "put-password-nonexistent-id": nothing,
    "put-password-on-saml-user": with_alice,
    "put-password-policy-empty": for_policy,
    "put-password-policy-len72": for_policy,
    "put-password-policy-len73": for_policy,
    "put-password-policy-nospecial": for_policy,
    "put-password-policy-ok": for_policy,
    "put-password-policy-short": for_policy,
    "put-password-policy-spaces": for_policy,
    "put-password-policy-utf8-80bytes": for_policy,
    "put-password-self-no-current": administrator,
    "put-password-self-sso-refused": sso_self,
    "put-preferences": judy_at_ease,
    "ratelimit-429": nearly_used_up,
    "ratelimit-ok-headers": hardly_used,
    "saml-reset-auth-data": nothing,
    "search-users": with_alice,
    "unknown-route": nothing,
    "users-stats": nothing,
    "users-stats-filtered": nothing,
}

#: Recorded texts without a request, each with its own test below.
TEXTS = frozenset(
    {
        "audit-rows-for-convert-and-revert",
        "bulk-export-user-line",
        "config-client-old",
        "get-config-excerpt",
    }
)


@pytest.fixture
def server() -> MattermostServer:
    return MattermostServer("5.37", licensed=False)


def send(server: MattermostServer, request: dict[str, Any], ready: Ready) -> httpx.Response:
    token = server.admin_token if ready.token is None else ready.token
    body = request["body"]
    if isinstance(body, dict):
        body = {**body, **ready.blanked}
    return asyncio.run(_send(server, request["method"], request["path"], body, token))


async def _send(
    server: MattermostServer, method: str, path: str, body: Any, token: str
) -> httpx.Response:
    transport = httpx.ASGITransport(app(server), client=(ADDRESS, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://mattermost") as client:
        return await client.request(
            method,
            path,
            content=None if body is None else json.dumps(body),
            headers={"Authorization": f"Bearer {token}"},
        )


def test_every_recording_is_held_against_the_double() -> None:
    recorded = {path.stem for path in RECORDINGS.glob("*.json")}

    assert set(EXCHANGES) | TEXTS == recorded
    assert not set(EXCHANGES) & TEXTS


@pytest.mark.parametrize("name", sorted(EXCHANGES))
def test_the_double_answers_as_the_real_server_did(name: str, server: MattermostServer) -> None:
    recorded = recording(name)
    ready = EXCHANGES[name](server)

    answer = send(server, recorded["request"], ready)

    expected = recorded["response"]
    assert answer.status_code == expected["status"], answer.text
    if isinstance(expected["body"], str):
        assert answer.text == expected["body"]
    else:
        same(answer.json(), expected["body"], name)
    if "headers" in expected:
        same_headers(dict(answer.headers), expected["headers"])


def same(found: Any, expected: Any, where: str) -> None:
    """The same keys in the same order, the same types, the same telling values."""
    assert type(found) is type(expected), where
    if isinstance(expected, dict):
        assert list(found) == list(expected), where
        if "status_code" in expected and "id" in expected:
            assert found["id"] == expected["id"], where
        for key, value in expected.items():
            same(found[key], value, f"{where}.{key}")
            if key in TELLING and not isinstance(value, dict | list):
                assert found[key] == value, f"{where}.{key}"
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for number, value in enumerate(expected):
            same(found[number], value, f"{where}[{number}]")


def same_headers(found: dict[str, str], expected: dict[str, str]) -> None:
    wanted = {name.lower(): value for name, value in expected.items()}
    for name, value in wanted.items():
        if name in OWN_VALUE:
            assert name in found or name == "connection"
        else:
            assert found.get(name) == value, name
    assert set(found) <= set(wanted), "a header the real server does not send"
    if "x-version-id" in wanted:
        assert re.fullmatch(r"5\.37\.0\.\.[0-9a-f]{32}\.false", found["x-version-id"])
        assert re.fullmatch(r"[a-z0-9]{26}", found["x-request-id"])


def test_a_conversion_and_a_return_leave_the_recorded_audit_rows(
    server: MattermostServer,
) -> None:
    user = perf(server, 60)
    path = f"/api/v4/users/{user.id}"
    hashed = {"new_password": server.hashed(PASSWORD), "already_hashed": "true"}
    binding = {"auth_service": "saml", "auth_data": user.auth_data}
    for what, body in (("password", hashed), ("auth", binding)):
        change: dict[str, Any] = {"method": "PUT", "path": f"{path}/{what}", "body": body}
        assert send(server, change, Ready()).status_code == 200

    request = {"method": "GET", "path": "/api/v4/audits?per_page=3", "body": None}
    found = send(server, request, Ready()).json()

    expected = recording("audit-rows-for-convert-and-revert")
    actors = {row["user_id"]: server.admin.id for row in expected}
    same(found, [{**row, "user_id": actors[row["user_id"]]} for row in expected], "audits")


def test_an_exported_user_is_the_recorded_line(server: MattermostServer) -> None:
    alice(server)
    with zipfile.ZipFile(io.BytesIO(archive(server))) as packed:
        lines = [json.loads(line) for line in packed.read("import.jsonl").splitlines()]

    users = [line for line in lines if line["type"] == "user"]
    found = next(line for line in users if line["user"]["username"] == "alice")
    same(found, recording("bulk-export-user-line"), "line")


def test_the_public_configuration_is_the_recorded_one(server: MattermostServer) -> None:
    request = {
        "method": "GET",
        "path": "/api/v4/config/client?format=old",
        "body": None,
    }

    found = send(server, request, Ready(token="")).json()

    assert found == recording("config-client-old")


def test_the_recorded_sections_of_the_configuration_are_the_double_s(
    server: MattermostServer,
) -> None:
    request = {"method": "GET", "path": "/api/v4/config", "body": None}

    found = send(server, request, Ready()).json()

    expected = recording("get-config-excerpt")
    assert {name: found[name] for name in expected} == expected
