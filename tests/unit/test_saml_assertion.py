"""verify_response as a whole: what it gives, what it opens, and who can make its result."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from idp_proxy.errors import AssertionInvalid, MalformedMessage, SamlError
from idp_proxy.saml import checks, names
from idp_proxy.saml.answer import RequireSigned
from idp_proxy.saml.assertion import VerifiedAssertion, verify_response
from tests.support.keys import rsa_pair
from tests.unit.saml_messages import (
    ISSUER,
    MORE,
    NOW,
    SHA_256,
    answer,
    assertion,
    at,
    attribute_statement,
    authn_statement,
    conditions,
    confirmation_data,
    encrypted,
    expected,
    issuer_pair,
    posted,
    private_key,
    public_key,
    response,
    signature,
    signed,
    subject,
)

SIGNED = signature("_assertion-1")


def verified(xml: str, **context: Any) -> VerifiedAssertion:
    return verify_response(posted(signed(xml)), expected(**context))


def asserting(**pieces: str) -> str:
    return response(assertion=assertion(signature=SIGNED, **pieces))


def test_everything_that_a_login_needs_is_read() -> None:
    context = (
        "<saml:AuthnContext><saml:AuthnContextClassRef> urn:mfa\n</saml:AuthnContextClassRef>"
        "<saml:AuthenticatingAuthority>https://first</saml:AuthenticatingAuthority>"
        "<saml:AuthenticatingAuthority>https://second</saml:AuthenticatingAuthority>"
        "</saml:AuthnContext>"
    )
    found = verified(
        asserting(
            authn=authn_statement(context=context, end=f'SessionNotOnOrAfter="{at(600)}"'),
            subject=subject(data=confirmation_data(end=f'NotOnOrAfter="{at(200)}"')),
        )
    )
    assert found.id == "_assertion-1"
    assert found.issuer == ISSUER
    assert found.name_id == "ada-1815"
    assert found.name_id_format == names.NAME_ID_PERSISTENT
    assert found.attributes == {"email": ("ada@example.org",)}
    assert found.authn_instant == NOW - timedelta(seconds=30)
    assert found.authn_context == "urn:mfa"
    assert found.authorities == ("https://first", "https://second")
    assert found.session_not_on_or_after == NOW + timedelta(seconds=600)
    assert found.not_on_or_after == NOW + timedelta(seconds=200)


def test_what_an_upstream_may_leave_out_has_a_value_that_says_so() -> None:
    bare = subject(name_id="<saml:NameID>ada</saml:NameID>")
    found = verified(asserting(subject=bare, statement=""))
    assert found.name_id_format == names.NAME_ID_UNSPECIFIED
    assert found.attributes == {}
    assert found.authorities == ()
    assert found.session_not_on_or_after is None


def test_the_end_is_the_earlier_one_of_the_two() -> None:
    found = verified(asserting(conditions=conditions(end=f'NotOnOrAfter="{at(100)}"')))
    assert found.not_on_or_after == NOW + timedelta(seconds=100)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("ada", "ada"),
        ("", ""),
        (" as it stands ", " as it stands "),
        ("<saml:NameID>opaque</saml:NameID>", "opaque"),
        ("\n  <saml:NameID>opaque</saml:NameID>\n", "opaque"),
        ("text<saml:NameID>opaque</saml:NameID>", ""),
        ("<saml:NameID>opaque</saml:NameID>text", ""),
        ("<saml:NameID>one</saml:NameID><saml:NameID>two</saml:NameID>", ""),
        ("<saml:Other>opaque</saml:Other>", ""),
        ("admin<b/>", ""),
        ("<saml:NameID>adm<b/>in</saml:NameID>", ""),
    ],
)
def test_an_attribute_value_is_its_text_or_nothing(value: str, read: str) -> None:
    found = verified(asserting(statement=attribute_statement({"x": (value,)})))
    assert found.attributes == {"x": (read,)}


def test_attributes_keep_the_order_of_values_and_one_name_counts_as_one() -> None:
    inner = (
        '<saml:Attribute Name="g"><saml:AttributeValue>2</saml:AttributeValue></saml:Attribute>'
        '<saml:Attribute Name="e"/><saml:Attribute/>'
        '<saml:Attribute Name="g"><saml:AttributeValue>1</saml:AttributeValue>'
        "<saml:Other>9</saml:Other></saml:Attribute>"
    )
    statement = f"<saml:AttributeStatement>{inner}</saml:AttributeStatement>"
    found = verified(asserting(statement=statement))
    assert found.attributes == {"g": ("2", "1"), "e": (), "": ()}


def test_only_verify_response_makes_a_verified_assertion() -> None:
    judged = answer(signed(response()))
    for making in (None, object(), True):
        with pytest.raises(TypeError, match="only verify_response"):
            VerifiedAssertion(judged, making)


def test_a_verified_assertion_cannot_be_given_other_parts() -> None:
    with pytest.raises(AttributeError):
        setattr(verified(response()), "admin", True)  # noqa: B010 - the attribute must not exist


def test_the_list_of_checks_is_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    late = posted(signed(asserting(conditions=conditions(audience=""))))
    with pytest.raises(AssertionInvalid) as caught:
        verify_response(late, expected())
    assert caught.value.rule == "SP-04"
    without = tuple(check for check in checks.CHECKS if check is not checks.sp_04_audience)
    monkeypatch.setattr(checks, "CHECKS", without)
    assert verify_response(late, expected()).name_id == "ada-1815"


@pytest.mark.parametrize("message", ["", "?", "PGEvPg", "PGEvPg==\u00a0", "Zm9v", "\udcff"])
def test_what_is_no_message_is_malformed(message: str) -> None:
    with pytest.raises(MalformedMessage) as caught:
        verify_response(message, expected())
    assert caught.value.rule == "XML-03"


def test_the_message_may_be_wrapped_like_mail() -> None:
    text = posted(signed(response()))
    wrapped = "\r\n".join(text[start : start + 76] for start in range(0, len(text), 76))
    assert verify_response(wrapped, expected()).name_id == "ada-1815"


def opened(octets: bytes, **context: Any) -> VerifiedAssertion:
    keys = (private_key(rsa_pair("decryption")),)
    return verify_response(posted(octets), expected(decryption_keys=keys, **context))


def encrypted_for_us(xml: str | None = None, **how: Any) -> bytes:
    return encrypted(xml or assertion(signature=SIGNED), rsa_pair("decryption"), **how)


@pytest.mark.parametrize("algorithm", ["aes128-gcm", "aes256-gcm"])
@pytest.mark.parametrize("sign_response", [True, False])
def test_an_encrypted_assertion_is_opened(algorithm: str, sign_response: bool) -> None:
    octets = encrypted_for_us(algorithm=algorithm, sign_response=sign_response)
    assert opened(octets).name_id == "ada-1815"


def test_an_encrypted_assertion_may_be_signed_by_the_response_alone() -> None:
    octets = encrypted_for_us(assertion(), sign_response=True)
    found = opened(octets, require_signed=RequireSigned.RESPONSE)
    assert (found.id, found.name_id) == ("_assertion-1", "ada-1815")


def test_an_older_decryption_key_still_opens() -> None:
    keys = tuple(private_key(rsa_pair(name)) for name in ("next decryption", "decryption"))
    message = posted(encrypted_for_us())
    assert verify_response(message, expected(decryption_keys=keys)).name_id == "ada-1815"


def refusal(octets: bytes, **context: Any) -> SamlError:
    with pytest.raises(SamlError) as caught:
        opened(octets, **context)
    return caught.value


def test_cbc_is_opened_only_by_opt_in_and_inside_a_signed_response() -> None:
    in_signed = encrypted_for_us(algorithm="aes128-cbc", sign_response=True)
    unsigned = encrypted_for_us(algorithm="aes128-cbc")
    assert opened(in_signed, allow_aes_cbc=True).name_id == "ada-1815"
    for octets, allow in ((in_signed, False), (unsigned, True), (unsigned, False)):
        assert refusal(octets, allow_aes_cbc=allow).rule == "SP-08"


@pytest.mark.parametrize(
    ("inner", "rule"),
    [
        (assertion(), "SP-01"),
        (assertion(signature=SIGNED, extra="<saml:Advice/>"), "SP-09"),
        (assertion(signature=SIGNED, extra=assertion(attributes='ID="_2"')), "SP-02"),
    ],
)
def test_what_comes_out_of_encryption_passes_the_same_checks(inner: str, rule: str) -> None:
    assert refusal(encrypted_for_us(inner)).rule == rule


@pytest.mark.parametrize(
    ("inner", "rule"),
    [
        (assertion(signature=SIGNED), "SP-01"),
        (assertion(signature=SIGNED, attributes='ID="x y"'), "SP-02"),
        (assertion(signature=SIGNED, extra=SIGNED), "SP-02"),
        (assertion(signature=signature("_response-1")), "SP-02"),
        (assertion(signature=signature("_assertion-1", digest=SHA_256[:-3] + "224")), "SP-08"),
        ("<a/>", "XML-03"),
    ],
)
def test_what_nobody_signed_comes_out_of_encryption_and_no_further(inner: str, rule: str) -> None:
    assert refusal(encrypted_for_us(inner, sign_assertion=False)).rule == rule


def test_an_assertion_encrypted_by_a_stranger_is_refused_by_its_signature() -> None:
    stranger = rsa_pair("stranger")
    inner = assertion(signature=SIGNED)
    theirs = (public_key(stranger),)
    octets = encrypted_for_us(inner)
    assert refusal(octets, keys=theirs).rule == "SP-01"
    assert refusal(octets, keys=()).rule == "SP-01"


def test_without_a_decryption_key_the_refusal_names_the_setting() -> None:
    with pytest.raises(AssertionInvalid, match="decryption_key is not configured"):
        verify_response(posted(encrypted_for_us()), expected())


def test_during_a_rollover_either_key_of_the_issuer_is_accepted() -> None:
    keys = (public_key(rsa_pair("next")), public_key(issuer_pair()))
    assert verified(response(), keys=keys).name_id == "ada-1815"


def test_both_signatures_must_verify_even_where_one_is_required() -> None:
    octets = signed(response(signature=signature("_response-1")))
    broken = octets.replace(b'Version="2.0"', b'Version="2.0" Consent="x"', 1)
    with pytest.raises(AssertionInvalid) as caught:
        verify_response(posted(broken), expected(require_signed=RequireSigned.ASSERTION))
    assert caught.value.rule == "SP-02"


def test_a_refusal_says_nothing_of_the_message_in_public() -> None:
    xml = asserting(subject=subject(name_id="<saml:NameID>se\u202ecret</saml:NameID>"))
    with pytest.raises(AssertionInvalid) as caught:
        verified(xml)
    assert "secret" not in caught.value.public + str(caught.value)
    assert caught.value.rule == "SP-10"
    assert MORE not in caught.value.public
