"""The shape of the code: which way imports fall, and how long a piece of it may be."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
SHIPPED = sorted(
    path for package in ("idp_proxy", "conversion") for path in (ROOT / package).rglob("*.py")
)
LONGEST_FUNCTION = 80
LONGEST_MODULE = 350
#: Names that say nothing of what is inside.
EMPTY_NAMES = {
    "utils",
    "util",
    "helpers",
    "helper",
    "manager",
    "common",
    "misc",
    "lib",
    "base_utils",
}


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_imports_fall_from_floor_to_floor() -> None:
    """Every contract of pyproject.toml, judged by import-linter in a process of its own."""
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Contracts: {len(contracts)} kept, 0 broken" in done.stdout


def test_there_is_something_to_judge() -> None:
    assert len(SHIPPED) > 50


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function of a module, and how many lines it has."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def test_every_module_is_short() -> None:
    lengths = {named(path): len(path.read_text("utf-8").splitlines()) for path in SHIPPED}
    assert {path: length for path, length in lengths.items() if length > LONGEST_MODULE} == {}


def test_every_module_is_well_named() -> None:
    parts = {
        named(path): {part.removesuffix(".py") for part in path.relative_to(ROOT).parts}
        for path in SHIPPED
    }
    assert {path: empty for path, found in parts.items() if (empty := found & EMPTY_NAMES)} == {}


def test_every_function_is_short() -> None:
    assert [
        f"{named(path)}: {name} has {length} lines"
        for path in SHIPPED
        for name, length in functions(path)
        if length > LONGEST_FUNCTION
    ] == []


def test_every_module_says_what_it_is_for() -> None:
    assert [named(path) for path in SHIPPED if not ast.get_docstring(parsed(path))] == []
