"""Login pages in the shape that real providers give them, written by hand; `page` reads one."""

from __future__ import annotations

from pathlib import Path


def page(name: str) -> bytes:
    """The page of this name."""
    return (Path(__file__).parent / f"{name}.html").read_bytes()
