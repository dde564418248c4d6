"""The story: an outage from the first login to the last, each step with what must be true then."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from tests.support.browser import Browser, BrowserError
from tests.support.people import ALICE, CAROL
from tests.support.process_stage import ACTIVE, STANDBY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.browser import Page
    from tests.support.people import Person
    from tests.support.process_stage import Stage

#: A worker may go on with the switch state it read up to a second ago.
_STATE_IS_KNOWN_S = 1.2
#: It starts at 1, and each of the two switches adds one.
_EPOCH_AT_END = 3


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

    def steps(self) -> tuple[Step, ...]:
        """Every step, in order."""
        return (
            Step("Alice logs in to Mattermost by the active", self._first_login),
            Step("The active identity provider is killed", self._kill_active),
            Step("Alice takes a new device: her login fails", self._login_fails),
            Step("The operator switches to the standby", self._switch_to_standby),
            Step("Alice logs in by the standby, and is the same person", self._standby_login),
            Step("Carol, whom the active never described, is not let in", self._stranger),
            Step("The active returns, and the operator switches back", self._switch_back),
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

    def _kill_active(self) -> Iterator[str]:
        self.stage.idps[ACTIVE].kill()
        try:
            httpx.get(self.stage.idps[ACTIVE].url, timeout=2, trust_env=False)
        except httpx.ConnectError:
            yield f"{self.stage.idps[ACTIVE].url} refuses connections"
        else:
            raise StepFailed("it still answers")

    def _login_fails(self) -> Iterator[str]:
        with Browser() as browser:
            try:
                page = browser.login(self.stage.start_url, ALICE.uid, ALICE.password)
            except httpx.ConnectError:
                yield f"the browser cannot reach {_origin(browser.history[-1])}"
                return
        raise StepFailed(f"a page came all the same: {page.title!r}")

    def _switch_to_standby(self) -> Iterator[str]:
        yield from self._switch(STANDBY, "demo: the active is down")

    def _standby_login(self) -> Iterator[str]:
        login = self._log_in(ALICE, by=STANDBY)
        yield f"asked {login.asked}"
        yield from self._same_alice()

    def _stranger(self) -> Iterator[str]:
        login = self._visit(CAROL)
        _must(login.asked == self.stage.idps[STANDBY].url, f"{login.asked} was asked")
        _must(login.page.status == httpx.codes.FORBIDDEN, f"the page has {login.page.status}")
        _must(self.stage.account("carol") is None, "Mattermost has an account carol")
        yield f"her page: {login.page.status} {login.page.title}"

    def _switch_back(self) -> Iterator[str]:
        active = self.stage.idps[ACTIVE]
        active.start()
        active.wait()
        yield f"{active.url} answers again"
        yield from self._switch(ACTIVE, "demo: the active is back")

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
        yield f"last switch by {status['actor']}: {status['cause']}"

    def _switch(self, name: str, reason: str) -> Iterator[str]:
        yield f'$ idp-proxy switch to {name} --reason "{reason}"'
        yield from _without_next(self.stage.proxy.command("switch", "to", name, "--reason", reason))
        time.sleep(_STATE_IS_KNOWN_S)

    def _log_in(self, person: Person, *, by: str) -> _Login:
        login = self._visit(person)
        wanted = f"Welcome {person.uid}"
        _must(login.page.title == wanted, f"{login.page.title!r}: {login.page.text}")
        _must(login.asked == self.stage.idps[by].url, f"{login.asked} was asked, not the {by}")
        return login

    def _visit(self, person: Person) -> _Login:
        """A whole login on a new device, and which identity provider it was sent to."""
        with Browser() as browser:
            page = browser.login(self.stage.start_url, person.uid, person.password)
            asked = {_origin(url) for url in browser.history}
        known = {idp.url for idp in self.stage.idps.values()}
        return _Login(page, ", ".join(sorted(asked & known)))

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


def _origin(url: str) -> str:
    return str(httpx.URL(url).copy_with(path="/", query=None)).rstrip("/")


def _without_next(output: str) -> Iterator[str]:
    return (line for line in output.splitlines() if line and not line.startswith("next:"))
