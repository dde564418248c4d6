"""The export job when something is wrong with it: an error with a way out, and nothing left."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import structlog

from conversion.errors import Rejected, Unauthorized, Unreachable
from conversion.mattermost import Access, Mattermost, Version
from conversion.mattermost.pace import Pace

if TYPE_CHECKING:
    from pathlib import Path

JOB = "1fpz4ijbejfg5qwqcet9x13dkc"
FILE = f"{JOB}_export.zip"
ALICE = {"username": "alice", "email": "a@corp.test", "auth_service": "saml", "auth_data": "A1"}


def zipped(*lines: object, name: str = "import.jsonl") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(name, "".join(f"{json.dumps(line)}\n" for line in lines))
    return file.getvalue()


def user(**fields: Any) -> dict[str, Any]:
    return {"type": "user", "user": {**ALICE, **fields}}


class Exporting:
    """A server with one export job that ends as told."""

    def __init__(
        self, octets: bytes = b"", status: str = "success", names: tuple[str, ...] = ()
    ) -> None:
        self.octets, self.status = octets, status
        self.names: list[str] = []
        self.after = names or (FILE,)
        self.deleted: list[str] = []
        self.delete_status = 200
        self.file_status = 200

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v4")
        if request.method == "DELETE":
            self.deleted.append(path)
            return httpx.Response(self.delete_status, json={"id": "x", "status": "OK"})
        if path == "/jobs":
            self.names = list(self.after)
            return httpx.Response(201, json={"id": JOB, "status": "pending"})
        if path == f"/jobs/{JOB}":
            return httpx.Response(200, json={"id": JOB, "status": self.status})
        if path == "/exports":
            # An empty list of Go is null.
            octets = json.dumps(self.names or None).encode()
            return httpx.Response(200, content=octets, headers={"Content-Type": "application/json"})
        return httpx.Response(self.file_status, content=self.octets)


def export(server: Exporting, folder: Path, seen: list[tuple[str, str]] | None = None) -> list[Any]:
    """The users; `seen` has those that came before an error too."""

    def no_sleep(_seconds: float) -> None:
        return

    access = Access("https://chat.example.org", "token")
    transport = httpx.MockTransport(server)
    with Mattermost(access, Pace(sleep=no_sleep), no_sleep, transport) as mattermost:
        users = []
        for one in mattermost.export_users(folder):
            users.append(one)
            if seen is not None:
                seen.append((one.username, str(one.auth_data)))
        return users


def test_the_bindings_are_read_and_the_file_is_deleted(tmp_path: Path) -> None:
    server = Exporting(zipped({"type": "version"}, user(), {"type": "post", "post": user()}))

    found = export(server, tmp_path)

    assert [(one.username, one.auth_data) for one in found] == [("alice", "A1")]
    assert server.deleted == [f"/exports/{FILE}"]


@pytest.mark.parametrize("status", ["error", "canceled", "warning"])
def test_a_job_that_failed_is_refused(tmp_path: Path, status: str) -> None:
    with pytest.raises(Rejected, match=status):
        export(Exporting(status=status), tmp_path)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"PK\x03\x04 half",
        zipped(user())[:-30],
        zipped(user(), name="other.jsonl"),
        zipped(*[user(username=f"u{n}") for n in range(400)]).replace(b"PK\x03\x04", b"PK\x00\x00"),
    ],
)
def test_a_file_that_is_no_export_is_an_error_and_deleted(tmp_path: Path, octets: bytes) -> None:
    server = Exporting(octets)

    with pytest.raises(Unreachable, match="damaged or no export"):
        export(server, tmp_path)

    assert server.deleted == [f"/exports/{FILE}"]


def test_a_flipped_octet_gives_an_error_before_the_first_user_or_the_true_users(
    tmp_path: Path,
) -> None:
    whole = zipped(*[user(username=f"u{n}", auth_data=f"A{n}") for n in range(30)])
    true = [(f"u{n}", f"A{n}") for n in range(30)]
    for place in range(0, len(whole), 3):
        octets = bytearray(whole)
        octets[place] ^= 0x55
        found: list[tuple[str, str]] = []
        try:
            export(Exporting(bytes(octets)), tmp_path, found)
        except Unreachable:
            assert found == []
        else:
            assert found == true


@pytest.mark.parametrize(
    "line",
    [
        {"type": "user"},
        {"type": "user", "user": {}},
        {"type": "user", "user": {"username": 7, "email": "x"}},
        {"type": "user", "user": {**ALICE, "auth_data": 7}},
        {"type": "user", "user": {**ALICE, "delete_at": "yesterday"}},
    ],
)
def test_a_user_that_cannot_be_read_is_an_error_and_never_left_out(
    tmp_path: Path, line: object
) -> None:
    server = Exporting(zipped(user(), line))

    with pytest.raises(Unreachable, match="by SQL"):
        export(server, tmp_path)

    assert server.deleted == [f"/exports/{FILE}"]


@pytest.mark.parametrize(
    "names", [("a.zip", "b.zip"), (f"{JOB}/../../config.zip",), (f"{JOB}.zip/..",), (f"{JOB}.exe",)]
)
def test_a_name_that_is_not_surely_the_job_s_is_not_fetched(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    server = Exporting(zipped(user()), names=names)

    with pytest.raises(Unreachable, match="delete old exports"):
        export(server, tmp_path)

    assert server.deleted == []


def test_a_file_without_the_job_s_id_is_taken_if_it_is_the_only_new_one(tmp_path: Path) -> None:
    server = Exporting(zipped(user()), names=("20260101_export.zip",))

    assert len(export(server, tmp_path)) == 1


def test_a_file_that_stays_behind_is_told_for_all_messages_are_in_it(tmp_path: Path) -> None:
    server = Exporting(zipped(user()))
    server.delete_status = 403

    with structlog.testing.capture_logs() as lines:
        assert len(export(server, tmp_path)) == 1

    assert {"file": FILE, "reason": "unauthorized"}.items() <= lines[-1].items()


def test_a_download_that_is_refused_says_so(tmp_path: Path) -> None:
    server = Exporting(json.dumps({"id": "api.context.permissions.app_error"}).encode())
    server.file_status = 403

    with pytest.raises(Unauthorized):
        export(server, tmp_path)


@pytest.mark.parametrize(
    ("header", "public", "expected"),
    [
        ("5.37.0..hash.false", "9.9.9", Version(5, 37)),
        ("", "10.11.2", Version(10, 11, 2)),
        ("dev", "10.11.2", Version(10, 11, 2)),
        ("", "", None),
    ],
)
def test_a_release_without_the_header_is_read_from_the_public_configuration(
    header: str, public: str, expected: Version | None
) -> None:
    def server(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/ping"):
            return httpx.Response(200, json={}, headers={"X-Version-Id": header} if header else {})
        return httpx.Response(200, json={"Version": public})

    access = Access("https://chat.example.org", "token")
    with Mattermost(access, transport=httpx.MockTransport(server)) as mattermost:
        if expected is None:
            with pytest.raises(Unreachable, match="which Mattermost"):
                mattermost.version()
        else:
            assert mattermost.version() == expected
