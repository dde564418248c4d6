"""The checks that every received document passes: one test for each, of the same name."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from idp_proxy.errors import AssertionInvalid, MalformedMessage, RequestInvalid, SamlError
from idp_proxy.saml import authn_request, checks, names
from idp_proxy.saml import document as under_test
from idp_proxy.saml.document import (
    MAX_ATTRIBUTES,
    MAX_DEPTH,
    MAX_ELEMENTS,
    MAX_NAME_OCTETS,
    MAX_NAMESPACES,
    Document,
    rule_of,
    run,
    sp_01_signature_value,
    sp_02_digest,
    sp_02_one_of_its_kind,
    sp_02_reference,
    sp_02_signature_parts,
    sp_02_signature_place,
    sp_02_unique_ids,
    sp_08_algorithms,
    xml_01_markup,
    xml_02_namespaces,
    xml_02_octets,
    xml_02_tree,
    xml_03_root,
    xml_03_utf8,
)
from idp_proxy.saml.xml import MAX_OCTETS, canonical, parse
from tests.support.keys import ec_pair, rsa_pair
from tests.unit.saml_messages import (
    DS,
    ENVELOPED,
    EXC_C14N,
    ISSUER,
    MORE,
    NAMESPACES,
    assertion,
    attribute_statement,
    document,
    public_key,
    request_document,
    response,
    signature,
    signed,
)
from tests.unit.saml_messages import (
    authn_request as request_xml,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Check = Callable[[Document], None]

SIGNED = signature("_assertion-1")
BOTH = {"signature": signature("_response-1")}


def refusal(check: Check, received: Document) -> SamlError:
    with pytest.raises(SamlError) as caught:
        check(received)
    assert caught.value.rule == rule_of(check)
    return caught.value


def bare(inside: str = "", attributes: str = "") -> bytes:
    return (
        f'<samlp:Response {NAMESPACES} ID="_r" {attributes}>'
        f"<saml:Issuer>{ISSUER}</saml:Issuer>{inside}</samlp:Response>"
    ).encode()


def test_every_valid_layout_passes_every_check() -> None:
    for xml in (response(), response(**BOTH), response(assertion=assertion(), **BOTH)):
        received = document(signed(xml))
        for check in (
            *under_test.OCTET_CHECKS,
            *under_test.SHAPE_CHECKS,
            *under_test.SIGNATURE_CHECKS,
        ):
            check(received)


def test_every_check_is_in_the_lists_of_both_kinds_of_message() -> None:
    listed = {
        *under_test.OCTET_CHECKS,
        *under_test.SHAPE_CHECKS,
        *under_test.SIGNATURE_CHECKS,
    }
    prefixes = ("xml_0", "sp_0")
    written = {
        value
        for name, value in vars(under_test).items()
        if name.startswith(prefixes) and callable(value)
    }
    assert written == listed
    assert listed <= set(checks.CHECKS)
    assert listed <= set(authn_request.CHECKS)
    assert len(checks.CHECKS) == len(set(checks.CHECKS))
    assert len(authn_request.CHECKS) == len(set(authn_request.CHECKS))


def test_a_stage_runs_only_what_is_in_the_one_list_and_in_its_order() -> None:
    seen: list[str] = []

    def xml_01_first(subject: str) -> None:
        seen.append(f"first {subject}")

    def xml_02_second(subject: str) -> None:
        seen.append(f"second {subject}")

    run((xml_02_second, xml_01_first), (xml_01_first, xml_02_second), "a")
    run((xml_01_first,), (xml_01_first, xml_02_second), "b")
    run((xml_01_first,), (xml_02_second,), "c")
    assert seen == ["second a", "first a", "first b"]
    assert rule_of(xml_02_second) == "XML-02"


@pytest.mark.parametrize(
    "stage", [under_test.OCTET_CHECKS, under_test.SHAPE_CHECKS, under_test.SIGNATURE_CHECKS]
)
def test_no_cryptography_comes_before_the_cheap_checks(stage: tuple[Check, ...]) -> None:
    crypto = min(checks.CHECKS.index(sp_01_signature_value), checks.CHECKS.index(sp_02_digest))
    for check in stage:
        if check not in (sp_01_signature_value, sp_02_digest):
            assert checks.CHECKS.index(check) < crypto
    assert checks.CHECKS.index(sp_08_algorithms) < crypto


def test_xml_02_octets() -> None:
    xml_02_octets(document(b"x" * MAX_OCTETS))
    error = refusal(xml_02_octets, document(b"x" * (MAX_OCTETS + 1)))
    assert isinstance(error, MalformedMessage)


@pytest.mark.parametrize(
    "octets",
    ["<ä/>".encode("latin-1"), "<a/>".encode("utf-16"), b"<a>\xc0\x80</a>", b"<a>\xed\xa0\x80</a>"],
)
def test_xml_03_utf8(octets: bytes) -> None:
    xml_03_utf8(document("<ä>\U0001d54f</ä>".encode()))
    assert isinstance(refusal(xml_03_utf8, document(octets)), MalformedMessage)


def test_xml_03_utf8_without_a_byte_order_mark() -> None:
    assert "byte order mark" in refusal(xml_03_utf8, document(b"\xef\xbb\xbf<a/>")).detail


@pytest.mark.parametrize(
    "octets",
    [
        b"<a/>",
        b'<?xml version="1.0"?><a/>',
        b"<?xml version='1.0' encoding='utf-8' ?>\n<a/>",
        b'<?xml version="1.0" encoding="UTF-8" standalone="no"?><a/>',
        b"<?xml version='1.0' standalone='yes'?><a/>",
    ],
)
def test_xml_01_markup_lets_the_declaration_pass(octets: bytes) -> None:
    xml_01_markup(document(octets))


@pytest.mark.parametrize(
    "octets",
    [
        b"<!DOCTYPE a><a/>",
        b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b"<a>ad<!---->min</a>",
        b"<a><![CDATA[admin]]></a>",
        b"<a>ad<?pi?>min</a>",
        b"<a/><!-- behind -->",
        b"<?xml-stylesheet href='x'?><a/>",
        b'<?xml version="1.1"?><a/>',
        b'<?xml version="1.0" encoding="utf-7"?><a/>',
        b"<?xml version='1.0' encoding=\"utf-8'?><a/>",
        b'<?xml version="1.0"?><?xml version="1.0"?><a/>',
        b"<a b='<!'/>",
    ],
)
def test_xml_01_markup(octets: bytes) -> None:
    assert isinstance(refusal(xml_01_markup, document(octets)), MalformedMessage)


def test_xml_02_namespaces() -> None:
    xml_02_namespaces(document(b" xmlns" * MAX_NAMESPACES))
    error = refusal(xml_02_namespaces, document(b" xmlns" * (MAX_NAMESPACES + 1)))
    assert isinstance(error, MalformedMessage)


@pytest.mark.parametrize(
    "pattern",
    ["<n{0}/>", "<a n{0}='1'/>", "<a n{0} = '1'/>", "<a xmlns:p='urn:{0}'/>", "<a>&n{0};</a>"],
)
def test_xml_02_namespaces_bounds_the_names_that_libxml2_would_keep(pattern: str) -> None:
    many = "".join(pattern.format(f"{number:0>60}") for number in range(400))
    error = refusal(xml_02_namespaces, document(bare(many)))
    assert isinstance(error, MalformedMessage)
    assert "of names" in error.detail
    same = "".join(pattern.format("x") for _ in range(MAX_NAMESPACES - 2))
    xml_02_namespaces(document(bare(same)))


@pytest.mark.parametrize(
    "unit",
    [b"&", b"&a", b"<", b"<a", b" a", b" ", b" a=", b" a='", b"a", b" a=\"'", b"< ", b"=", b"'\""],
)
def test_xml_02_namespaces_takes_linear_time(unit: bytes) -> None:
    octets = (b"<r " + b" xmlns=\"'" * 900 + unit * MAX_OCTETS)[:MAX_OCTETS]
    start = time.process_time()
    with contextlib.suppress(MalformedMessage):
        xml_02_namespaces(document(octets))
    assert time.process_time() - start < 0.5


def test_xml_02_namespaces_has_room_for_long_messages_of_few_names() -> None:
    values = tuple(f"CN=group-{number},OU=groups,DC=example,DC=org" for number in range(700))
    long = response(assertion=assertion(statement=attribute_statement({"groups": values})))
    assert len(long) > 2 * MAX_NAME_OCTETS
    xml_02_namespaces(document(long.encode()))


@pytest.mark.parametrize(
    "octets",
    [
        b"<Response/>",
        b"<x:Response xmlns:x='urn:oasis:names:tc:SAML:2.0:assertion'/>",
        b"<x:response xmlns:x='urn:oasis:names:tc:SAML:2.0:protocol'/>",
        f"<s:Envelope xmlns:s='urn:s'>{response()}</s:Envelope>".encode(),
        b"no markup",
        b"",
    ],
)
def test_xml_03_root(octets: bytes) -> None:
    xml_03_root(document(bare()))
    assert isinstance(refusal(xml_03_root, document(octets)), MalformedMessage)


WIDE = " ".join(f'a{number}="1"' for number in range(MAX_ATTRIBUTES))


@pytest.mark.parametrize(
    ("fits", "exceeds"),
    [
        (
            "<a>" * (MAX_DEPTH - 1) + "</a>" * (MAX_DEPTH - 1),
            "<a>" * MAX_DEPTH + "</a>" * MAX_DEPTH,
        ),
        ("<a/>" * (MAX_ELEMENTS - 2), "<a/>" * (MAX_ELEMENTS - 1)),
        (f"<a {WIDE}/>", f'<a {WIDE} one="more"/>'),
    ],
    ids=["depth", "elements", "attributes"],
)
def test_xml_02_tree(fits: str, exceeds: str) -> None:
    xml_02_tree(document(bare(fits)))
    assert isinstance(refusal(xml_02_tree, document(bare(exceeds))), MalformedMessage)


@pytest.mark.parametrize(
    "octets",
    [
        bare('<a ID="_r"/>'),
        bare('<a ID="_1"/><b ID="_1"/>'),
        bare('<a Id="_1"/><b id="_1"/>'),
        bare('<a ID="_1" Id="_1"/>'),
        bare('<a xml:id="_r"/>'),
        bare('<a xmlns:wsu="urn:wsu" wsu:Id="_r"/>'),
        bare(f'<a xmlns:p="{names.SAMLP}" p:ID="_r"/>'),
        response(id="").encode(),
        response(id='ID=""').encode(),
        response(id='ID="1 2"').encode(),
        response(id='Id="_response-1"').encode(),
        response(assertion=assertion(attributes='Version="2.0"')).encode(),
        response(assertion=assertion(attributes='ID="a&#10;b"')).encode(),
        response(assertion=assertion(attributes='ID="_response-1"')).encode(),
    ],
)
def test_sp_02_unique_ids(octets: bytes) -> None:
    sp_02_unique_ids(document(bare('<a ID="_1"/><b Id="_2"/><c id="_3"/><d xml:id="_4"/>')))
    assert isinstance(refusal(sp_02_unique_ids, document(octets)), AssertionInvalid)


def test_sp_02_one_of_its_kind() -> None:
    sp_02_one_of_its_kind(document(response().encode()))
    inner = response(extensions=f"<samlp:Extensions>{response()}</samlp:Extensions>")
    assert isinstance(refusal(sp_02_one_of_its_kind, document(inner.encode())), AssertionInvalid)
    wrapped = request_xml(extra=f"<samlp:Extensions>{request_xml()}</samlp:Extensions>")
    error = refusal(sp_02_one_of_its_kind, request_document(wrapped.encode()))
    assert isinstance(error, RequestInvalid)


@pytest.mark.parametrize(
    "octets",
    [
        response(issuer="", signature=SIGNED),
        response(issuer="<a/>", signature=SIGNED),
        response(issuer=f"{SIGNED}<saml:Issuer/>"),
        response(signature=SIGNED * 2),
        response(signature=f"<a/>{SIGNED}"),
        response(extensions=f"<a>{SIGNED}</a>"),
        response(assertion=assertion(issuer="", signature=SIGNED)),
        response(assertion=assertion(extra=SIGNED)),
        response(assertion=assertion(conditions=f"<saml:Conditions>{SIGNED}</saml:Conditions>")),
        response(signature=SIGNED.replace("</ds:Signature>", f"{SIGNED}</ds:Signature>")),
    ],
)
def test_sp_02_signature_place(octets: str) -> None:
    sp_02_signature_place(document(response(**BOTH).encode()))
    sp_02_signature_place(document(bare()))
    sp_02_signature_place(document(f"<samlp:Response {NAMESPACES}/>".encode()))
    error = refusal(sp_02_signature_place, document(octets.encode()))
    assert isinstance(error, AssertionInvalid)


def test_sp_02_signature_place_comes_first_where_the_profile_says_so() -> None:
    profile = under_test.Profile("{urn:m}E", {"{urn:m}E": None}, MalformedMessage)
    first = Document(f'<E xmlns="urn:m" ID="_e">{SIGNED}<a/></E>'.encode(), profile, ())
    second = Document(f'<E xmlns="urn:m" ID="_e"><a/>{SIGNED}</E>'.encode(), profile, ())
    sp_02_signature_place(first)
    assert isinstance(refusal(sp_02_signature_place, second), MalformedMessage)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<ds:SignatureValue/>", "<ds:SignatureValue/><ds:Object/>"),
        ("<ds:SignatureValue/>", "<ds:SignatureValue/><ds:KeyInfo/><ds:Object/>"),
        ("<ds:SignatureValue/>", ""),
        ("<ds:Reference ", "<ds:Manifest/><ds:Reference "),
    ],
)
def test_sp_02_signature_parts(old: str, new: str) -> None:
    sp_02_signature_parts(document(response().encode()))
    error = refusal(sp_02_signature_parts, document(response().replace(old, new).encode()))
    assert isinstance(error, AssertionInvalid)


SECOND = (
    '<ds:Reference URI="#_response-1"><ds:Transforms/><ds:DigestMethod Algorithm="x"/>'
    "<ds:DigestValue/></ds:Reference></ds:SignedInfo>"
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('URI="#_assertion-1"', 'URI="#_response-1"'),
        ('URI="#_assertion-1"', 'URI=""'),
        ('URI="#_assertion-1"', ""),
        ('URI="#_assertion-1"', 'URI="_assertion-1"'),
        ('URI="#_assertion-1"', 'URI="#_assertion-1 "'),
        ('URI="#_assertion-1"', "URI=\"#xpointer(id('_assertion-1'))\""),
        ('URI="#_assertion-1"', 'URI="http://127.0.0.1/#_assertion-1"'),
        ("</ds:SignedInfo>", SECOND),
        ("<ds:SignatureValue/>", ""),
    ],
)
def test_sp_02_reference(old: str, new: str) -> None:
    sp_02_reference(document(response().encode()))
    error = refusal(sp_02_reference, document(response().replace(old, new).encode()))
    assert isinstance(error, AssertionInvalid)


def with_signature(**how: str) -> str:
    return response(assertion=assertion(signature=signature("_assertion-1", **how)))


EXCLUSIVE = f'<ds:Transform Algorithm="{EXC_C14N}"/>'
OWN = f'<ds:Transform Algorithm="{ENVELOPED}"/>'
XSLT = '<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116"/>'
XPATH = '<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"/>'
COMMENTED = f'<ds:Transform Algorithm="{EXC_C14N}WithComments"/>'
INCLUSIVE = '<ds:Transform Algorithm="http://www.w3.org/TR/2001/REC-xml-c14n-20010315"/>'


@pytest.mark.parametrize(
    "how",
    [
        {"method": "http://www.w3.org/2000/09/xmldsig#rsa-sha1"},
        {"method": "http://www.w3.org/2000/09/xmldsig#hmac-sha1"},
        {"method": f"{MORE}hmac-sha256"},
        {"method": f"{MORE}rsa-md5"},
        {"method": "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1"},
        {"method": ""},
        {"digest": f"{DS}sha1"},
        {"digest": f"{MORE}md5"},
        {"digest": ""},
        {"canonicalization": f'<ds:CanonicalizationMethod Algorithm="{EXC_C14N}WithComments"/>'},
        {"canonicalization": "<ds:CanonicalizationMethod/>"},
        {"transforms": ""},
        {"transforms": OWN},
        {"transforms": EXCLUSIVE},
        {"transforms": EXCLUSIVE + OWN},
        {"transforms": OWN + EXCLUSIVE + EXCLUSIVE},
        {"transforms": OWN + COMMENTED},
        {"transforms": OWN + INCLUSIVE},
        {"transforms": OWN + XSLT},
        {"transforms": OWN + XPATH + EXCLUSIVE},
    ],
)
def test_sp_08_algorithms(how: dict[str, str]) -> None:
    sp_08_algorithms(document(with_signature().encode()))
    error = refusal(sp_08_algorithms, document(with_signature(**how).encode()))
    assert isinstance(error, AssertionInvalid)


def test_sp_01_signature_value() -> None:
    octets = signed(response(**BOTH))
    sp_01_signature_value(document(octets))
    sp_01_signature_value(document(bare()))
    others = (public_key(rsa_pair("standby")), public_key(ec_pair("standby")))
    for keys in ((), others):
        assert isinstance(refusal(sp_01_signature_value, document(octets, keys=keys)), SamlError)
    by_another = document(signed(response(), rsa_pair("standby")))
    assert isinstance(refusal(sp_01_signature_value, by_another), AssertionInvalid)


def test_sp_01_signature_value_refuses_one_bad_signature_beside_a_good_one() -> None:
    octets = signed(response(**BOTH))
    outer, inner = octets.split(b"<ds:SignatureValue>")[1:3]
    swapped = octets.replace(outer[:80], inner[:80], 1)
    assert swapped != octets
    refusal(sp_01_signature_value, document(swapped))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"ada-1815", b"eve-1815"),
        (b"<saml:Subject>", b"<saml:Subject> "),
        (b"<saml:Subject>", b'<saml:Subject xmlns:x="urn:x" x:a="1">'),
        (b"</saml:Assertion>", b"<saml:Advice/></saml:Assertion>"),
    ],
)
def test_sp_02_digest(old: bytes, new: bytes) -> None:
    octets = signed(response())
    sp_02_digest(document(octets))
    changed = octets.replace(old, new, 1)
    assert changed != octets
    assert isinstance(refusal(sp_02_digest, document(changed)), AssertionInvalid)


def test_the_signed_tree_is_what_was_signed_and_nothing_beside_it() -> None:
    octets = signed(response(**BOTH))
    received = document(octets)
    tree = received.signed_tree(names.ASSERTION)
    assert tree is not None
    assert tree is received.signed_tree(names.ASSERTION)
    assert tree.getparent() is None
    assert tree.find(names.SIGNATURE) is None
    assert tree.tag == names.ASSERTION
    assert document(bare()).signed_tree(names.RESPONSE) is None
    assert canonical(received.root) == canonical(parse(octets))


def test_the_error_is_that_of_the_kind_of_document() -> None:
    assert isinstance(document(bare()).refuse("SP-02", "x"), AssertionInvalid)
    assert isinstance(request_document(b"<a/>").refuse("SP-02", "x"), RequestInvalid)
