"""The double of Mattermost keeps the rules of the real one: accounts, messages, import."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from lxml import etree

from tests.support import keys, people
from tests.support import saml_wire as wire
from tests.support import xml_security as xs
from tests.support.identity_provider import Provider, Question, Sign, issue
from tests.support.identity_provider import metadata as idp_metadata
from tests.support.identity_provider.service_providers import (
    QuestionRefused,
    parse,
    read_question,
)
from tests.support.mattermost import (
    DIRECT,
    Account,
    Accounts,
    AttributeNames,
    ImportFailed,
    LoginFailed,
    Profile,
    Settings,
    Signing,
    accept,
    import_metadata,
)
from tests.support.mattermost.authn_request import depart
from tests.support.mattermost.metadata import metadata

PROVIDER = Provider("https://idp.example.org/md", "https://idp.example.org/sso", keys.rsa_pair("i"))
SETTINGS = Settings(
    site_url="https://chat.example.org",
    idp_url=PROVIDER.sso_url,
    idp_descriptor_url=PROVIDER.entity_id,
    idp_certificate=PROVIDER.keys.certificate_pem,
    keys=keys.rsa_pair("sp"),
    attributes=DIRECT,
)
QUESTION = Question("_q", SETTINGS.entity_id, SETTINGS.acs_url)
BOTH = replace(PROVIDER, sign=Sign.BOTH)


def _now() -> datetime:
    return datetime.now(UTC)


def _issued(provider: Provider = PROVIDER, question: Question = QUESTION) -> str:
    return issue(provider, question, people.ALICE, now=_now())


# --- accounts ---------------------------------------------------------------------------------

ALICE = Profile(id="e-1", email="Alice@Example.org", username="Alice")


def _saml(auth_data: str, email: str, username: str) -> Account:
    return Account(0, "saml", auth_data, email, username)


def test_a_new_person_gets_an_account_with_folded_names() -> None:
    account = Accounts().login(ALICE)
    assert account == Account(1, "saml", "e-1", "alice@example.org", "alice")


def test_the_same_id_is_the_same_account_and_takes_the_new_email() -> None:
    accounts = Accounts()
    first = accounts.login(ALICE)
    second = accounts.login(replace(ALICE, email="married@example.org"))
    assert (second.id, second.email) == (first.id, "married@example.org")


def test_an_account_still_bound_by_email_is_bound_to_the_id() -> None:
    accounts = Accounts()
    old = accounts.add(_saml("alice@example.org", "alice@example.org", "alice"))
    assert accounts.login(ALICE) == replace(old, auth_data="e-1")


def test_another_id_with_a_known_email_is_refused_as_after_a_careless_standby() -> None:
    accounts = Accounts()
    accounts.login(ALICE)
    with pytest.raises(LoginFailed, match="email_exists"):
        accounts.login(replace(ALICE, id="e-2"))
    with pytest.raises(LoginFailed, match="username_exists"):
        accounts.login(replace(ALICE, id="e-2", email="other@example.org"))


def test_ids_differ_by_case() -> None:
    accounts = Accounts()
    accounts.login(ALICE)
    with pytest.raises(LoginFailed, match="email_exists"):
        accounts.login(replace(ALICE, id="E-1"))


def test_a_converted_account_cannot_use_saml() -> None:
    accounts = Accounts()
    account = accounts.login(ALICE)
    accounts.change(replace(account, auth_service="", auth_data=None))
    with pytest.raises(LoginFailed, match="email_exists"):
        accounts.login(ALICE)


def test_a_deactivated_account_is_refused() -> None:
    accounts = Accounts()
    accounts.change(replace(accounts.login(ALICE), active=False))
    with pytest.raises(LoginFailed, match="inactive"):
        accounts.login(ALICE)


def test_a_name_that_another_has_is_kept_and_the_login_goes_on() -> None:
    accounts = Accounts()
    accounts.login(ALICE)
    accounts.login(Profile(id="e-2", email="bob@example.org", username="bob"))
    account = accounts.login(Profile(id="e-2", email="alice@example.org", username="alice"))
    assert (account.email, account.username) == ("bob@example.org", "bob")
    assert len(accounts.warnings) == 2


@pytest.mark.parametrize(
    ("profile", "problem"),
    [
        (replace(ALICE, username="alice@example.org"), "username"),
        (replace(ALICE, username="Ålice"), "username"),
        (replace(ALICE, username="a" * 65), "username"),
        (replace(ALICE, email="nobody"), "email"),
        (replace(ALICE, id="x" * 129), "auth_data"),
    ],
)
def test_values_mattermost_cannot_store_are_refused(profile: Profile, problem: str) -> None:
    with pytest.raises(LoginFailed, match=problem):
        Accounts().login(profile)


# --- Responses --------------------------------------------------------------------------------


def test_an_honest_response_is_accepted_with_all_it_says() -> None:
    accepted = accept(_issued(BOTH), SETTINGS, now=_now())
    assert accepted.profile == Profile("e-1001", "alice@example.org", "alice", "Alice")
    assert (accepted.name_id, accepted.in_response_to) == ("e-1001", "_q")
    assert accepted.authn_context == wire.PASSWORD_TRANSPORT


def test_without_an_id_attribute_the_email_binds() -> None:
    names = replace(DIRECT, id="")
    accepted = accept(_issued(), replace(SETTINGS, attributes=names), now=_now())
    assert Accounts().login(accepted.profile).auth_data == "alice@example.org"


_TAMPERINGS = [
    ("another person", b"e-1001", b"e-1002"),
    ("another recipient", b'Recipient="https://chat', b'Recipient="https://evil'),
    ("another audience", b"<saml:Audience>https://chat", b"<saml:Audience>https://evil"),
    (
        "a longer life",
        b"AuthnInstant=",
        b"SessionNotOnOrAfter='2099-01-01T00:00:00Z' AuthnInstant=",
    ),
    ("an added attribute", b"</saml:AttributeStatement>", b"<saml:Attribute Name='x'/>\\g<0>"),
    ("no signature", b"<ds:Signature .*?</ds:Signature>", b""),
]


@pytest.mark.parametrize("provider", [PROVIDER, BOTH], ids=["assertion", "both"])
@pytest.mark.parametrize(
    ("found", "replaced"), [entry[1:] for entry in _TAMPERINGS], ids=[row[0] for row in _TAMPERINGS]
)
def test_a_tampered_response_is_refused(provider: Provider, found: bytes, replaced: bytes) -> None:
    original = wire.decode(_issued(provider))
    tampered = re.sub(found, replaced, original, flags=re.DOTALL)
    assert tampered != original
    with pytest.raises(LoginFailed):
        accept(wire.encode(tampered), SETTINGS, now=_now())


def test_an_assertion_wrapped_around_the_signed_one_is_refused() -> None:
    response = wire.parse(wire.decode(_issued()))
    signed = response[-1]
    forged = wire.parse(etree.tostring(signed))
    forged.set("ID", "_forged")
    response.append(forged)
    with pytest.raises(LoginFailed):
        accept(wire.encode(etree.tostring(response)), SETTINGS, now=_now())


@pytest.mark.parametrize(
    "question",
    [
        replace(QUESTION, acs_url="https://chat.example.org/login/sso/saml/"),
        replace(QUESTION, acs_url="https://evil.example.org/login/sso/saml"),
        replace(QUESTION, issuer="https://evil.example.org"),
    ],
)
def test_a_response_meant_for_another_place_is_refused(question: Question) -> None:
    with pytest.raises(LoginFailed):
        accept(_issued(question=question), SETTINGS, now=_now())


@pytest.mark.parametrize(
    ("message", "why"),
    [("", "empty"), ("%%%", "base64"), ("AAAA", "XML"), ("A" * (2 * 1024 * 1024 + 4), "empty")],
)
def test_what_is_no_response_is_refused(message: str, why: str) -> None:
    with pytest.raises(LoginFailed, match=why):
        accept(message, SETTINGS, now=_now())


def test_a_replay_is_accepted_as_mattermost_has_no_replay_cache() -> None:
    message = _issued()
    assert accept(message, SETTINGS, now=_now()) == accept(message, SETTINGS, now=_now())


# --- AuthnRequests ----------------------------------------------------------------------------


def test_a_redirect_has_its_parameters_in_alphabetical_order() -> None:
    settings = replace(SETTINGS, signing=Signing.DETACHED)
    query = urlsplit(depart(settings, "state+/=", now=_now()).url).query
    names = [part.partition("=")[0] for part in query.split("&")]
    assert names == ["RelayState", "SAMLRequest", "SigAlg", "Signature"]
    assert parse_qs(query)["RelayState"] == ["state+/="]


def test_a_request_has_the_shape_of_gosaml2() -> None:
    query = parse_qs(urlsplit(depart(SETTINGS, "s", now=_now()).url).query)
    request = wire.parse(wire.inflate(query["SAMLRequest"][0]))
    assert re.fullmatch(r"_[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", request.get("ID", ""))
    assert re.fullmatch(r"[0-9-]{10}T[0-9:]{8}Z", request.get("IssueInstant", ""))
    (policy,) = request.findall("samlp:NameIDPolicy", wire.NAMESPACES)
    assert (policy.get("AllowCreate"), policy.get("Format")) == ("true", None)
    assert wire.text_of(request, "saml:Issuer") == SETTINGS.acs_url


@pytest.mark.parametrize(
    ("signing", "style", "limit"),
    [
        (Signing.NONE, xs.DEFAULT_STYLE, 1000),
        (Signing.EMBEDDED, xs.DEFAULT_STYLE, 3700),
        (Signing.EMBEDDED, xs.Style(xs.RSA_SHA1), 3700),
        (Signing.EMBEDDED, xs.Style(canonical=xs.C14N_11), 3700),
        (Signing.EMBEDDED, xs.Style(xs.RSA_SHA512), 3700),
    ],
)
def test_a_signed_request_holds_and_a_changed_one_does_not(
    signing: Signing, style: xs.Style, limit: int
) -> None:
    settings = replace(SETTINGS, signing=signing, style=style)
    url = depart(settings, "s", now=_now()).url
    message = wire.inflate(parse_qs(urlsplit(url).query)["SAMLRequest"][0])
    known = {settings.entity_id: parse(metadata(settings, now=_now()))}
    question = read_question(message, known, sso_url=PROVIDER.sso_url, detached=None)
    assert (question.issuer, question.acs_url) == (settings.entity_id, settings.acs_url)
    assert len(url) < limit
    changed = message.replace(b'ID="_', b'ID="_0')
    if signing is not Signing.NONE:
        with pytest.raises(QuestionRefused):
            read_question(changed, known, sso_url=PROVIDER.sso_url, detached=None)


# --- import -----------------------------------------------------------------------------------


def test_the_import_takes_three_values() -> None:
    imported = import_metadata(idp_metadata(PROVIDER))
    assert imported.idp_url == PROVIDER.sso_url
    assert imported.idp_descriptor_url == PROVIDER.entity_id
    assert _der(imported.idp_certificate) == PROVIDER.keys.certificate_der


@pytest.mark.parametrize(
    ("found", "replaced", "why"),
    [
        (b"<md:EntityDescriptor ", b"<md:EntityDescriptor cacheDuration='PT1H' ", "cacheDuration"),
        (b"md:EntityDescriptor", b"md:EntitiesDescriptor", "root"),
        (
            b"<md:EntityDescriptor ",
            b"<md:EntityDescriptor validUntil='2099-01-01T00:00:00' ",
            "zone",
        ),
        (b"<md:KeyDescriptor.*</md:KeyDescriptor>", b"", "KeyDescriptor"),
        (b"IDPSSODescriptor", b"SPSSODescriptor", "IDPSSODescriptor"),
        (b'Location="https', b'Location="ftp', "SingleSignOnService"),
        (b"^.*$", b"<html>", "XML"),
    ],
)
def test_the_import_fails_where_mattermosts_does(found: bytes, replaced: bytes, why: str) -> None:
    xml = re.sub(found, replaced, idp_metadata(PROVIDER), flags=re.DOTALL)
    with pytest.raises(ImportFailed, match=why):
        import_metadata(xml)


def test_the_import_looks_at_the_first_key_and_the_first_binding_whatever_they_are() -> None:
    entity = wire.parse(idp_metadata(PROVIDER))
    role = entity[0]
    other = wire.parse(idp_metadata(replace(PROVIDER, keys=keys.rsa_pair("encryption"))))[0][0]
    other.set("use", "encryption")
    role.insert(0, other)
    services = role.findall("md:SingleSignOnService", wire.NAMESPACES)
    role.remove(services[0])
    imported = import_metadata(etree.tostring(entity))
    assert _der(imported.idp_certificate) == keys.rsa_pair("encryption").certificate_der
    assert imported.sso_binding == wire.POST


def test_service_provider_metadata_has_a_nine_digit_time_and_no_key_unless_configured() -> None:
    xml = metadata(replace(SETTINGS, keys=None, attributes=AttributeNames()), now=_now())
    assert re.search(rb'validUntil="[^"]*\.\d{9}Z"', xml)
    assert b"KeyDescriptor" not in xml
    assert parse(xml).acs_urls == (SETTINGS.acs_url,)


def _der(certificate_pem: bytes) -> bytes:
    return keys.KeyPair(b"", certificate_pem).certificate_der
