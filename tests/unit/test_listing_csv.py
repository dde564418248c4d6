"""Lists of people in CSV files: what is read, and what is wrong with one, by line and column."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp_proxy.decision.roster import Listed
from idp_proxy.errors import ListRefused
from idp_proxy.listing import base
from idp_proxy.listing.base import Demands, Staged
from idp_proxy.listing.csv_file import CsvFile, guarded, unguarded

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "id,email,username,first_name,link_key"
DEMANDS = Demands(
    known=frozenset({"id", "email", "username", "first_name", "link_key"}),
    needed=("id", "email", "username"),
    domains=frozenset({"example.org"}),
)
ALICE = "e-1,alice@example.org,alice,Alice,1001"


def read(folder: Path, *lines: str, head: str = HEAD, encoding: str = "utf-8") -> list[Listed]:
    file = folder / "people.csv"
    file.write_bytes("\n".join((head, *lines)).encode(encoding, "surrogatepass"))
    with Staged(folder) as staged:
        staged.take(CsvFile(file, DEMANDS))
        found = [one for part in staged.chunks(2) for one in part]
        assert len(staged) == len(found)
        assert all(staged.names(one.id) for one in found)
    return found


def test_people_are_read_as_they_are(tmp_path: Path) -> None:
    lines = (ALICE, "e-2,bob@example.org,bob,,", "", 'e-3,c@example.org,c,"Carol, ""C""\tÇ",K')
    with pytest.raises(ListRefused, match="column first_name"):
        read(tmp_path, *lines)
    found = read(tmp_path, *(line.replace("\t", " ") for line in lines))
    said = {"id": "e-1", "email": "alice@example.org", "username": "alice", "first_name": "Alice"}
    assert found[0] == Listed("e-1", "1001", said)
    assert found[1].link_key == "e-2"
    assert "first_name" not in found[1].attributes
    assert found[2].attributes["first_name"] == 'Carol, "C" Ç'


def test_a_file_of_a_spreadsheet_is_read_too(tmp_path: Path) -> None:
    (one,) = read(tmp_path, ALICE + "\r", head=HEAD + "\r", encoding="utf-8-sig")
    assert one.id == "e-1"


@pytest.mark.parametrize(
    ("head", "lines", "said"),
    [
        (HEAD.replace(",", ";"), [ALICE], "line 1: columns are parted by semicolons"),
        ("", [], "line 1: has no column id"),
        ("id,email", [], "line 1: has no column username"),
        (HEAD + ",mail", [], "line 1: no canonical name of the active: 'mail'; did you mean"),
        (HEAD + ",id", [], "line 1: the column 'id' stands there twice"),
        (HEAD, ["e-1,alice@example.org"], "line 2: 2 columns, the head has 5"),
        (HEAD, [ALICE, "e-2,bob,bob,Bob,2"], "line 3: column email: is no email address"),
        (HEAD, ["e-1,a@evil.example,a,A,1"], "line 2: column email: an address in 'evil.example'"),
        (HEAD, [ALICE, ALICE], "line 3: the id 'e-1' stands in line 2 already"),
        (HEAD, [",a@example.org,a,A,1"], "line 2: column id: is empty"),
        (HEAD, [f"{'x' * 129},a@example.org,a,A,1"], "column id: has 129 characters, at most 128"),
        (HEAD, ["e\x00-1,a@example.org,a,A,1"], "line 2: column id: has control, format"),
        (HEAD, ["e-1,a@example.org,p\u200baul,A,1"], "column username: has control, format"),
        (HEAD, ["e-1,a@example.org,a,A,\uff11"], "column link_key: changes under Unicode"),
        (HEAD, ["e-1,a@example.org,a,A\u202e,1"], "column first_name: has control"),
        (HEAD, [" e-1,a@example.org,a,A,1"], "column id: has blanks around it"),
        (HEAD, ['e-1,"a@example.org,a,A,1'], "no proper CSV: unexpected end of data"),
        (HEAD, ['e-1,"a"x,a,A,1'], "line 2: no proper CSV"),
        (HEAD, [f"e-1,{'x' * 5000},a,A,1"], "line 2: no proper CSV: field larger"),
        (HEAD, ["x" * 70_000], "line 1: no proper CSV: a line of more than 65536 characters"),
        (HEAD + ",deactivated", [ALICE + ",maybe"], "line 2: column deactivated: neither true"),
    ],
)
def test_what_is_wrong_is_named_by_line_and_column(
    tmp_path: Path, head: str, lines: list[str], said: str
) -> None:
    with pytest.raises(ListRefused, match=re.escape(said)) as caught:
        read(tmp_path, *lines, head=head)
    assert str(tmp_path / "people.csv") in caught.value.problems[0] or "csv: " in str(caught.value)


def test_all_that_is_wrong_is_told_at_once_and_much_of_it_is_counted(tmp_path: Path) -> None:
    with pytest.raises(ListRefused) as caught:
        read(tmp_path, *(f"e-{number},x,x,X,{number}" for number in range(100)))
    assert len(caught.value.problems) == 21
    assert caught.value.problems[-1] == "... and 80 more"


def test_a_file_that_cannot_be_read_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(ListRefused, match="not UTF-8 text"):
        read(tmp_path, "e-1,ä@example.org,a,A,1", encoding="latin-1")
    for missing in (tmp_path / "nowhere.csv", tmp_path):
        with Staged(tmp_path) as staged, pytest.raises(ListRefused, match="cannot be read"):
            staged.take(CsvFile(missing, DEMANDS))


def test_a_list_without_an_end_is_not_read_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "MOST_PEOPLE", 3)
    lines = [f"e-{number},u{number}@example.org,u{number},U,{number}" for number in range(5)]
    with pytest.raises(ListRefused, match="more than 3 people"):
        read(tmp_path, *lines)


def test_who_may_not_use_the_account_any_more_is_marked(tmp_path: Path) -> None:
    lines = [
        f"{ALICE},True",
        f"{ALICE.replace('e-1', 'e-2')},",
        f"{ALICE.replace('e-1', 'e-3')},no",
    ]
    found = read(tmp_path, *lines[:2], head=HEAD + ",deactivated")
    assert [one.deactivated for one in found] == [True, False]
    with pytest.raises(ListRefused):
        read(tmp_path, *lines, head=HEAD + ",deactivated")


def test_who_stands_blocked_in_an_export_is_not_let_in_by_reading_it_again(tmp_path: Path) -> None:
    (one,) = read(tmp_path, ALICE + ",missing:csv", head=HEAD + ",blocks")
    assert one.deactivated


@given(st.text(max_size=8))
def test_a_cell_that_a_spreadsheet_would_calculate_is_none_and_comes_back(value: str) -> None:
    cell = guarded(value)
    assert unguarded(cell) == value
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


def test_the_file_between_has_no_name(tmp_path: Path) -> None:
    folder = tmp_path / "var"
    with Staged(folder) as staged:
        file = tmp_path / "people.csv"
        file.write_text(f"{HEAD}\n{ALICE}\n")
        staged.take(CsvFile(file, DEMANDS))
        assert list(folder.iterdir()) == []
        assert staged.moves("e-1", "1002")
        assert not staged.moves("e-1", "1001")
        assert not staged.moves("e-9", "1001")
