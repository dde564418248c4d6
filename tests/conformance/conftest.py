"""One store of each kind for every test of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.rooms import Room

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from idp_proxy.store.memory import MemoryStore
    from idp_proxy.store.sql import SqlStore


@pytest.fixture(params=["memory", "sqlite"])
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Room]:
    kept = Room(request.param, tmp_path)
    yield kept
    kept.close()


@pytest.fixture
def store(room: Room) -> MemoryStore | SqlStore:
    return room.open()
