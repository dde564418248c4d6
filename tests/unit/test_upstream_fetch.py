"""Fetching a document: bounded in size and time, on the configured path alone."""

from __future__ import annotations

import http.server
import os
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from idp_proxy.config import Outbound, addresses
from idp_proxy.saml.metadata import UpstreamMetadata, read_metadata
from idp_proxy.upstream import fetch as fetching
from idp_proxy.upstream.fetch import FetchFailed, fetch
from tests.support.keys import KeyPair, rsa_pair
from tests.support.upstream_metadata import (
    upstream_metadata,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
A, B, C = (rsa_pair(name) for name in ("feed-a", "feed-b", "feed-c"))
URL = "https://active.example.org/metadata"


def said(*pairs: KeyPair, **changes: Any) -> UpstreamMetadata:
    return read_metadata(upstream_metadata(*pairs, **changes))


def keys(metadata: UpstreamMetadata | None) -> tuple[bytes, ...]:
    assert metadata is not None
    assert len(metadata.keys) == len(metadata.signing_certificates)
    return metadata.signing_certificates


def ders(*pairs: KeyPair) -> tuple[bytes, ...]:
    return tuple(pair.certificate_der for pair in pairs)


class Answers(http.server.BaseHTTPRequestHandler):
    """`/metadata` answers; the other paths do what a hostile or broken peer does."""

    def do_GET(self) -> None:
        paths: dict[str, Callable[[], None]] = {
            "/metadata": lambda: self._send(200, b"<metadata/>"),
            "/redirect": lambda: self._send(302, b"", Location="/metadata"),
            "/large": lambda: self._send(200, b"x" * 5000),
            "/error": lambda: self._send(503, b"<metadata/>"),
            "/gzip": lambda: self._send(200, b"\x1f\x8b", **{"Content-Encoding": "gzip"}),
            "/slow": self._slowly,
        }
        paths[self.path]()

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _slowly(self) -> None:
        self.send_response(200)
        self.end_headers()
        for _ in range(40):
            try:
                self.wfile.write(b".")
            except OSError:
                return
            time.sleep(0.05)

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_fetches_a_plain_answer(server: str) -> None:
    assert fetch(f"{server}/metadata", Outbound(), 100) == b"<metadata/>"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/redirect", "answered 302"),
        ("/error", "answered 503"),
        ("/large", "larger than 1000"),
        ("/gzip", "compressed"),
        ("/slow", "did not arrive"),
    ],
)
def test_anything_else_is_refused(
    server: str, path: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "WHOLE_TIMEOUT", 0.3)
    with pytest.raises(FetchFailed, match=reason):
        fetch(f"{server}{path}", Outbound(), 1000)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://[::1", "gopher://127.0.0.1/"])
def test_nobody_there_is_a_failed_fetch(url: str) -> None:
    with pytest.raises(FetchFailed):
        fetch(url, Outbound(), 100)


def test_the_environment_chooses_no_proxy(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setitem(os.environ, name, "http://127.0.0.1:1")
    assert fetch(f"{server}/metadata", Outbound(), 100) == b"<metadata/>"


def test_the_configured_proxy_is_used_unless_the_host_is_excepted(server: str) -> None:
    through = Outbound(proxy="http://127.0.0.1:1")
    with pytest.raises(FetchFailed):
        fetch(f"{server}/metadata", through, 100)
    direct = Outbound(proxy="http://127.0.0.1:1", no_proxy=("example.org", "127.0.0.1"))
    assert fetch(f"{server}/metadata", direct, 100) == b"<metadata/>"


@pytest.mark.parametrize(
    ("host", "direct"),
    [
        ("idp.example.org", True),
        ("IDP.Example.org.", True),
        ("example.org", True),
        ("evilexample.org", False),
        ("example.org.evil.net", False),
        ("", False),
    ],
)
def test_no_proxy_names_a_host_or_what_lies_under_it(host: str, *, direct: bool) -> None:
    assert addresses.is_direct(host, (" .example.org", "")) is direct


def test_a_certificate_authority_that_cannot_be_read_is_a_failed_fetch(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for name in ("ca.pem", "missing.pem"):
        with pytest.raises(FetchFailed):
            fetch("https://127.0.0.1:1/", Outbound(tls_ca=tmp_path / name), 100)
