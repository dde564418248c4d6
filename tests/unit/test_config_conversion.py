"""How `sso-conversion` would move people, read from its file: the two programs agree."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from conversion.config import shape
from idp_proxy.adapters import open_upstreams
from idp_proxy.config import conversion
from idp_proxy.decision.review import ConversionSeen, judge
from idp_proxy.reviewing.gathering import gather
from tests.unit.config_folder import NOW

if TYPE_CHECKING:
    from pydantic import BaseModel

    from idp_proxy.decision.review import Review
    from tests.unit.config_folder import Folder

WHOLE = """
[mattermost]
url = "https://chat.example.org"
token = "file:token"
concurrency = 4

[ledger]
url = "sqlite:///ledger/conversion.db"
mirror = "/other/disk/mirror.jsonl"
backup_key = "file:backup.key"

[campaign]
operator_user = "olga"
proxy_status_url = "https://sso.example.org/status"
converted_file = "/run/shared/converted"
error_budget_percent = 4.0
at_most_percent = 10.0
pilot = 3
remind_h = 8.0
deadline_h = 48.0

[notify]
urls = ["file:pager"]

[operators]
url = "file:store.url"
state_keys = ["file:state.key"]

[audit]
checkpoint_file = "/far/checkpoints"
checkpoint_key = "file:audit.key"
"""


def named(folder: Folder, text: str | None) -> Folder:
    if text is not None:
        (folder.path / "conversion.toml").write_text(text)
    folder.text += '\n[review]\nconversion_config = "conversion.toml"\n'
    return folder


def reviewed(folder: Folder) -> Review:
    settings = folder.read()
    return judge(gather(settings, open_upstreams(settings), NOW))


def found(folder: Folder) -> set[str]:
    return {one.check for one in reviewed(folder).findings if one.rule.startswith("CNV")}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (conversion.MattermostPart, shape.MattermostTable),
        (conversion.LedgerPart, shape.LedgerTable),
        (conversion.CampaignPart, shape.CampaignTable),
        (conversion.NotifyPart, shape.NotifyTable),
        (conversion.OperatorsPart, shape.OperatorsTable),
        (conversion.AuditPart, shape.AuditTable),
    ],
)
def test_what_is_read_here_is_what_that_program_reads(
    ours: type[BaseModel], theirs: type[BaseModel]
) -> None:
    default = theirs()
    assert ours.model_fields
    for name, value in ours():
        assert getattr(default, name) == value, name


def test_the_whole_file_is_told_in_the_words_of_a_reviewer(folder: Folder) -> None:
    settings = named(folder, WHOLE).read()
    assert settings.conversion == ConversionSeen(
        file="conversion.toml",
        proofs=("an operator's own login", "the proxy's status"),
        lists_converted="converted",
        pilot=3,
        at_most_percent=10.0,
        error_budget_percent=4.0,
        remind_after=timedelta(hours=8),
        deadline=timedelta(hours=48),
    )
    assert settings.conversion_token == folder.path / "token"


def test_where_nothing_is_named_nothing_is_said(folder: Folder) -> None:
    assert folder.read().conversion is None
    assert found(folder) == set()


def test_a_bare_file_lacks_what_a_way_back_needs(folder: Folder) -> None:
    bare = '[mattermost]\nlocal_socket = "/run/mattermost.sock"\n[ledger]\nmirror = "mirror"\n'
    assert found(named(folder, bare)) == {
        "cnv_01_ledger",
        "cnv_01_way_back",
        "cnv_01_deadline",
        "cnv_02_operators",
    }
    assert folder.read().conversion_token is None


def test_a_token_that_others_may_read_is_found_and_stops_no_start(folder: Folder) -> None:
    named(folder, WHOLE)
    token = folder.path / "token"
    token.touch(mode=0o600)
    assert "cnv_01_token" not in found(folder)
    os.chown(token, 65534, 65534)
    assert "cnv_01_token" not in found(folder), "another user runs the conversion"
    token.chmod(0o644)
    assert "cnv_01_token" in found(folder)
    assert not any(one.stops_start for one in reviewed(folder).findings)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file"),
        ("[campaign\n", "is no TOML"),
        ("\udcff", "is no TOML"),
        ("#" * (1024 * 1024 + 1), "is no TOML"),
        ("[campaign]\npilot = 'five'\n", "campaign.pilot"),
        ("[campaign]\ndeadline_h = 1e300\n", "campaign.deadline_h"),
        ("[campaign]\ndeadline_h = nan\n", "campaign.deadline_h"),
        ("campaign = 3\n", "campaign"),
    ],
)
def test_what_is_wrong_with_it_is_a_finding_and_no_problem_of_the_proxys(
    folder: Folder, text: str | None, said: str
) -> None:
    if text == "\udcff":
        (folder.path / "conversion.toml").write_bytes(b"\xff")
        text = None
    settings = named(folder, text).read()
    assert settings.conversion is not None
    assert said in settings.conversion.problem
    assert found(folder) == {"cnv_01_known"}


def test_a_list_of_who_was_moved_that_only_one_side_has_is_found(folder: Folder) -> None:
    assert "cnv_01_listed" in found(named(folder, WHOLE))
