"""The state that a host starts by: sealed for this host and store, of late, written as a whole."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from idp_proxy.decision.switching import first_state
from idp_proxy.errors import StoreError
from idp_proxy.seal import KeyRing
from idp_proxy.store.kept_state import PURPOSE, KeptState, context_of
from tests.conformance.rooms import state

if TYPE_CHECKING:
    from pathlib import Path

KEY = secrets.token_bytes(32)
URL = "postgresql+psycopg://proxy:s3cret@db.example.org:5432/sso"
MINUTE = timedelta(minutes=1)


@dataclass(slots=True)
class Clock:
    at: datetime = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


def kept(
    folder: Path,
    clock: Clock,
    *,
    host: str = "sso1",
    url: str = URL,
    keys: tuple[bytes, ...] = (KEY,),
) -> KeptState:
    ring = KeyRing(keys, PURPOSE)
    return KeptState(folder / "var" / "switch-state", ring, context_of(host, url), clock)


def test_what_was_kept_comes_back_as_it_was_and_is_for_its_owner_only(
    tmp_path: Path, clock: Clock
) -> None:
    for known in (state(7), first_state(["okta", "entra"], clock.at)):
        kept(tmp_path, clock).keep(known, MINUTE)
        assert kept(tmp_path, clock).told().state == known
    (file,) = (tmp_path / "var").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"okta" not in file.read_bytes()


def test_the_same_state_is_written_again_after_a_while_only(tmp_path: Path, clock: Clock) -> None:
    keeping, file = kept(tmp_path, clock), tmp_path / "var" / "switch-state"
    keeping.keep(state(1), MINUTE)
    first = file.read_bytes()
    keeping.keep(state(1), MINUTE)
    assert file.read_bytes() == first
    clock.at += MINUTE
    keeping.keep(state(1), MINUTE)
    second = file.read_bytes()
    assert second != first
    keeping.keep(state(2), MINUTE)
    assert kept(tmp_path, clock).told().state.epoch == 2


def test_a_store_from_a_backup_has_the_last_word_even_with_a_lower_epoch(
    tmp_path: Path, clock: Clock
) -> None:
    keeping = kept(tmp_path, clock)
    keeping.keep(state(12, "entra"), MINUTE)
    keeping.keep(state(10, "okta"), MINUTE)
    assert kept(tmp_path, clock).told().state == state(10, "okta")


def test_who_was_never_told_has_nothing_to_start_by(tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(StoreError, match="never told who serves"):
        kept(tmp_path, clock).told()


@pytest.mark.parametrize(
    "other",
    [
        {"host": "sso2"},
        {"url": URL.replace("db.example", "db2.example")},
        {"url": URL.replace("/sso", "/test")},
        {"keys": (secrets.token_bytes(32),)},
    ],
)
def test_the_state_of_another_host_store_or_key_ring_does_not_open(
    tmp_path: Path, clock: Clock, other: dict[str, str]
) -> None:
    kept(tmp_path, clock).keep(state(), MINUTE)
    with pytest.raises(StoreError, match="not of this host, this store and these state keys"):
        kept(tmp_path, clock, **other).told()  # type: ignore[arg-type]  # one of the three


def test_a_key_that_was_rotated_and_a_password_that_was_changed_do_no_harm(
    tmp_path: Path, clock: Clock
) -> None:
    kept(tmp_path, clock).keep(state(), MINUTE)
    rotated = (secrets.token_bytes(32), KEY)
    assert (
        kept(tmp_path, clock, keys=rotated, url=URL.replace("s3cret", "x")).told().state == state()
    )


@pytest.mark.parametrize("what", [b"", b"{}", b"\0" * 200])
def test_what_was_altered_does_not_open(tmp_path: Path, clock: Clock, what: bytes) -> None:
    kept(tmp_path, clock).keep(state(), MINUTE)
    (tmp_path / "var" / "switch-state").write_bytes(what)
    with pytest.raises(StoreError, match="altered"):
        kept(tmp_path, clock).told()


def test_a_machine_from_the_shelf_brings_nothing_back(tmp_path: Path, clock: Clock) -> None:
    kept(tmp_path, clock).keep(state(), MINUTE)
    clock.at += timedelta(days=8)
    with pytest.raises(StoreError, match=r"nobody knows who serves now: .* 7 days"):
        kept(tmp_path, clock).told()


def test_a_disk_that_takes_nothing_is_named_and_the_former_state_stays(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(tmp_path, clock).keep(state(1), MINUTE)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("idp_proxy.whole_file.os.fsync", full)
    with pytest.raises(StoreError, match="switch-state: No space left"):
        kept(tmp_path, clock).keep(replace(state(2)), MINUTE)
    assert kept(tmp_path, clock).told().state == state(1)
    assert [file.name for file in (tmp_path / "var").iterdir()] == ["switch-state"]
