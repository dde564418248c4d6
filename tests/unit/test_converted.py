"""The list of converted people: pseudonyms in a file that another program rewrites."""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from idp_proxy.converted import ConvertedFile, NobodyConverted

if TYPE_CHECKING:
    from pathlib import Path

KEY = b"k" * 32


def line(person_id: str, key: bytes = KEY) -> str:
    return hmac.new(key, person_id.encode(), hashlib.sha256).hexdigest()


def test_a_listed_person_is_found_by_the_exact_id(tmp_path: Path) -> None:
    file = tmp_path / "converted"
    file.write_text(f"{line('e-1')}\n{line('Zoë ☃')}\n")
    converted = ConvertedFile(file, KEY)
    assert "e-1" in converted
    assert "Zoë ☃" in converted
    for other in ("E-1", "e-1 ", "e-2", ""):
        assert other not in converted


def test_another_key_names_other_people(tmp_path: Path) -> None:
    file = tmp_path / "converted"
    file.write_text(line("e-1", b"x" * 32))
    assert "e-1" not in ConvertedFile(file, KEY)


def test_a_rename_over_the_file_is_seen_even_with_equal_size_and_time(tmp_path: Path) -> None:
    file, next_one = tmp_path / "converted", tmp_path / "next"
    file.write_text(line("e-1"))
    converted = ConvertedFile(file, KEY)
    assert "e-1" in converted
    next_one.write_text(line("e-2"))
    stat = file.stat()
    os.utime(next_one, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    next_one.rename(file)
    assert "e-2" in converted
    assert "e-1" not in converted


def test_a_file_that_stays_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "converted"
    file.write_text(line("e-1"))
    converted = ConvertedFile(file, KEY)
    assert "e-1" in converted
    monkeypatch.setattr(ConvertedFile, "_read", lambda _: pytest.fail("read again"))
    assert "e-1" in converted


@pytest.mark.parametrize(
    "content",
    [line("e-1").upper(), line("e-1")[:-1], line("e-1") + "0", "e-1", "é", "\0"],
    ids=["upper case", "short", "long", "an id", "not ASCII", "NUL"],
)
def test_one_wrong_line_makes_the_list_unreadable_as_a_whole(tmp_path: Path, content: str) -> None:
    file = tmp_path / "converted"
    file.write_text(f"{line('e-2')}\n{content}\n")
    converted = ConvertedFile(file, KEY)
    with capture_logs() as lines:
        assert "e-2" not in converted
        assert "e-1" not in converted
    (alarm,) = lines
    assert (alarm["event"], alarm["file"]) == ("converted_file_unreadable", "converted")
    assert line("e-2") not in str(alarm)
    assert content not in alarm["detail"]


def test_an_alarm_is_given_once_until_the_file_is_well_again(tmp_path: Path) -> None:
    file = tmp_path / "converted"
    converted = ConvertedFile(file, KEY)
    with capture_logs() as lines:
        for _ in range(3):
            assert "e-1" not in converted
        file.write_text(line("e-1"))
        assert "e-1" in converted
        file.unlink()
        assert "e-1" not in converted
    assert [one["log_level"] for one in lines] == ["error", "error"]


def test_an_empty_list_is_a_list(tmp_path: Path) -> None:
    file = tmp_path / "converted"
    file.write_text("\n")
    with capture_logs() as lines:
        assert "e-1" not in ConvertedFile(file, KEY)
    assert lines == []


def test_where_none_is_configured_nobody_is_converted() -> None:
    assert "e-1" not in NobodyConverted()
