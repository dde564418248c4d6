"""Killed at a named point and run again: nobody lost, nobody moved twice, every binding back."""

from __future__ import annotations

from signal import SIGKILL
from typing import TYPE_CHECKING

import pytest

from conversion.ledger.opening import open_ledger, rebuild
from tests.crash.field import Field, case, field

if TYPE_CHECKING:
    from collections.abc import Iterator

LEDGER = (
    "before_mirror_write",
    "after_mirror_write",
    "after_mirror_fsync",
    "before_commit",
    "after_commit",
)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    with field(tmp_path_factory.mktemp("double"), "5.37") as running:
        running.order(do="settings", EmailSettings={"RequireEmailVerification": True})
        yield running


def _places() -> list[tuple[str, str, int]]:
    """The points of both ways, most of them in the middle of the work."""
    out = [("convert", f"{when}_set_password_hash", 4) for when in ("before", "after")]
    back = [
        ("return", f"{when}_{name}", 4)
        for name in ("set_binding", "patch_empty")
        for when in ("before", "after")
    ]
    return [
        *out,
        *back,
        *(("convert", point, 4) for point in LEDGER),
        *(("return", point, 6) for point in LEDGER),
        ("convert", "after_all_accounts", 2),
        ("convert", "after_ledger_open_campaign", 1),
        ("convert", "before_ledger_add", 1),
        ("convert", "after_verify_email", 3),
        ("convert", "after_refresh", 1),
        ("return", "before_all_accounts", 3),
        # What follows a binding; and the end, of which nobody is told any more.
        ("return", "before_clear_mfa", 3),
        ("return", "after_clear_mfa", 3),
        ("return", "before_revoke_session", 3),
        ("return", "after_revoke_session", 3),
        ("return", "before_refresh", 2),
        ("return", "before_ledger_close_campaign", 1),
        ("return", "after_ledger_close_campaign", 1),
    ]


@pytest.mark.parametrize(("command", "point", "at"), _places())
def test_a_kill_loses_nobody(
    here: Field, tmp_path_factory: pytest.TempPathFactory, command: str, point: str, at: int
) -> None:
    folder = tmp_path_factory.mktemp("case") / "ledger"
    scene = case(here, folder, f"{command}-{point}".replace("_", "-"), people=7)
    if command == "convert":
        assert scene.convert(point, at) == -SIGKILL
        moved = scene.passwords()
        assert scene.convert() == 0
        # Whom the dead process had moved kept the password it had set: not converted again.
        assert moved.items() <= scene.passwords().items()
    else:
        assert scene.convert() == 0
        scene.live_through_the_outage()
        assert scene.bring_back(point, at) == -SIGKILL
    assert set(scene.passwords()) | set(scene.bindings()) == set(scene.before)
    assert scene.bring_back() == 0
    assert scene.bindings() == scene.before
    assert scene.passwords() == {}
    assert not any(row["mfa_active"] for row in here.people(scene.prefix).values())
    assert (folder / "converted").read_text() == ""


@pytest.mark.parametrize(
    ("point", "at"),
    [*((point, 1) for point in LEDGER[:4]), ("after_commit", 3), ("after_ledger_lock", 1)],
)
def test_a_kill_during_a_write_off_gives_up_all_whom_two_named_or_nobody(
    here: Field, tmp_path_factory: pytest.TempPathFactory, point: str, at: int
) -> None:
    folder = tmp_path_factory.mktemp("case") / "ledger"
    scene = case(here, folder, f"off-{point}".replace("_", "-"), people=4)
    assert scene.convert() == 0
    gone = sorted(scene.before)[:2]
    assert scene.write_off(*gone, point=point, at=at) == -SIGKILL
    ledger = open_ledger(folder / "ledger.db", folder / "mirror", host="crash")
    given_up = [row.user_id for row in ledger.given_up()]
    assert given_up in ([], gone)
    assert ledger.verify_audit().ok
    ledger.close()
    if not given_up:
        assert scene.write_off(*gone) == 0
    assert scene.bring_back() == 0
    assert scene.passwords().keys() == set(gone)
    assert scene.bindings().items() <= scene.before.items()
    assert len((folder / "converted").read_text().split()) == len(gone)


@pytest.mark.parametrize(
    "point", ["after_ledger_open_campaign", "before_ledger_add", "after_mirror_fsync"]
)
def test_a_kill_during_a_reconciliation_leaves_nobody_out(
    here: Field, tmp_path_factory: pytest.TempPathFactory, point: str
) -> None:
    folder = tmp_path_factory.mktemp("case") / "ledger"
    scene = case(here, folder, f"by-hand-{point}".replace("_", "-"), people=4)
    for user_id in sorted(scene.before)[:2]:
        here.order(do="put_password", user_id=user_id, hashed="$2a$10$by-hand")
    assert scene.reconcile(point) == -SIGKILL
    assert scene.reconcile() == 0
    assert scene.bring_back() == 0
    assert scene.bindings() == scene.before


def test_killed_twice_at_the_same_place_is_no_worse(
    here: Field, tmp_path_factory: pytest.TempPathFactory
) -> None:
    scene = case(here, tmp_path_factory.mktemp("case") / "ledger", "twice")
    assert scene.convert("after_set_password_hash", 3) == -SIGKILL
    assert scene.convert("after_set_password_hash", 2) == -SIGKILL
    assert scene.bring_back("after_set_binding", 2) == -SIGKILL
    assert scene.bring_back("before_commit", 2) == -SIGKILL
    assert scene.bring_back() == 0
    assert scene.bindings() == scene.before


def test_a_ledger_that_is_lost_with_the_process_is_made_again_from_its_mirror(
    here: Field, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("case") / "ledger"
    scene = case(here, folder, "lost")
    assert scene.convert("after_set_password_hash", 5) == -SIGKILL
    for file in folder.glob("ledger.db*"):
        file.unlink()
    rebuild(folder / "ledger.db", folder / "mirror", host="crash").close()
    assert scene.bring_back() == 0
    assert scene.bindings() == scene.before
