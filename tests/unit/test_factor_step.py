"""The second step behind a right password: what ends a login, and all that does not."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fastapi import FastAPI
from pyotp import TOTP

from idp_proxy import errors
from idp_proxy.decision.roster import RosterRow
from idp_proxy.decision.second_factor import FAILURES, PASSWORD_LASTS, Factor, Method, Why
from idp_proxy.decision.subject import Evidence, Subject
from idp_proxy.factor_step import Asked, FactorStep
from idp_proxy.factors import recovery
from idp_proxy.factors.passkeys import RelyingParty
from idp_proxy.factors.proving import Proving
from idp_proxy.factors.sealing import key_ring, sealed
from idp_proxy.password_proven import PURPOSE, PasswordProven, opened_proof, sealed_proof
from idp_proxy.saml.names import PASSWORD_PROTECTED_TRANSPORT, REFEDS_MFA
from idp_proxy.seal import KeyRing
from idp_proxy.store.base import UsedId
from idp_proxy.store.memory import MemoryStore
from idp_proxy.transaction import (
    CookieStyle,
    LoginTransaction,
    answered_login,
    demand_in_time,
    seal,
)
from idp_proxy.web import failures
from idp_proxy.web.factor_step import Step as WebStep
from idp_proxy.web.factor_step import StepCookies, Steps, route
from idp_proxy.web.pages import Pages
from idp_proxy.web.threads import JourneyThreads
from tests.flows.wire import Wire
from tests.support.authenticator import Authenticator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOW = datetime(2026, 5, 4, 10, 0, 3, tzinfo=UTC)
SITE = "https://sso.example.org"
CHAT = "https://chat.example.net"
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
KEYS = (b"k" * 32,)
TID, OTHER_TID = "A" * 22, "B" * 22
RECOVERY = "abcd-efgh-ijkl-mnop"
SUBJECT = Subject(
    "corp",
    "EMP-1",
    {"email": "ann@example.org"},
    Evidence(
        NOW, PASSWORD_PROTECTED_TRANSPORT, ("https://corp",), attributes={"shown": ("a", "b")}
    ),
)
PROVEN = PasswordProven(TID, "corp", SUBJECT, NOW)


def row(person: str, key: str) -> RosterRow:
    return RosterRow(
        id=person,
        link_key=key,
        lookup_key=key.lower(),
        email=f"{person}@example.org",
        username=person,
        attributes={"id": person},
        source="active",
        confirmed_at=NOW,
    )


@dataclass
class Step:
    """Ann with a TOTP, a recovery code and a passkey; Bob with a TOTP; Carol with nothing."""

    now: datetime = NOW
    store: MemoryStore = field(default_factory=MemoryStore)
    device: Authenticator = field(default_factory=lambda: Authenticator(SITE))
    ended: list[Subject] = field(default_factory=list)

    def __post_init__(self) -> None:
        ring = key_ring(KEYS)
        self.party = RelyingParty("sso.example.org", SITE, "chat")
        passkey, counter = self.party.made(
            self.device.create(self.party.ask_new("ann", "ann", b"c" * 32, ())), b"c" * 32
        )
        kept = recovery.digest("ann", RECOVERY.replace("-", ""))
        with self.store.transaction() as tx:
            for number, person in enumerate(("ann", "bob", "carol"), 1):
                tx.save_person(row(person, f"EMP-{number}"))
            for name, person, method, secret, mark in (
                ("f1", "ann", Method.TOTP, SECRET.encode(), 0),
                ("f2", "ann", Method.RECOVERY, kept, 0),
                ("f3", "ann", Method.PASSKEY, passkey.text(), counter),
                ("f4", "bob", Method.TOTP, SECRET[::-1].encode(), 0),
            ):
                shut = sealed(ring, person, method, secret)
                tx.add_factors([Factor(name, person, method, NOW, mark, shut)])
        self.ring, self.logins = KeyRing(KEYS, PURPOSE), KeyRing(KEYS, "login")
        self.journey = FactorStep(
            store=self.store,
            proving=Proving(store=self.store, ring=ring, party=self.party),
            party=self.party,
            logins=self,
            ring=self.ring,
            now=lambda: self.now,
        )

    def asked_here(
        self, upstream: str, tid: str, cookie_of: Callable[[str], str | None]
    ) -> LoginTransaction:
        """As `Login.asked_here` does."""
        transaction = answered_login(tid, cookie_of, self.logins)
        demand_in_time(transaction.started_at, timedelta(seconds=280), self.now)
        if transaction.upstream != upstream:
            raise errors.LoginNotAsked
        if self.store.is_used(UsedId("transaction", "", tid, self.now)):
            raise errors.ReplayDetected
        return transaction

    def prove(
        self, upstream: str, tid: str, subject: Subject, cookie_of: Callable[[str], str | None]
    ) -> Any:
        """As the login does: the transaction counts once."""
        assert cookie_of(tid) is not None
        with self.store.transaction() as tx:
            tx.consume(UsedId("transaction", "", tid, self.now + timedelta(hours=1)))
        self.ended.append(subject)
        return SimpleNamespace(
            acs_url=f"{CHAT}/login/sso/saml",
            saml_response="UkVTUE9OU0U=",
            relay_state="relay",
            upstream=upstream,
            outcome="logged_in",
        )

    def login(self, tid: str = TID, upstream: str = "corp") -> str:
        """The cookie of a login under way."""
        transaction = LoginTransaction(
            tid=tid,
            started_at=NOW.replace(microsecond=0),
            sp_request_id="_1",
            relay_state="relay",
            acs_url=f"{CHAT}/login/sso/saml",
            upstream=upstream,
            entity_id="x",
            epoch=1,
            request_id="_2",
            force_authn=False,
            is_passive=False,
        )
        return seal(transaction, self.logins)

    def asked(self, proven: PasswordProven = PROVEN, **other: Any) -> Asked:
        usual: dict[str, Any] = {
            "upstream": "corp",
            "tid": TID,
            "proof": sealed_proof(proven, self.ring),
            "cookie_of": {TID: self.login(), OTHER_TID: self.login(OTHER_TID)}.get,
        }
        return Asked(**usual | other)

    def code(self, secret: str = SECRET) -> str:
        return TOTP(secret).at(self.now)


@pytest.fixture
def step() -> Step:
    return Step()


def of(person: int) -> PasswordProven:
    return replace(PROVEN, subject=replace(SUBJECT, link_key=f"EMP-{person}"))


def facts(step: Step, kind: str) -> list[dict[str, Any]]:
    return [dict(one.facts) for one in step.store.audit_rows() if one.kind == kind]


# --- what ends a login ----------------------------------------------------------------------------


def test_a_right_code_ends_the_login_as_more_than_a_password(step: Step) -> None:
    step.now += timedelta(seconds=40)
    done = step.journey.by_code(step.asked(), step.code())
    assert not isinstance(done, Why)
    (subject,) = step.ended
    assert subject.evidence.authn_context == REFEDS_MFA
    assert subject.evidence.authn_instant == step.now
    assert subject.evidence.attributes == {"shown": ("a", "b"), "factor": ("totp",)}
    assert (subject.link_key, subject.upstream) == ("EMP-1", "corp")
    assert subject.factor_of == "ann"


def test_a_recovery_code_and_a_passkey_do_too_and_are_told_apart(step: Step) -> None:
    assert not isinstance(step.journey.by_code(step.asked(), RECOVERY), Why)
    asked = step.asked(replace(PROVEN, tid=OTHER_TID), tid=OTHER_TID)
    shown = step.journey.look(asked)
    assert shown.options is not None
    answer = step.device.get(shown.options)
    assert not isinstance(step.journey.by_passkey(asked, shown.kept, answer), Why)
    assert [one.evidence.attributes["factor"] for one in step.ended] == [
        ("recovery",),
        ("passkey",),
    ]


def test_the_proof_comes_back_as_it_was_sealed(step: Step) -> None:
    text = sealed_proof(PROVEN, step.ring)
    assert opened_proof(text, TID, "corp", step.ring, NOW) == PROVEN
    assert "EMP-1" not in text


# --- what does not --------------------------------------------------------------------------------


def test_a_wrong_code_ends_nothing_and_after_five_none_is_looked_at(step: Step) -> None:
    for _ in range(FAILURES):
        assert step.journey.by_code(step.asked(), "000000") is Why.WRONG
    with pytest.raises(errors.SecondFactorLocked):
        step.journey.by_code(step.asked(), step.code())
    shown = step.journey.look(step.asked())
    assert (shown.with_code, shown.locked, shown.options is None) == (False, True, False)
    assert step.ended == []


def test_who_has_only_codes_and_is_locked_gets_no_page(step: Step) -> None:
    for _ in range(FAILURES):
        step.journey.by_code(step.asked(of(2)), "000000")
    with pytest.raises(errors.SecondFactorLocked):
        step.journey.look(step.asked(of(2)))
    with pytest.raises(errors.SecondFactorLocked):
        step.journey.begin(of(2))


def test_who_set_nothing_up_is_told_so_and_it_is_on_record(step: Step) -> None:
    with pytest.raises(errors.SecondFactorMissing):
        step.journey.begin(of(3))
    assert facts(step, "factor_refused") == [
        {"method": "none", "why": "none_enrolled", "upstream": "corp"}
    ]
    for attempt in (
        lambda: step.journey.look(step.asked(of(3))),
        lambda: step.journey.by_code(step.asked(of(3)), "000000"),
    ):
        with pytest.raises(errors.SecondFactorMissing):
            attempt()


def test_whom_the_roster_does_not_know_has_no_second_step(step: Step) -> None:
    with pytest.raises(errors.PersonUnknown):
        step.journey.begin(of(9))
    with pytest.raises(errors.PersonUnknown):
        step.journey.by_code(step.asked(of(9)), step.code())


def test_another_person_s_code_or_passkey_ends_nothing(step: Step) -> None:
    assert step.journey.by_code(step.asked(), step.code(SECRET[::-1])) is Why.WRONG
    shown = step.journey.look(step.asked())
    assert shown.options is not None
    answer = step.device.get(shown.options)
    assert step.journey.by_passkey(step.asked(of(2)), shown.kept, answer) is Why.WRONG
    assert step.ended == []


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"proof": None}, errors.LoginUnknown),
        ({"proof": ""}, errors.LoginUnknown),
        ({"proof": "A" * 50_000}, errors.LoginUnknown),
        ({"proof": "é"}, errors.LoginUnknown),
        ({"tid": OTHER_TID}, errors.LoginUnknown),
        ({"tid": ""}, errors.LoginUnsolicited),
        ({"tid": "x" * 22}, errors.LoginUnknown),
        ({"upstream": "other"}, errors.LoginNotAsked),
        ({"cookie_of": lambda _: None}, errors.LoginUnknown),
    ],
)
def test_a_step_of_another_login_browser_or_upstream_is_refused(
    step: Step, change: dict[str, Any], refusal: type[errors.ProxyError]
) -> None:
    asked = step.asked(**change)
    for attempt in (
        lambda: step.journey.look(asked),
        lambda: step.journey.by_code(asked, step.code()),
        lambda: step.journey.by_passkey(asked, "", "{}"),
    ):
        with pytest.raises(refusal):
            attempt()
    # And no code was used up by it.
    assert not isinstance(step.journey.by_code(step.asked(), step.code()), Why)


def test_a_right_password_elsewhere_is_none_here(step: Step) -> None:
    elsewhere = replace(PROVEN, upstream="other")
    with pytest.raises(errors.LoginUnknown):
        step.journey.by_code(step.asked(elsewhere), step.code())


@pytest.mark.parametrize("keys", [(bytes(32), PURPOSE), (KEYS[0], "login"), (KEYS[0], "enroll")])
def test_a_proof_of_other_keys_or_another_purpose_is_refused(
    step: Step, keys: tuple[bytes, str]
) -> None:
    forged = sealed_proof(PROVEN, KeyRing([keys[0]], keys[1]))
    with pytest.raises(errors.LoginUnknown):
        step.journey.by_code(step.asked(proof=forged), step.code())


@pytest.mark.parametrize("age", [PASSWORD_LASTS + timedelta(seconds=1), timedelta(seconds=-121)])
def test_a_password_of_long_ago_or_of_the_future_is_refused(step: Step, age: timedelta) -> None:
    old = replace(PROVEN, at=NOW - age)
    with pytest.raises(errors.LoginExpired):
        step.journey.by_code(step.asked(old), step.code())


def test_the_login_s_own_time_runs_on(step: Step) -> None:
    step.now = NOW + timedelta(seconds=281)
    fresh = step.asked(replace(PROVEN, at=step.now))
    with pytest.raises(errors.LoginExpired):
        step.journey.by_code(fresh, step.code())


def test_a_step_that_ended_a_login_ends_no_second_one(step: Step) -> None:
    step.journey.by_code(step.asked(), step.code())
    step.now += timedelta(seconds=60)
    with pytest.raises(errors.ReplayDetected):
        step.journey.by_code(step.asked(), step.code())
    assert len(step.ended) == 1
    # The code that came too late was not used up.
    other = step.asked(replace(PROVEN, tid=OTHER_TID), tid=OTHER_TID)
    assert not isinstance(step.journey.by_code(other, step.code()), Why)


def test_a_passkey_s_answer_to_another_login_s_question_is_refused(step: Step) -> None:
    shown = step.journey.look(step.asked())
    assert shown.options is not None
    answer = step.device.get(shown.options)
    other = step.asked(replace(PROVEN, tid=OTHER_TID), tid=OTHER_TID)
    with pytest.raises(errors.LoginUnknown):
        step.journey.by_passkey(other, shown.kept, answer)
    theirs = step.journey.look(other)
    assert step.journey.by_passkey(other, theirs.kept, answer) is Why.WRONG


# --- the page -------------------------------------------------------------------------------------

PAGES = Pages(
    support_url="https://help.example.org",
    login_url=f"{CHAT}/login/sso/saml",
    allowed_form_origins=(CHAT,),
    hsts=True,
)
COOKIES = StepCookies(CookieStyle())
WHERE = f"/upstream/corp/factor?login={TID}"


@pytest.fixture
def client(step: Step) -> Iterator[httpx.Client]:
    app = FastAPI()
    here = WebStep(step.journey, COOKIES)
    app.router.routes.append(route(Steps(here, here), {"corp"}, PAGES, JourneyThreads()))
    failures.install(app, PAGES, lambda: "i" * 22, "x=")
    wire = Wire({"sso.example.org": app})
    with httpx.Client(transport=wire, base_url=SITE) as browser:
        browser.cookies.set(CookieStyle().name(TID), step.login(), domain="sso.example.org")
        sent = COOKIES.on_to_the_step("corp", TID, step.journey.begin(PROVEN))
        assert sent.headers["location"] == WHERE
        cookie = sent.headers["set-cookie"]
        assert "HttpOnly; Secure; SameSite=Lax" in cookie
        name, value = cookie.split(";")[0].split("=", 1)
        browser.cookies.set(name, value, domain="sso.example.org")
        yield browser
    wire.hang_up()


def test_the_page_asks_for_both_and_a_right_code_goes_to_mattermost(
    step: Step, client: httpx.Client
) -> None:
    page = client.get(WHERE)
    assert page.status_code == 200
    assert "Second step" in page.text
    assert 'id="passkey"' in page.text
    assert page.headers["cache-control"] == "no-store"
    assert client.get(WHERE, headers={"accept-language": "de"}).text.count("Zweiter Schritt") == 2
    done = client.post(WHERE, data={"code": step.code()})
    assert 'name="SAMLResponse" value="UkVTUE9OU0U="' in done.text
    again = client.post(WHERE, data={"code": step.code()})
    assert errors.ReplayDetected.code in again.text


@pytest.mark.parametrize(
    ("form", "says"),
    [({"code": "000000"}, "is not right"), ({"answer": "{}"}, "was not accepted"), ({}, "right")],
)
def test_what_does_not_count_comes_back_to_the_page_by_its_address(
    client: httpx.Client, form: dict[str, str], says: str
) -> None:
    shown = html.unescape(client.get(WHERE).text)
    kept = re.search(r'name="kept" value="([^"]+)"', shown)
    assert kept is not None
    sent = client.post(WHERE, data={**form, "kept": kept[1]})
    assert sent.status_code == 303
    assert sent.headers["location"].startswith(WHERE)
    again = client.get(sent.headers["location"])
    assert 'role="alert"' in again.text
    assert says in again.text


def test_a_passkey_goes_to_mattermost(step: Step, client: httpx.Client) -> None:
    text = client.get(WHERE).text
    asked = re.search(r'data-options="([^"]*)"', text)
    kept = re.search(r'name="kept" value="([^"]+)"', text)
    assert asked is not None
    assert kept is not None
    answer = step.device.get(json.loads(html.unescape(asked[1])))
    done = client.post(WHERE, data={"kept": kept[1], "answer": answer})
    assert 'name="SAMLResponse"' in done.text


def test_another_site_s_form_is_no_attempt(step: Step, client: httpx.Client) -> None:
    page = client.post(WHERE, data={"code": step.code()}, headers={"sec-fetch-site": "cross-site"})
    assert "link_followed" in page.text
    assert step.ended == []


def test_only_a_directory_has_this_page(client: httpx.Client) -> None:
    assert client.get(WHERE.replace("corp", "active")).status_code == 404
    assert "onerror" not in client.get(WHERE + "&problem=%3Cimg+onerror%3D1%3E").text
