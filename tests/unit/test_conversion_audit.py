"""The ledger's audit: signed behind each command, and held against what was signed by `verify`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.unit.conversion_night import Night, night_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AUDIT = """
[audit]
checkpoint_file = "elsewhere/checkpoints.jsonl"
checkpoint_key = "file:audit.pem"
"""


def new_key(path: Path) -> None:
    path.write_bytes(
        Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    path.chmod(0o600)


@pytest.fixture
def night(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Night]:
    with night_of(tmp_path, capsys) as it:
        config = tmp_path / "c.toml"
        config.write_text(config.read_text() + AUDIT)
        new_key(tmp_path / "audit.pem")
        (tmp_path / "elsewhere").mkdir()
        yield it


def moved(night: Night) -> Night:
    assert night.run("prepare") == 0, night.err
    assert night.run("plan", "--everybody", "--at-most", "10") == 0, night.err
    digest = next(word for word in night.next() if len(word) == 64)
    assert night.run("convert", "--plan", digest, "--yes") == 0, night.err
    return night


def checkpoints(night: Night) -> Path:
    return night.folder / "elsewhere" / "checkpoints.jsonl"


def tamper(night: Night, *statements: str) -> None:
    with closing(sqlite3.connect(night.folder / "ledger" / "c.db")) as ledger:
        for statement in statements:
            ledger.execute(statement)
        ledger.commit()


def test_each_command_signs_the_end_and_verify_says_that_all_is_as_written(night: Night) -> None:
    moved(night)
    signed = len(checkpoints(night).read_text().splitlines())
    assert signed >= 2
    assert night.run("verify") == 3
    assert f"rows are what was written, {signed} checkpoints" in night.err
    assert len(checkpoints(night).read_text().splitlines()) == signed + 1
    assert checkpoints(night).stat().st_mode & 0o077 == 0


def test_an_altered_row_is_found_without_any_checkpoint(night: Night) -> None:
    moved(night)
    checkpoints(night).unlink()
    tamper(night, "UPDATE audit_row SET kind = 'row_planned' WHERE seq = 3")
    assert night.run("verify") == 1
    assert "the audit is not what was written: conversion/ops-1 row 3: altered" in night.err


def test_a_tail_that_was_cut_off_with_its_head_is_found_by_the_checkpoints(night: Night) -> None:
    moved(night)
    tamper(
        night,
        "DELETE FROM audit_row WHERE seq > 5",
        "UPDATE audit_head SET seq = 5, digest = (SELECT digest FROM audit_row WHERE seq = 5)",
    )
    assert night.run("verify") == 1
    assert "the end was cut off" in night.err or "altered" in night.err


def test_a_checkpoint_of_another_key_is_no_checkpoint(night: Night) -> None:
    moved(night)
    new_key(night.folder / "audit.pem")
    assert night.run("verify") == 1
    assert "did not sign this checkpoint" in night.err


def test_a_file_that_cannot_be_written_is_told_and_costs_nobody_the_way_back(night: Night) -> None:
    checkpoints(night).mkdir()
    moved(night)
    assert "warning: audit.checkpoint_file: no checkpoint was written" in night.err
    assert night.on_saml() == 1


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('checkpoint_key = "file:audit.pem"', "", "audit.checkpoint_key: missing: file and key"),
        ('"file:audit.pem"', '"file:token"', "must hold an Ed25519 key as PEM: openssl genpkey"),
        ('"file:audit.pem"', '"a key"', "a secret may not stand in this file"),
        ('"elsewhere/checkpoints.jsonl"', '""', "audit.checkpoint_file: missing"),
    ],
)
def test_a_wrong_audit_section_is_told_before_anything_is_done(
    night: Night, old: str, new: str, told: str
) -> None:
    config = night.folder / "c.toml"
    config.write_text(config.read_text().replace(old, new))
    assert night.run("status") == 2
    assert told in night.err
