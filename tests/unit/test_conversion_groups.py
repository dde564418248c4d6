"""Plans of a team, a group or a role: the envelope bounds who may be named, now and later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversion.campaign import convert
from conversion.decision.lifecycle import RowState
from conversion.decision.scope import Part, Scope, scope_of
from conversion.errors import NotFound, PlanUnsafe
from conversion.stored_plan import stored_plan
from tests.support.conversion_stage import Stage
from tests.support.mattermost_api import Fault, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path) as opened:
        yield opened


def group(stage: Stage, name: str, *members: str, kind: str = "teams") -> str:
    """A team or a group of the server; gives its id."""
    group_id = stage.server.new_id()
    stage.server.names[group_id] = name
    getattr(stage.server, kind)[group_id] = {stage.user(one).id for one in members}
    return group_id


def names(stage: Stage, digest: str) -> dict[str, frozenset[str]]:
    return {one.username: one.groups for one in stored_plan(stage.ledger, digest).people()}


@given(st.sampled_from(Part), st.text(min_size=1))
def test_a_scope_is_read_back_from_its_text(part: Part, name: str) -> None:
    assert scope_of(str(Scope(part, name))) == Scope(part, name)


@pytest.mark.parametrize("text", ["", "ops", "team:", "channel:ops", ":ops", "TEAM:ops"])
def test_what_is_no_scope_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no scope"):
        scope_of(text)


@pytest.mark.parametrize("kind", ["teams", "groups"])
def test_a_crowd_is_a_crowd_of_the_groups_that_the_envelope_names(stage: Stage, kind: str) -> None:
    group(stage, "night-ops", "user000001", "user000002", kind=kind)
    group(stage, "others", "user000003", kind=kind)
    scope = f"{kind[:-1]}:night-ops"
    assert names(stage, stage.plan(groups=frozenset({scope}))) == {
        "user000001": {scope},
        "user000002": {scope},
    }


def test_a_group_of_many_pages_is_read_to_its_end(tmp_path: Path) -> None:
    with Stage(tmp_path, people=450) as stage:
        everybody = [f"user{number:06d}" for number in range(1, 451)]
        everybody = [one for one in everybody if stage.server.users.find("username", one)]
        group(stage, "all", *everybody, kind="groups")
        group(stage, "all", *everybody)
        for scope in (Scope(Part.GROUP, "all"), Scope(Part.TEAM, "all")):
            assert len(stage.client.members(scope)) == len(everybody) > 400


def test_a_role_is_read_from_the_accounts(stage: Stage) -> None:
    stage.server.change(stage.user("user000004").id, roles="system_user system_manager")
    found = names(stage, stage.plan(groups=frozenset({"role:system_manager"})))
    assert found == {"user000004": {"role:system_manager"}}


def test_somebody_named_from_outside_the_groups_is_refused(stage: Stage) -> None:
    group(stage, "ops", "user000001")
    with pytest.raises(PlanUnsafe) as refused:
        stage.plan("user000001", "user000002", groups=frozenset({"team:ops"}))
    assert refused.value.objections == ("in no group of the envelope: user000002",)


def test_a_later_plan_of_the_campaign_is_held_to_its_groups_and_may_name_people(
    stage: Stage,
) -> None:
    team = group(stage, "ops", "user000001", "user000002")
    convert(stage.bulk, stage.plan("user000001", groups=frozenset({"team:ops"})))
    # The second plan names no group of its own; the campaign's are looked up all the same.
    convert(stage.bulk, stage.plan("user000002"))
    assert stage.states()[RowState.CONVERTED] == 2
    stranger = stage.plan("user000003")
    with pytest.raises(PlanUnsafe, match="in no group of the envelope: user000003"):
        convert(stage.bulk, stranger)
    stage.server.teams[team].add(stage.user("user000003").id)
    convert(stage.bulk, stage.plan("user000003"))
    assert stage.states()[RowState.CONVERTED] == 3


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        ("team:nobody", "no team is called 'nobody'"),
        ("team:../users", "no team is called '../users'"),
        ("team:Ops Team", "the one in its address"),
        ("group:nobody", "no group is called 'nobody'"),
        ("group:twice", "2 groups are called 'twice': name one by its id"),
    ],
)
def test_a_group_that_cannot_be_told_is_refused_with_its_name(
    stage: Stage, scope: str, said: str
) -> None:
    for _ in range(2):
        group(stage, "twice", kind="groups")
    with pytest.raises(PlanUnsafe) as refused:
        stage.plan(groups=frozenset({scope}))
    assert refused.value.objections[0].startswith(f"unknown_group: {scope}: ")
    assert said in str(refused.value)


def test_a_group_may_be_named_by_its_id(stage: Stage) -> None:
    group_id = group(stage, "twice", "user000001", kind="groups")
    group(stage, "twice", "user000002", kind="groups")
    assert list(names(stage, stage.plan(groups=frozenset({f"group:{group_id}"})))) == ["user000001"]


def test_a_server_without_a_licence_has_no_groups_and_nobody_is_moved(stage: Stage) -> None:
    stage.server.licensed = False
    with pytest.raises(PlanUnsafe, match="license_error"):
        stage.plan(groups=frozenset({"group:ops"}))


def test_a_server_that_does_not_know_groups_does_not_list_everybody(stage: Stage) -> None:
    """An unknown parameter would be ignored, and everybody listed; an unknown route is refused."""
    group_id = group(stage, "ops", "user000001", kind="groups")
    stage.server.trouble.faults.append(Fault(Kind.UNAVAILABLE, "GET", "/members$", times=10_000))
    with pytest.raises(Exception, match="members"):
        stage.client.members(Scope(Part.GROUP, group_id))


def test_a_team_of_nobody_is_a_plan_of_nobody(stage: Stage) -> None:
    group(stage, "empty")
    with pytest.raises(PlanUnsafe, match="the plan names nobody"):
        stage.plan(groups=frozenset({"team:empty"}))


def test_a_missing_team_is_not_found(stage: Stage) -> None:
    with pytest.raises(NotFound, match="no team"):
        stage.client.members(Scope(Part.TEAM, "gone"))
