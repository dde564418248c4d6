"""Which pages there are: those printed from the code, and everything a reader may open."""

from __future__ import annotations

from pathlib import Path

from tests.support.docs.errors import errors_page
from tests.support.docs.floors import architecture_page
from tests.support.docs.lifecycle import lifecycle_page
from tests.support.docs.operators import operators_page
from tests.support.docs.rules import rules_page
from tests.support.docs.scenarios import SCENARIOS, scenarios_page
from tests.support.docs.switching import switching_page
from tests.support.docs.watching import watch_page

ROOT = Path(__file__).parents[3]


def printed() -> dict[Path, str]:
    """The pages that belong to the code, as the code says they should read now."""
    docs = ROOT / "docs"
    return {
        docs / "architecture.md": architecture_page(),
        docs / "conversion" / "lifecycle.md": lifecycle_page(),
        docs / "errors.md": errors_page(),
        docs / "operations" / "operators.md": operators_page(),
        docs / "security" / "rules.md": rules_page(),
        docs / "switching.md": switching_page(),
        docs / "watch.md": watch_page(),
        SCENARIOS / "README.md": scenarios_page(),
    }


def written() -> list[Path]:
    """Every page, in a fixed order."""
    return sorted(
        [
            *ROOT.glob("*.md"),
            *ROOT.glob("docs/**/*.md"),
            *ROOT.glob("certs.example/*.md"),
            *SCENARIOS.glob("*.md"),
        ]
    )
