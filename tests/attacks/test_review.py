"""Attacks on who reads the review: what an upstream names itself must not become page or markup."""

from __future__ import annotations

import importlib.util
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from idp_proxy.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
EXAMPLES = Path("docs") / "security" / "examples"
#: An entity ID is one printable word, and this is one.
EVIL = "https://standby.example.net/[/red]&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;{{7*7}}"
#: The name of an attribute, as an upstream may choose it, that gives rights.
ROLES = 'x-\\"><img/src=x>[bold]roles'


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """strong.toml, with a standby whose metadata was written for whoever reads of it."""
    root = tmp_path_factory.mktemp("evil")
    shutil.copytree(ROOT / EXAMPLES, root / EXAMPLES)
    place = ROOT / "certs.example" / "make_keys.py"
    specification = importlib.util.spec_from_file_location("make_keys", place)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    keys = root / "certs.example" / "generated"
    module.make(keys, datetime.now(UTC), 2048)
    standby = keys / "standby.xml"
    text = standby.read_text("ascii")
    standby.write_text(
        text.replace('entityID="https://standby.example.net/idp"', f'entityID="{EVIL}"')
    )
    config = root / EXAMPLES / "strong.toml"
    policy = config.read_text("utf-8").replace(
        'last_name = "urn:oid:2.5.4.4"', f'last_name = "urn:oid:2.5.4.4"\nroles = "{ROLES}"'
    )
    policy = policy.replace('lastname = "last_name"', 'lastname = "last_name"\nroles = "roles"')
    config.write_text(policy, "utf-8")
    return config


@pytest.fixture
def said(evil: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """The review in a form."""

    def review(form: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["--config", str(evil), "review", "--format", form])
        assert ended.value.code == 1  # the roles
        return capsys.readouterr().out

    return review


def test_the_page_that_is_signed_holds_it_as_text(said: Callable[[str], str]) -> None:
    page = said("html")
    assert "alert(1)" in page
    assert "<script" not in page
    assert "<img" not in page
    assert "{{7*7}}" in page
    assert "default-src 'none'" in page


def test_the_table_shows_it_and_takes_none_of_it_for_markup(said: Callable[[str], str]) -> None:
    assert "IDP-06" in said("table")


@pytest.mark.parametrize("form", ["json", "sarif"])
def test_a_program_reads_one_document(form: str, said: Callable[[str], str]) -> None:
    assert isinstance(json.loads(said(form)), dict)
