"""The story: an outage from the night before to the report, each step with what must be true."""

from __future__ import annotations

from dataclasses import dataclass, field
from signal import SIGKILL
from typing import TYPE_CHECKING, Any

from tests.support.conversion_demo.stage import OPERATOR
from tests.support.demo.story import Step, StepFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.conversion_demo.stage import Said, Stage

#: One who is locked out, and one who is not and whom another administrator moves by hand.
UTE, JAN = "user000005", "user000002"
_DONE, _REFUSED, _OPEN = 0, 1, 3
_OWN_PASSWORD = "Correct-Horse-7"


@dataclass(slots=True)
class Story:
    """The steps on one stage; it remembers how everybody was bound to SSO."""

    stage: Stage
    _before: dict[str, Any] = field(default_factory=dict, init=False)
    _plan: str = field(default="", init=False)
    _names: frozenset[str] = field(default=frozenset(), init=False)
    _pilot: str = field(default="", init=False)

    def steps(self) -> tuple[Step, ...]:
        """Every step, in order."""
        return (
            Step("The night before: cron learns everybody's way back", self._prepare),
            Step("SSO is down. Ute is locked out", self._outage),
            Step("What is true, and what next", self._now),
            Step("A plan for all who are locked out: the tool objects", self._objection),
            Step("The operator answers for it", self._make_plan),
            Step("Half-way through, the operator's machine dies", self._crash),
            Step("The same command again: it asks the server, and goes on", self._convert),
            Step("Ute sets a password by mail and works; SSO would not let her in", self._work),
            Step("Another administrator moves Jan by hand; the tool takes it up", self._by_hand),
            Step("Return without proof that SSO works is refused", self._no_proof),
            Step("SSO is back: the operator logs in, and a pilot returns", self._pilot_returns),
            Step("One of the pilot logs in by SSO; everybody else follows", self._everybody),
            Step("Nobody is left: every binding is what it was, to the byte", self._nobody_left),
            Step("The report", self._report),
        )

    def _prepare(self) -> Iterator[str]:
        people = self.stage.people()
        self._before = {name: row["auth_data"] for name, row in people.items()}
        yield from self._told(self.stage.run("prepare"), _DONE)

    def _outage(self) -> Iterator[str]:
        yield self._password_login("any guess", must_work=False)

    def _now(self) -> Iterator[str]:
        said = self.stage.run("now")
        _must("next: sso-conversion plan --locked-out" in said.text, said.text)
        yield from self._told(said)

    def _objection(self) -> Iterator[str]:
        words = ("plan", "--locked-out", "--at-most", "20", "--exclude", OPERATOR)
        yield from self._told(self.stage.run(*words), _REFUSED)

    def _make_plan(self) -> Iterator[str]:
        words = ("plan", "--locked-out", "--at-most", "20", "--exclude", OPERATOR)
        said = self.stage.run(*words, "--accept", "too_many")
        self._plan = said.found(r"plan ([0-9a-f]{64})")
        self._names = frozenset(said.found(r"moves \d+ people: (.*)").split(", "))
        yield from self._told(said, _DONE)

    def _crash(self) -> Iterator[str]:
        slow = {"per_second": 20, "burst": 12}
        self.stage.order(do="trouble", rate_limit=slow)
        said = self.stage.kill_in_the_middle(
            "convert", "--plan", self._plan, "--yes", call="PUT password", after=4
        )
        self.stage.order(do="trouble", rate_limit=None)
        _must(said.code == -SIGKILL, f"the command ended by itself, with {said.code}")
        moved = sum(not row["auth_service"] for row in self._planned())
        yield f"killed by SIGKILL when {moved} of {len(self._planned())} people were moved"

    def _convert(self) -> Iterator[str]:
        yield from self._told(self.stage.run("convert", "--plan", self._plan, "--yes"), _DONE)
        _must(not any(row["auth_service"] for row in self._planned()), "somebody is still on SSO")

    def _work(self) -> Iterator[str]:
        email = f"{UTE}@corp.test"
        self.stage.api("POST", "/users/password/reset/send", {"email": email})
        mails = self.stage.order(do="outbox")["mails"]
        token = next((mail["token"] for mail in mails if mail["to"] == email), "")
        _must(token, "no mail with a link to set a password was sent")
        body = {"token": token, "new_password": _OWN_PASSWORD}
        self.stage.api("POST", "/users/password/reset", body)
        yield self._password_login(_OWN_PASSWORD, must_work=True)
        refused = self.stage.saml_login(UTE, self._before[UTE])
        _must(refused, "SSO let a converted person in")
        yield f"by SSO: {refused}"

    def _by_hand(self) -> Iterator[str]:
        row = self.stage.people()[JAN]
        self.stage.order(do="change", user_id=row["id"], auth_service="", auth_data=None)
        yield from self._told(self.stage.run("reconcile"), _OPEN)

    def _no_proof(self) -> Iterator[str]:
        yield from self._told(self.stage.run("return"), _REFUSED)

    def _pilot_returns(self) -> Iterator[str]:
        refused = self.stage.saml_login(OPERATOR, self._before[OPERATOR])
        _must(not refused, f"the operator's own login failed: {refused}")
        said = self.stage.run("return", "--pilot", "3")
        self._pilot = said.found(r"log in by SSO: (\w+)")
        yield from self._told(said, _OPEN)

    def _everybody(self) -> Iterator[str]:
        name = self._pilot
        _must(name in self._before, "nobody of the pilot was named")
        refused = self.stage.saml_login(name, self._before[name])
        _must(not refused, f"{name} could not log in by SSO: {refused}")
        yield f"{name} is in, by SSO"
        yield from self._told(self.stage.run("return"), _DONE)

    def _nobody_left(self) -> Iterator[str]:
        now = {name: row["auth_data"] for name, row in self.stage.people().items()}
        wrong = sorted(name for name, value in self._before.items() if now.get(name) != value)
        _must(not wrong, f"not as before: {', '.join(wrong)}")
        yield f"{len(self._before)} accounts compared, 0 differ"
        yield self._password_login(_OWN_PASSWORD, must_work=False)

    def _report(self) -> Iterator[str]:
        yield from self._told(self.stage.run("report"), _DONE)

    def _planned(self) -> list[dict[str, Any]]:
        """The people of the plan, as the server has them."""
        return [row for name, row in self.stage.people().items() if name in self._names]

    def _password_login(self, password: str, *, must_work: bool) -> str:
        body = {"login_id": f"{UTE}@corp.test", "password": password}
        answer = self.stage.api("POST", "/users/login", body)
        _must(answer.is_success == must_work, f"Ute's login by password: {answer.status_code}")
        return f"Ute's login by password: {answer.status_code}"

    def _told(self, said: Said, code: int | None = None) -> Iterator[str]:
        """What a command said, with the exit code that it had to have."""
        _must(code is None or said.code == code, f"exit code {said.code}: {said.text}")
        yield from (line for line in said.text.splitlines() if line.strip())
        yield f"(exit code {said.code})"


def _must(so: object, otherwise: str) -> None:
    if not so:
        raise StepFailed(otherwise)
