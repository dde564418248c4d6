"""`[review]`: what nobody can look up, and somebody therefore declares (FO-16)."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from idp_proxy.decision.review import OperatorsPath

if TYPE_CHECKING:
    from idp_proxy.config.material import Reader
    from idp_proxy.config.review_shape import ReviewTable


def read_review(table: ReviewTable, reader: Reader) -> OperatorsPath | None:
    """`[review.operators_path]`; None where nothing is declared."""
    path, where = table.operators_path, "review.operators_path"
    if not path.model_fields_set:
        return None
    if not path.way:
        reader.findings.problem(f"{where}.way", "missing: say in one line how operators work")
    for index, name in enumerate((path.way, *path.depends_on)):
        if name != name.strip() or not name.isprintable() or (index and not name):
            at = f"{where}.depends_on[{index - 1}]" if index else f"{where}.way"
            reader.findings.problem(at, f"must be one line of text: {name!r}")
    try:
        tested_at = date.fromisoformat(path.tested_at)
    except ValueError:
        reader.findings.problem(
            f"{where}.tested_at", f'not a date: {path.tested_at!r}; it has the form "2026-11-30"'
        )
        return None
    if tested_at > reader.now.date():
        reader.findings.problem(f"{where}.tested_at", f"{tested_at} lies in the future")
    return OperatorsPath(path.way, tuple(path.depends_on), tested_at)


def read_domains(where: str, names: list[str], reader: Reader) -> frozenset[str]:
    """`failure_domains` of an upstream: names that mean the same wherever they stand (FO-17)."""
    for index, name in enumerate(names):
        if not name or name != name.strip() or not name.isprintable():
            reader.findings.problem(f"{where}.failure_domains[{index}]", f"no name: {name!r}")
    return frozenset(name.casefold() for name in names)
