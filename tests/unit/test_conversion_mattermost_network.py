"""How a call leaves this host: verified TLS, the outbound proxy that was named, no other way."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import uvicorn
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from conversion.errors import Unreachable
from conversion.mattermost import Access, Mattermost
from tests.support import keys
from tests.support.mattermost_api import MattermostServer, app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

USER = "5m7z9ib9mjbczmocxbk6sdyr8o"


@contextmanager
def over_tls(server: MattermostServer, folder: Path) -> Iterator[tuple[str, Path]]:
    """The double behind TLS on loopback: its address and its authority's certificate."""
    key, certificate = keys.tls_pair("localhost").write(folder, "server")
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        app(server),
        log_level="critical",
        lifespan="off",
        timeout_graceful_shutdown=1,
        ssl_keyfile=str(key),
        ssl_certfile=str(certificate),
    )
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, args=([bound],), daemon=True)
    thread.start()
    Retrying(
        stop=stop_after_delay(10), wait=wait_fixed(0.01), retry=retry_if_result(lambda up: not up)
    )(lambda: running.started)
    try:
        yield f"https://localhost:{bound.getsockname()[1]}", certificate
    finally:
        running.should_exit = True
        thread.join(timeout=5)
        bound.close()


def test_the_authority_that_was_named_is_trusted(tmp_path: Path) -> None:
    server = MattermostServer()
    with (
        over_tls(server, tmp_path) as (url, authority),
        Mattermost(Access(url, server.admin_token, tls_ca=authority)) as mattermost,
    ):
        assert mattermost.me().id == server.admin.id


def test_another_authority_is_not_and_no_setting_ends_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = MattermostServer()
    _, other = keys.tls_pair("other").write(tmp_path, "other")
    with over_tls(server, tmp_path) as (url, authority):
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        monkeypatch.setenv("PYTHONHTTPSVERIFY", "0")
        for trusted in (other, None):
            access = Access(url, server.admin_token, tls_ca=trusted, patience_s=0.1)
            with Mattermost(access) as mattermost, pytest.raises(Unreachable, match="CERTIFICATE"):
                mattermost.patch_empty(USER)

    assert server.calls == {}


def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    server = MattermostServer()
    with over_tls(server, tmp_path) as (url, authority):
        elsewhere = url.replace("localhost", "127.0.0.1")
        access = Access(elsewhere, server.admin_token, tls_ca=authority)
        with Mattermost(access) as mattermost, pytest.raises(Unreachable, match="CERTIFICATE"):
            mattermost.patch_empty(USER)

    assert server.calls == {}


def test_the_outbound_proxy_that_was_named_is_asked_to_connect_and_gets_no_token() -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        heard: list[bytes] = []

        def refuse() -> None:
            connection, _ = proxy.accept()
            with connection:
                heard.append(connection.recv(65536))
                connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")

        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        access = Access(
            "https://chat.example.org",
            "tokentoken",
            outbound_proxy=f"http://user:Proxy1@127.0.0.1:{proxy.getsockname()[1]}",
        )
        with Mattermost(access) as mattermost, pytest.raises(Unreachable) as caught:
            mattermost.patch_empty(USER)
        thread.join(timeout=5)

    assert heard[0].startswith(b"CONNECT chat.example.org:443 HTTP/1.1\r\n")
    assert b"tokentoken" not in heard[0]
    assert "Proxy1" not in caught.value.detail


def test_a_server_that_is_not_there_is_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with Mattermost(Access(url, "token")) as mattermost, pytest.raises(Unreachable):
            mattermost.patch_empty(USER)
