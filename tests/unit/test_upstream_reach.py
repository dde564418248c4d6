"""L1 and the neutral references, against servers on loopback that do what broken peers do."""

from __future__ import annotations

import asyncio
import http.server
import socket
import ssl
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from idp_proxy.config import MetadataFile, MetadataUrl, Outbound, ProbeSettings, Trust
from idp_proxy.decision.health import Cadence, Outcome, Reference
from idp_proxy.errors import UpstreamUnavailable
from idp_proxy.saml.metadata import read_metadata
from idp_proxy.upstream.base import Ask, PostForm, Redirect
from idp_proxy.upstream.dialling import Dialler
from idp_proxy.upstream.reach import Reach
from idp_proxy.upstream.reference import NeutralReference
from tests.support.keys import KeyPair, rsa_pair, self_signed, tls_pair
from tests.support.upstream_metadata import ENTITY_ID, upstream_metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

    from idp_proxy.config import SamlSettings
    from idp_proxy.saml.metadata import UpstreamMetadata
    from idp_proxy.upstream.probing import Probed

NOW = datetime.now(UTC)
SIGNER = rsa_pair("reach-signer")
METADATA = upstream_metadata(SIGNER)
FORM = b"<html><FORM method=post><input type=password></FORM></html>"
LONG = timedelta(seconds=5)
SHORT = timedelta(seconds=0.4)


class Broken(http.server.BaseHTTPRequestHandler):
    """Each path is another way to be broken, or whole."""

    asked: list[str]
    base: str

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.asked.append(path)
        answers: dict[str, tuple[int, bytes, dict[str, str]]] = {
            "/metadata": (200, METADATA, {}),
            "/other": (200, upstream_metadata(SIGNER, entity_id="https://evil.example.org"), {}),
            "/expired": (200, upstream_metadata(SIGNER, attributes=_ENDED), {}),
            "/login": (200, FORM, {}),
            "/maintenance": (200, b"<html>Back soon</html>", {}),
            "/error": (503, FORM, {}),
            "/loop": (302, b"", {"Location": "/loop"}),
            "/nowhere": (302, b"", {}),
            "/there": (302, b"", {"Location": "/login", "Set-Cookie": "a=b; Path=/"}),
            "/away": (302, b"", {"Location": "https://evil.example.org/login?secret=1"}),
            "/plain": (302, b"", {"Location": "http://sso.example.org/login"}),
            "/file": (302, b"", {"Location": "file:///etc/passwd"}),
            "/post": (307, b"", {"Location": "/login"}),
            "/gzip": (200, b"\x1f\x8b" + FORM, {"Content-Encoding": "gzip"}),
            "/headers": (200, FORM, {f"X-{n}": "y" * 60_000 for n in range(20)}),
            "/large": (200, b" " * 2_000_000, {}),
            "/ugly": (200, b"", {}),
        }
        if path == "/drip":
            return self._drip()
        status, body, headers = answers[path]
        return self._send(status, body, headers)

    def do_POST(self) -> None:
        self.do_GET()

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            return

    def _drip(self) -> None:
        self.send_response(200)
        self.end_headers()
        for _ in range(60):
            try:
                self.wfile.write(b".")
                self.wfile.flush()
            except OSError:
                return
            time.sleep(0.05)

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


_ENDED = 'validUntil="2020-01-01T00:00:00Z"'


class Quiet(http.server.ThreadingHTTPServer):
    """A client that turns away from a certificate is no news here."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Handshakes that the client broke off end up here."""


def serve(pair: KeyPair | None, folder: Path) -> Iterator[tuple[str, type[Broken]]]:
    handler = type("Handler", (Broken,), {"asked": []})
    with Quiet(("127.0.0.1", 0), handler) as running:
        scheme = "http"
        if pair is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            key, certificate = pair.write(folder, "server")
            context.load_cert_chain(certificate, key)
            running.socket = context.wrap_socket(
                running.socket, server_side=True, do_handshake_on_connect=False
            )
            scheme = "https"
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        yield f"{scheme}://sso.example.org:{running.server_port}", handler
        running.shutdown()
        thread.join()


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[tuple[str, type[Broken]]]:
    yield from serve(tls_pair("sso.example.org"), tmp_path)


def here(host: str, port: int) -> list[str]:
    """The whole world is on loopback."""
    assert host
    assert port
    return ["127.0.0.1"]


class Doubles:
    """The approved metadata and the question of a login, as a test wants them."""

    def __init__(self, url: str, *, post: bool = False, approved: bytes = METADATA) -> None:
        self.url, self.post, self.approved = url, post, approved

    def current(self, now: datetime) -> UpstreamMetadata:
        if not self.approved:
            raise UpstreamUnavailable("okta has no approved metadata yet")
        metadata = read_metadata(self.approved)
        if metadata.expired(now):
            raise UpstreamUnavailable("the metadata of okta expired")
        return metadata

    def begin(self, ask: Ask) -> Redirect | PostForm:
        if self.post:
            return PostForm(self.url, {"SAMLRequest": ask.request_id})
        return Redirect(f"{self.url}?SAMLRequest={ask.request_id}")


def probe(
    base: str,
    folder: Path,
    path: str,
    *,
    metadata: bool = False,
    outbound: Outbound | None = None,
    resolve: Any = here,
    approved: bytes = METADATA,
    post: bool = False,
    **wanted: Any,
) -> Reach:
    source = MetadataUrl(f"{base}{path}", Trust.TLS) if metadata else MetadataFile(folder)
    settings = type(
        "Wanted",
        (),
        {"name": "okta", "metadata": source, "probe": ProbeSettings(**wanted)},
    )()
    doubles = Doubles(f"{base}{path}", post=post, approved=approved)
    trusted = outbound or Outbound(tls_ca=folder / "server.crt")
    return Reach(
        cast("SamlSettings", settings),
        doubles,
        doubles,
        Dialler(trusted, resolve),
        lambda: "x" * 22,
    )


def look(reach: Reach, timeout: timedelta = LONG) -> Probed:
    cadence = Cadence(timeout, timeout, timeout=timeout, connect=timeout)
    return asyncio.run(reach.look(cadence, NOW))


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/login", {}),
        ("/there", {}),
        ("/error", {"status": 503}),
        ("/maintenance", {"expect": "Back soon"}),
    ],
)
def test_the_login_page_in_time_is_up(
    peer: tuple[str, type[Broken]], tmp_path: Path, path: str, wanted: dict[str, Any]
) -> None:
    seen = look(probe(peer[0], tmp_path, path, **wanted))
    assert (seen.outcome, seen.reason) == (Outcome.PASSED, "answers as it should")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/error", "answers 503, not 200"),
        ("/maintenance", "answers, but the page has no login form (wrong page?)"),
        ("/ugly", "answers, but the page has no login form (wrong page?)"),
        ("/loop", "redirects more than 5 times"),
        ("/nowhere", "redirects to nowhere"),
        ("/away", "redirects to another host: evil.example.org"),
        ("/plain", "redirects to what is no https address: http://sso.example.org"),
        ("/file", "redirects to what is no https address"),
        ("/gzip", "answers compressed, which was not asked for"),
        ("/headers", "answers no proper HTTP"),
        ("/large", "answers, but the page has no login form (wrong page?)"),
    ],
)
def test_whatever_else_answers_is_broken_with_its_reason(
    peer: tuple[str, type[Broken]], tmp_path: Path, path: str, reason: str
) -> None:
    seen = look(probe(peer[0], tmp_path, path))
    assert seen.outcome is Outcome.BROKEN
    assert seen.reason.startswith(reason)
    assert seen.refused_by_proxy is None
    assert "secret" not in seen.reason
    assert len(seen.reason) <= 300


@pytest.mark.parametrize(
    ("path", "outcome", "reason"),
    [
        ("/metadata", Outcome.PASSED, "answers as it should"),
        ("/other", Outcome.BROKEN, "answers as another entity: https://evil.example.org"),
        ("/expired", Outcome.BROKEN, "offers metadata that expired at 2020-01-01"),
        ("/login", Outcome.BROKEN, "answers, but not with its metadata"),
        ("/large", Outcome.BROKEN, "answers with more than 1048576 octets"),
    ],
)
def test_metadata_is_read_as_such(
    peer: tuple[str, type[Broken]], tmp_path: Path, path: str, outcome: Outcome, reason: str
) -> None:
    seen = look(probe(peer[0], tmp_path, path, metadata=True))
    assert seen.outcome is outcome
    assert seen.reason.startswith(reason)


def test_a_redirect_may_lead_to_a_host_that_is_named(
    peer: tuple[str, type[Broken]], tmp_path: Path
) -> None:
    allowed = probe(peer[0], tmp_path, "/away", redirects=("evil.example.org",))
    # It is followed now, and fails at the default port, where nobody listens.
    assert look(allowed).reason == "takes no connection"


def test_a_question_by_post_is_posted_and_put_again_only_by_307(
    peer: tuple[str, type[Broken]], tmp_path: Path
) -> None:
    base, handler = peer
    assert look(probe(base, tmp_path, "/post", post=True)).outcome is Outcome.PASSED
    assert handler.asked == ["/post", "/login"]


@pytest.mark.parametrize("path", ["/drip"])
def test_a_body_that_drips_is_given_up_in_time(
    peer: tuple[str, type[Broken]], tmp_path: Path, path: str
) -> None:
    began = time.monotonic()
    seen = look(probe(peer[0], tmp_path, path), SHORT)
    assert seen.reason == "no answer within 0.4 s"
    assert time.monotonic() - began < 2


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_handshake_that_hangs_beyond_the_connect_timeout_is_no_tls_fault(
    tmp_path: Path,
) -> None:
    tls_pair("sso.example.org").write(tmp_path, "server")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        base = f"https://sso.example.org:{silent.getsockname()[1]}"
        stuck = probe(base, tmp_path, "/login")
        cadence = Cadence(LONG, LONG, timeout=LONG, connect=SHORT / 4)
        assert asyncio.run(stuck.look(cadence, NOW)).reason == "no answer within 5 s"


def test_a_handshake_that_hangs_leaves_no_socket_open(tmp_path: Path) -> None:
    tls_pair("sso.example.org").write(tmp_path, "server")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        base = f"https://sso.example.org:{silent.getsockname()[1]}"
        stuck = probe(base, tmp_path, "/login")
        cadence = Cadence(SHORT, SHORT, timeout=SHORT, connect=SHORT)

        async def looks() -> tuple[int, int, set[str]]:
            first = await stuck.look(cadence, NOW)
            before = open_files()
            more = await asyncio.gather(*(stuck.look(cadence, NOW) for _ in range(8)))
            after = open_files()
            return before, after, {first.reason, *(one.reason for one in more)}

        before, after, reasons = asyncio.run(looks())
    assert reasons == {"no answer within 0.4 s"}
    assert after <= before


def test_expiries_come_with_a_look_that_fails_too(
    peer: tuple[str, type[Broken]], tmp_path: Path
) -> None:
    whats = {one.what for one in look(probe(peer[0], tmp_path, "/error")).expiries}
    assert whats == {
        f"signing certificate of {ENTITY_ID}",
        "TLS certificate of sso.example.org",
    }


@pytest.mark.parametrize(
    ("approved", "reason"),
    [
        (b"", "okta has no approved metadata yet"),
        (upstream_metadata(SIGNER, attributes=_ENDED), "the metadata of okta expired"),
    ],
)
def test_without_valid_approved_metadata_nothing_is_asked(
    peer: tuple[str, type[Broken]], tmp_path: Path, approved: bytes, reason: str
) -> None:
    base, handler = peer
    seen = look(probe(base, tmp_path, "/login", approved=approved))
    assert (seen.outcome, seen.reason, seen.asked) == (Outcome.BROKEN, reason, False)
    assert handler.asked == []


def _expired(name: str) -> KeyPair:
    long_ago = datetime.now(UTC) - timedelta(days=20)
    pair = tls_pair(name)
    key = ec.generate_private_key(ec.SECP256R1())
    names = tuple(pair.certificate.extensions[0].value)
    return self_signed(
        name, key, not_before=long_ago, lifetime=timedelta(days=1), alternatives=names
    )


@pytest.mark.parametrize(
    ("pair", "trusted", "reason"),
    [
        (tls_pair("other.example.org"), True, "Hostname mismatch"),
        (_expired("sso.example.org"), True, "certificate has expired"),
        (tls_pair("sso.example.org", "again"), False, "self-signed certificate"),
    ],
)
def test_tls_is_verified(tmp_path: Path, pair: KeyPair, trusted: bool, reason: str) -> None:
    for base, handler in serve(pair, tmp_path):
        outbound = None if trusted else Outbound()
        seen = look(probe(base, tmp_path, "/login", outbound=outbound))
        assert seen.outcome is Outcome.BROKEN
        assert seen.reason.startswith("TLS certificate not trusted: ")
        assert reason in seen.reason
        assert handler.asked == []


def test_a_name_that_does_not_resolve(tmp_path: Path) -> None:
    def unknown(_host: str, _port: int) -> list[str]:
        raise OSError("Name or service not known")

    direct = probe("https://gone.example.org", tmp_path, "/", outbound=Outbound(), resolve=unknown)
    assert look(direct).reason == "name does not resolve: gone.example.org"


def test_a_resolver_that_hangs_is_given_up_in_time_and_starves_nobody(
    peer: tuple[str, type[Broken]], tmp_path: Path
) -> None:
    free = threading.Event()

    def hang(_host: str, _port: int) -> list[str]:
        free.wait(20)
        return ["127.0.0.1"]

    stuck = probe(peer[0], tmp_path, "/login", resolve=hang)
    other = probe(peer[0], tmp_path, "/login")

    async def together() -> tuple[list[Probed], Probed]:
        short = Cadence(SHORT, SHORT, timeout=SHORT, connect=SHORT)
        many = asyncio.gather(*(stuck.look(short, NOW) for _ in range(40)))
        long = replace(short, timeout=LONG, connect=LONG)
        return await many, await other.look(long, NOW)

    try:
        hung, fine = asyncio.run(together())
    finally:
        free.set()
    assert {one.reason for one in hung} == {"no answer within 0.4 s"}
    assert fine.outcome is Outcome.PASSED


def test_the_next_address_is_tried_when_the_first_takes_no_connection(
    peer: tuple[str, type[Broken]], tmp_path: Path
) -> None:
    both = probe(
        peer[0], tmp_path, "/login", resolve=lambda _host, _port: ["127.0.0.9", "127.0.0.1"]
    )
    assert look(both).outcome is Outcome.PASSED


# --- the outbound proxy --------------------------------------------------------------------------


class Refuses(http.server.BaseHTTPRequestHandler):
    """An outbound proxy that says no, with the status in its path's place."""

    status = 407

    def do_CONNECT(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


@pytest.fixture(params=[407, 502, 504])
def refusing(request: pytest.FixtureRequest) -> Iterator[str]:
    handler = type("Handler", (Refuses,), {"status": request.param})
    with Quiet(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://user:geheim@127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_what_the_outbound_proxy_refuses_says_nothing_about_the_upstream(
    refusing: str, tmp_path: Path
) -> None:
    outbound = Outbound(proxy=refusing)
    seen = look(probe("https://sso.example.org", tmp_path, "/", outbound=outbound))
    assert seen.outcome is Outcome.BROKEN
    assert seen.refused_by_proxy == seen.reason
    assert seen.reason.startswith("the outbound proxy refuses: ")
    assert "geheim" not in seen.reason
    assert not ask("https://example.net/", outbound).answered


def test_an_outbound_proxy_that_is_away_says_nothing_about_the_upstream(tmp_path: Path) -> None:
    away = Outbound(proxy="http://127.0.0.1:1")
    seen = look(probe("https://sso.example.org", tmp_path, "/", outbound=away))
    assert seen.refused_by_proxy == seen.reason


def test_the_environment_chooses_no_proxy(
    peer: tuple[str, type[Broken]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert look(probe(peer[0], tmp_path, "/login")).outcome is Outcome.PASSED


# --- references ----------------------------------------------------------------------------------


def ask(url: str, outbound: Outbound, timeout: timedelta = LONG) -> Reference:
    reference = NeutralReference(url, Dialler(outbound, here, beside_system=True))
    cadence = Cadence(timeout, timeout, timeout=timeout, connect=timeout)
    return asyncio.run(reference.ask(cadence, NOW))


@pytest.mark.parametrize("path", ["/login", "/error", "/away"])
def test_any_answer_of_a_neutral_address_counts(
    peer: tuple[str, type[Broken]], tmp_path: Path, path: str
) -> None:
    found = ask(f"{peer[0]}{path}", Outbound(tls_ca=tmp_path / "server.crt"))
    assert found.answered
    assert found.at == NOW


def test_a_portal_with_another_certificate_does_not_answer_for_the_world(
    peer: tuple[str, type[Broken]],
) -> None:
    assert not ask(f"{peer[0]}/login", Outbound()).answered


def test_a_neutral_address_that_nobody_serves_has_not_answered() -> None:
    found = ask("https://example.net:1/", Outbound())
    assert (found.answered, found.reason) == (
        False,
        "example.net cannot be reached: ConnectError",
    )


def test_unreadable_authorities_end_no_watch(tmp_path: Path) -> None:
    gone = Outbound(tls_ca=tmp_path / "gone.crt")
    assert not ask("https://example.net/", gone).answered
    assert look(probe("https://x.example.org", tmp_path, "/", outbound=gone)).outcome is (
        Outcome.BROKEN
    )
