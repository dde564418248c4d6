from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from onelogin.saml2.response import OneLogin_Saml2_Response
from onelogin.saml2.settings import OneLogin_Saml2_Settings

from idp_proxy.decision.subject import Evidence, Identity
from idp_proxy.errors import AssertionInvalid, Internal
from idp_proxy.saml import names, response
from idp_proxy.saml.answer import Expected, RequireSigned
from idp_proxy.saml.assertion import verify_response
from idp_proxy.saml.encryption import AES128_GCM, AES256_GCM, decrypt_assertion
from idp_proxy.saml.response import (
    Encryption,
    Issuer,
    Recipient,
    Reply,
    issue_no_passive,
    issue_response,
)
from idp_proxy.saml.response_form import attribute, authority
from idp_proxy.saml.xml import parse
from tests.support import xml_security
from tests.support.keys import KeyPair, ec_pair, rsa_pair
from tests.support.rsa_keys import private

if TYPE_CHECKING:
    from lxml.etree import _Element

NOW = datetime(2026, 5, 4, 12, 0, 0, 500_000, tzinfo=UTC)
SAML = f"{{{names.SAML}}}"
SAMLP = f"{{{names.SAMLP}}}"
DS = f"{{{names.DS}}}"
PASSWORD = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
SP = "https://chat.example.org/login/sso/saml"

ATTRIBUTES = {
    "id": "E-1007",
    "email": "alice@example.org",
    "username": "alice",
    "first_name": "Alice",
}
ALICE = Identity("E-1007", ATTRIBUTES)
EVIDENCE = Evidence(
    NOW - timedelta(minutes=3), PASSWORD, ("https://active.example.org/idp", "https://deep.org/idp")
)
REPLY = Reply("_request1", "_response1", "_assertion1", NOW)
RECIPIENT = Recipient(
    SP, SP, {"id": "id", "email": "email", "username": "username", "firstname": "first_name"}
)


def idp() -> KeyPair:
    return rsa_pair("our-idp")


def sp() -> KeyPair:
    return rsa_pair("mattermost")


def issuer() -> Issuer:
    return Issuer("https://sso.example.org/saml/metadata", private(idp()), idp().certificate)


def encrypting(algorithm: str = AES128_GCM) -> Recipient:
    return replace(RECIPIENT, encryption=Encryption(sp().certificate, algorithm))


def issued(
    identity: Identity = ALICE, evidence: Evidence = EVIDENCE, recipient: Recipient = RECIPIENT
) -> bytes:
    return issue_response(identity, evidence, REPLY, issuer(), recipient)


def expected(**changes: Any) -> Expected:
    usual = Expected(
        issuer="https://sso.example.org/saml/metadata",
        keys=(private(idp()).public_key(),),
        audience=SP,
        acs_url=SP,
        request_id="_request1",
        proxied_to=SP,
        now=NOW,
        require_signed=RequireSigned.BOTH,
        decryption_keys=(private(sp()),),
    )
    return replace(usual, **changes)


def encoded(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def at(root: _Element, path: str) -> _Element:
    (found,) = root.findall(path)
    return found


# --- the profile, to the letter ------------------------------------------------------------------


def test_everything_that_ties_the_answer_to_the_question_is_there() -> None:
    root = parse(issued())
    assert {str(k): v for k, v in root.attrib.items()} == {
        "ID": "_response1",
        "InResponseTo": "_request1",
        "Version": "2.0",
        "IssueInstant": "2026-05-04T12:00:00Z",
        "Destination": SP,
    }
    assertion = at(root, f"{SAML}Assertion")
    confirmation = at(assertion, f"{SAML}Subject/{SAML}SubjectConfirmation")
    assert confirmation.get("Method") == "urn:oasis:names:tc:SAML:2.0:cm:bearer"
    assert {str(k): v for k, v in confirmation[0].attrib.items()} == {
        "InResponseTo": "_request1",
        "Recipient": SP,
        "NotOnOrAfter": "2026-05-04T12:05:00Z",
    }
    conditions = at(assertion, f"{SAML}Conditions")
    assert conditions.get("NotBefore") == "2026-05-04T11:58:00Z"
    assert conditions.get("NotOnOrAfter") == "2026-05-04T12:05:00Z"
    assert at(conditions, f"{SAML}AudienceRestriction/{SAML}Audience").text == SP
    assert [e.text for e in root.iter(f"{SAML}Issuer")] == [issuer().entity_id] * 2
    assert at(root, f"{SAMLP}Status/{SAMLP}StatusCode").get("Value") == names.STATUS_SUCCESS


def test_the_name_id_is_the_persistent_canonical_id() -> None:
    name_id = at(parse(issued()), f".//{SAML}NameID")
    assert name_id.text == "E-1007"
    assert name_id.get("Format") == "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"


def test_how_somebody_authenticated_is_the_upstreams_word() -> None:
    end = NOW + timedelta(hours=8)
    root = parse(issued(evidence=replace(EVIDENCE, session_not_on_or_after=end)))
    statement = at(root, f".//{SAML}AuthnStatement")
    assert {str(k): v for k, v in statement.attrib.items()} == {
        "AuthnInstant": "2026-05-04T11:57:00Z",
        "SessionIndex": "_assertion1",
        "SessionNotOnOrAfter": "2026-05-04T20:00:00Z",
    }
    context = at(statement, f"{SAML}AuthnContext")
    assert [(str(e.tag).rpartition("}")[2], e.text) for e in context] == [
        ("AuthnContextClassRef", PASSWORD),
        ("AuthenticatingAuthority", "https://active.example.org/idp"),
        ("AuthenticatingAuthority", "https://deep.org/idp"),
    ]
    without = at(parse(issued()), f".//{SAML}AuthnStatement")
    assert without.get("SessionNotOnOrAfter") is None


def test_attributes_have_the_names_mattermost_was_configured_with_and_come_once() -> None:
    names_sent = {"id": "id", "mail": "email", "user": "username", "urn:x:nick": "nickname"}
    root = parse(issued(recipient=replace(RECIPIENT, attributes=names_sent)))
    sent = {
        a.get("Name"): (a.get("NameFormat", "").rpartition(":")[2], [v.text for v in a])
        for a in root.iter(f"{SAML}Attribute")
    }
    assert sent == {
        "id": ("basic", ["E-1007"]),
        "mail": ("basic", ["alice@example.org"]),
        "user": ("basic", ["alice"]),
    }
    values = list(root.iter(f"{SAML}AttributeValue"))
    assert all(not value.attrib for value in values)


def test_an_attribute_named_by_a_uri_says_so() -> None:
    recipient = replace(RECIPIENT, attributes={"urn:oid:0.9.2342.19200300.100.1.3": "email"})
    attribute = at(parse(issued(recipient=recipient)), f".//{SAML}Attribute")
    assert attribute.get("NameFormat", "").endswith("attrname-format:uri")


def test_both_are_signed_with_the_one_certificate_and_the_plain_algorithms() -> None:
    root = parse(issued())
    signatures = list(root.iter(f"{DS}Signature"))
    parents = [parent for s in signatures if (parent := s.getparent()) is not None]
    assert [parent.tag for parent in parents] == [names.RESPONSE, names.ASSERTION]
    for signature in signatures:
        parent = signature.getparent()
        assert parent is not None
        assert parent[1] is signature
        assert {e.get("Algorithm") for e in signature.iter() if e.get("Algorithm")} == {
            "http://www.w3.org/2001/10/xml-exc-c14n#",
            "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
            "http://www.w3.org/2000/09/xmldsig#enveloped-signature",
            "http://www.w3.org/2001/04/xmlenc#sha256",
        }
        (certificate,) = signature.iter(f"{DS}X509Certificate")
        assert certificate.text == idp().certificate_text
        assert not any("InclusiveNamespaces" in str(e.tag) for e in signature.iter())


def test_no_declaration_comment_or_blank_text_leaves() -> None:
    octets = issued()
    assert octets.startswith(b"<samlp:Response ")
    assert b"<!" not in octets
    assert b"<?" not in octets
    assert b"> <" not in octets
    assert b"\n" not in octets


# --- accepted by others --------------------------------------------------------------------------


def python3_saml(pair: KeyPair, *, encrypted: bool) -> OneLogin_Saml2_Settings:
    return OneLogin_Saml2_Settings(
        {
            "strict": True,
            "sp": {
                "entityId": SP,
                "assertionConsumerService": {"url": SP},
                "x509cert": sp().certificate_text,
                "privateKey": sp().key_pem.decode(),
            },
            "idp": {
                "entityId": issuer().entity_id,
                "singleSignOnService": {"url": "https://sso.example.org/saml/sso"},
                "x509cert": pair.certificate_text,
            },
            "security": {
                "wantAssertionsSigned": True,
                "wantMessagesSigned": True,
                "wantAssertionsEncrypted": encrypted,
                "rejectDeprecatedAlgorithm": True,
            },
        }
    )


REQUEST = {"https": "on", "http_host": "chat.example.org", "script_name": "/login/sso/saml"}


@pytest.mark.parametrize("recipient", [RECIPIENT, None])
def test_python3_saml_in_strict_mode_accepts_and_reads_the_same(
    recipient: Recipient | None,
) -> None:
    now = datetime.now(UTC)
    octets = issue_response(
        ALICE, EVIDENCE, replace(REPLY, now=now), issuer(), recipient or encrypting()
    )
    other = OneLogin_Saml2_Response(
        python3_saml(idp(), encrypted=recipient is None), encoded(octets)
    )
    assert other.is_valid(REQUEST, "_request1", raise_exceptions=True)
    assert other.get_nameid() == "E-1007"
    assert other.get_attributes() == {
        "id": ["E-1007"],
        "email": ["alice@example.org"],
        "username": ["alice"],
        "firstname": ["Alice"],
    }


@pytest.mark.parametrize("path", [".", f"{SAML}Assertion"])
def test_python_xmlsec_verifies_each_signature(path: str) -> None:
    element = parse(issued()).find(path)
    assert element is not None
    alone = etree.fromstring(etree.tostring(element))
    assert xml_security.verifies(alone, idp().certificate_pem)


def test_our_own_verifier_reads_the_same_person() -> None:
    seen = verify_response(encoded(issued()), expected())
    assert seen.name_id == "E-1007"
    assert seen.attributes["firstname"] == ("Alice",)
    assert seen.authorities == EVIDENCE.authorities


@pytest.mark.parametrize("algorithm", [AES128_GCM, AES256_GCM])
def test_encrypted_answers_are_sign_encrypt_sign(algorithm: str) -> None:
    octets = issued(recipient=encrypting(algorithm))
    root = parse(octets)
    assert root.find(f"{SAML}Assertion") is None
    assert not any(value.encode() in octets for value in ("alice", "E-1007", "Alice"))
    assert root[1].tag == names.SIGNATURE
    plain = decrypt_assertion(at(root, names.ENCRYPTED_ASSERTION), [private(sp())], allow_cbc=False)
    assertion = parse(plain)
    assert xml_security.verifies(assertion, idp().certificate_pem)
    assert verify_response(encoded(octets), expected()).name_id == "E-1007"


def valid_by_schema(root: _Element) -> None:
    with as_file(files("onelogin.saml2") / "schemas") as folder:
        schema = etree.XMLSchema(etree.parse(folder / "saml-schema-protocol-2.0.xsd"))
    schema.assertValid(root)


def test_what_leaves_is_valid_by_the_schema_decrypted_too() -> None:
    valid_by_schema(parse(issued()))
    root = parse(issued(recipient=encrypting()))
    valid_by_schema(root)
    encrypted = at(root, names.ENCRYPTED_ASSERTION)
    plain = parse(decrypt_assertion(encrypted, [private(sp())], allow_cbc=False))
    root.replace(encrypted, plain)
    valid_by_schema(parse(etree.tostring(root)))
    valid_by_schema(parse(issue_no_passive(REPLY, issuer(), RECIPIENT)))


# --- NoPassive -----------------------------------------------------------------------------------


def test_no_passive_is_a_signed_response_without_an_assertion() -> None:
    octets = issue_no_passive(REPLY, issuer(), RECIPIENT)
    root = parse(octets)
    assert xml_security.verifies(root, idp().certificate_pem)
    assert root.find(f"{SAML}Assertion") is None
    codes = [e.get("Value") for e in root.iter(f"{SAMLP}StatusCode")]
    assert codes == [names.STATUS_RESPONDER, names.STATUS_NO_PASSIVE]
    assert (root.get("Destination"), root.get("InResponseTo")) == (SP, "_request1")
    with pytest.raises(AssertionInvalid):
        verify_response(encoded(octets), expected())


# --- hostile and wrong values --------------------------------------------------------------------

INJECTIONS = [
    "]]><saml:Attribute/>",
    "</saml:AttributeValue><x/>",
    "<!--x-->",
    "&lt;&amp;&#x41;",
    "\"'><evil a='",
    "a\u00a0b",
    "\U0001f600\U0010fffd",
    "e\u0301",
]


@pytest.mark.parametrize("value", INJECTIONS)
def test_a_value_stays_one_value_whatever_it_holds(value: str) -> None:
    octets = issued(Identity("E-1007", {**ATTRIBUTES, "first_name": value}))
    seen = verify_response(encoded(octets), expected())
    assert seen.attributes["firstname"] == (value,)
    assert len(seen.attributes) == 4
    root = parse(octets)
    assert len(list(root.iter())) == len(list(parse(issued()).iter()))


PRINTABLE = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Cn"]), min_size=1, max_size=40
).filter(lambda text: text.strip() == text)


@settings(max_examples=40, deadline=None)
@given(PRINTABLE)
def test_every_printable_value_comes_out_as_it_went_in(value: str) -> None:
    octets = issued(Identity("E-1007", {**ATTRIBUTES, "first_name": value}))
    assert verify_response(encoded(octets), expected()).attributes["firstname"] == (value,)


BAD = ["a\x00b", "a\nb", "a\rb", "a\tb", "a\x0bb", "a\x85b", "a\ufffeb", "a\ud800b", "a\x7fb"]


@pytest.mark.parametrize("value", BAD)
def test_a_control_character_anywhere_issues_nothing(value: str) -> None:
    wrong_identities = [
        Identity("E-1007", {**ATTRIBUTES, "first_name": value}),
        Identity(value, ATTRIBUTES),
    ]
    for identity in wrong_identities:
        with pytest.raises(Internal):
            issued(identity)
    for evidence in (
        replace(EVIDENCE, authn_context=value),
        replace(EVIDENCE, authorities=(value,)),
    ):
        with pytest.raises(Internal):
            issued(evidence=evidence)
    for recipient in (
        replace(RECIPIENT, entity_id=value),
        replace(RECIPIENT, acs_url=value),
        replace(RECIPIENT, attributes={value: "id"}),
    ):
        with pytest.raises(Internal):
            issued(recipient=recipient)


@pytest.mark.parametrize("missing", ["id", "email", "username"])
@pytest.mark.parametrize("value", ["", None])
def test_a_person_without_an_identifier_is_not_issued(missing: str, value: str | None) -> None:
    attributes = {name: text for name, text in ATTRIBUTES.items() if name != missing}
    if value is not None:
        attributes[missing] = value
    with pytest.raises(Internal, match=missing):
        issued(Identity("E-1007", attributes))


@pytest.mark.parametrize(
    "reply",
    [
        replace(REPLY, in_response_to='_x" Destination="https://evil.example.org'),
        replace(REPLY, in_response_to=""),
        replace(REPLY, in_response_to="1abc"),
        replace(REPLY, in_response_to="a b"),
        replace(REPLY, in_response_to="a:b"),
        replace(REPLY, response_id="\u00e4"),
        replace(REPLY, response_id="_" + "a" * 300),
        replace(REPLY, assertion_id="<x/>"),
    ],
)
def test_an_id_that_is_no_ncname_issues_nothing(reply: Reply) -> None:
    with pytest.raises(Internal):
        issue_response(ALICE, EVIDENCE, reply, issuer(), RECIPIENT)


def test_no_passive_checks_its_values_too() -> None:
    with pytest.raises(Internal):
        issue_no_passive(replace(REPLY, in_response_to="a b"), issuer(), RECIPIENT)


def test_an_ambiguous_name_id_is_stopped_by_our_own_verifier() -> None:
    with pytest.raises(Internal, match="SP-10"):
        issued(Identity(" E-1007", ATTRIBUTES))


def test_a_key_that_is_not_the_certificates_issues_nothing() -> None:
    wrong = replace(issuer(), key=private(rsa_pair("not-our-idp")))
    for recipient in (RECIPIENT, encrypting()):
        with pytest.raises(Internal, match="our own verifier refused"):
            issue_response(ALICE, EVIDENCE, REPLY, wrong, recipient)
    with pytest.raises(Internal, match="our own verifier refused"):
        issue_no_passive(REPLY, wrong, RECIPIENT)


def test_a_certificate_without_an_rsa_key_issues_nothing() -> None:
    wrong = replace(issuer(), certificate=ec_pair("no-idp").certificate)
    with pytest.raises(Internal, match="our own verifier refused"):
        issue_response(ALICE, EVIDENCE, REPLY, wrong, RECIPIENT)


@pytest.mark.parametrize(
    "encryption",
    [
        lambda: Encryption(ec_pair("no-sp").certificate, AES128_GCM),
        lambda: Encryption(sp().certificate, "http://www.w3.org/2001/04/xmlenc#aes128-cbc"),
        lambda: Encryption(sp().certificate, ""),
    ],
)
def test_what_cannot_be_encrypted_is_not_sent_in_the_clear(encryption: Any) -> None:
    with pytest.raises(Internal, match="no Response was issued"):
        issued(recipient=replace(RECIPIENT, encryption=encryption()))


@pytest.mark.parametrize("recipient", [RECIPIENT, None])
def test_a_response_that_is_too_large_for_a_reader_is_not_sent(recipient: Recipient | None) -> None:
    attributes = {**ATTRIBUTES, "first_name": "a" * 300_000}
    with pytest.raises(Internal, match="XML-02"):
        issued(Identity("E-1007", attributes), recipient=recipient or encrypting())


@pytest.mark.parametrize("recipient", [RECIPIENT, None])
def test_a_fault_of_the_signer_is_found_before_anything_leaves(
    monkeypatch: pytest.MonkeyPatch, recipient: Recipient | None
) -> None:
    """The self-check is alive: with the Response left unsigned nothing goes out."""
    real = response._signed

    def forgetful(octets: bytes, element_id: str, by: Issuer) -> bytes:
        return octets if element_id == REPLY.response_id else real(octets, element_id, by)

    monkeypatch.setattr(response, "_signed", forgetful)
    with pytest.raises(Internal):
        issued(recipient=recipient or encrypting())


ANOTHER = [
    ("the NameID", "E-1008", "another person"),
    (attribute(2), "mallory", "another person"),
    ("the context class", "https://refeds.org/profile/mfa", "another authentication"),
    ("AuthnInstant", "2026-05-04T11:58:00Z", "another authentication"),
    ("SessionNotOnOrAfter", "2026-05-05T20:00:00Z", "another authentication"),
    (authority(1), "https://other.example.org/idp", "another authentication"),
    ("the ID of the assertion", "_assertion2", "the Reference is not"),
]


@pytest.mark.parametrize(("blank", "value", "why"), ANOTHER)
@pytest.mark.parametrize("recipient", [RECIPIENT, None])
def test_whatever_else_stands_in_the_signed_octets_is_found(
    monkeypatch: pytest.MonkeyPatch,
    blank: str,
    value: str,
    why: str,
    recipient: Recipient | None,
) -> None:
    real = response._values

    def swapped(*told: Any) -> dict[str, str]:
        return real(*told) | {blank: value}

    monkeypatch.setattr(response, "_values", swapped)
    evidence = replace(EVIDENCE, session_not_on_or_after=NOW + timedelta(hours=8))
    with pytest.raises(Internal, match=why):
        issued(evidence=evidence, recipient=recipient or encrypting())


def test_an_encrypted_answer_to_another_question_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What surrounds an encrypted assertion is checked by itself."""
    real = response._expected

    def moved(*told: Any) -> Expected:
        expected = real(*told)
        both = expected.require_signed is RequireSigned.BOTH
        return replace(expected, request_id="_other") if both else expected

    monkeypatch.setattr(response, "_expected", moved)
    with pytest.raises(Internal, match="SP-03"):
        issued(recipient=encrypting())


def test_no_private_key_is_part_of_a_repr() -> None:
    shown = repr(issuer()) + repr(encrypting())
    assert "key=" not in shown
    assert "RSAPrivateKey" not in shown
