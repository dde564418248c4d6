"""Every scenario of this folder, played on the real watch. A failure prints what happened."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.scenario.playing import play
from tests.support.scenario.reading import read

_FILES = sorted(Path(__file__).parent.glob("*.scenario"))


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_it_comes_as_the_scenario_says(path: Path) -> None:
    played = play(read(path))
    if played.failures:
        pytest.fail(f"\n{played.drawn()}", pytrace=False)
