"""A login by a standby: the same person as ever, or nobody (FO-08, FO-09)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from idp_proxy import errors
from idp_proxy.decision.roster import BY_OPERATOR, AdmittedByHand
from idp_proxy.saml import names
from idp_proxy.store.memory import MemoryStore
from tests.flows.configuration import Wanted
from tests.flows.stage import MATTERMOST_PATH, Stage, assertion_id, demand_refusal, form_of
from tests.support import saml_wire
from tests.support.people import ALICE, BOB, CAROL, MAIL, SURNAME, UID

if TYPE_CHECKING:
    from tests.flows.conftest import Builder
    from tests.support.mattermost import Accepted
    from tests.support.people import Person

THREE = {"active": "", "standby": "", "third": ""}
WHO = ("id", "email", "username", "firstname")


def who(accepted: Accepted) -> tuple[str, ...]:
    """What decides who somebody is in Mattermost, byte for byte."""
    return (accepted.name_id, *(value for name in WHO for value in accepted.attributes[name]))


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"mail": "ALICE@Example.ORG"},
        {"mail": "a.archer@old.example.net", "uid": "archer", "given_name": "Al"},
        {"employee_number": "E-1001"},
        {"uid": "bob", "mail": "bob@example.org"},
    ],
    ids=["the same", "case", "all other", "link key in other case", "somebody else's name"],
)
def test_a_standby_changes_nothing_about_who_somebody_is(
    stage: Stage, changed: dict[str, str]
) -> None:
    before = who(stage.log_in(ALICE))
    stage.log_in(BOB)
    row = stage.store.person("e-1001")
    stage.switch("standby")
    assert who(stage.log_in(replace(ALICE, **changed))) == before
    assert stage.store.person("e-1001") == row
    assert stage.on_record() == ["login", "login", "login"]


def test_who_came_through_a_standby_is_kept_for_the_end_of_the_sessions(stage: Stage) -> None:
    stage.log_in(ALICE)
    stage.switch("standby")
    stage.log_in(ALICE)
    assert isinstance(stage.store, MemoryStore)
    (kept,) = stage.store.standby_logins()
    assert (kept.person, kept.upstream) == ("e-1001", "standby")


def session_end(stage: Stage) -> str | None:
    """What Mattermost is told of how long a session of Alice may last."""
    begun = stage.begin()
    posted = form_of(stage.post(begun, stage.answer(begun, ALICE)))
    response = saml_wire.parse(saml_wire.decode(posted.fields["SAMLResponse"]))
    (statement,) = response.iter(f"{{{names.SAML}}}AuthnStatement")
    return statement.get("SessionNotOnOrAfter")


def test_a_session_that_a_standby_makes_is_short(stage: Stage) -> None:
    assert session_end(stage) is None  # the active says nothing of it
    stage.switch("standby")
    assert session_end(stage) == f"{stage.clock.now() + timedelta(hours=8):%Y-%m-%dT%H:%M:%SZ}"


def test_the_whole_story_in_a_browser_ends_with_one_account(stage: Stage) -> None:
    with stage.browser() as browser:
        browser.login(MATTERMOST_PATH, "carol", "carol-pass")
    stage.switch("standby")
    with stage.browser() as browser:
        assert browser.login(MATTERMOST_PATH, "carol", "carol-pass").title == "Welcome carol"
        assert any("standby.example.com" in address for address in browser.history)
    stage.switch("active")
    with stage.browser() as browser:
        assert browser.login(MATTERMOST_PATH, "carol", "carol-pass").title == "Welcome carol"
    (account,) = stage.mattermost.accounts
    assert account.auth_data == "e-1003"
    assert [row.kind for row in stage.audit_rows("switch")] == ["switch", "switch"]


def test_every_further_standby_serves_in_its_turn(set_up: Builder) -> None:
    stage = set_up(Wanted(upstreams=THREE))
    said = [who(stage.log_in(ALICE))]
    for name in ("third", "standby", "active"):
        stage.switch(name)
        said.append(who(stage.log_in(ALICE)))
    assert len(set(said)) == 1


def refused(stage: Stage, person: Person, kind: type[errors.LoginRefused]) -> None:
    """The standby vouches for `person`, who is refused, on record, and with the answer used up."""
    begun = stage.begin()
    message = stage.answer(begun, person)
    demand_refusal(stage.post(begun, message), kind)
    assert stage.on_record()[-1] == kind.code
    assert stage.audit_rows("login_refused")[-1].content["person"] is None
    assert stage.used(begun, assertion_id(message)) == [True, True, True]
    demand_refusal(stage.post(begun, message), errors.ReplayDetected)


def test_who_never_logged_in_at_the_active_is_unknown(stage: Stage) -> None:
    stage.log_in(ALICE)
    stage.switch("standby")
    refused(stage, BOB, errors.PersonUnknown)
    assert stage.store.person(BOB.employee_number) is None
    assert list(stage.mattermost.accounts) == []


@pytest.mark.parametrize(("days", "let_in"), [(89.9, True), (90.1, False), (91, False)])
def test_a_person_is_confirmed_for_ninety_days(stage: Stage, days: float, *, let_in: bool) -> None:
    today = stage.clock.at
    stage.clock.at = today - timedelta(days=days)
    begun = stage.begin()
    assert stage.post(begun, stage.answer(begun, ALICE)).status_code == 200
    stage.clock.at = today
    stage.switch("standby")
    if let_in:
        assert stage.log_in(ALICE).profile.id == "e-1001"
    else:
        refused(stage, ALICE, errors.PersonUnconfirmed)


def test_a_login_at_the_standby_confirms_nobody(stage: Stage) -> None:
    stage.log_in(ALICE)
    confirmed = stage.clock.at
    stage.switch("standby")
    stage.clock.pass_by(seconds=60)
    stage.log_in(ALICE)
    row = stage.store.person("e-1001")
    assert row is not None
    assert row.confirmed_at == confirmed


def test_two_people_with_one_link_key_are_both_refused(set_up: Builder) -> None:
    stage = set_up(Wanted().linked_by_mail())
    for person in (ALICE, replace(BOB, mail="Alice@example.org"), CAROL):
        begun = stage.begin()
        assert stage.post(begun, stage.answer(begun, person)).status_code == 200
    stage.switch("standby")
    refused(stage, ALICE, errors.PersonConflict)
    refused(stage, replace(BOB, mail="alice@example.org"), errors.PersonConflict)
    refused(stage, BOB, errors.PersonUnknown)
    assert stage.log_in(CAROL).profile.id == "e-1003"


def test_a_link_key_that_was_given_up_names_nobody_any_more(set_up: Builder) -> None:
    stage = set_up(Wanted().linked_by_mail())
    stage.log_in(ALICE)
    stage.log_in(replace(ALICE, mail="alice.ash@example.org"))
    stage.switch("standby")
    refused(stage, ALICE, errors.PersonUnknown)
    accepted = stage.log_in(replace(ALICE, mail="alice.ash@example.org"))
    assert accepted.profile.email == "alice.ash@example.org"


def test_who_is_blocked_is_refused(stage: Stage) -> None:
    stage.log_in(ALICE)
    row = stage.store.person("e-1001")
    assert row is not None
    with stage.store.transaction() as transaction:
        transaction.save_person(replace(row, blocks=frozenset({BY_OPERATOR})))
    stage.switch("standby")
    refused(stage, ALICE, errors.PersonBlocked)


def test_roles_come_from_the_active_only(set_up: Builder) -> None:
    attributes = {**Wanted().attributes, "is_admin": SURNAME}
    lines = 'role_attributes = ["is_admin"]'
    stage = set_up(
        Wanted(service_provider=lines, sent='IsAdmin = "is_admin"', attributes=attributes)
    )
    assert stage.log_in(replace(ALICE, surname="true")).attributes["IsAdmin"] == ("true",)
    stage.switch("standby")
    accepted = stage.log_in(replace(ALICE, surname="true"))
    assert "IsAdmin" not in accepted.attributes
    assert set(accepted.attributes) == set(WHO)


def test_a_standby_that_maps_only_the_link_key_is_enough(set_up: Builder) -> None:
    """Its answer then says nothing else that could count."""
    stage = set_up(Wanted(link_keys={"standby": UID, "active": UID}))
    before = who(stage.log_in(ALICE))
    stage.switch("standby")
    assert who(stage.log_in(replace(ALICE, employee_number="x-9", mail="nobody"))) == before


def test_a_standby_may_not_speak_for_other_domains(set_up: Builder) -> None:
    lines = 'email_domains = ["example.com"]'
    stage = set_up(Wanted(upstreams={"active": "", "standby": lines}))
    stage.log_in(ALICE)
    stage.switch("standby")
    begun = stage.begin()
    demand_refusal(stage.post(begun, stage.answer(begun, ALICE)), errors.AssertionInvalid)
    assert stage.on_record() == ["login"]


ROLES = Wanted(
    service_provider='enable_admin_attribute = true\nadmin_attribute = "IsAdmin=true"',
    sent='IsAdmin = "is_admin"',
    attributes={**Wanted().attributes, "is_admin": SURNAME},
)
ADMIN = replace(ALICE, surname="true")


def named(stage: Stage, person: Person, *, privileged: bool = False) -> None:
    """An approver admits `person` now."""
    said = AdmittedByHand(
        person.employee_number, stage.clock.now(), "operator:ann", "on call", privileged
    )
    with stage.store.transaction() as transaction:
        transaction.admit_by_hand(said)


def test_an_administrator_is_refused_until_named_and_never_gets_the_role_by_a_standby(
    set_up: Builder,
) -> None:
    stage = set_up(ROLES)
    assert stage.log_in(ADMIN).attributes["IsAdmin"] == ("true",)
    stage.log_in(BOB)
    stage.switch("standby")
    refused(stage, ADMIN, errors.PersonPrivileged)
    refused(stage, replace(ADMIN, surname="false"), errors.PersonPrivileged)
    assert stage.log_in(replace(BOB, surname="true")).profile.id == "e-1002"
    named(stage, ADMIN)
    refused(stage, ADMIN, errors.PersonPrivileged)
    named(stage, ADMIN, privileged=True)
    accepted = stage.log_in(ADMIN)
    assert "IsAdmin" not in accepted.attributes


def test_who_was_admitted_by_hand_gets_in_until_the_outage_ends(stage: Stage) -> None:
    today = stage.clock.at
    stage.clock.at = today - timedelta(days=100)
    begun = stage.begin()
    assert stage.post(begun, stage.answer(begun, ALICE)).status_code == 200
    stage.clock.at = today
    named(stage, ALICE)
    stage.clock.pass_by(seconds=1)
    stage.switch("standby")
    refused(stage, ALICE, errors.PersonUnconfirmed)  # what was said before it is not about it
    named(stage, ALICE)
    assert stage.log_in(ALICE).profile.id == "e-1001"
    stage.switch("active")
    stage.switch("standby")
    refused(stage, ALICE, errors.PersonUnconfirmed)


def test_where_people_are_linked_by_mail_a_reused_address_opens_nobody_s_account(
    set_up: Builder,
) -> None:
    stage = set_up(Wanted().linked_by_mail())
    stage.log_in(ALICE)
    stage.switch("standby")
    heir = replace(BOB, mail=ALICE.mail)
    refused(stage, heir, errors.PersonMismatch)
    assert stage.log_in(ALICE).profile.id == "e-1001"


def test_an_address_alone_opens_nothing(set_up: Builder) -> None:
    stage = set_up(Wanted(link_keys={"standby": MAIL, "active": MAIL}))
    stage.log_in(ALICE)
    stage.switch("standby")
    refused(stage, ALICE, errors.PersonMismatch)
