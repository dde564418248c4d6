"""Who plays: Mattermost's double as a process, `sso-conversion` as an operator runs it, people."""

from __future__ import annotations

import re
import secrets
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from tests.support.launch import Party

if TYPE_CHECKING:
    from collections.abc import Iterator

OPERATOR = "ops"
PEOPLE = 24
#: The command as `pip install` leaves it.
PROGRAM = Path(sys.executable).with_name("sso-conversion")

_CONFIGURATION = """
[mattermost]
url = "{url}"
token = "file:token"

[ledger]
url = "sqlite:///ledger/conversion.db"
mirror = "mirror/conversion.mirror"

[campaign]
operator_user = "{operator}"
converted_file = "converted"
converted_key = "file:converted.key"
settle_delay_s = 0.3
"""


@dataclass(frozen=True, slots=True)
class Said:
    """What a command printed, and its exit code: negative for a signal."""

    text: str
    code: int

    def found(self, pattern: str) -> str:
        """The first group of `pattern` in the text, or nothing."""
        match = re.search(pattern, self.text)
        return match.group(1) if match else ""


@dataclass(frozen=True, slots=True)
class Stage:
    """The running double and the operator's folder."""

    folder: Path
    url: str

    def run(self, *words: str) -> Said:
        """One command of the tool, to its end."""
        done = subprocess.run(
            self._argv(words),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        # Progress and the log are on stderr, and so is what was refused.
        text = done.stdout or done.stderr
        return Said(text.replace(f" --config {self._configuration}", ""), done.returncode)

    def kill_in_the_middle(self, *words: str, call: str, after: int) -> Said:
        """One command, killed when the server has seen so many calls of a kind."""
        with subprocess.Popen(
            self._argv(words),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            waiting = Retrying(
                stop=stop_after_delay(30), wait=wait_fixed(0.01), retry=retry_if_result(bool)
            )
            waiting(lambda: self.order(do="calls").get(call, 0) < after and process.poll() is None)
            process.send_signal(signal.SIGKILL)
            text, _ = process.communicate(timeout=10)
        return Said(text, process.returncode)

    def order(self, **order: Any) -> Any:
        """One order of the double's control: what happens on the server by itself."""
        answer = httpx.post(f"{self.url}/control", json=order, timeout=10, trust_env=False)
        answer.raise_for_status()
        return answer.json()

    def api(self, method: str, path: str, body: object, token: str = "") -> httpx.Response:
        """What a person's browser does."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"{self.url}/api/v4{path}"
        return httpx.request(method, url, json=body, headers=headers, timeout=10, trust_env=False)

    def people(self) -> dict[str, dict[str, Any]]:
        """Everybody's row in the server's database, by user name."""
        return {row["username"]: row for row in self.order(do="rows")["users"]}

    def saml_login(self, username: str, auth_data: str) -> str:
        """What comes of a login by SSO: nothing if it succeeded, else the server's error id."""
        email = f"{username}@corp.test"
        answer = self.order(do="saml_login", id=auth_data, email=email, username=username)
        return str(answer.get("refused", ""))

    def _argv(self, words: tuple[str, ...]) -> list[str]:
        return [str(PROGRAM), *words, "--config", str(self._configuration)]

    @property
    def _configuration(self) -> Path:
        return self.folder / "sso-conversion.toml"


_SINCE_S = 4 * 3600


@contextmanager
def set_up(folder: Path) -> Iterator[Stage]:
    """Mattermost with people on SSO, half of them with a session that outlives the outage."""
    options = ("--version=10.11", f"--people={PEOPLE}", f"--token-file={folder / 'token'}")
    party = Party("mattermost", "tests.support.mattermost_api", options, folder / "double.log")
    party.start()
    try:
        party.wait()
        stage = Stage(folder, party.url)
        _write(folder, party.url)
        # They logged in hours ago: since then nobody came in by SSO.
        stage.order(do="advance", seconds=-_SINCE_S)
        for number, row in enumerate(stage.people().values()):
            if row["auth_service"] and number % 2:
                stage.order(do="session", user_id=row["id"], is_saml=True, hours=200)
        stage.order(do="advance", seconds=_SINCE_S)
        stage.order(do="add_saml", username=OPERATOR)
        yield stage
    finally:
        party.kill()


def _write(folder: Path, url: str) -> None:
    text = _CONFIGURATION.format(url=url, operator=OPERATOR)
    (folder / "sso-conversion.toml").write_text(text, encoding="utf-8")
    key = folder / "converted.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(32))
