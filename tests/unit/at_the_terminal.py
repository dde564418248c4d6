"""The program as a person runs it, and somebody in front of it who signs in, types and waits."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from argon2.profiles import CHEAPEST
from pyotp import TOTP

from idp_proxy.cli import approving, main, terminal
from idp_proxy.operators.passwords import Passwords
from tests.unit.config_folder import private_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from idp_proxy.config import Settings
    from tests.unit.config_folder import Folder

PASSWORD = "correct horse battery"
STEP = timedelta(seconds=30)
#: The modules of the command line that read the clock.
_CLOCKS = (
    "approving",
    "cutover.applying",
    "cutover.leading_back",
    "cutover.looking",
    "cutover.recording",
    "factors",
    "hosts",
    "metadata",
    "operators",
    "overriding",
    "forgetting",
    "incident",
    "review.looking",
    "review.signing",
    "roster.admitting",
    "roster.checking",
    "roster.forecasting",
    "roster.lists",
    "roster.importing",
    "roster.people",
    "session",
    "signing_in",
    "standby_logins",
    "status",
)


class Program:
    """`idp-proxy` as a person runs it: arguments in; exit code, stdout and stderr out."""

    def __init__(self, folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.file = folder.path / "idp-proxy.toml"
        self._capsys = capsys
        self.code: int | str | None = None
        self.out = self.err = ""

    def write(self) -> None:
        self.file.write_text(self.folder.text)

    def make_store(self, content: bytes) -> None:
        (self.folder.path / "var").mkdir(mode=0o700)
        private_file(self.folder.path / "var" / "idp-proxy.db", content)

    def bare(self, *words: str) -> Program:
        with pytest.raises(SystemExit) as caught:
            main(words)
        self.code = caught.value.code
        captured = self._capsys.readouterr()
        self.out, self.err = captured.out, captured.err
        assert "Traceback" not in self.err
        return self

    def __call__(self, *words: str) -> Program:
        return self.bare(*words, "--config", str(self.file))

    def ok(self, *words: str) -> Program:
        self(*words)
        assert self.code == 0, self.err
        return self

    def status(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads(self.ok("status", "--json").out)
        return read

    @property
    def next(self) -> str:
        """The last line of what the person sees."""
        return (self.out or self.err).rstrip("\n").splitlines()[-1]


class Bench:
    """The program with somebody in front of it who types, a clock, and a countdown that is free."""

    def __init__(self, program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
        self.program = program
        self.now = datetime.now(UTC).replace(microsecond=0)
        self.uid = 1000
        self.secrets: dict[str, str] = {}
        self.typed: list[str] = []
        self.asked: list[str] = []
        self.paused = 0.0
        self.told: list[tuple[str, dict[str, str]]] = []
        self.during_pause: Callable[[], None] = lambda: None
        monkeypatch.setattr(terminal, "line", self._answer)
        monkeypatch.setattr(terminal, "secret", self._answer_unseen)
        monkeypatch.setattr(terminal, "pause", self._pause)
        monkeypatch.setattr(approving, "alarm", self._alarm)
        monkeypatch.setattr("os.getuid", lambda: self.uid)
        for module in _CLOCKS:
            monkeypatch.setattr(f"idp_proxy.cli.{module}.clock", lambda: self.now)
        for module in ("operators", "signing_in"):
            monkeypatch.setattr(f"idp_proxy.cli.{module}.Passwords", lambda: Passwords(CHEAPEST))

    def _answer(self, question: str) -> str:
        self.asked.append(question)
        answer = self.typed.pop(0)
        return self._shown_code() if answer == "CODE" else answer

    def _answer_unseen(self, question: str, *, twice: bool = False) -> str:
        self.asked.append(f"{question}{' (twice)' if twice else ''}")
        return self.typed.pop(0)

    def _shown_code(self) -> str:
        """The code of the secret that is on the screen now."""
        said = self.program._capsys.readouterr().err
        (uri,) = re.findall(r"otpauth://\S+", said)
        self.secrets[uri.rpartition(":")[2].partition("?")[0]] = uri
        return TOTP(re.findall(r"secret=(\w+)", uri)[0]).at(self.now)

    def _pause(self, seconds: float) -> None:
        self.paused += seconds
        self.during_pause()

    def _alarm(self, _settings: Settings, kind: str, key: str, facts: Any, *words: str) -> None:
        self.told.append((kind, facts | {"key": key, "next": " ".join(words)}))

    def code(self, name: str) -> str:
        """The next code of an operator's device; a step passes, as each counts once."""
        self.now += STEP
        secret = re.findall(r"secret=(\w+)", self.secrets[name])[0]
        return TOTP(secret).at(self.now)

    def __call__(self, *words: str, typed: tuple[str, ...] = ()) -> Program:
        self.typed, self.asked = list(typed), []
        done = self.program(*words)
        assert self.typed == []
        return done

    def signs_in(self, name: str) -> tuple[str, ...]:
        return PASSWORD, self.code(name)

    def add(self, name: str, *roles: str, by: str | None = None, more: tuple[str, ...] = ()) -> Any:
        """`operator add`; the new operator types first, then whoever wants them."""
        options = [word for role in roles for word in ("--role", role)]
        options += ["--as", by] if by else []
        after = self.signs_in(by) if by else ()
        return self("operator", "add", name, *options, *more, typed=(PASSWORD, "CODE", *after))

    def staff(self) -> None:
        """olga is an operator, anna and adam are approvers."""
        assert self.add("olga", "operator").code == 0
        for name, by in (("anna", "olga"), ("adam", "olga")):
            assert self.add(name, "approver", by=by, more=("--override", "set-up")).code == 0
        self.told.clear()
        self.paused = 0.0

    def listed(self) -> dict[str, dict[str, Any]]:
        read = json.loads(self("operator", "list", "--json").out)
        return {one["name"]: one for one in read["operators"]}

    def overrides(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self("override", "list", "--json").out)[
            "overrides"
        ]
        return found

    def audit(self) -> list[tuple[str, str]]:
        """Kind and actor of each row, after the chain was verified."""
        assert self("verify-audit").code == 0
        with closing(sqlite3.connect(self.program.folder.path / "var/idp-proxy.db")) as opened:
            rows = opened.execute("SELECT kind, body FROM audit_row ORDER BY seq").fetchall()
        return [(kind, json.loads(body)["actor"]) for kind, body in rows]
