"""The floors in docs/architecture.md: the import contract as a picture, with what each part is."""

from __future__ import annotations

import importlib
import inspect
import tomllib
from pathlib import Path

from tests.support.docs.markdown import one_line, table

_ROOT = Path(__file__).parents[3]
_BEGIN = "<!-- floors, printed by `make docs` -->\n"
_END = "<!-- end of floors -->\n"


def architecture_page() -> str:
    """The page as it is, with its floors as the contract and the modules say."""
    page = (_ROOT / "docs" / "architecture.md").read_text("utf-8")
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}{_floors()}{_END}{after}"


def _floors() -> str:
    floors = [[name.strip() for name in layer.split("|")] for layer in _contract()]
    lines = ["flowchart TD"]
    lines += [
        f'    f{number}["{" · ".join(_short(name) for name in floor)}"]'
        for number, floor in enumerate(floors)
    ]
    lines += [f"    f{number} --> f{number + 1}" for number in range(len(floors) - 1)]
    rows = [[f"`{_short(name)}`", _first_line(name)] for floor in floors for name in floor]
    picture = "\n".join(lines)
    return f"```mermaid\n{picture}\n```\n\n{table(['part', 'what it is'], rows)}\n"


def _contract() -> list[str]:
    settings = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (layers,) = (one["layers"] for one in contracts if one["id"] == "layers")
    return [str(layer) for layer in layers]


def _short(name: str) -> str:
    module = importlib.import_module(name)
    short = name.removeprefix("idp_proxy.")
    return f"{short}/" if hasattr(module, "__path__") else f"{short}.py"


def _first_line(name: str) -> str:
    """The first paragraph of a module's docstring."""
    text = inspect.getdoc(importlib.import_module(name)) or ""
    return one_line(text.partition("\n\n")[0])
