from __future__ import annotations

import base64
import zlib
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import as_file, files
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from idp_proxy.saml import names
from idp_proxy.saml.bindings import read_redirect
from idp_proxy.saml.object_model import Unwritable
from idp_proxy.saml.outbound_request import Asker, Question, post_fields, redirect_url
from idp_proxy.saml.xml import parse
from tests.support import xml_security
from tests.support.keys import KeyPair, rsa_pair
from tests.support.rsa_keys import private

if TYPE_CHECKING:
    from lxml.etree import _Element

NOW = datetime(2026, 5, 4, 12, 0, 0, 900_000, tzinfo=UTC)
SAML = f"{{{names.SAML}}}"
SAMLP = f"{{{names.SAMLP}}}"
MFA = "https://refeds.org/profile/mfa"
PASSWORD = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
QUESTION = Question(
    "_q1", "https://active.example.org/sso", force_authn=False, is_passive=False, now=NOW
)


def sp() -> KeyPair:
    return rsa_pair("okta-sp")


def asker(**changes: object) -> Asker:
    usual = Asker(
        entity_id="https://sso.example.org/upstream/okta/metadata",
        acs_url="https://sso.example.org/upstream/okta/acs",
        name_id_format=names.NAME_ID_PERSISTENT,
        authn_contexts=(),
        key=private(sp()),
        certificate=sp().certificate,
    )
    return replace(usual, **changes)  # type: ignore[arg-type] # the tests name fields of Asker


def by_redirect(who: Asker, question: Question = QUESTION) -> _Element:
    """The message as any identity provider would take it out of the address."""
    query = dict(parse_qsl(urlsplit(redirect_url(who, question, "r" * 22)).query))
    return parse(zlib.decompress(base64.b64decode(query["SAMLRequest"]), -15))


def test_the_request_says_all_that_an_upstream_needs() -> None:
    root = by_redirect(asker())
    assert root.tag == names.AUTHN_REQUEST
    assert {str(k): v for k, v in root.attrib.items()} == {
        "ID": "_q1",
        "Version": "2.0",
        "IssueInstant": "2026-05-04T12:00:00Z",
        "Destination": "https://active.example.org/sso",
        "AssertionConsumerServiceURL": "https://sso.example.org/upstream/okta/acs",
        "ProtocolBinding": names.BINDING_POST,
    }
    assert root.findtext(f"{SAML}Issuer") == "https://sso.example.org/upstream/okta/metadata"
    policies = [dict(e.attrib.items()) for e in root.iter(f"{SAMLP}NameIDPolicy")]
    assert policies == [{"Format": names.NAME_ID_PERSISTENT, "AllowCreate": "true"}]
    assert root.find(f"{SAMLP}RequestedAuthnContext") is None


def test_no_identifier_is_made_for_a_transient_format() -> None:
    transient = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
    root = by_redirect(asker(name_id_format=transient))
    (policy,) = root.iter(f"{SAMLP}NameIDPolicy")
    assert dict(policy.attrib.items()) == {"Format": transient}


def test_context_classes_are_asked_for_exactly_and_in_order() -> None:
    root = by_redirect(asker(authn_contexts=(MFA, PASSWORD)))
    (context,) = root.iter(f"{SAMLP}RequestedAuthnContext")
    at_least = by_redirect(asker(authn_contexts=(MFA,), comparison="minimum"))
    (minimum,) = at_least.iter(f"{SAMLP}RequestedAuthnContext")
    assert minimum.get("Comparison") == "minimum"
    assert context.get("Comparison") == "exact"
    assert [e.text for e in context] == [MFA, PASSWORD]


@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize("passive", [True, False])
def test_force_and_passive_are_carried_on(*, force: bool, passive: bool) -> None:
    root = by_redirect(asker(), replace(QUESTION, force_authn=force, is_passive=passive))
    assert root.get("ForceAuthn") == ("true" if force else None)
    assert root.get("IsPassive") == ("true" if passive else None)


def test_the_redirect_is_signed_over_the_query_as_it_is_sent() -> None:
    query = urlsplit(redirect_url(asker(), QUESTION, "state+/=&")).query
    names_sent = [pair.partition("=")[0] for pair in query.split("&")]
    assert names_sent == ["SAMLRequest", "RelayState", "SigAlg", "Signature"]
    signed, _, _ = query.partition("&Signature=")
    fields = dict(parse_qsl(query))
    assert fields["RelayState"] == "state+/=&"
    assert xml_security.octets_verify(
        signed.encode(),
        base64.b64decode(fields["Signature"]),
        sp().certificate_pem,
        fields["SigAlg"],
    )
    read = read_redirect(query.encode())
    assert read.detached is not None
    assert read.detached.octets == signed.encode()


def test_an_address_that_has_a_query_keeps_it() -> None:
    question = replace(QUESTION, destination="https://active.example.org/sso?tenant=7")
    url = redirect_url(asker(), question, "r")
    assert url.startswith("https://active.example.org/sso?tenant=7&SAMLRequest=")
    assert by_redirect(asker(), question).get("Destination") == question.destination


def test_the_posted_form_is_signed_inside() -> None:
    fields = post_fields(asker(), QUESTION, "r" * 22)
    assert set(fields) == {"SAMLRequest", "RelayState"}
    root = parse(base64.b64decode(fields["SAMLRequest"]))
    assert root[1].tag == names.SIGNATURE
    assert xml_security.verifies(root, sp().certificate_pem)


def test_what_we_ask_is_valid_by_the_schema() -> None:
    who = asker(authn_contexts=(MFA,))
    with as_file(files("onelogin.saml2") / "schemas") as folder:
        schema = etree.XMLSchema(etree.parse(folder / "saml-schema-protocol-2.0.xsd"))
    schema.assertValid(by_redirect(who, replace(QUESTION, force_authn=True)))
    schema.assertValid(parse(base64.b64decode(post_fields(who, QUESTION, "r")["SAMLRequest"])))


@pytest.mark.parametrize(
    ("who", "question", "relay_state"),
    [
        ({}, replace(QUESTION, id="1"), "r"),
        ({}, replace(QUESTION, destination="https://x\n"), "r"),
        ({"entity_id": ""}, QUESTION, "r"),
        ({"acs_url": "https://x\x00"}, QUESTION, "r"),
        ({"name_id_format": ""}, QUESTION, "r"),
        ({"authn_contexts": ("",)}, QUESTION, "r"),
        ({}, QUESTION, ""),
        ({}, QUESTION, "r" * 81),
        ({}, QUESTION, "a\r\nb"),
    ],
)
def test_a_value_that_cannot_be_sent_asks_nothing(
    who: dict[str, object], question: Question, relay_state: str
) -> None:
    for write in (redirect_url, post_fields):
        with pytest.raises(Unwritable):
            write(asker(**who), question, relay_state)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=80))
def test_every_relay_state_comes_back_byte_for_byte(state: str) -> None:
    query = urlsplit(redirect_url(asker(), QUESTION, state)).query
    assert read_redirect(query.encode()).relay_state == state


def test_no_private_key_is_part_of_a_repr() -> None:
    assert "PrivateKey" not in repr(asker())
