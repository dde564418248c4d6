"""Configuration files of the real parts: templates beside this module, rendered into a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

if TYPE_CHECKING:
    from collections.abc import Iterable

_WAY_OUT = "run tests/e2e/install.sh as root"

FILES = Path(__file__).with_name("files")

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(FILES),
    undefined=jinja2.StrictUndefined,
    autoescape=jinja2.select_autoescape(("xml.j2",)),
    keep_trailing_newline=True,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, target: Path, **values: object) -> Path:
    """Write one template into `target`. Raises when a value is missing."""
    target.write_text(_TEMPLATES.get_template(template).render(values))
    return target


def new_folder(parent: Path, name: str, inner: Iterable[str] = ()) -> Path:
    """A folder for one part, with subfolders. Apache's children are not root: all may read."""
    folder = parent / name
    folder.mkdir(mode=0o755)
    for each in inner:
        (folder / each).mkdir(mode=0o755)
    return folder


def program(*candidates: str) -> str:
    """The first of these programs that is installed. Raises with the way to install it."""
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            return candidate
    raise FileNotFoundError(f"{candidates[0]} is missing; {_WAY_OUT}")


def demand(path: Path, package: str) -> Path:
    """`path`, which `package` installs. Raises with the way to install it."""
    if not path.exists():
        raise FileNotFoundError(f"{path} (package {package}) is missing; {_WAY_OUT}")
    return path
