"""Enveloped and detached signatures; the other side of each is python-xmlsec or cryptography."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from idp_proxy.errors import MalformedMessage
from idp_proxy.saml import names
from idp_proxy.saml.signature import (
    MAX_PREFIXES,
    SIGNATURE_METHODS,
    EnvelopedSignature,
    verify_detached,
)
from idp_proxy.saml.signature import signed as sign
from idp_proxy.saml.xml import canonical, parse
from tests.support import xml_security
from tests.support.keys import KeyPair, ec_pair, rsa_pair
from tests.unit.saml_messages import (
    DS,
    ENVELOPED,
    EXC_C14N,
    MORE,
    assertion,
    issuer_pair,
    public_key,
    response,
    signature,
    signed,
)


def first_signature(octets: bytes, bearer: str = names.ASSERTION) -> EnvelopedSignature:
    root = parse(octets)
    element = next(root.iter(bearer))
    found = element.find(names.SIGNATURE)
    assert found is not None
    return EnvelopedSignature(found, element)


def message(**how: str) -> str:
    return response(assertion=assertion(signature=signature("_assertion-1", **how)))


METHODS = [
    ("rsa-sha256", "http://www.w3.org/2001/04/xmlenc#sha256", rsa_pair, "issuer"),
    ("rsa-sha384", "http://www.w3.org/2001/04/xmldsig-more#sha384", rsa_pair, "issuer"),
    ("rsa-sha512", "http://www.w3.org/2001/04/xmlenc#sha512", rsa_pair, "issuer"),
    ("ecdsa-sha256", "http://www.w3.org/2001/04/xmlenc#sha256", ec_pair, "secp256r1"),
    ("ecdsa-sha384", "http://www.w3.org/2001/04/xmldsig-more#sha384", ec_pair, "secp384r1"),
    ("ecdsa-sha512", "http://www.w3.org/2001/04/xmlenc#sha512", ec_pair, "secp521r1"),
]


def pair_for(method: str, name: str) -> KeyPair:
    return rsa_pair(name) if method.startswith("rsa") else ec_pair(name, name)


@pytest.mark.parametrize(("method", "digest", "_make", "name"), METHODS)
def test_every_method_of_the_list_verifies_what_xmlsec_signed(
    method: str, digest: str, _make: object, name: str
) -> None:
    pair = pair_for(method, name)
    found = first_signature(signed(message(method=f"{MORE}{method}", digest=digest), pair))
    assert found.value_verifies([public_key(pair)])
    assert found.digest_matches()


def test_the_value_is_held_against_every_pinned_key_of_the_right_type() -> None:
    found = first_signature(signed(message()))
    keys = [public_key(ec_pair("other")), public_key(rsa_pair("other")), public_key(issuer_pair())]
    assert found.value_verifies(keys)
    assert not found.value_verifies(keys[:2])
    assert not found.value_verifies([])


@pytest.mark.parametrize("value", ["", "AA==", "A" * 400, "AAAA"])
@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_a_value_of_any_length_that_is_no_signature_is_refused(kind: str, value: str) -> None:
    pair = issuer_pair() if kind == "rsa" else ec_pair("short")
    xml = message(method=f"{MORE}{kind}-sha256").replace(
        "<ds:SignatureValue/>", f"<ds:SignatureValue>{value}</ds:SignatureValue>"
    )
    assert not first_signature(xml.encode()).value_verifies([public_key(pair)])


def test_an_ecdsa_value_has_two_halves_of_the_length_of_the_curve() -> None:
    pair = ec_pair("halves")
    octets = signed(message(method=f"{MORE}ecdsa-sha256"), pair)
    value = etree.fromstring(octets).find(f".//{{{DS}}}SignatureValue")
    assert value is not None
    assert value.text is not None
    raw = base64.b64decode(value.text)
    longer = b"\0" + raw[:32] + b"\0" + raw[32:]
    der = utils.encode_dss_signature(
        int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    )
    for other in (longer, der, raw + b"\0"):
        changed = octets.replace(value.text.encode(), base64.b64encode(other))
        assert changed != octets
        assert not first_signature(changed).value_verifies([public_key(pair)])
    assert first_signature(octets).value_verifies([public_key(pair)])


def test_one_changed_character_breaks_the_digest_and_not_the_value() -> None:
    found = first_signature(signed(message()).replace(b"ada-1815", b"ada-1816"))
    assert found.value_verifies([public_key(issuer_pair())])
    assert not found.digest_matches()


def test_a_changed_signed_info_breaks_the_value() -> None:
    octets = signed(message()).replace(b'URI="#_assertion-1"', b'URI="#_assertion-2"')
    assert not first_signature(octets).value_verifies([public_key(issuer_pair())])


def test_the_value_says_nothing_by_a_method_outside_the_list() -> None:
    xml = message(method="http://www.w3.org/2000/09/xmldsig#hmac-sha1")
    assert not first_signature(xml.encode()).value_verifies([public_key(issuer_pair())])


def test_the_digest_says_nothing_by_a_method_outside_the_list() -> None:
    xml = message(digest="http://www.w3.org/2000/09/xmldsig#sha1")
    assert not first_signature(xml.encode()).digest_matches()


HMAC = "<ds:HMACOutputLength>0</ds:HMACOutputLength>"
TRANSFORM = f'<ds:Transform Algorithm="{EXC_C14N}"/>'
REFERENCE = (
    f"<ds:Reference><ds:Transforms>{TRANSFORM}</ds:Transforms>"
    f'<ds:DigestMethod Algorithm="x"/><ds:DigestValue/></ds:Reference>'
)
MANY = " ".join(f"p{number}" for number in range(MAX_PREFIXES + 1))
LIST = f'<i:InclusiveNamespaces xmlns:i="{EXC_C14N}" PrefixList="{MANY}"/>'


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<ds:SignatureValue/>", ""),
        ("<ds:SignatureValue/>", "<ds:SignatureValue/><ds:SignatureValue/>"),
        ("<ds:SignatureValue/>", "<ds:SignatureValue/><ds:Object/>"),
        ("<ds:SignatureValue/>", "<ds:SignatureValue/><ds:KeyInfo/><ds:KeyInfo/>"),
        ("<ds:SignedInfo>", "<ds:SignedInfo><ds:Other/>"),
        ("</ds:SignedInfo>", "<ds:Other/></ds:SignedInfo>"),
        ("</ds:SignedInfo>", "<ds:Reference/></ds:SignedInfo>"),
        ("</ds:Transforms>", "</ds:Transforms><ds:Other/>"),
        ("<ds:DigestValue/>", ""),
        ("<ds:DigestValue/>", "<ds:DigestValue/><ds:DigestValue/>"),
        (f'<ds:SignatureMethod Algorithm="{MORE}rsa-sha256"/>', ""),
        (
            f'<ds:SignatureMethod Algorithm="{MORE}rsa-sha256"/>',
            f'<ds:SignatureMethod Algorithm="{MORE}rsa-sha256">{HMAC}</ds:SignatureMethod>',
        ),
        (
            f'<ds:CanonicalizationMethod Algorithm="{EXC_C14N}"/>',
            f'<ds:CanonicalizationMethod Algorithm="{EXC_C14N}">{LIST}</ds:CanonicalizationMethod>',
        ),
        (TRANSFORM, f'<ds:Transform Algorithm="{EXC_C14N}">{LIST}</ds:Transform>'),
    ],
)
def test_a_signature_with_other_parts_has_no_info_and_proves_nothing(old: str, new: str) -> None:
    xml = message()
    assert old in xml
    found = first_signature(xml.replace(old, new).encode())
    assert found.info is None
    assert not found.value_verifies([public_key(issuer_pair())])
    assert not found.digest_matches()
    assert found.octets


def test_several_references_are_all_counted_and_match_nothing() -> None:
    xml = message().replace("</ds:SignedInfo>", f"{REFERENCE}</ds:SignedInfo>")
    found = first_signature(xml.encode())
    assert found.info is not None
    assert len(found.info.references) == 2
    assert not found.digest_matches()


def test_what_is_no_transform_reads_as_no_algorithm() -> None:
    xml = message(transforms=f'<ds:Other Algorithm="{ENVELOPED}"/>{TRANSFORM}')
    found = first_signature(xml.encode())
    assert found.info is not None
    assert found.info.references[0].transforms == ("", EXC_C14N)


def test_a_value_that_is_not_base64_is_malformed() -> None:
    xml = message().replace("<ds:SignatureValue/>", "<ds:SignatureValue>?</ds:SignatureValue>")
    with pytest.raises(MalformedMessage):
        first_signature(xml.encode()).value_verifies([public_key(issuer_pair())])


@given(
    before=st.sampled_from(["", "\n", "  ", "text"]),
    behind=st.sampled_from(["", "\n", "  ", "text"]),
    leading=st.booleans(),
)
def test_taking_the_signature_out_leaves_the_text_around_it_and_the_document_as_it_was(
    before: str, behind: str, leading: bool
) -> None:
    head = "" if leading else "<i/>"
    octets = f'<a>{head}{before}<s xmlns="{DS}"/>{behind}<b/></a>'.encode()
    root = parse(octets)
    found = EnvelopedSignature(root[0 if leading else 1], root)
    assert found.octets == canonical(parse(f"<a>{head}{before}{behind}<b/></a>".encode()))
    assert canonical(root) == canonical(parse(octets))


def signed_by_us(pair: KeyPair, element_id: str = "_1") -> bytes:
    octets = f'<A ID="_1"><saml:Issuer xmlns:saml="{names.SAML}">me</saml:Issuer><B>1</B></A>'
    key = load_pem_private_key(pair.key_pem, None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return sign(octets.encode(), element_id, key, pair.certificate_der)


def test_what_we_sign_xmlsec_verifies_and_so_do_we() -> None:
    octets, pair = signed_by_us(issuer_pair()), issuer_pair()
    root = parse(octets)
    assert canonical(root) == octets
    assert root[1].tag == names.SIGNATURE
    assert xml_security.verifies(parse(octets), pair.certificate_pem)
    ours = EnvelopedSignature(root[1], root)
    assert ours.value_verifies([public_key(pair)])
    assert ours.digest_matches()
    assert ours.info is not None
    assert ours.info.signature_method == names.RSA_SHA256


def test_a_signature_is_for_the_element_that_it_names() -> None:
    octets = signed_by_us(issuer_pair(), element_id="_2")
    assert not xml_security.verifies(parse(octets), issuer_pair().certificate_pem)


def test_what_has_no_issuer_is_not_signed() -> None:
    key = load_pem_private_key(issuer_pair().key_pem, None)
    assert isinstance(key, rsa.RSAPrivateKey)
    with pytest.raises(ValueError, match="Issuer"):
        sign(b'<A ID="_1"/>', "_1", key, issuer_pair().certificate_der)


def test_xmlsec_refuses_what_we_signed_when_it_is_changed() -> None:
    changed = signed_by_us(issuer_pair()).replace(b">1<", b">2<")
    assert not xml_security.verifies(parse(changed), issuer_pair().certificate_pem)


def test_a_detached_signature_verifies_by_its_own_method_key_and_octets_only() -> None:
    pair = issuer_pair()
    private = load_pem_private_key(pair.key_pem, None)
    assert isinstance(private, rsa.RSAPrivateKey)
    value = private.sign(b"SAMLRequest=x", padding.PKCS1v15(), hashes.SHA256())
    method, key = names.RSA_SHA256, public_key(pair)
    assert verify_detached(key, value, b"SAMLRequest=x", method)
    assert not verify_detached(key, value, b"SAMLRequest=y", method)
    assert not verify_detached(key, value[:-1], b"SAMLRequest=x", method)
    assert not verify_detached(key, value, b"SAMLRequest=x", f"{MORE}rsa-sha512")
    assert not verify_detached(key, value, b"SAMLRequest=x", f"{MORE}ecdsa-sha256")
    assert not verify_detached(key, value, b"SAMLRequest=x", f"{DS}rsa-sha1")
    assert not verify_detached(public_key(rsa_pair("other")), value, b"SAMLRequest=x", method)


def test_a_detached_ecdsa_signature_is_r_and_s() -> None:
    pair = ec_pair("detached")
    private = load_pem_private_key(pair.key_pem, None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    r, s = utils.decode_dss_signature(private.sign(b"octets", ec.ECDSA(hashes.SHA256())))
    value = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    assert verify_detached(public_key(pair), value, b"octets", f"{MORE}ecdsa-sha256")
    assert not verify_detached(public_key(pair), value, b"octet", f"{MORE}ecdsa-sha256")


def test_the_list_of_methods_holds_no_sha_1_no_md5_and_no_hmac() -> None:
    assert {method.removeprefix(MORE) for method in SIGNATURE_METHODS} == {
        f"{kind}-{digest}" for kind in ("rsa", "ecdsa") for digest in ("sha256", "sha384", "sha512")
    }
