"""The story: an outage from the first login to the last, each step with what must be true then."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx

from tests.support.browser import Browser, BrowserError
from tests.support.people import ALICE, CAROL
from tests.support.process_stage import ACTIVE, STANDBY, STATE_IS_KNOWN_S, rehearse
from tests.support.sight import Sight

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.browser import Page
    from tests.support.people import Person
    from tests.support.process_stage import Stage

#: What the demo sets, so that nobody waits ten minutes for the countdown.
HOLD_DOWN_S = 12
SETTINGS = f"""
[failover]
profile = "fast"
hold_down_s = {HOLD_DOWN_S}
dwell_s = {HOLD_DOWN_S}
"""
#: It starts at 1; the failover and the return add one each.
_EPOCH_AT_END = 3
#: Nobody watches a demo longer than this: then the failover, or the return, does not come.
_PATIENCE_S = 30.0


class StepFailed(Exception):
    """What should be true is not; the message says what was seen instead."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step: `play` gives the lines to show, or raises `StepFailed`."""

    title: str
    play: Callable[[], Iterator[str]]


@dataclass(frozen=True, slots=True)
class _Login:
    """What a login looked like from outside."""

    page: Page
    asked: str


@dataclass(slots=True)
class Story:
    """The steps on one stage; it remembers who Alice was at her first login."""

    stage: Stage
    _alice: dict[str, Any] = field(default_factory=dict, init=False)
    _killed_at: datetime = field(default_factory=lambda: datetime.now(UTC), init=False)
    _proposal: dict[str, Any] = field(default_factory=dict, init=False)

    def steps(self) -> tuple[Step, ...]:
        """Every step, in order."""
        return (
            Step("Alice logs in to Mattermost by the active", self._first_login),
            Step("The operator rehearses: does the login by the standby work?", self._rehearsal),
            Step("The active identity provider is killed", self._kill_active),
            Step("Nobody types anything: the proxy fails over by itself", self._failover),
            Step("Alice logs in by the standby, and is the same person", self._standby_login),
            Step("Carol, whom the active never described, is not let in", self._stranger),
            Step("The active returns; a login there proves that it works", self._active_returns),
            Step("It must stay up for a while before it is proposed", self._hold_down),
            Step("The operator confirms the return", self._confirm),
            Step("Alice logs in by the active again, the same person", self._last_login),
            Step("The audit is whole, and says who did what", self._audit),
        )

    def _first_login(self) -> Iterator[str]:
        login = self._log_in(ALICE, by=ACTIVE)
        account = self.stage.account("alice")
        _must(account is not None, "Mattermost has no account alice")
        self._alice = account or {}
        yield f"asked {login.asked}"
        yield _described(self._alice)

    def _rehearsal(self) -> Iterator[str]:
        yield "$ idp-proxy rehearse standby      (and the login behind its link)"
        yield f"the page says: {_heading(rehearse(self.stage, STANDBY))}"
        status = self.stage.status()
        _must(status["would_take_over"] == STANDBY, f"nobody would take over: {status}")
        yield f"if the active fails, {status['would_take_over']} takes over"

    def _kill_active(self) -> Iterator[str]:
        self.stage.idps[ACTIVE].kill()
        self._killed_at = datetime.now(UTC)
        try:
            httpx.get(self.stage.idps[ACTIVE].url, timeout=2, trust_env=False)
        except httpx.ConnectError:
            yield f"{self.stage.idps[ACTIVE].url} refuses connections"
        else:
            raise StepFailed("it still answers")

    def _failover(self) -> Iterator[str]:
        status = self._wait(lambda seen: seen["serving"] == STANDBY, "the proxy did not fail over")
        took = datetime.fromisoformat(status["since"]) - self._killed_at
        _must(status["actor"].startswith("watch:"), f"{status['actor']} switched")
        yield f"{took.total_seconds():.1f} s after its death: {STANDBY} serves new logins"
        yield f"by {status['actor']}, because {status['cause']}"
        time.sleep(STATE_IS_KNOWN_S)

    def _standby_login(self) -> Iterator[str]:
        login = self._log_in(ALICE, by=STANDBY)
        yield f"asked {login.asked}"
        yield from self._same_alice()

    def _stranger(self) -> Iterator[str]:
        login = self._visit(CAROL)
        _must(login.asked == self.stage.login_page(STANDBY), f"{login.asked} was asked")
        _must(login.page.status == httpx.codes.FORBIDDEN, f"the page has {login.page.status}")
        _must(self.stage.account("carol") is None, "Mattermost has an account carol")
        yield f"her page: {login.page.status} {login.page.title}"

    def _active_returns(self) -> Iterator[str]:
        active = self.stage.idps[ACTIVE]
        active.start()
        active.wait()
        yield f"{active.url} answers again"
        self._wait(lambda seen: seen["decision"]["rule"] == "failback_unproven", "it is not up")
        yield "$ idp-proxy failback test         (and the login behind its link)"
        page = rehearse(self.stage, ACTIVE, command=("failback", "test"))
        yield f"the page says: {_heading(page)}"

    def _hold_down(self) -> Iterator[str]:
        """The countdown as `status` has it. The demo's is short: `init` sets ten minutes."""
        yield f"here {HOLD_DOWN_S} s, set in [failover] for this demo; 10 min and 15 min by default"
        shown = ""
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            status = self.stage.status()
            _must(status["serving"] == STANDBY, "it returned without anybody's word")
            if status["proposals"]:
                self._proposal = status["proposals"][0]
                yield f"proposed: {self._proposal['act']} to {self._proposal['target']}"
                return
            line = _countdown(status["decision"])
            if line and line != shown:
                yield (shown := line)
            time.sleep(0.2)
        raise StepFailed(f"nothing is proposed: {status['decision']}")

    def _confirm(self) -> Iterator[str]:
        number = self._proposal["id"]
        yield f"$ idp-proxy switch confirm {number}"
        yield from _without_next(self.stage.proxy.command("switch", "confirm", number))
        status = self.stage.status()
        _must(status["serving"] == ACTIVE, f"{status['serving']} serves")
        _must(status["mode"] == "auto", f"the mode is {status['mode']}")
        time.sleep(STATE_IS_KNOWN_S)

    def _last_login(self) -> Iterator[str]:
        login = self._log_in(ALICE, by=ACTIVE)
        yield f"asked {login.asked}"
        yield from self._same_alice()
        url = f"{self.stage.proxy.public_url}/status?format=json"
        status = httpx.get(url, timeout=5, trust_env=False).json()
        _must(status["login"] == "works", f"/status says {status}")
        yield f"/status says: login {status['login']}"

    def _audit(self) -> Iterator[str]:
        verdict = self.stage.proxy.command("verify-audit")
        yield from _without_next(verdict)
        status = self.stage.status()
        _must(status["serving"] == ACTIVE, f"{status['serving']} serves")
        _must(status["epoch"] == _EPOCH_AT_END, f"the switch state has epoch {status['epoch']}")
        for switch in Sight.of(self.stage.proxy.configuration, self.stage.proxy.log).switches():
            yield f"{switch.origin} -> {switch.target} by {switch.actor}: {switch.cause}"

    def _wait(self, holds: Callable[[dict[str, Any]], bool], otherwise: str) -> dict[str, Any]:
        """The status, as soon as it is so."""
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            status = self.stage.status()
            if holds(status):
                return status
        raise StepFailed(f"{otherwise} within {_PATIENCE_S:.0f} s: {status['decision']}")

    def _log_in(self, person: Person, *, by: str) -> _Login:
        login = self._visit(person)
        wanted = f"Welcome {person.uid}"
        _must(login.page.title == wanted, f"{login.page.title!r}: {login.page.text}")
        _must(login.asked == self.stage.login_page(by), f"{login.asked} was asked, not the {by}")
        return login

    def _visit(self, person: Person) -> _Login:
        """A whole login on a new device, and which identity provider it was sent to."""
        with Browser() as browser:
            page = browser.login(self.stage.start_url, person.uid, person.password)
            pages = {self.stage.login_page(name) for name in (ACTIVE, STANDBY)}
            asked = {one for one in pages if any(url.startswith(one) for url in browser.history)}
        return _Login(page, ", ".join(sorted(asked)))

    def _same_alice(self) -> Iterator[str]:
        """Not one field of her account has changed, and there is no second account."""
        now = self.stage.account("alice")
        _must(now == self._alice, f"her account was {self._alice}, now {now}")
        _must(len(self.stage.accounts()) == 1, f"accounts: {json.dumps(self.stage.accounts())}")
        yield f"{_described(self._alice)}: unchanged"


#: What a step may meet when something does not work: told as its failure, not as a traceback.
EXPECTED = (StepFailed, BrowserError, httpx.HTTPError)


def _described(account: dict[str, Any]) -> str:
    return (
        f"Mattermost account {account['id']}, auth_data {account['auth_data']}, "
        f"{account['email']}, {account['username']}"
    )


def _must(held: bool, otherwise: str) -> None:
    if not held:
        raise StepFailed(otherwise)


def _heading(page: Page) -> str:
    return str(page.document.findtext(".//h1") or page.title)


def _countdown(decision: dict[str, Any]) -> str:
    """What the return still waits for, and for how long."""
    if decision["due_at"] is None:
        return ""
    left = (datetime.fromisoformat(decision["due_at"]) - datetime.now(UTC)).total_seconds()
    return f"{decision['rule']}: {max(0.0, left):.0f} s left"


def _without_next(output: str) -> Iterator[str]:
    return (line for line in output.splitlines() if line and not line.startswith("next:"))
