"""What docs/security names as proof is there: each test, each module, each example."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "security").glob("*.md"))
_NAMED = re.compile(r"`((?:tests|idp_proxy|conversion)/[\w/.-]*)(?:::(\w+))?`")


def missing(text: str) -> list[str]:
    """Files and tests that a page names and that are not there."""
    gone = []
    for path, test in _NAMED.findall(text):
        place = ROOT / path
        if not place.exists() or (test and f"def {test}(" not in place.read_text("utf-8")):
            gone.append(f"{path}::{test}" if test else path)
    return gone


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_and_test_that_a_page_names_exists(page: Path) -> None:
    assert missing(page.read_text("utf-8")) == []


def test_the_guide_names_proof_for_each_thing_that_must_hold() -> None:
    guide = (ROOT / "docs" / "security" / "reviewers-guide.md").read_text("utf-8")
    assert len(_NAMED.findall(guide)) > 30


def test_a_name_of_nothing_is_found() -> None:
    assert missing("`tests/attacks/test_state.py::test_nothing_of_the_kind`") != []
    assert missing("`idp_proxy/nowhere.py`") == ["idp_proxy/nowhere.py"]
