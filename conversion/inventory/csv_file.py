"""A CSV file (RFC 4180) with two columns: who, and `auth_data`. Read strictly.

A wrong line is a person who cannot come back, so that nothing is guessed: every bad line is named,
and one is enough to refuse the file. `auth_data` is taken verbatim, for Mattermost compares it so.
"""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from conversion.decision.account import Binding, Source
from conversion.errors import ConfigError
from conversion.inventory.merge import Key, Said
from conversion.mattermost.client import MAX_AUTH_DATA

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_LARGEST: Final = 256 * 1024 * 1024
_MOST_TOLD: Final = 20
_COLUMNS: Final = 2
_HEADERS: Final = tuple(f"{key.value},auth_data" for key in Key)


def read_csv(path: Path, now: datetime) -> tuple[Said, ...]:
    """What the file says; it is dated by its last change, never later than `now`.

    Raises `ConfigError` with the lines that are wrong.
    """
    text, changed = _text(path)
    learnt_at = min(changed, now)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        key = _key(path, next(reader, []))
        lines = [(reader.line_num, cells) for cells in reader if cells]
    except csv.Error as error:
        raise ConfigError([f"{path}, line {reader.line_num}: no CSV: {error}"]) from error
    problems = list(_problems(key, lines))
    if not lines:
        problems.append("nobody is named in it")
    if problems:
        told = [f"{path}, {problem}" for problem in problems[:_MOST_TOLD]]
        if len(problems) > _MOST_TOLD:
            told.append(f"{path}: and {len(problems) - _MOST_TOLD} more")
        raise ConfigError(told)
    return tuple(
        Said(key, name, Binding(auth_data, Source.CSV, learnt_at)) for _, (name, auth_data) in lines
    )


def _text(path: Path) -> tuple[str, datetime]:
    try:
        found = path.stat()
        if found.st_size > _LARGEST or not path.is_file():
            raise ConfigError([f"{path}: not a regular file of at most 256 MiB"])
        return path.read_text("utf-8-sig"), datetime.fromtimestamp(found.st_mtime, UTC)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            [f"{path}: not UTF-8 text at octet {error.start}; save it as CSV UTF-8"]
        ) from error


def _key(path: Path, header: Sequence[str]) -> Key:
    named = {f"{key.value},auth_data": key for key in Key}
    key = named.get(",".join(header))
    if key is None:
        raise ConfigError([f"{path}, line 1: the header must be one of: {'; '.join(_HEADERS)}"])
    return key


def _problems(key: Key, lines: Sequence[tuple[int, Sequence[str]]]) -> Iterator[str]:
    """What is wrong, line by line; values are not repeated, for they identify people."""
    seen: tuple[dict[str, int], dict[str, int]] = ({}, {})
    for number, cells in lines:
        if len(cells) != _COLUMNS:
            yield f"line {number}: {len(cells)} columns instead of {_COLUMNS}"
            continue
        name, auth_data = cells
        problem = _name_problem(name) or _auth_data_problem(auth_data)
        if problem is not None:
            yield f"line {number}: {problem}"
            continue
        for column, value, known in (
            (key.value, name.lower(), seen[0]),
            ("auth_data", auth_data, seen[1]),
        ):
            first = known.setdefault(value, number)
            if first != number:
                yield f"line {number}: the same {column} as in line {first}"


def _name_problem(name: str) -> str | None:
    if not name or not name.isprintable() or any(one.isspace() for one in name):
        return "the first column is empty, or has blanks or control characters"
    return None


def _auth_data_problem(auth_data: str) -> str | None:
    if not auth_data or auth_data != auth_data.strip():
        return "auth_data is empty, or has blanks around it"
    if not auth_data.isprintable():
        return "auth_data has control characters"
    if len(auth_data) > MAX_AUTH_DATA:
        return f"auth_data has {len(auth_data)} characters; Mattermost keeps {MAX_AUTH_DATA}"
    return None
