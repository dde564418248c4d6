"""Login pages as real providers show them, cut down to what matters; `page` reads one."""

from __future__ import annotations

from pathlib import Path


def page(name: str) -> bytes:
    """The page of this name."""
    return (Path(__file__).parent / f"{name}.html").read_bytes()
