"""A night with people on SSO, a server and the program: what the tests of its commands share."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from conversion.cli import main
from tests.support.launch import in_thread
from tests.support.mattermost_api import MattermostServer, app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRETS = ("nameid-", "$2a$")


@dataclass
class Night:
    """A server with ten people on SSO, the operator's own account among them, and a terminal."""

    folder: Path
    server: MattermostServer
    capsys: pytest.CaptureFixture[str]
    out: str = ""
    err: str = ""

    def run(self, *words: str) -> int:
        """One command; gives its exit code. Nothing it says may hold a secret."""
        with pytest.raises(SystemExit) as ended:
            main(["--config", str(self.folder / "c.toml"), *words])
        self.out, self.err = self.capsys.readouterr()
        for secret in (*SECRETS, self.server.admin_token):
            assert secret not in self.out + self.err
        return int(ended.value.code or 0)

    def json(self, *words: str) -> Any:
        self.run(*words, "--json")
        return json.loads(self.out)

    def next(self) -> list[str]:
        """The words of the `next:` line, without program and configuration."""
        last = (self.out + self.err).strip().splitlines()
        (line,) = [one for one in last if one.startswith("next: ")]
        return line.removeprefix("next: sso-conversion ").split()[2:]

    def person(self, number: int) -> str:
        return f"p{number:025d}"

    def on_saml(self) -> int:
        return sum(one.auth_service == "saml" for one in self.server.users.values())


CONFIG = """
[mattermost]
url = "{url}"
token = "file:token"
concurrency = 4
[ledger]
url = "sqlite:///ledger/c.db"
mirror = "mirror/c.jsonl"
host = "ops-1"
backup_key = "file:backup.key"
[campaign]
operator_user = "olga"
converted_file = "converted.txt"
converted_key = "file:converted.key"
settle_delay_s = 0.0
at_most_percent = 100
pilot = 2
"""


@contextmanager
def night_of(
    folder: Path, capsys: pytest.CaptureFixture[str], version: str = "10.11"
) -> Iterator[Night]:
    server = MattermostServer(version)
    server.add_saml("olga", id="o" * 26)
    server.people(9)
    for name, content in (
        ("token", server.admin_token.encode()),
        ("converted.key", bytes(range(32))),
        ("backup.key", bytes(range(32, 64))),
    ):
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    with in_thread(app(server)) as url:
        (folder / "c.toml").write_text(CONFIG.format(url=url))
        (folder / "c.toml").chmod(0o600)
        try:
            yield Night(folder, server, capsys)
        finally:
            structlog.reset_defaults()


@pytest.fixture
def night(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Night]:
    with night_of(tmp_path, capsys) as it:
        yield it


def planned(night: Night, *who: str, at_most: int = 10) -> str:
    assert night.run("plan", *who, "--at-most", str(at_most)) == 0, night.err
    return night.out.split()[1]


def convert(night: Night, *who: str) -> None:
    digest = planned(night, *who)
    assert night.run("convert", "--plan", digest, "--yes") == 0, night.out + night.err
