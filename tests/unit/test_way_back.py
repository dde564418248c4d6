"""The file that leads back: whole or not there, and nothing in it is guessed."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from idp_proxy import way_back
from idp_proxy.decision.saml_settings import CHANGED
from idp_proxy.errors import CutoverRefused
from idp_proxy.way_back import WayBack
from tests.support.keys import rsa_pair

if TYPE_CHECKING:
    from pathlib import Path

WAY = WayBack(
    at=datetime(2026, 12, 1, 2, 0, tzinfo=UTC),
    by="host:root",
    upstream="okta",
    proxy="https://sso.example.org/saml/metadata",
    settings={name: f"value of {name}" for name in CHANGED},
    untouched={"Enable": "true"},
    certificate=rsa_pair("okta").certificate_pem.decode(),
)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = way_back.path_of(tmp_path / "idp-proxy.toml")
    assert path.name == "idp-proxy.way-back.json"
    assert way_back.read(path) is None
    way_back.write(path, WAY)
    assert way_back.read(path) == WAY
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"settings": {"IdpURL": "https://evil.example.org"}}, "its settings are not"),
        ({"settings": dict(WAY.settings) | {"Verify": "false"}}, "its settings are not"),
        ({"settings": dict(WAY.settings) | {"IdpURL": 7}}, "no way back"),
        ({"certificate": "no PEM"}, "no way back"),
        ({"at": "2026-12-01T02:00:00"}, "no way back"),
        ({"more": 1}, "no way back"),
        ({"upstream": None}, "no way back"),
    ],
)
def test_a_file_of_another_shape_leads_nowhere(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    path = tmp_path / "way.json"
    way_back.write(path, WAY)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CutoverRefused, match=told):
        way_back.read(path)


@pytest.mark.parametrize(
    "octets",
    [b"", b"{", b"\xff", b"[]", b"{" * 5000, b" " * 2**21],
    ids=["nothing", "begun", "no text", "a list", "deep", "long"],
)
def test_junk_leads_nowhere(tmp_path: Path, octets: bytes) -> None:
    path = tmp_path / "way.json"
    path.write_bytes(octets)
    with pytest.raises(CutoverRefused, match=str(path)):
        way_back.read(path)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_what_others_may_write_is_not_followed(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "way.json"
    way_back.write(path, WAY)
    path.chmod(mode)
    with pytest.raises(CutoverRefused, match="chmod 600"):
        way_back.read(path)


def test_what_cannot_be_read_or_written_is_told_with_the_file(tmp_path: Path) -> None:
    with pytest.raises(CutoverRefused, match="Is a directory"):
        way_back.read(tmp_path)
    missing = tmp_path / "none" / "way.json"
    with pytest.raises(CutoverRefused, match="nothing was changed"):
        way_back.write(missing, WAY)
    (tmp_path / "way.json").mkdir()
    with pytest.raises(CutoverRefused, match="Is a directory"):
        way_back.write(tmp_path / "way.json", WAY)
    assert list(tmp_path.iterdir()) == [tmp_path / "way.json"]


def test_an_earlier_one_is_kept(tmp_path: Path) -> None:
    path = way_back.path_of(tmp_path / "idp-proxy.toml")
    way_back.write(path, WAY)
    later = replace(WAY, at=WAY.at + timedelta(days=1), by="host:ann")
    way_back.write(path, later)
    assert way_back.read(path) == later
    kept = tmp_path / "idp-proxy.way-back.20261201T020000Z.json"
    assert way_back.read(kept) == WAY


def test_one_of_somebody_else_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "way.json"
    way_back.write(path, WAY)
    owner = path.stat().st_uid
    monkeypatch.setattr("os.geteuid", lambda: owner + 1)
    if owner != 0:
        with pytest.raises(CutoverRefused, match="make it yours"):
            way_back.read(path)
        return
    os.chown(path, 4711, -1)
    with pytest.raises(CutoverRefused, match="make it yours"):
        way_back.read(path)


def test_a_long_address_comes_back_whole(tmp_path: Path) -> None:
    path = tmp_path / "way.json"
    settings = dict(WAY.settings) | {"IdpMetadataURL": "https://x/" + "y" * 99_999}
    long = replace(WAY, settings=settings)
    way_back.write(path, long)
    assert way_back.read(path) == long
