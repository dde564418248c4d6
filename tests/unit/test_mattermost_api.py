"""Mattermost's API as commands ask it: what is repeated, what a lying server gets, what never
shows, and that no worker reads the token.
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from idp_proxy.config.mattermost import ApiSettings, demanded, read_token
from idp_proxy.config.settings import Outbound
from idp_proxy.errors import (
    ConfigError,
    MattermostError,
    MattermostNotFound,
    MattermostRefused,
    MattermostUnauthorized,
    MattermostUnreachable,
)
from idp_proxy.mattermost import MattermostApi, open_api
from idp_proxy.mattermost.wire import MAX_ANSWER
from tests.support.mattermost_api.settings import RECORDINGS
from tests.unit.config_folder import Folder, make_folder, private_file

if TYPE_CHECKING:
    from collections.abc import Callable

    Server = Callable[[httpx.Request], httpx.Response]

TOKEN = "tokentokentokentokentokent"
ADMIN = "a" * 26
API = ApiSettings("https://chat.example.org", "file:t", Outbound(), timedelta(seconds=5))
SECTION = """
[service_provider.api]
url = "https://chat.example.org/"
token = "file:mattermost.token"
"""


def row(user_id: str, **fields: object) -> dict[str, object]:
    found: dict[str, object] = {
        "id": user_id,
        "username": user_id[:8],
        "email": f"{user_id[:8]}@example.org",
        "roles": "system_user",
        "auth_service": "saml",
        "delete_at": 0,
    }
    return found | fields


ME = row(ADMIN, roles="system_user system_admin", auth_service="")


def api(server: Server, slept: list[float] | None = None) -> MattermostApi:
    waits: list[float] = [] if slept is None else slept
    return MattermostApi(API, TOKEN, sleep=waits.append, transport=httpx.MockTransport(server))


def answering(*replies: httpx.Response | Exception) -> tuple[Server, list[httpx.Request]]:
    """One reply after the other, the last for ever."""
    asked: list[httpx.Request] = []

    def server(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        reply = replies[min(len(asked), len(replies)) - 1]
        if isinstance(reply, Exception):
            raise reply
        return httpx.Response(reply.status_code, headers=reply.headers, content=reply.content)

    return server, asked


def listing(*passes: list[dict[str, object]], counted: int | None = None) -> Server:
    """A server whose list is another one in each pass; pages of two."""
    state = {"pass": -1}

    def server(request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v4")
        if path == "/users/me":
            return httpx.Response(200, json=ME)
        rows = passes[min(max(state["pass"], 0), len(passes) - 1)]
        if path == "/users/stats/filtered":
            total = len({one["id"] for one in rows}) if counted is None else counted
            return httpx.Response(200, json={"total_users_count": total})
        page = int(request.url.params["page"])
        if page == 0:
            state["pass"] += 1
            rows = passes[min(state["pass"], len(passes) - 1)]
        return httpx.Response(200, json=rows[page * 2 : page * 2 + 2])

    return server


PEOPLE = [ME, *(row(f"{number:026d}") for number in range(5))]


def ids(server: Server) -> list[str]:
    return [one.id for one in api(server).users()]


def test_everybody_is_given_once_two_passes_agree() -> None:
    assert ids(listing(PEOPLE)) == [one["id"] for one in PEOPLE]
    assert ids(listing(PEOPLE[:-1], PEOPLE)) == [one["id"] for one in PEOPLE]


def test_people_of_another_server_whom_it_lists_and_does_not_count_are_no_reason_to_doubt() -> None:
    assert ids(listing(PEOPLE, counted=len(PEOPLE) - 1)) == [one["id"] for one in PEOPLE]


def test_who_comes_twice_by_an_insert_is_given_once() -> None:
    shifted = [*PEOPLE[:2], PEOPLE[1], *PEOPLE[2:]]
    assert ids(listing(shifted, PEOPLE)) == [one["id"] for one in PEOPLE]


@pytest.mark.parametrize(
    "server",
    [
        listing([]),
        listing(PEOPLE[1:]),
        listing(PEOPLE, counted=7),
        listing(PEOPLE, PEOPLE[:-1], PEOPLE, PEOPLE[:-1], PEOPLE),
        listing([ME, PEOPLE[1], ME, PEOPLE[1]]),
    ],
    ids=["empty 200", "without ourselves", "counts more", "never still", "one page for ever"],
)
def test_a_list_that_cannot_be_whole_is_none(server: Server) -> None:
    with pytest.raises(MattermostUnreachable):
        ids(server)


def test_nothing_is_given_before_the_list_is_known_to_be_whole() -> None:
    given: list[str] = []
    with pytest.raises(MattermostUnreachable):
        given.extend(one.id for one in api(listing(PEOPLE, counted=7)).users())
    assert given == []


def test_a_list_by_no_administrator_is_refused_before_it_is_read() -> None:
    server, asked = answering(httpx.Response(200, json=row(ADMIN)))
    with pytest.raises(MattermostUnauthorized, match="no system administrator"):
        next(api(server).users())
    assert len(asked) == 1


def test_the_recorded_rows_of_a_real_server_are_read() -> None:
    def recorded(name: str) -> Any:
        return json.loads((Path(RECORDINGS) / f"{name}.json").read_text("utf-8"))["response"]

    people = recorded("get-users-page")["body"]
    sessions = recorded("get-user-sessions-saml")["body"]
    server, _ = answering(httpx.Response(200, json=sessions))
    (session,) = api(server).sessions(sessions[0]["user_id"])
    assert (session.is_saml, session.is_token) == (True, False)
    assert session.create_at == sessions[0]["create_at"]
    for one in people:
        server, _ = answering(httpx.Response(200, json=one | {"roles": "system_admin"}))
        assert api(server).whoami().auth_data is None


def test_sessions_of_somebody_else_are_never_taken_for_this_person_s() -> None:
    other = {"id": "s" * 26, "user_id": "b" * 26, "create_at": 1, "expires_at": 0, "props": None}
    server, _ = answering(httpx.Response(200, json=[other]))
    with pytest.raises(MattermostUnreachable, match="somebody else's"):
        api(server).sessions("c" * 26)


@pytest.mark.parametrize("user_id", ["me", "", "../users/me", "A" * 26, "a" * 26 + "\n"])
def test_what_is_no_id_is_never_put_into_a_path(user_id: str) -> None:
    server, asked = answering(httpx.Response(200, json={}))
    with pytest.raises(MattermostRefused, match="not sent"):
        api(server).revoke(user_id, "s" * 26)
    assert asked == []


def test_a_rate_limit_is_waited_for_as_long_as_it_asks() -> None:
    limited = httpx.Response(429, text="limit exceeded\n", headers={"Retry-After": "3"})
    slept: list[float] = []
    server, asked = answering(limited, limited, httpx.Response(200, json=ME))
    assert api(server, slept).whoami().id == ADMIN
    assert (slept, len(asked)) == ([3.0, 3.0], 3)


@pytest.mark.parametrize("asked_for", ["", "soon", "nan", "inf", "-1", "1e300"])
def test_a_rate_limit_that_asks_for_nonsense_waits_a_sensible_time(asked_for: str) -> None:
    limited = httpx.Response(429, headers={"Retry-After": asked_for})
    slept: list[float] = []
    server, _ = answering(limited, httpx.Response(200, json=ME))
    if asked_for == "1e300":
        with pytest.raises(MattermostUnreachable, match="rate limit"):
            api(server, slept).whoami()
    else:
        api(server, slept).whoami()
        assert 0 < slept[0] <= 1


def test_a_call_without_an_answer_is_made_three_times() -> None:
    server, asked = answering(httpx.ConnectError(f"refused with {TOKEN}"))
    with pytest.raises(MattermostUnreachable) as caught:
        api(server).whoami()
    assert len(asked) == 3
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (
            httpx.Response(302, headers={"Location": "https://evil.example/"}),
            MattermostUnreachable,
            "redirect, which is not followed",
        ),
        (httpx.Response(200, html="<h1>Sign in</h1>"), MattermostUnreachable, "own"),
        (httpx.Response(200, json=[1]), MattermostUnreachable, "not what Mattermost answers"),
        (httpx.Response(502, html="<h1>x</h1>"), MattermostUnreachable, "502"),
        (
            httpx.Response(401, json={"id": "api.context.session_expired.app_error"}),
            MattermostUnauthorized,
            "neither revoked nor expired",
        ),
        (httpx.Response(404, json={"id": "app.user.missing"}), MattermostNotFound, "404"),
        (httpx.Response(501, json={"id": "ent.saml.license"}), MattermostRefused, "501"),
        (
            httpx.Response(400, json={"id": "x\x1b[31m", "message": f"a\n{TOKEN}\u202e"}),
            MattermostRefused,
            "[token]",
        ),
    ],
)
def test_what_an_answer_means_and_how_it_is_worded(
    reply: httpx.Response, kind: type[MattermostError], words: str
) -> None:
    server, asked = answering(reply)
    with pytest.raises(kind) as caught:
        api(server).whoami()
    assert words in str(caught.value)
    assert str(caught.value).isprintable()
    assert TOKEN not in repr(caught.value)
    assert {request.url.host for request in asked} == {"chat.example.org"}


def test_an_answer_without_an_end_is_cut() -> None:
    server, _ = answering(
        httpx.Response(
            200,
            content=b" " * (MAX_ANSWER + 1),
            headers={"Content-Type": "application/json"},
        )
    )
    with pytest.raises(MattermostUnreachable, match="longer than"):
        api(server).whoami()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = make_folder(tmp_path, b"")
    made.text = made.text.partition("[audit]")[0]
    return made


def test_without_the_section_it_is_said_what_is_missing(folder: Folder) -> None:
    settings = folder.read()
    assert settings.mattermost_api is None
    with pytest.raises(ConfigError, match=r"service_provider\.api: missing, and the review needs"):
        open_api(settings, "the review")
    with pytest.raises(ConfigError, match=r"standby-logins\.md"):
        demanded(None, "this")


def test_no_worker_reads_the_token_it_may_not_even_be_there(folder: Folder) -> None:
    folder.text += SECTION
    settings = folder.read()
    assert settings.mattermost_api is not None
    assert settings.mattermost_api.url == "https://chat.example.org"
    with pytest.raises(ConfigError, match="no such file"):
        open_api(settings, "this")
    private_file(folder.path / "mattermost.token", f"{TOKEN}\n".encode())
    (folder.path / "mattermost.token").chmod(0)
    settings = folder.read()
    assert TOKEN not in repr(settings)


def test_a_command_reads_the_token_from_file_or_variable(folder: Folder) -> None:
    folder.text += SECTION
    private_file(folder.path / "mattermost.token", f"{TOKEN}\n".encode())
    settings = folder.read()
    assert settings.mattermost_api is not None
    assert read_token(settings.mattermost_api, folder.path) == TOKEN
    with open_api(settings, "this") as opened:
        assert TOKEN not in repr(opened)
    folder.set("file:mattermost.token", "env:MM")
    settings = folder.read()
    assert settings.mattermost_api is not None
    assert read_token(settings.mattermost_api, folder.path, environ={"MM": TOKEN}) == TOKEN


@pytest.mark.parametrize("content", [b"", b"two words here and more\n", b"a\nb", b"short"])
def test_a_token_that_is_none_is_refused_and_not_repeated(folder: Folder, content: bytes) -> None:
    folder.text += SECTION
    private_file(folder.path / "mattermost.token", content)
    with pytest.raises(ConfigError, match=r"service_provider\.api\.token") as caught:
        open_api(folder.read(), "this")
    assert "two words" not in str(caught.value)


def test_a_token_that_others_can_read_is_refused(folder: Folder) -> None:
    folder.text += SECTION
    private_file(folder.path / "mattermost.token", TOKEN.encode())
    (folder.path / "mattermost.token").chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        open_api(folder.read(), "this")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("https://chat.example.org/", "http://chat.example.org", "plain http"),
        ("https://chat.example.org/", "https://a:b@chat.example.org", "user name or password"),
        ("https://chat.example.org/", "https://chat.example.org/?x=1", "own address"),
        ("https://chat.example.org/", "", "missing"),
        ("file:mattermost.token", TOKEN, "may not stand in this file"),
    ],
)
def test_a_wrong_section_stops_the_start(folder: Folder, old: str, new: str, problem: str) -> None:
    folder.text += SECTION.replace(old, new)
    (found,) = folder.problems()
    assert found.startswith("service_provider.api.")
    assert problem in found
    assert TOKEN not in found
