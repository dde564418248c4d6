"""One call: what is repeated, what is not, what an answer means, and what never shows."""

from __future__ import annotations

import json
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from conversion.errors import (
    ConfigError,
    DuplicateBinding,
    MattermostError,
    NotFound,
    RateLimited,
    Rejected,
    Unauthorized,
    Unreachable,
)
from conversion.mattermost import Access, Mattermost
from conversion.mattermost.answers import error_of
from conversion.mattermost.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable

    Server = Callable[[httpx.Request], httpx.Response]

USER = "5m7z9ib9mjbczmocxbk6sdyr8o"
TOKEN = "tokentokentokentokentokent"
HASH = "$2a$10$sZVEaAvdq/OQeZcJI8BC1.wRCkdoRG2e9H92pv6mRwLt//ksn3vEq"
MINIMAL = (
    b'{"id":"5m7z9ib9mjbczmocxbk6sdyr8o","username":"x","auth_service":"","roles":"",'
    b'"delete_at":%s}'
)
OK = httpx.Response(200, json={"status": "OK"})


class Times:
    """Sleeps that only count."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def client(server: Server, times: Times | None = None, **access: Any) -> Mattermost:
    waits = times or Times()
    return Mattermost(
        Access("https://chat.example.org", TOKEN, **access),
        Pace(sleep=waits.sleep),
        waits.sleep,
        httpx.MockTransport(server),
    )


def answers(*replies: httpx.Response | Exception) -> tuple[Server, list[httpx.Request]]:
    """A server that gives one reply after the other, the last for ever."""
    asked: list[httpx.Request] = []

    def server(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        reply = replies[min(len(asked), len(replies)) - 1]
        if isinstance(reply, Exception):
            raise reply
        return httpx.Response(
            reply.status_code, headers=reply.headers, content=reply.content, request=request
        )

    return server, asked


def problem(status: int, error_id: str, **fields: Any) -> httpx.Response:
    body = {"id": error_id, "message": "words", "request_id": "r1", "status_code": status}
    return httpx.Response(status, json={**body, **fields})


TOO_MANY = httpx.Response(429, text="limit exceeded\n", headers={"Retry-After": "2"})
GONE = httpx.Response(502, html="<h1>Bad Gateway</h1>")


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (problem(401, "api.context.session_expired.app_error"), Unauthorized),
        (problem(403, "api.context.permissions.app_error"), Unauthorized),
        (problem(400, "app.user.update_auth_data.email_exists.app_error"), DuplicateBinding),
        (problem(400, "api.user.update_user_auth.invalid_request"), Rejected),
        (problem(409, "store.sql_user.save.username_exists"), Rejected),
        (problem(413, "api.context.too_large"), Rejected),
        (problem(501, "api.admin.saml.not_available.app_error"), Rejected),
        (problem(404, "app.user.missing_account.const"), NotFound),
        (problem(404, "api.context.404.app_error"), Rejected),
        (problem(500, "app.user.update_auth_data.app_error"), Unreachable),
        (problem(503, "api.context.maintenance"), Unreachable),
        (GONE, Unreachable),
        (httpx.Response(403, html="<h1>Firewall</h1>"), Unreachable),
        (httpx.Response(401, html="<h1>Proxy</h1>"), Unreachable),
        (httpx.Response(413, html="<h1>Too large</h1>"), Unreachable),
        (httpx.Response(302, headers={"Location": "https://portal/"}), Unreachable),
        (httpx.Response(200, html="<title>Sign in</title>"), Unreachable),
        (httpx.Response(204), Unreachable),
        (httpx.ConnectError("refused"), Unreachable),
        (httpx.ReadTimeout("timed out"), Unreachable),
        (httpx.RemoteProtocolError("closed"), Unreachable),
    ],
)
def test_a_change_is_sent_once_and_its_refusal_has_a_type(
    reply: httpx.Response | Exception, expected: type[MattermostError]
) -> None:
    server, asked = answers(reply)

    with client(server) as mattermost, pytest.raises(expected) as caught:
        mattermost.set_binding(USER, "alice-nameid-001")

    assert type(caught.value) is expected
    assert len(asked) == 1


def test_the_id_and_the_request_id_of_a_refusal_are_kept() -> None:
    server, _ = answers(problem(400, "api.some.id", detailed_error="Key (authdata)=(alice)"))

    with client(server) as mattermost, pytest.raises(Rejected) as caught:
        mattermost.patch_empty(USER)

    assert caught.value.error_id == "api.some.id"
    assert caught.value.request_id == "r1"
    assert "alice" not in caught.value.detail
    assert "PUT /users/{id}/patch: 400" in caught.value.detail


def test_a_read_is_repeated_until_the_server_is_back() -> None:
    times = Times()
    server, asked = answers(
        httpx.ConnectError("refused"), GONE, httpx.Response(200, json={"IsLicensed": "true"})
    )

    with client(server, times) as mattermost:
        assert mattermost.license() is True

    assert len(asked) == 3
    assert times.slept == sorted(times.slept)


def test_a_read_is_given_up_in_the_end() -> None:
    server, asked = answers(GONE)

    with client(server) as mattermost, pytest.raises(Unreachable, match="502"):
        mattermost.license()

    assert len(asked) == 4


@pytest.mark.parametrize("reply", [problem(401, "x"), problem(403, "x"), problem(400, "x")])
def test_a_refusal_of_a_read_is_not_repeated(reply: httpx.Response) -> None:
    server, asked = answers(reply)

    with client(server) as mattermost, pytest.raises((Unauthorized, Rejected)):
        mattermost.config()

    assert len(asked) == 1


def test_the_rate_limit_is_waited_for_even_by_a_change_for_nothing_was_done() -> None:
    times = Times()
    server, asked = answers(TOO_MANY, TOO_MANY, OK)

    with client(server, times) as mattermost:
        mattermost.patch_empty(USER)

    assert len(asked) == 3
    assert sum(times.slept) >= 4.0


def test_a_limit_that_asks_for_more_than_the_patience_is_an_error_at_once() -> None:
    times = Times()
    server, asked = answers(httpx.Response(429, text="", headers={"Retry-After": "3600"}))

    with client(server, times) as mattermost, pytest.raises(RateLimited):
        mattermost.patch_empty(USER)

    assert len(asked) == 1
    assert times.slept == []


def test_an_answer_that_never_ends_is_given_up_at_the_deadline() -> None:
    class Drip(httpx.SyncByteStream):
        def __iter__(self) -> Any:
            while True:
                time.sleep(0.01)
                yield b" "

    def server(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Drip(), headers={"Content-Type": "application/json"})

    started = time.monotonic()
    with client(server, deadline_s=0.1) as mattermost, pytest.raises(Unreachable, match="deadline"):
        mattermost.patch_empty(USER)
    assert time.monotonic() - started < 2.0


def test_an_answer_that_is_too_long_is_given_up() -> None:
    server, _ = answers(httpx.Response(200, content=b" " * (33 * 1024 * 1024)))

    with client(server) as mattermost, pytest.raises(Unreachable, match="longer than"):
        mattermost.patch_empty(USER)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'{"id":',
        b'{"id":"me","username":"x","auth_service":"","roles":""}',
        b'{"id":"5m7z9ib9mjbczmocxbk6sdyr8o"}',
        b'{"id":"5m7z9ib9mjbczmocxbk6sdyr8o","username":1,"auth_service":"","roles":""}',
        b'{"id":"5m7z9ib9mjbczmocxbk6sdyr8o","username":"x","auth_service":null,"roles":""}',
        MINIMAL % b"99999999999999999999",
        MINIMAL % b"-1",
        MINIMAL % b'"yesterday"',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_half_an_answer_is_no_answer_and_is_not_quoted(body: bytes) -> None:
    reply = httpx.Response(200, content=body, headers={"Content-Type": "application/json"})
    server, _ = answers(reply)

    with client(server) as mattermost, pytest.raises(Unreachable) as caught:
        mattermost.me()

    assert "username" not in caught.value.detail or "(username)" in caught.value.detail


@pytest.mark.parametrize(
    "user_id",
    ["me", "", "../config", "short", USER.upper(), f"{USER}/../x", f"{USER}\n", "\u0430" * 26],
)
def test_an_id_that_is_none_is_never_sent(user_id: str) -> None:
    server, asked = answers(OK)

    with client(server) as mattermost:
        changes: list[Callable[[], None]] = [
            lambda: mattermost.set_password_hash(user_id, HASH),
            lambda: mattermost.set_password(user_id, "x"),
            lambda: mattermost.set_binding(user_id, "x"),
            lambda: mattermost.patch_empty(user_id),
            lambda: mattermost.clear_mfa(user_id),
            lambda: mattermost.revoke_session(user_id, "s" * 26),
            lambda: mattermost.verify_email(user_id),
        ]
        for change in changes:
            with pytest.raises(Rejected, match="not sent"):
                change()

    assert asked == []


@pytest.mark.parametrize(
    "hashed",
    ["", "secret", "$2b$10$" + "x" * 53, "$2a$10$" + "x" * 52, "$2a$99$" + "x" * 53, HASH + "\n"],
)
def test_a_hash_that_would_lock_somebody_out_is_never_sent(hashed: str) -> None:
    server, asked = answers(OK)

    with client(server) as mattermost, pytest.raises(Rejected) as caught:
        mattermost.set_password_hash(USER, hashed)

    assert asked == []
    assert not hashed or hashed not in caught.value.detail


@pytest.mark.parametrize("value", ["", "x" * 129])
def test_a_binding_the_table_cannot_hold_is_never_sent(value: str) -> None:
    server, asked = answers(OK)

    with client(server) as mattermost, pytest.raises(Rejected, match="not sent"):
        mattermost.set_binding(USER, value)

    assert asked == []


def test_a_hash_is_announced_by_the_text_true() -> None:
    server, asked = answers(OK)

    with client(server) as mattermost:
        mattermost.set_password_hash(USER, HASH)

    assert json.loads(asked[0].content) == {"new_password": HASH, "already_hashed": "true"}
    assert asked[0].headers["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    "value", ['a"b\\c', "\u00e9\u00df\u4e2d", " lead", "trail ", "A", "\u0000x"]
)
def test_a_binding_is_sent_to_the_byte(value: str) -> None:
    server, asked = answers(OK)

    with client(server) as mattermost:
        mattermost.set_binding(USER, value)

    assert json.loads(asked[0].content) == {"auth_service": "saml", "auth_data": value}


def test_a_redirect_never_gets_the_token() -> None:
    server, asked = answers(httpx.Response(307, headers={"Location": "https://evil.example/"}))

    with client(server) as mattermost, pytest.raises(Unreachable, match="redirect"):
        mattermost.patch_empty(USER)

    assert [request.url.host for request in asked] == ["chat.example.org"]


def test_a_path_before_the_api_is_kept() -> None:
    server, asked = answers(OK)
    access = Access("https://example.org/chat/", TOKEN)

    with Mattermost(access, transport=httpx.MockTransport(server)) as mattermost:
        mattermost.patch_empty(USER)

    assert asked[0].url.path == f"/chat/api/v4/users/{USER}/patch"


def test_the_log_has_the_request_id_and_no_secret() -> None:
    server, _ = answers(
        httpx.Response(200, json={"password": HASH}, headers={"X-Request-Id": "request1"}),
        problem(400, "api.some.id"),
        httpx.ReadTimeout(f"{TOKEN}"[:0]),
    )
    with structlog.testing.capture_logs() as lines, client(server) as mattermost:
        mattermost.set_password_hash(USER, HASH)
        with pytest.raises(Rejected):
            mattermost.set_password(USER, "Secret-Pass-1")
        with pytest.raises(Unreachable):
            mattermost.set_binding(USER, "alice-nameid-001")

    assert lines[0]["request_id"] == "request1"
    assert lines[1]["error_id"] == "api.some.id"
    for secret in (TOKEN, HASH, "Secret-Pass-1", "alice-nameid-001", USER):
        assert secret not in repr(lines)


def test_no_representation_shows_the_token_or_what_is_sent() -> None:
    server, _ = answers(httpx.Response(200, json={"password": HASH}))
    access = Access("https://chat.example.org", TOKEN, outbound_proxy="http://u:Proxy1@p:3128")
    with Mattermost(access, transport=httpx.MockTransport(server)) as mattermost:
        shown = [repr(access), repr(mattermost), repr(vars(mattermost)), repr(access.headers())]

    for secret in (TOKEN, "Proxy1"):
        assert not [text for text in shown if secret in text]


def test_no_error_shows_the_token_or_what_is_sent() -> None:
    server, _ = answers(httpx.ConnectError("refused"))

    with client(server) as mattermost, pytest.raises(Unreachable) as caught:
        mattermost.set_password(USER, "Secret-Pass-1")

    chain: BaseException | None = caught.value
    while chain is not None:
        assert "Secret-Pass-1" not in repr(chain)
        assert TOKEN not in repr(chain)
        chain = chain.__cause__ or chain.__context__


def test_the_environment_of_the_process_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent")
    server, asked = answers(OK)

    with client(server) as mattermost:
        mattermost.patch_empty(USER)

    assert len(asked) == 1


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"url": "http://chat.example.org"}, "unencrypted"),
        ({"url": "chat.example.org"}, "no address"),
        ({"url": "ftp://chat.example.org"}, "no address"),
        ({"url": "https://"}, "no address"),
        ({"url": "https://admin:pw@chat.example.org"}, "mattermost.token"),
        ({"url": "ftp://admin:pw@chat.example.org"}, "mattermost.token"),
        ({"url": "https://admin:pw@[::1"}, "mattermost.token"),
        ({"url": "https://chat.example.org/?a=b"}, "query"),
        ({"url": "https://chat.example.org:99999"}, "mattermost.url"),
        ({"url": "http://127.0.0.1.evil.example"}, "unencrypted"),
        ({"url": "https://[::1"}, "mattermost.url"),
        ({"url": "https://chat.example.org", "token": "abc\n"}, "line break"),
        ({"url": "https://chat.example.org", "token": "Secr et"}, "line break"),
    ],
)
def test_an_access_that_cannot_be_meant_is_refused(fields: dict[str, str], word: str) -> None:
    with pytest.raises(ConfigError, match=word) as caught:
        Access(**fields)  # type: ignore[arg-type] # a table of texts

    assert "pw" not in str(caught.value)
    assert fields.get("token", "-\n") not in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8065", "http://[::1]:8065", "http://localhost"])
def test_plain_http_is_for_this_host_alone(url: str) -> None:
    assert Access(url, TOKEN).url == url


def test_local_mode_sends_no_token() -> None:
    server, asked = answers(OK)
    access = Access("", TOKEN, local_socket=Path("mattermost_local.socket"))

    with Mattermost(access, transport=httpx.MockTransport(server)) as mattermost:
        mattermost.patch_empty(USER)

    assert "Authorization" not in asked[0].headers


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_an_authority_that_cannot_be_read_names_the_file(
    tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)

    with pytest.raises(ConfigError, match=r"mattermost\.tls_ca: .*ca\.pem") as caught:
        Mattermost(Access("https://chat.example.org", TOKEN, tls_ca=file))
    assert isinstance(caught.value.__cause__, OSError | ssl.SSLError)


@given(st.integers(300, 599), st.binary(max_size=80))
def test_any_answer_becomes_one_of_our_errors(status: int, body: bytes) -> None:
    error = error_of("PUT /x", status, body)

    assert isinstance(error, MattermostError)
    assert error.detail.isprintable()


@given(st.text(), st.text(), st.integers(400, 599))
def test_no_words_of_the_server_break_a_line_of_the_terminal(
    error_id: str, message: str, status: int
) -> None:
    body = json.dumps({"id": error_id, "message": message}).encode()

    error = error_of("PUT /x", status, body)

    assert error.detail.isprintable()
    assert len(error.detail) < 700
