"""Local mode's socket, the emergency door: what works without a token, and what says so."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from conversion.errors import ProofMissing
from conversion.homecoming import Orders, return_people
from conversion.mattermost import Access, Mattermost, by_local_mode
from tests.support.conversion_stage import Stage
from tests.unit.conversion_night import Night, night_of, planned
from tests.unit.test_conversion_mattermost_calls import on_socket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def door(folder: Path, capsys: pytest.CaptureFixture[str], version: str) -> Iterator[Night]:
    """A night in which nobody has a token: the configuration names the socket alone."""
    with night_of(folder, capsys, version) as night, on_socket(night.server, folder / "s"):
        config = folder / "c.toml"
        lines = config.read_text().splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith(('url = "http', "token = "))]
        config.write_text("".join(kept).replace("[mattermost]", '[mattermost]\nlocal_socket = "s"'))
        night.server.revoke_tokens(night.server.admin.id)
        yield night


@pytest.mark.parametrize("version", ["10.11", "11.0", "11.10"])
def test_people_are_moved_through_the_socket_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], version: str
) -> None:
    with door(tmp_path, capsys, version) as night:
        assert night.run("prepare") == 0, night.err
        assert night.run("preflight") == 0, night.out
        assert ("token.local_no_return" in night.out) == (version == "10.11")
        assert "unknown." not in night.out
        assert night.run("now") == 0
        assert "token:      good" in night.out
        assert "locked out: not looked at" in night.out
        digest = planned(night, "--user", "user000001", "--user", "user000002")
        assert night.run("convert", "--plan", digest, "--yes") == 0, night.err
        assert night.on_saml() == 8
        assert night.run("verify") == 3


def test_who_is_locked_out_is_not_guessed_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with door(tmp_path, capsys, "11.0") as night:
        night.run("prepare")
        assert night.run("plan", "--locked-out", "--at-most", "5") == 1
        assert "local mode shows no sessions" in night.err
        assert night.run("plan", "--group", "oncall", "--at-most", "5") == 1
        assert "unknown_group" in night.err


@pytest.mark.parametrize(
    ("version", "said"),
    [("10.11", "restores no binding"), ("11.0", "local mode shows no sessions")],
)
def test_a_return_that_cannot_be_done_or_proven_there_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], version: str, said: str
) -> None:
    with door(tmp_path, capsys, version) as night:
        night.run("prepare")
        digest = planned(night, "--user", "user000001")
        assert night.run("convert", "--plan", digest, "--yes") == 0
        assert night.run("return") == 1
        assert said in night.err
        assert night.on_saml() == 9
        assert night.json("status")["campaign"]["states"]["converted"] == 1


@pytest.mark.parametrize("version", ["11.0", "11.10"])
def test_by_the_proxys_word_everybody_comes_back_through_the_socket(
    tmp_path: Path, version: str
) -> None:
    with Stage(tmp_path, version=version) as stage, on_socket(stage.server, tmp_path / "s"):
        stage.convert("user000001", "user000002")
        late = stage.server.give_session(stage.user("user000001").id)
        with Mattermost(Access("", local_socket=tmp_path / "s"), sleep=stage.sleep) as client:
            local = by_local_mode(stage.bulk.capabilities)
            bulk = replace(stage.bulk, server=client, capabilities=local)
            with pytest.raises(ProofMissing, match="local mode shows no sessions"):
                return_people(bulk, Orders(operator="operator"))
            # The pilot goes ahead; whether one of them is in, somebody else must see.
            orders = Orders(proxy_works=True, pilot=1)
            with pytest.raises(ProofMissing, match="the pilot is back"):
                return_people(bulk, orders)
            told = return_people(bulk, replace(orders, no_wait_reason="I saw ada log in"))
        assert told.closed
        assert stage.bindings() == stage.before
        ended = stage.server.session_by(late.token) is None
        assert ended == (version == "11.10")
        assert any("logins by password go on" in one.says for one in told.remarks) != ended
