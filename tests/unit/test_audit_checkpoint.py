"""Checkpoints: signed, appended, read back, and not believed when anything about them is wrong."""

from __future__ import annotations

import base64
import json
import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from idp_proxy.audit.checkpoint import (
    Checkpoint,
    CheckpointInvalid,
    read,
    read_file,
    sign,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

KEY = Ed25519PrivateKey.from_private_bytes(b"1" * 32)
POINT = Checkpoint("host", 7, "ab" * 32, datetime(2026, 3, 1, 12, 0, tzinfo=UTC))


def test_a_signed_line_comes_back() -> None:
    found = read([sign(POINT, KEY)], KEY.public_key())
    assert found.checkpoints == (POINT,)
    assert found.unreadable == ()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("chain", "other"),
        ("seq", 8),
        ("digest", "cd" * 32),
        ("at", "2026-03-01T12:00:01+00:00"),
        ("signature", "A" * 86 + "=="),
        ("signature", ""),
    ],
)
def test_a_changed_field_voids_the_signature(field: str, value: str | int) -> None:
    line = json.dumps(json.loads(sign(POINT, KEY)) | {field: value})
    with pytest.raises(CheckpointInvalid, match="line 1"):
        read([line], KEY.public_key())


def test_another_key_is_not_believed() -> None:
    other = Ed25519PrivateKey.from_private_bytes(b"2" * 32)
    with pytest.raises(CheckpointInvalid):
        read([sign(POINT, other)], KEY.public_key())


def test_a_signature_made_for_something_else_is_not_believed() -> None:
    fields = json.loads(sign(POINT, KEY))
    bare = json.dumps({k: v for k, v in fields.items() if k != "signature"}, separators=(",", ":"))
    fields["signature"] = base64.b64encode(KEY.sign(bare.encode())).decode()
    with pytest.raises(CheckpointInvalid):
        read([json.dumps(fields)], KEY.public_key())


@pytest.mark.parametrize(
    "line",
    [
        "",
        sign(POINT, KEY)[:-5],
        "[]",
        "{}",
        '{"chain":1}',
        sign(POINT, KEY).replace(":7,", ":7.0,"),
        sign(POINT, KEY).replace(":7,", ":true,"),
        sign(POINT, KEY).replace("+00:00", ""),
        sign(POINT, KEY).replace("2026-", "26-"),
        sign(POINT, KEY).replace("ab" * 32, "ab"),
    ],
)
def test_a_line_that_is_no_checkpoint_proves_nothing_and_is_reported(line: str) -> None:
    found = read([line, sign(POINT, KEY)], KEY.public_key())
    assert found.checkpoints == (POINT,)
    assert found.unreadable == (1,)


def test_lines_are_appended_to_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints.jsonl"
    write(path, sign(POINT, KEY))
    write(path, sign(POINT, KEY))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_file(path, KEY.public_key()).checkpoints == (POINT, POINT)


def test_a_line_cut_off_by_a_crash_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints.jsonl"
    write(path, sign(POINT, KEY))
    with path.open("a") as file:
        file.write(sign(POINT, KEY)[:40])
    write(path, sign(POINT, KEY))
    found = read_file(path, KEY.public_key())
    assert found.checkpoints == (POINT, POINT)
    assert found.unreadable == (2,)


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    link = tmp_path / "checkpoints.jsonl"
    link.symlink_to(target)
    with pytest.raises(CheckpointInvalid, match=r"checkpoints\.jsonl"):
        write(link, sign(POINT, KEY))
    assert not target.exists()


def test_a_file_that_cannot_be_read_or_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointInvalid, match=r"absent\.jsonl"):
        read_file(tmp_path / "absent.jsonl", KEY.public_key())
    with pytest.raises(CheckpointInvalid, match="No such file"):
        write(tmp_path / "absent" / "checkpoints.jsonl", "x")
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(CheckpointInvalid, match="binary"):
        read_file(binary, KEY.public_key())


def test_a_forged_line_is_named_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints.jsonl"
    write(path, sign(POINT, KEY).replace("host", "ghost"))
    with pytest.raises(CheckpointInvalid, match=r"checkpoints\.jsonl: line 1: .*'ghost'"):
        read_file(path, KEY.public_key())
