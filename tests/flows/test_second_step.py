"""The second step behind a right password, from Mattermost to Mattermost, and who comes between.

The page of the directory, its password and the step are one journey of one browser: what belongs to
another login, browser, person, host or site ends nothing, and uses nothing up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import pytest
from pyotp import TOTP

from idp_proxy import errors
from idp_proxy.decision.second_factor import Factor, Method
from idp_proxy.factors.sealing import key_ring, sealed
from idp_proxy.rehearsal import LINK_LASTS, Ticket, link_of
from idp_proxy.rehearsal import PURPOSE as REHEARSE
from idp_proxy.saml.names import REFEDS_MFA
from idp_proxy.seal import KeyRing
from idp_proxy.store.base import Evidence
from idp_proxy.web import directory_login as page_module
from tests.flows.stage import demand_refusal
from tests.flows.test_directory_login import Visitor, corp, serving
from tests.flows.test_enrolment import hidden, options
from tests.support.people import ALICE, BOB

if TYPE_CHECKING:
    import httpx

    from tests.flows.conftest import Builder
    from tests.flows.stage import Stage
    from tests.support.authenticator import Authenticator
    from tests.support.ldap_people import PeopleDirectory
    from tests.support.people import Person

__all__ = ["corp"]

LEVELS = '[assurance]\nlevels = ["password", "mfa"]\nfloor = "mfa"\n'
MAPPED = f'[upstream.assurance.contexts]\n"{REFEDS_MFA}" = "mfa"\n\n'
SECRETS = {
    ALICE.uid: "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
    BOB.uid: "KRSXG5CTMVRXEZLUKRSXG5CTMVRXEZLU",
}
SITE = "https://sso.example.org"


@pytest.fixture
def stage(set_up: Builder, corp: PeopleDirectory, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """The directory serves under a floor above a password; Alice and Bob have an app."""
    monkeypatch.setattr(page_module, "PADDED_TO_S", 0.01)
    return with_apps(serving(set_up, corp, more=LEVELS, behind=MAPPED))


def with_apps(stage: Stage) -> Stage:
    for person in (ALICE, BOB):
        keep(stage, person, Method.TOTP, SECRETS[person.uid].encode())
    return stage


def keep(stage: Stage, person: Person, method: Method, secret: bytes, mark: int = 0) -> None:
    """As /enroll keeps it."""
    ring, now = key_ring(stage.settings.proxy.state_keys), stage.clock.now()
    shut = sealed(ring, person.employee_number, method, secret)
    name = f"{method}-{person.uid}"
    with stage.store.transaction() as tx:
        tx.add_factors([Factor(name, person.employee_number, method, now, mark, shut)])


def code(stage: Stage, person: Person = ALICE) -> str:
    return TOTP(SECRETS[person.uid]).at(stage.clock.now())


class Stepping(Visitor):
    """A browser that goes on to the second step."""

    step: str = ""

    def passed(self, person: Person = ALICE) -> Self:
        """The password was right."""
        sent = self.type(person.uid, person.password)
        assert sent.status_code == 303
        self.step = sent.headers["location"]
        assert self.step == f"/upstream/corp/factor?login={self.tid}"
        return self

    def ask(self) -> httpx.Response:
        return self.client.get(self.step)

    def give(self, code: str, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(self.step, data={"code": code}, headers=named)

    def answer(self, device: Authenticator, **lies: Any) -> httpx.Response:
        page = self.ask()
        given = device.get(options(page), **lies)
        return self.client.post(self.step, data={"kept": hidden(page)["kept"], "answer": given})


def nothing_used(stage: Stage) -> bool:
    """No factor was used, and nobody came in."""
    used = stage.audit_rows("factor_used")
    return not used and stage.on_record()[2:] == []


# --- a rehearsal ----------------------------------------------------------------------------------


class Rehearsing(Stepping):
    """An operator's browser behind the link of `rehearse`."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        until = (stage.clock.now() + LINK_LASTS).replace(microsecond=0)
        self.ticket = Ticket("link", Evidence.REHEARSAL, "corp", "operator:olga", until)
        ring = KeyRing(stage.settings.proxy.state_keys, REHEARSE)
        self.client = stage.client(sec_fetch_site="same-origin")
        sent = self.client.post(f"/rehearse/{link_of(self.ticket, ring)}", data={"begin": "yes"})
        assert sent.status_code == 302
        self.address = sent.headers["location"]
        self.tid = self.address.rpartition("=")[2]


def proven(stage: Stage) -> list[str]:
    return list(stage.store.evidence(Evidence.REHEARSAL))


def test_a_rehearsal_takes_the_second_step_and_proves_the_directory(stage: Stage) -> None:
    stage.switch("active")
    operator = Rehearsing(stage).passed()
    page = operator.ask()
    assert "This tries the login by corp" in page.text
    wrong = operator.give("000000")
    assert wrong.headers["location"].endswith("problem=wrong")
    assert proven(stage) == []
    done = operator.give(code(stage))
    assert "The login by corp works" in done.text
    assert "SAMLResponse" not in done.text
    assert proven(stage) == ["corp"]
    (row,) = stage.audit_rows("rehearsal")
    assert (row.facts["upstream"], row.facts["authn_context"]) == ("corp", REFEDS_MFA)
    assert row.content["actor"] == "operator:olga"
    assert stage.on_record() == ["login", "login"]
    # It counts once: the link, the step's cookie and the code.
    assert operator.give(code(stage)).status_code == 410


def test_a_rehearsal_by_a_password_alone_proves_nothing(stage: Stage) -> None:
    operator = Rehearsing(stage).passed()
    assert proven(stage) == []
    assert not stage.store.is_used(operator.ticket.use)


def test_the_step_of_a_rehearsal_and_that_of_a_login_cannot_be_exchanged(stage: Stage) -> None:
    """Under whatever names the cookies are sent: both journeys seal by rings of their own."""
    operator, person = Rehearsing(stage).passed(), Stepping(stage).passed()
    for one, other, names in (
        (operator, person, ("rehearse", "factor-rehearsed", "login", "factor")),
        (person, operator, ("login", "factor", "rehearse", "factor-rehearsed")),
    ):
        journey, step, other_journey, other_step = (f"__Host-{name}-" for name in names)
        held = one.client.cookies
        client = stage.client(sec_fetch_site="same-origin")
        for name, value in (
            (other_journey + one.tid[:8], held[journey + one.tid[:8]]),
            (other_step + one.tid[:8], held[step + one.tid[:8]]),
        ):
            client.cookies.set(name, value, domain="sso.example.org")
        demand_refusal(client.post(one.step, data={"code": code(stage)}), errors.LoginUnknown)
        # Nor does one's proof go with the other's transaction.
        mixed = stage.client(sec_fetch_site="same-origin")
        mixed.cookies.set(
            other_journey + other.tid[:8],
            other.client.cookies[other_journey + other.tid[:8]],
            domain="sso.example.org",
        )
        mixed.cookies.set(
            other_step + other.tid[:8], held[step + one.tid[:8]], domain="sso.example.org"
        )
        demand_refusal(mixed.post(other.step, data={"code": code(stage)}), errors.LoginUnknown)
    assert nothing_used(stage)
    assert proven(stage) == []


def test_who_has_no_second_step_cannot_rehearse_and_is_told_what_to_do(
    set_up: Builder, corp: PeopleDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_module, "PADDED_TO_S", 0.01)
    stage = serving(set_up, corp, more=LEVELS, behind=MAPPED)
    operator = Rehearsing(stage)
    refused = operator.type(ALICE.uid, ALICE.password)
    assert 'href="/enroll"' in demand_refusal(refused, errors.SecondFactorMissing)
    assert proven(stage) == []
    # The link is as good as new.
    keep(stage, ALICE, Method.TOTP, SECRETS[ALICE.uid].encode())
    assert "works" in operator.passed().give(code(stage)).text
