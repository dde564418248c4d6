"""A login by the active: what Mattermost accepts, and what is on record afterwards."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from lxml import etree

from idp_proxy import errors
from tests.flows.configuration import Wanted, provider
from tests.flows.stage import (
    MATTERMOST_PATH,
    PUBLIC,
    RELAY_STATE,
    Stage,
    assertion_id,
    demand_refusal,
    form_of,
)
from tests.support import identity_provider as idp
from tests.support import saml_wire, xml_security
from tests.support.keys import rsa_pair
from tests.support.mattermost import Signing
from tests.support.mattermost.authn_request import depart
from tests.support.people import ALICE, BOB, DAVE
from tests.support.upstream_metadata import POST, service, upstream_metadata

if TYPE_CHECKING:
    from tests.flows.conftest import Builder

#: Legal in a RelayState, and each once the undoing of somebody's quoting.
RELAY_STATES = [
    "a",
    "0",
    "a+b/c==&d;e",
    "100%25 + 7%",
    "\"'><script>alert(1)</script>&amp;&quot;&#39;",
    "{{ 7*7 }} {% raw %} ${jndi:x}",
    "snow ☃, Grüße, 漢字, 🦄, e\u0301 and \u00e9, \u202e, \ufeff",
    "  blanks around and  between  ",
    "\\n\\0 \\u0000 are letters here",
    "x" * 2048,
    "ü" * 1024,
    '"' * 2048,
]


def test_a_person_logs_in_and_everything_about_it_is_on_record(stage: Stage) -> None:
    begun = stage.begin()
    message = stage.answer(begun, ALICE)
    assert stage.used(begun, assertion_id(message)) == [False, False, False]
    accepted = stage.accepted(stage.post(begun, message), begun)
    assert (accepted.profile.id, accepted.name_id) == ("e-1001", "e-1001")
    assert (accepted.profile.email, accepted.profile.username) == ("alice@example.org", "alice")
    assert accepted.profile.first_name == "Alice"
    assert accepted.authn_context == saml_wire.PASSWORD_TRANSPORT
    assert accepted.authorities == (provider("active").entity_id,)
    row = stage.store.person("e-1001")
    assert row is not None
    assert (row.lookup_key, row.source, row.confirmed_at) == ("e-1001", "active", stage.clock.at)
    assert stage.on_record() == ["login"]
    assert stage.used(begun, assertion_id(message)) == [True, True, True]
    assert stage.store.proofs() == {"active": stage.clock.at}


def test_the_audit_names_the_login_and_not_the_person(set_up: Builder) -> None:
    stage = set_up()
    begun = stage.begin()
    message = stage.answer(begun, ALICE)
    stage.post(begun, message)
    (row,) = stage.audit_rows("login")
    assert row.facts == {
        "upstream": "active",
        "epoch": 1,
        "issuer": provider("active").entity_id,
        "request": begun.sp_request_id,
        "assertion": assertion_id(message),
        "authn_context": saml_wire.PASSWORD_TRANSPORT,
        "reason": None,
    }
    assert row.at == stage.clock.at
    for secret in ("e-1001", "alice", begun.tid, RELAY_STATE):
        assert secret not in row.body


def test_a_person_goes_through_all_the_pages_twice_and_is_the_same_account(stage: Stage) -> None:
    with stage.browser() as browser:
        page = browser.login(MATTERMOST_PATH, "dave", "dave-pass")
        assert page.title == "Welcome dave", page.text
        page = browser.continue_login(browser.get(MATTERMOST_PATH))
        assert page.title == "Welcome dave", page.text
    (account,) = stage.mattermost.accounts
    assert (account.auth_service, account.auth_data) == ("saml", "e-1004")
    assert account.email == "dave@example.org"
    assert stage.mattermost.accounts.warnings == []
    assert stage.on_record() == ["login", "login"]


@pytest.mark.parametrize("relay_state", RELAY_STATES, ids=lambda text: ascii(text[:12]))
def test_mattermosts_relay_state_comes_back_byte_for_byte(stage: Stage, relay_state: str) -> None:
    begun = stage.begin(relay_state=relay_state)
    assert begun.tid != relay_state
    posted = form_of(stage.post(begun, stage.answer(begun, ALICE)))
    assert posted.fields["RelayState"] == relay_state


def test_no_relay_state_and_an_empty_one_are_told_apart(stage: Stage) -> None:
    without = stage.begin(relay_state=None)
    assert set(form_of(stage.post(without, stage.answer(without, ALICE))).fields) == {
        "SAMLResponse"
    }
    empty = stage.begin(relay_state="")
    assert form_of(stage.post(empty, stage.answer(empty, ALICE))).fields["RelayState"] == ""


def test_mattermosts_relay_state_never_goes_upstream(stage: Stage) -> None:
    begun = stage.begin(relay_state="a-secret-of-mattermost")
    assert "a-secret-of-mattermost" not in begun.page.headers["location"]


@pytest.mark.parametrize("algorithm", ["aes128-gcm", "aes256-gcm"])
def test_the_assertion_is_encrypted_where_mattermost_asks_for_it(
    set_up: Builder, algorithm: str
) -> None:
    lines = f'encrypt = true\nencryption_algorithm = "{algorithm}"'
    stage = set_up(Wanted(service_provider=lines), encrypt=True)
    begun = stage.begin()
    page = stage.post(begun, stage.answer(begun, ALICE))
    assert stage.accepted(page, begun).profile.id == "e-1001"
    response = saml_wire.decode(form_of(page).fields["SAMLResponse"])
    assert b"EncryptedAssertion" in response
    assert b"e-1001" not in response
    assert stage.on_record() == ["login"]


@pytest.mark.parametrize("signing", list(Signing))
def test_requests_are_taken_in_every_form_that_mattermost_and_others_send(
    set_up: Builder, signing: Signing
) -> None:
    signed = signing in {Signing.EMBEDDED, Signing.DETACHED, Signing.POST_SIGNED}
    lines = 'signing_certificates = ["keys/mattermost.crt"]'
    if signed:
        lines += "\nrequire_signed_requests = true"
    stage = set_up(Wanted(service_provider=lines), signing=signing)
    client = stage.client()
    departure = depart(stage.mattermost.settings, RELAY_STATE, now=stage.clock.now())
    if departure.fields is None:
        page = client.get(departure.url)
    else:
        page = client.post(departure.url, data=dict(departure.fields))
    begun = stage.sent_on(client, page, "")
    answered = stage.post(begun, stage.answer(begun, BOB))
    posted = form_of(answered)
    assert posted.fields["RelayState"] == RELAY_STATE
    assert stage.mattermost.login(posted.fields["SAMLResponse"], RELAY_STATE).username == "bob"


@pytest.mark.parametrize("signing", [Signing.NONE, Signing.POST])
def test_an_unsigned_request_is_refused_where_mattermost_signs(
    set_up: Builder, signing: Signing
) -> None:
    lines = 'signing_certificates = ["keys/mattermost.crt"]\nrequire_signed_requests = true'
    stage = set_up(Wanted(service_provider=lines), signing=signing)
    departure = depart(stage.mattermost.settings, RELAY_STATE, now=stage.clock.now())
    client = stage.client()
    page = (
        client.get(departure.url)
        if departure.fields is None
        else client.post(departure.url, data=dict(departure.fields))
    )
    demand_refusal(page, errors.RequestInvalid)


def test_mattermosts_old_way_of_signing_is_refused_with_the_cure(set_up: Builder) -> None:
    stage = set_up(
        Wanted(service_provider='signing_certificates = ["keys/mattermost.crt"]'),
        signing=Signing.EMBEDDED,
        style=xml_security.Style(xml_security.RSA_SHA1, xml_security.C14N_11),
    )
    departure = depart(stage.mattermost.settings, RELAY_STATE, now=stage.clock.now())
    text = demand_refusal(stage.client().get(departure.url), errors.UnsupportedSignature)
    assert "RSAwithSHA256" in text
    assert "Canonical1.0" in text


def test_an_upstream_that_takes_only_post_is_asked_by_a_page(set_up: Builder) -> None:
    known = provider("active")
    metadata = upstream_metadata(
        known.keys, entity_id=known.entity_id, services=[service(POST, known.sso_url)]
    )
    stage = set_up(Wanted(metadata={"active": metadata}))
    begun = stage.begin()
    assert begun.page.status_code == 200
    assert "form-action https:;" in begun.page.headers["content-security-policy"]
    assert begun.page.headers["cache-control"] == "no-store"
    assert stage.accepted(stage.post(begun, stage.answer(begun, BOB)), begun).profile.id == "e-1002"


@pytest.mark.parametrize(
    "habits",
    [
        {"sign": idp.Sign.BOTH},
        {"cipher": xml_security.AES256_GCM},
        {"style": xml_security.Style(xml_security.RSA_SHA512, prefix=None)},
    ],
    ids=["both signed", "encrypted", "SHA-512"],
)
def test_upstreams_of_other_habits_are_understood(
    set_up: Builder, habits: dict[str, object]
) -> None:
    lines = 'decryption_key = "keys/decryption.key"\ndecryption_certificate = "keys/decryption.crt"'
    stage = set_up(Wanted(upstreams={"active": lines, "standby": ""}))
    begun = stage.begin()
    changed = replace(provider("active"), **habits)  # type: ignore[arg-type] # by parametrize
    message = stage.answer(begun, ALICE, by=changed, encrypt_for=rsa_pair("decryption"))
    assert stage.accepted(stage.post(begun, message), begun).profile.id == "e-1001"


# --- ForceAuthn and IsPassive --------------------------------------------------------------------


@pytest.mark.parametrize("true", ["true", "1"])
def test_a_forced_login_reaches_the_upstream_and_takes_a_fresh_authentication(
    stage: Stage, true: str
) -> None:
    begun = stage.begin(ForceAuthn=true)
    assert begun.question.force_authn
    fresh = idp.Login(stage.clock.now())
    page = stage.post(begun, stage.answer(begun, ALICE, login=fresh))
    assert stage.accepted(page, begun).profile.id == "e-1001"


def test_a_forced_login_refuses_an_older_session(stage: Stage) -> None:
    begun = stage.begin(ForceAuthn="true")
    old = idp.Login(stage.clock.now() - timedelta(seconds=125))
    page = stage.post(begun, stage.answer(begun, ALICE, login=old))
    demand_refusal(page, errors.AuthenticationTooOld)
    assert stage.on_record() == ["authentication_too_old"]
    assert stage.store.person("e-1001") is None


def test_an_older_session_does_where_nothing_was_forced(stage: Stage) -> None:
    begun = stage.begin()
    old = idp.Login(stage.clock.now() - timedelta(hours=7))
    page = stage.post(begun, stage.answer(begun, ALICE, login=old))
    assert stage.accepted(page, begun).profile.id == "e-1001"


def test_a_passive_login_that_is_not_possible_ends_in_a_signed_no_passive(stage: Stage) -> None:
    begun = stage.begin(IsPassive="true")
    assert begun.question.is_passive
    page = stage.post(begun, stage.refusal(begun, saml_wire.NO_PASSIVE))
    posted = form_of(page)
    assert posted.fields["RelayState"] == RELAY_STATE
    response = saml_wire.parse(saml_wire.decode(posted.fields["SAMLResponse"]))
    assert xml_security.verifies(response, rsa_pair("idp").certificate_pem)
    assert (response.get("InResponseTo"), response.get("Destination")) == (
        begun.sp_request_id,
        MATTERMOST_PATH,
    )
    codes = [one.get("Value") for one in response.iter(f"{{{saml_wire.SAMLP}}}StatusCode")]
    assert codes == [saml_wire.RESPONDER, saml_wire.NO_PASSIVE]
    assert list(response.iter(f"{{{saml_wire.SAML}}}Assertion")) == []
    assert stage.nothing_happened()


@pytest.mark.parametrize("status", ["AuthnFailed", "RequestDenied", "NoPassive"])
def test_an_unsigned_refusal_is_a_refusal_too_and_brings_nobody_in(
    stage: Stage, status: str
) -> None:
    """Identity providers often leave an error unsigned; all that can come of it is NoPassive."""
    begun = stage.begin(IsPassive="true")
    signed = saml_wire.parse(
        saml_wire.decode(stage.refusal(begun, f"urn:oasis:names:tc:SAML:2.0:status:{status}"))
    )
    (signature,) = signed.findall("ds:Signature", saml_wire.NAMESPACES)
    signed.remove(signature)
    page = stage.post(begun, saml_wire.encode(etree.tostring(signed)))
    issued = saml_wire.parse(saml_wire.decode(form_of(page).fields["SAMLResponse"]))
    codes = [one.get("Value") for one in issued.iter(f"{{{saml_wire.SAMLP}}}StatusCode")]
    assert codes == [saml_wire.RESPONDER, saml_wire.NO_PASSIVE]
    assert list(issued.iter(f"{{{saml_wire.SAML}}}Assertion")) == []
    assert stage.nothing_happened()


def test_a_passive_login_of_who_has_a_session_succeeds(stage: Stage) -> None:
    begun = stage.begin(IsPassive="true")
    page = stage.post(begun, stage.answer(begun, ALICE))
    assert stage.accepted(page, begun).profile.id == "e-1001"


def test_no_other_refusal_of_an_upstream_leaves_as_a_response(stage: Stage) -> None:
    begun = stage.begin()
    refused = stage.refusal(begun, "urn:oasis:names:tc:SAML:2.0:status:AuthnFailed")
    demand_refusal(stage.post(begun, refused), errors.UpstreamRefused)
    assert stage.nothing_happened()


# --- who somebody is -----------------------------------------------------------------------------


def test_a_domain_that_the_upstream_does_not_speak_for_is_refused(set_up: Builder) -> None:
    lines = 'email_domains = ["example.com"]'
    stage = set_up(Wanted(upstreams={"active": lines, "standby": ""}))
    begun = stage.begin()
    demand_refusal(stage.post(begun, stage.answer(begun, ALICE)), errors.AssertionInvalid)
    assert stage.nothing_happened()
    begun = stage.begin()
    there = replace(ALICE, mail="Alice@EXAMPLE.com")
    page = stage.post(begun, stage.answer(begun, there))
    assert stage.accepted(page, begun).profile.email == "alice@example.com"


def test_a_new_link_key_retires_the_old_one(set_up: Builder) -> None:
    stage = set_up(Wanted().linked_by_mail())
    stage.log_in(ALICE)
    married = replace(ALICE, mail="alice.ash@example.org")
    stage.log_in(married)
    assert stage.store.person_by_lookup_key("alice@example.org") is None
    row = stage.store.person_by_lookup_key("alice.ash@example.org")
    assert row is not None
    assert row.id == "e-1001"
    assert not row.conflict


def test_the_email_leaves_in_lower_case_and_the_id_as_it_is(stage: Stage) -> None:
    accepted = stage.log_in(replace(DAVE, employee_number="E-1004x"))
    assert accepted.attributes["email"] == ("dave@example.org",)
    assert accepted.attributes["id"] == ("E-1004x",)


def test_what_is_asked_of_an_upstream_names_its_own_acs(stage: Stage) -> None:
    begun = stage.begin()
    assert begun.question.acs_url == f"{PUBLIC}/upstream/active/acs"
    assert begun.question.issuer == f"{PUBLIC}/upstream/active/metadata"
    assert begun.question.request_id != begun.sp_request_id
