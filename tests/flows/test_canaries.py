"""Canaries beside people: nobody logs in as one, and a canary's answer is of use to nobody."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, cast

import httpx
import pytest

from idp_proxy import errors
from idp_proxy.adapters import open_canaries
from idp_proxy.decision.health import Outcome
from idp_proxy.decision.roster import RosterRow
from idp_proxy.upstream.canary import Answer, Canary
from idp_proxy.upstream.canary_form import FormDriver
from tests.flows.configuration import PUBLIC, Wanted, provider
from tests.flows.stage import Stage, assertion_id, demand_refusal
from tests.flows.stores import Outage
from tests.support import identity_provider as idp
from tests.support.keys import rsa_pair
from tests.support.people import ALICE, CAROL, MAIL, UID

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from idp_proxy.upstream.canary import Driver, Progress, Question
    from idp_proxy.upstream.dialling import Dialler
    from idp_proxy.upstream.probing import Probed
    from tests.flows.conftest import Builder
    from tests.support.people import Person

SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", CAROL.password)


def wanted(subject: str = CAROL.employee_number, at: str = "active") -> Wanted:
    """Two upstreams, carol the canary of the one `at`."""
    lines = (
        '[[upstream.canary]]\nname = "staff"\nusername = "carol"\npassword = "env:CANARY"\n'
        f'subject = "{subject}"\n'
    )
    return Wanted(upstreams={name: lines if name == at else "" for name in ("active", "standby")})


# --- nobody logs in as one -----------------------------------------------------------------------


def refused(stage: Stage, person: Person) -> None:
    """`person` is turned away, on record, with the answer used up, and not in the roster."""
    begun = stage.begin()
    message = stage.answer(begun, person)
    page = demand_refusal(stage.post(begun, message), errors.CanaryAccount)
    assert person.employee_number not in page
    assert stage.on_record()[-1] == "canary_account"
    assert stage.audit_rows("login_refused")[-1].content["person"] is None
    assert stage.used(begun, assertion_id(message)) == [True, True, True]
    assert stage.store.person(person.employee_number) is None
    demand_refusal(stage.post(begun, message), errors.ReplayDetected)


@pytest.mark.parametrize("at", ["active", "standby"])
@pytest.mark.parametrize("by", ["active", "standby"])
def test_a_canary_is_nobody_wherever_it_is_configured(set_up: Builder, at: str, by: str) -> None:
    stage = set_up(wanted(at=at))
    stage.log_in(ALICE)
    if by == "standby":
        stage.switch("standby")
    refused(stage, CAROL)
    assert stage.log_in(ALICE).profile.id == ALICE.employee_number


@pytest.mark.parametrize("spelling", ["E-1003", "e-1003"])
@pytest.mark.parametrize("by", ["active", "standby"])
def test_no_other_case_gets_past(set_up: Builder, spelling: str, by: str) -> None:
    stage = set_up(wanted(subject="E-1003"))
    if by == "standby":
        stage.switch("standby")
    refused(stage, replace(CAROL, employee_number=spelling))


@pytest.mark.parametrize(
    "spelling",
    ["e-1003 ", "ｅ-1003", "e-1003\u200b", "e-100\u00b3", "e\u00ad-1003"],  # noqa: RUF001
)
def test_other_spellings_never_verify(set_up: Builder, spelling: str) -> None:
    stage = set_up(wanted())
    begun = stage.begin()
    page = stage.post(begun, stage.answer(begun, replace(CAROL, employee_number=spelling)))
    assert page.status_code == 403
    assert stage.nothing_happened()


def test_a_link_key_in_another_unicode_form_is_the_same(set_up: Builder) -> None:
    """Casefolding opens more than case: the sharp s is two letters to a look-up."""
    stage = set_up(wanted(subject="straße-1"))
    refused(stage, replace(CAROL, employee_number="STRASSE-1"))


@pytest.mark.parametrize(
    "person",
    [
        replace(CAROL, employee_number="e-7777"),
        replace(CAROL, mail="carol.neu@example.org", employee_number="Carol@Example.org"),
    ],
    ids=["link key", "id"],
)
def test_either_of_link_key_and_id_is_enough(set_up: Builder, person: Person) -> None:
    mapped = replace(wanted(CAROL.mail), link_keys={"active": MAIL, "standby": MAIL})
    refused(set_up(mapped), person)


def test_who_was_in_the_roster_before_is_found_there(set_up: Builder) -> None:
    """A standby names her by a link key that the configuration does not have."""
    links = {"active": UID, "standby": UID}
    stage = set_up(replace(wanted(CAROL.employee_number), link_keys=links))
    row = RosterRow(
        id=CAROL.employee_number,
        link_key=CAROL.uid,
        lookup_key=CAROL.uid,
        email=CAROL.mail,
        username=CAROL.uid,
        attributes={"id": CAROL.employee_number, "email": CAROL.mail, "username": CAROL.uid},
        source="active",
        confirmed_at=stage.clock.now(),
    )
    with stage.store.transaction() as transaction:
        transaction.save_person(row)
    stage.switch("standby")
    begun = stage.begin()
    page = stage.post(begun, stage.answer(begun, CAROL))
    demand_refusal(page, errors.CanaryAccount)


@pytest.mark.parametrize("by", ["active", "standby"])
def test_nor_while_the_store_is_away(set_up: Builder, tmp_path: Path, by: str) -> None:
    outage = Outage(tmp_path)
    stage = set_up(wanted(), spool=outage)
    stage.log_in(ALICE)
    if by == "standby":
        stage.switch("standby")
    begun = stage.begin()
    outage.way.away = True
    demand_refusal(stage.post(begun, stage.answer(begun, CAROL)), errors.CanaryAccount)
    outage.way.away = False
    outage.local.merge(outage.way)
    assert sorted(stage.on_record()) == ["canary_account", "login"]
    assert stage.store.person(CAROL.employee_number) is None
    outage.local.close()


# --- a canary's own login ------------------------------------------------------------------------


@dataclass(slots=True)
class Watched:
    """A driver that keeps what another one brought."""

    driver: Driver
    brought: list[tuple[Question, Answer]] = field(default_factory=list)

    async def drive(self, question: Question, progress: Progress) -> Answer:
        """See `canary.Driver`."""
        answer = await self.driver.drive(question, progress)
        self.brought.append((question, answer))
        return answer


@dataclass(frozen=True, slots=True)
class Wired:
    """A dialler whose clients reach the applications of the stage."""

    stage: Stage

    def client(self, _timeout: timedelta, _connect: timedelta) -> httpx.AsyncClient:
        """See `dialling.Dialler`."""
        return httpx.AsyncClient(
            mounts={
                f"all://{name}": httpx.ASGITransport(app)
                for name, app in self.stage.wire.apps.items()
                if name.endswith(".example.com")
            }
        )


def canary_of(stage: Stage) -> tuple[Canary, Watched]:
    (opened,) = open_canaries(stage.settings, stage.upstreams)
    assert isinstance(opened, Canary)
    dialler = cast("Dialler", Wired(stage))
    driver = Watched(FormDriver(opened.settings, dialler, SECOND, SECOND))
    return replace(opened, driver=driver), driver


def run(stage: Stage, canary: Canary) -> Probed:
    return asyncio.run(canary.log_in(stage.clock.now()))


@pytest.mark.parametrize("at", ["active", "standby"])
def test_a_canary_logs_in_whoever_serves_and_leaves_no_trace(set_up: Builder, at: str) -> None:
    stage = set_up(wanted(at=at))
    canary, _ = canary_of(stage)
    assert run(stage, canary).outcome is Outcome.PASSED
    assert run(stage, canary).outcome is Outcome.PASSED
    assert stage.nothing_happened()
    assert stage.store.proofs() == {}


def test_an_answer_about_somebody_else_proves_nothing(set_up: Builder) -> None:
    stage = set_up(wanted(subject="e-9999"))
    seen = run(stage, canary_of(stage)[0])
    assert seen.outcome is Outcome.REFUSED
    assert "somebody else" in seen.reason
    assert CAROL.employee_number not in seen.reason


@dataclass(frozen=True, slots=True)
class Brings:
    """A driver without pages: it brings what `make` makes of the question."""

    make: Callable[[Question], Answer]

    async def drive(self, question: Question, _progress: Progress) -> Answer:
        """See `canary.Driver`."""
        return self.make(question)


def rolled(question: Question) -> Answer:
    """What a provider says with a key that nobody approved."""
    by = replace(provider("active"), keys=rsa_pair("rolled"))
    us = f"{PUBLIC}/upstream/active/metadata"
    asked = idp.Question(question.request_id, us, question.acs_url)
    message = idp.issue(by, asked, CAROL, now=question.now())
    return Answer(question.acs_url, message, question.relay_state)


def test_a_key_that_nobody_approved_breaks_it_as_it_breaks_everybody(set_up: Builder) -> None:
    stage = set_up(wanted())
    seen = run(stage, replace(canary_of(stage)[0], driver=Brings(rolled)))
    assert seen.outcome is Outcome.BROKEN
    assert seen.reason.startswith("the answer does not verify: SP-01")


def test_a_stolen_answer_of_a_canary_logs_nobody_in(set_up: Builder) -> None:
    stage = set_up(wanted())
    canary, driver = canary_of(stage)
    run(stage, canary)
    question, answer = driver.brought[-1]
    begun = stage.begin()
    # To a login of the attacker's own: it answers another question.
    demand_refusal(stage.post(begun, answer.message), errors.AssertionInvalid)
    # With the canary's own RelayState: no cookie was ever sealed for it.
    page = stage.post(begun, answer.message, tid=question.relay_state)
    demand_refusal(page, errors.LoginUnknown)
    # Nor with the attacker's cookie under the name that this RelayState asks for.
    cookie = begun.client.cookies[f"__Host-login-{begun.tid[:8]}"]
    begun.client.cookies.set(f"__Host-login-{question.relay_state[:8]}", cookie)
    page = stage.post(begun, answer.message, tid=question.relay_state)
    demand_refusal(page, errors.LoginUnknown)
    assert stage.nothing_happened()


@pytest.mark.parametrize("whose", ["a run before", "a person's login"])
def test_no_other_answer_passes_for_a_canarys(set_up: Builder, whose: str) -> None:
    stage = set_up(wanted())
    canary, driver = canary_of(stage)
    run(stage, canary)
    old = driver.brought[-1][1].message
    message = old if whose == "a run before" else stage.answer(stage.begin(), CAROL)
    seen = run(
        stage,
        replace(
            canary,
            driver=Brings(lambda asked: Answer(asked.acs_url, message, asked.relay_state)),
        ),
    )
    assert (seen.outcome, "SP-03" in seen.reason) == (Outcome.BROKEN, True), seen.reason
