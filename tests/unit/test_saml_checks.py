"""The rules that an upstream's Response must pass: one test for each, of the same name.

A case that must be refused is judged twice: by the function of the rule alone, and by the whole
list of checks, which must refuse it too (perhaps by a cheaper check before).
"""

from __future__ import annotations

import unicodedata
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp_proxy.errors import AssertionInvalid, MalformedMessage, SamlError, UpstreamRefused
from idp_proxy.saml import checks
from idp_proxy.saml.answer import RequireSigned, required_time
from idp_proxy.saml.assertion import verify_response
from idp_proxy.saml.checks import why_ambiguous
from idp_proxy.saml.document import rule_of
from idp_proxy.saml.xml import MAX_BASE64, parse
from tests.support.keys import rsa_pair
from tests.unit.saml_messages import (
    ACS,
    AUDIENCE,
    ISSUER,
    NOW,
    REQUEST_ID,
    SERVICE_PROVIDER,
    SUCCESS,
    answer,
    assertion,
    at,
    attribute_statement,
    audience_restriction,
    authn_statement,
    conditions,
    confirmation_data,
    encrypted,
    envelope,
    expected,
    posted,
    private_key,
    response,
    signature,
    signed,
    subject,
)

if TYPE_CHECKING:
    from collections.abc import Callable

RESPONSE_SIGNED = {"signature": signature("_response-1")}


def refused(check: Callable[[Any], None], judged: object, xml: bytes, **context: Any) -> SamlError:
    """The error of the check alone; the whole list must refuse the message as well."""
    with pytest.raises(SamlError) as caught:
        check(judged)
    with pytest.raises(SamlError):
        verify_response(posted(xml), expected(**context))
    return caught.value


def envelope_refused(check: Callable[[Any], None], xml: str, rule: str | None = None) -> SamlError:
    octets = signed(xml)
    error = refused(check, envelope(octets), octets)
    assert error.rule == (rule or rule_of(check))
    assert isinstance(error, AssertionInvalid)
    return error


def answer_refused(
    check: Callable[[Any], None], xml: str, rule: str | None = None, **context: Any
) -> SamlError:
    octets = signed(xml)
    error = refused(check, answer(octets, **context), octets, **context)
    assert error.rule == (rule or rule_of(check))
    assert isinstance(error, AssertionInvalid)
    return error


def accepted(xml: str, **context: Any) -> None:
    verify_response(posted(signed(xml)), expected(**context))


def asserting(**pieces: str) -> str:
    return response(assertion=assertion(signature=signature("_assertion-1"), **pieces))


def with_conditions(**pieces: str) -> str:
    return asserting(conditions=conditions(**pieces))


def with_confirmation(**pieces: str) -> str:
    return asserting(subject=subject(data=confirmation_data(**pieces)))


def test_every_function_of_a_rule_is_in_the_one_list() -> None:
    prefixes = ("fo_", "sp_", "xml_")
    written = {value for name, value in vars(checks).items() if name.startswith(prefixes)}
    assert written == {*checks.ON_MESSAGE, *checks.ON_ENVELOPE, *checks.ON_ANSWER}
    assert written <= set(checks.CHECKS)


def test_xml_02_message() -> None:
    checks.xml_02_message("A" * MAX_BASE64)
    with pytest.raises(MalformedMessage) as caught:
        verify_response("A" * (MAX_BASE64 + 1), expected())
    assert caught.value.rule == "XML-02"


def status(inside: str) -> str:
    return response(status=f"<samlp:Status>{inside}</samlp:Status>")


def code(value: str, inside: str = "") -> str:
    prefix = "urn:oasis:names:tc:SAML:2.0:status:"
    return f'<samlp:StatusCode Value="{prefix}{value}">{inside}</samlp:StatusCode>'


@pytest.mark.parametrize(
    ("xml", "chain"),
    [
        (status(code("Responder")), "Responder"),
        (status(code("Requester", code("RequestDenied"))), "Requester / "),
        (status(code("Responder", code("AuthnFailed"))), "AuthnFailed"),
        (status(code("success")), "success"),
        (status("<samlp:StatusCode/>"), "None"),
    ],
)
def test_fo_02_status(xml: str, chain: str) -> None:
    error = envelope_refused(checks.fo_02_status, xml)
    assert isinstance(error, UpstreamRefused)
    assert chain in error.detail
    accepted(status(code("Success", code("Whatever"))))


@pytest.mark.parametrize(
    "xml",
    [
        response(status=""),
        status(""),
        status(code("Success") * 2),
        status(code("Success") + code("Responder")),
        response(status="<Status>" + code("Success") + "</Status>"),
    ],
)
def test_fo_02_status_needs_one_code(xml: str) -> None:
    error = envelope_refused(checks.fo_02_status, xml, "SP-09")
    assert not isinstance(error, UpstreamRefused)


FIRST = assertion(signature=signature("_assertion-1"))
SECOND = assertion(attributes='ID="_assertion-2" Version="2.0" IssueInstant="2026-03-01T12:00:00Z"')


@pytest.mark.parametrize(
    "xml",
    [
        response(assertion=""),
        response(assertion=FIRST + SECOND),
        response(assertion=SECOND + FIRST),
        response(assertion=FIRST + "<saml:EncryptedAssertion/>"),
        response(assertion=f"<a>{FIRST}</a>"),
        response(assertion=FIRST, extensions=f"<samlp:Extensions>{SECOND}</samlp:Extensions>"),
        response(extensions="<samlp:Extensions/>"),
        response(status=SUCCESS * 2),
        response(status=f"<a/>{SUCCESS}"),
        response(assertion=FIRST + "<a/>"),
        response(assertion=FIRST, status=f"{SUCCESS}{SUCCESS}"),
        asserting(extra="<saml:Advice/>"),
        asserting(statement=attribute_statement({"x": ("<saml:EncryptedID/>",)})),
        asserting(extra="<saml:EncryptedAttribute/>"),
        asserting(statement=attribute_statement({"x": (SECOND,)})),
    ],
)
def test_sp_09_one_assertion(xml: str) -> None:
    envelope_refused(checks.sp_09_one_assertion, xml)


def test_sp_09_one_assertion_behind_the_status() -> None:
    octets = signed(response(assertion="", extensions=FIRST))
    refused(checks.sp_09_one_assertion, envelope(octets), octets)
    accepted(response())


@pytest.mark.parametrize(
    "xml",
    [
        response(version=""),
        response(version='Version="1.1"'),
        response(version='Version="2.0 "'),
        asserting(attributes=f'ID="_assertion-1" Version="1.1" IssueInstant="{at()}"'),
        asserting(attributes=f'ID="_assertion-1" IssueInstant="{at()}"'),
    ],
)
def test_sp_09_version(xml: str) -> None:
    envelope_refused(checks.sp_09_version, xml)


def issuer(text: str) -> str:
    return f"<saml:Issuer>{text}</saml:Issuer>"


@pytest.mark.parametrize(
    "text",
    [
        "https://standby.example.org/metadata",
        f" {ISSUER}",
        f"{ISSUER}\n",
        f"{ISSUER}/",
        ISSUER.upper(),
        f"{ISSUER}<a/>.evil",
        "",
    ],
)
def test_fo_01_response_issuer(text: str) -> None:
    envelope_refused(checks.fo_01_response_issuer, response(issuer=issuer(text)))
    envelope_refused(checks.fo_01_response_issuer, asserting(issuer=issuer(text)))


def test_fo_01_response_issuer_may_be_absent_only_where_the_assertion_names_it() -> None:
    accepted(response(issuer=""))
    xml = response(issuer="", assertion="<saml:EncryptedAssertion/>")
    envelope_refused(checks.fo_01_response_issuer, xml)


@pytest.mark.parametrize(
    "text", ["", 'InResponseTo=""', f'InResponseTo="{REQUEST_ID} "', 'InResponseTo="_r2"']
)
def test_sp_03_response_in_response_to(text: str) -> None:
    envelope_refused(checks.sp_03_response_in_response_to, response(in_response_to=text))


@pytest.mark.parametrize(
    "url", [None, "", f"{ACS}/", ACS[:-1], ACS.upper(), f"{ACS}?x", SERVICE_PROVIDER]
)
def test_sp_05_destination(url: str | None) -> None:
    piece = "" if url is None else f'Destination="{url}"'
    envelope_refused(checks.sp_05_destination, response(destination=piece))


BY_RESPONSE = response(assertion=assertion(), **RESPONSE_SIGNED)
BY_ASSERTION = response()
BY_BOTH = response(**RESPONSE_SIGNED)
BY_NOBODY = response(assertion=assertion())


@pytest.mark.parametrize(
    ("required", "good", "bad"),
    [
        (RequireSigned.ASSERTION, [BY_ASSERTION, BY_BOTH], [BY_RESPONSE, BY_NOBODY]),
        (RequireSigned.RESPONSE, [BY_RESPONSE, BY_BOTH], [BY_ASSERTION, BY_NOBODY]),
        (RequireSigned.BOTH, [BY_BOTH], [BY_RESPONSE, BY_ASSERTION, BY_NOBODY]),
    ],
)
def test_sp_01_signed_as_required(required: RequireSigned, good: list[str], bad: list[str]) -> None:
    for xml in good:
        accepted(xml, require_signed=required)
    for xml in bad:
        answer_refused(checks.sp_01_signed_as_required, xml, require_signed=required)


def test_nothing_can_be_read_from_an_answer_of_which_nothing_was_signed() -> None:
    with pytest.raises(AssertionInvalid) as caught:
        _ = answer(signed(BY_NOBODY)).assertion
    assert caught.value.rule == "XML-03"


@pytest.mark.parametrize("text", ["https://standby.example.org/metadata", f"{ISSUER} ", ""])
def test_fo_01_assertion_issuer(text: str) -> None:
    answer_refused(checks.fo_01_assertion_issuer, asserting(issuer=issuer(text)))


@pytest.mark.parametrize("issuers", ["", issuer(ISSUER) * 2])
def test_fo_01_assertion_issuer_is_one(issuers: str) -> None:
    xml = response(assertion=assertion(issuer=issuers), **RESPONSE_SIGNED)
    answer_refused(checks.fo_01_assertion_issuer, xml, require_signed=RequireSigned.RESPONSE)


def test_fo_01_assertion_issuer_after_decryption() -> None:
    pair = rsa_pair("decryption")
    octets = encrypted(
        assertion(issuer=issuer("https://other"), signature=signature("_assertion-1")), pair
    )
    keys = (private_key(pair),)
    judged = answer(octets, decryption_keys=keys)
    error = refused(checks.fo_01_assertion_issuer, judged, octets, decryption_keys=keys)
    assert error.rule == "FO-01"


NAME_ID = "<saml:NameID>ada-1815</saml:NameID>"
CONFIRMATION = '<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"/>'


@pytest.mark.parametrize(
    "pieces",
    [
        {"subject": ""},
        {"subject": subject() * 2},
        {"subject": subject(name_id="")},
        {"subject": subject(name_id=NAME_ID * 2)},
        {"subject": subject(name_id="<saml:BaseID/>")},
        {"subject": subject(extra=CONFIRMATION)},
        {"subject": subject(method="urn:oasis:names:tc:SAML:2.0:cm:holder-of-key")},
        {"subject": subject(method="urn:oasis:names:tc:SAML:2.0:cm:sender-vouches")},
        {"subject": subject(method="")},
        {"subject": f"<saml:Subject>{NAME_ID}</saml:Subject>"},
        {"authn": ""},
        {"authn": authn_statement() * 2},
        {"authn": authn_statement(context="")},
        {"authn": authn_statement(context="<saml:AuthnContext/>")},
        {
            "authn": authn_statement(
                context="<saml:AuthnContext><saml:AuthnContextClassRef>\n</saml:AuthnContextClassRef></saml:AuthnContext>"
            )
        },
        {"statement": attribute_statement({}) * 2},
        {"extra": "<saml:AuthzDecisionStatement/>"},
        {"extra": "<saml:Statement/>"},
        {"extra": "<Conditions/>"},
        {"extra": "<samlp:Response ID='_inner'/>"},
    ],
)
def test_sp_09_parts(pieces: dict[str, str]) -> None:
    answer_refused(checks.sp_09_parts, asserting(**pieces))


@pytest.mark.parametrize(
    "pieces",
    [
        {"attributes": f'ID="_assertion-1" Version="1.1" IssueInstant="{at()}"'},
        {"statement": attribute_statement({"x": ("<saml:Advice/>",)})},
    ],
)
def test_sp_09_parts_holds_again_for_what_was_decrypted(pieces: dict[str, str]) -> None:
    answer_refused(checks.sp_09_parts, asserting(**pieces))


def test_sp_09_parts_needs_no_attribute_statement() -> None:
    accepted(asserting(statement=""))


@pytest.mark.parametrize("data", ["", confirmation_data() * 2])
def test_the_confirmation_has_one_data_element(data: str) -> None:
    xml = asserting(subject=subject(data=data))
    answer_refused(checks.sp_03_confirmation_in_response_to, xml, "SP-09")


@pytest.mark.parametrize("text", ["", 'InResponseTo=""', 'InResponseTo="_request-2"'])
def test_sp_03_confirmation_in_response_to(text: str) -> None:
    answer_refused(checks.sp_03_confirmation_in_response_to, with_confirmation(in_response_to=text))


def test_sp_03_confirmation_in_response_to_and_in_the_signed_response() -> None:
    xml = response(in_response_to='InResponseTo="_request-2"', **RESPONSE_SIGNED)
    answer_refused(checks.sp_03_confirmation_in_response_to, xml)
    checks.sp_03_confirmation_in_response_to(answer(signed(BY_BOTH)))


@pytest.mark.parametrize("url", [None, "", f"{ACS}/", ACS[:-1], f"{ACS} ", SERVICE_PROVIDER])
def test_sp_05_recipient(url: str | None) -> None:
    piece = "" if url is None else f'Recipient="{url}"'
    answer_refused(checks.sp_05_recipient, with_confirmation(recipient=piece))


def test_sp_05_recipient_and_the_signed_destination() -> None:
    xml = response(destination='Destination="https://other.example.org/"', **RESPONSE_SIGNED)
    answer_refused(checks.sp_05_recipient, xml)
    checks.sp_05_recipient(answer(signed(BY_BOTH)))


@pytest.mark.parametrize(
    "restrictions",
    [
        "",
        audience_restriction(),
        audience_restriction(f"{AUDIENCE}/"),
        audience_restriction(AUDIENCE[:-1]),
        audience_restriction(f" {AUDIENCE}"),
        audience_restriction(AUDIENCE.upper()),
        audience_restriction(SERVICE_PROVIDER),
        audience_restriction(AUDIENCE) + audience_restriction(SERVICE_PROVIDER),
        audience_restriction(SERVICE_PROVIDER) + audience_restriction(AUDIENCE),
        audience_restriction(f"{AUDIENCE}<a/>"),
    ],
)
def test_sp_04_audience(restrictions: str) -> None:
    answer_refused(checks.sp_04_audience, with_conditions(audience=restrictions))
    accepted(with_conditions(audience=audience_restriction(SERVICE_PROVIDER, AUDIENCE)))
    accepted(with_conditions(audience=audience_restriction(AUDIENCE) * 2))


@pytest.mark.parametrize("several", ["", conditions() * 2])
def test_conditions_are_one(several: str) -> None:
    answer_refused(checks.sp_04_audience, asserting(conditions=several), "SP-07")


def issued(text: str) -> str:
    return asserting(attributes=f'ID="_assertion-1" Version="2.0" {text}')


#: Seconds from now; the skew is 120 s and the cap one hour.
@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (issued(f'IssueInstant="{at(120)}"'), issued(f'IssueInstant="{at(121)}"')),
        (
            with_conditions(start=f'NotBefore="{at(120)}"'),
            with_conditions(start=f'NotBefore="{at(121)}"'),
        ),
        (
            with_conditions(end=f'NotOnOrAfter="{at(-119)}"'),
            with_conditions(end=f'NotOnOrAfter="{at(-120)}"'),
        ),
        (
            with_confirmation(end=f'NotOnOrAfter="{at(-119)}"'),
            with_confirmation(end=f'NotOnOrAfter="{at(-120)}"'),
        ),
        (
            with_conditions(end=f'NotOnOrAfter="{at(3600)}"'),
            with_conditions(end=f'NotOnOrAfter="{at(3601)}"'),
        ),
        (
            with_confirmation(end=f'NotOnOrAfter="{at(3600)}"'),
            with_confirmation(end=f'NotOnOrAfter="{at(3601)}"'),
        ),
    ],
    ids=[
        "issued",
        "not before",
        "conditions end",
        "confirmation ends",
        "cap",
        "cap of confirmation",
    ],
)
def test_sp_07_times(good: str, bad: str) -> None:
    accepted(good)
    answer_refused(checks.sp_07_times, bad)


def test_sp_07_times_count_from_the_issue_instant() -> None:
    def at_the_edge(seconds: int) -> str:
        ends = f'NotOnOrAfter="{at(seconds + 3600)}"'
        return asserting(
            attributes=f'ID="_assertion-1" Version="2.0" IssueInstant="{at(seconds)}"',
            conditions=conditions(end=ends, start=f'NotBefore="{at(-7200)}"'),
            subject=subject(data=confirmation_data(end=ends)),
        )

    accepted(at_the_edge(-3719))
    answer_refused(checks.sp_07_times, at_the_edge(-3721))


@pytest.mark.parametrize(
    "xml",
    [
        issued(""),
        issued('IssueInstant="now"'),
        issued(f'IssueInstant="{at()[:-1]}+00:00"'),
        with_conditions(start=""),
        with_conditions(end=""),
        with_conditions(end=f'NotOnOrAfter="{at(300)[:-1]}"'),
        with_confirmation(end=""),
        with_confirmation(start=f'NotBefore="{at(-60)}"'),
    ],
)
def test_sp_07_times_are_all_there_and_utc(xml: str) -> None:
    answer_refused(checks.sp_07_times, xml)


def test_sp_07_skew_and_cap_are_those_of_the_upstream() -> None:
    xml = with_conditions(start=f'NotBefore="{at(60)}"')
    accepted(xml, clock_skew=timedelta(seconds=60))
    answer_refused(checks.sp_07_times, xml, clock_skew=timedelta(seconds=59))
    answer_refused(checks.sp_07_times, response(), max_lifetime=timedelta(seconds=299))


def authenticated(**pieces: str) -> str:
    return asserting(authn=authn_statement(**pieces))


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (
            authenticated(instant=f'AuthnInstant="{at(120)}"'),
            authenticated(instant=f'AuthnInstant="{at(121)}"'),
        ),
        (authenticated(instant=f'AuthnInstant="{at(-90000)}"'), authenticated(instant="")),
        (
            authenticated(end=f'SessionNotOnOrAfter="{at(-119)}"'),
            authenticated(end=f'SessionNotOnOrAfter="{at(-120)}"'),
        ),
        (
            authenticated(end=f'SessionNotOnOrAfter="{at(90000)}"'),
            authenticated(end='SessionNotOnOrAfter="never"'),
        ),
        (authenticated(), authenticated(end='SessionNotOnOrAfter=""')),
    ],
)
def test_sp_07_authn_times(good: str, bad: str) -> None:
    accepted(good)
    answer_refused(checks.sp_07_authn_times, bad)


@pytest.mark.parametrize(
    "extra",
    [
        "<saml:Condition/>",
        "<OneTimeUse/>",
        "<a/>",
        '<saml:ProxyRestriction Count="0"/>',
        '<saml:ProxyRestriction Count="00"/>',
        '<saml:ProxyRestriction Count=""/>',
        '<saml:ProxyRestriction Count="-1"/>',
        '<saml:ProxyRestriction Count="\u0661"/>',
        "<saml:ProxyRestriction><saml:Audience>https://other</saml:Audience></saml:ProxyRestriction>",
        '<saml:ProxyRestriction Count="2"/><saml:ProxyRestriction Count="0"/>',
    ],
)
def test_sp_11_conditions(extra: str) -> None:
    answer_refused(checks.sp_11_conditions, with_conditions(extra=extra))


@pytest.mark.parametrize(
    "extra",
    [
        "<saml:OneTimeUse/>",
        "<saml:ProxyRestriction/>",
        '<saml:ProxyRestriction Count="1"/>',
        '<saml:ProxyRestriction Count="99999999999999999999"/>',
        f"<saml:ProxyRestriction><saml:Audience>{SERVICE_PROVIDER}</saml:Audience></saml:ProxyRestriction>",
    ],
)
def test_sp_11_conditions_that_are_understood_and_met(extra: str) -> None:
    accepted(with_conditions(extra=extra))


@pytest.mark.parametrize("value", ["", " ada", "a&#10;da", "ada\u202e", "\ufb01", "a" * 257])
def test_sp_10_name_id(value: str) -> None:
    xml = asserting(subject=subject(name_id=f"<saml:NameID>{value}</saml:NameID>"))
    answer_refused(checks.sp_10_name_id, xml)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "is empty"),
        ("a" * 257, "has 257 characters, at most 256"),
        (" ada", "has blanks around it"),
        ("ada\n", "has blanks around it"),
        ("a\tda", "has control, format or line characters"),
        ("a\x00da", "has control, format or line characters"),
        ("ada\u200b1", "has control, format or line characters"),
        ("ada\u202e1", "has control, format or line characters"),
        ("a\u2028b", "has control, format or line characters"),
        ("a\ue000b", "has control, format or line characters"),
        ("a\ud800b", "has control, format or line characters"),
        ("a\u0378b", "has control, format or line characters"),
        ("ada\ufe0f", "has invisible characters"),
        ("a\u034fda", "has invisible characters"),
        ("a\u115fda", "has invisible characters"),
        ("ad\u2800a", "has invisible characters"),
        ("\uff41da", "changes under Unicode normalisation (NFKC)"),
        ("\u212bngstrom", "changes under Unicode normalisation (NFKC)"),
        ("e\u0301mile", "changes under Unicode normalisation (NFKC)"),
        ("a\u00a0b", "changes under Unicode normalisation (NFKC)"),
        ("ada", None),
        ("Ada Lovelace", None),
        ("\u00e9mile@example.org", None),
        ("\u5f20\u4f1f", None),
        ("a" * 256, None),
    ],
)
def test_why_ambiguous(value: str, why: str | None) -> None:
    assert why_ambiguous(value) == why


@given(st.text(max_size=300))
def test_an_identifier_that_passes_is_printable_normal_and_short(value: str) -> None:
    if why_ambiguous(value) is None:
        assert 0 < len(value) <= 256
        assert value.isprintable() or " " in value or not value.isascii()
        assert unicodedata.is_normalized("NFKC", value)
        assert value == value.strip()
        assert not {"\r", "\n", "\0", "\u200b", "\u202e"} & set(value)


def test_the_longest_identifier_may_be_set_by_the_caller() -> None:
    assert why_ambiguous("a" * 128, 128) is None
    assert why_ambiguous("a" * 129, 128) == "has 129 characters, at most 128"


def test_a_required_time_is_there_or_refused() -> None:
    element = parse(f'<a t="{at()}" u="soon"/>'.encode())
    assert required_time(element, "t") == NOW
    for name in ("u", "v"):
        with pytest.raises(
            AssertionInvalid, match=f"{name} is missing or not a UTC time"
        ) as caught:
            required_time(element, name)
        assert caught.value.rule == "SP-07"
