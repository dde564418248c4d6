"""People are told and named by their user names, whatever stands in them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from conversion.errors import ConfigError
from conversion.naming import ids_of, names_of
from tests.support.conversion_stage import Stage, inventory_row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path, people=3) as opened:
        yield opened


def test_names_come_from_the_inventory_and_an_id_without_one_stays(stage: Stage) -> None:
    one = stage.user("user000001")
    assert names_of(stage.ledger, [one.id, "x" * 26]) == {one.id: "user000001", "x" * 26: "x" * 26}
    assert names_of(stage.ledger, []) == {}


def test_a_name_commands_no_terminal(stage: Stage) -> None:
    row = replace(
        inventory_row(stage.user("user000001"), stage.now()), username="a\x1b[2J\nb\u202e"
    )
    stage.ledger.put_inventory([row], stage.now())
    assert names_of(stage.ledger, [row.user_id]) == {row.user_id: "a [2J b "}


def test_a_name_and_an_id_mean_the_same_person(stage: Stage) -> None:
    one = stage.user("user000001").id
    assert ids_of(stage.ledger, ["user000001", one], "--first") == {one}
    assert ids_of(stage.ledger, (), "--first") == frozenset()


def test_every_name_that_nobody_has_is_told(stage: Stage) -> None:
    with pytest.raises(ConfigError) as caught:
        ids_of(stage.ledger, ["user000001", "nob\x1bdy", "USER"], "--decide")
    assert caught.value.problems == (
        "--decide: nobody in the inventory has the user name or id 'USER'",
        "--decide: nobody in the inventory has the user name or id 'nob dy'",
    )


def test_who_came_since_the_last_prepare_is_known_by_the_campaign(stage: Stage) -> None:
    late = stage.server.add_saml("late").id
    with pytest.raises(ConfigError):
        ids_of(stage.ledger, [late], "--decide")
    stage.convert("late")
    assert ids_of(stage.ledger, [late], "--decide") == {late}
