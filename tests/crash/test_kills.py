"""Killed at a named point and run again: nobody lost, nobody moved twice, every binding back."""

from __future__ import annotations

from signal import SIGKILL
from typing import TYPE_CHECKING

import pytest

from conversion.ledger.opening import rebuild
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
        ("return", "before_all_accounts", 3),
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
        assert scene.bring_back(point, at) == -SIGKILL
    assert set(scene.passwords()) | set(scene.bindings()) == set(scene.before)
    assert scene.bring_back() == 0
    assert scene.bindings() == scene.before
    assert scene.passwords() == {}
    assert (folder / "converted").read_text() == ""


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
