from __future__ import annotations

import textwrap
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from onelogin.saml2.idp_metadata_parser import OneLogin_Saml2_IdPMetadataParser

from idp_proxy.saml import names
from idp_proxy.saml.metadata import (
    MAX_METADATA,
    MetadataInvalid,
    read_metadata,
    signed_octets,
)
from idp_proxy.saml.object_model import Unwritable
from idp_proxy.saml.own_metadata import identity_provider_metadata, service_provider_metadata
from idp_proxy.saml.xml import parse
from tests.support import xml_security
from tests.support.keys import KeyPair, ec_pair, rsa_pair, self_signed
from tests.support.rsa_keys import private
from tests.support.upstream_metadata import (
    ENTITY_ID,
    POST,
    REDIRECT,
    SSO_URL,
    key_descriptor,
    service,
    upstream_metadata,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
MD = f"{{{names.MD}}}"
DS = f"{{{names.DS}}}"


def active() -> KeyPair:
    return rsa_pair("active-idp")


def refusal(octets: bytes, *, insecure_loopback: bool = False) -> MetadataInvalid:
    with pytest.raises(MetadataInvalid) as refused:
        read_metadata(octets, insecure_loopback=insecure_loopback)
    return refused.value


# --- what an upstream says -----------------------------------------------------------------------


def test_reads_what_a_login_needs() -> None:
    metadata = read_metadata(upstream_metadata(active(), role_attributes=wants("true")))
    assert metadata.entity_id == ENTITY_ID
    assert metadata.sso == {REDIRECT: SSO_URL, POST: SSO_URL}
    assert metadata.signing_certificates == (active().certificate_der,)
    assert metadata.keys == (active().certificate.public_key(),)
    assert metadata.valid_until is None
    assert metadata.name_id_formats == (names.NAME_ID_PERSISTENT,)
    assert metadata.wants_signed_requests
    assert not metadata.expired(NOW)


def wants(value: str) -> str:
    return f'WantAuthnRequestsSigned="{value}"'


@pytest.mark.parametrize(("text", "wanted"), [("1", True), ("false", False), ("0", False)])
def test_reads_whether_requests_must_be_signed(text: str, *, wanted: bool) -> None:
    octets = upstream_metadata(active(), role_attributes=wants(text))
    assert read_metadata(octets).wants_signed_requests is wanted


def test_several_signing_keys_count_in_their_order_and_encryption_keys_do_not() -> None:
    keys = (
        key_descriptor(rsa_pair("for-encryption").certificate_text, "encryption")
        + key_descriptor(active().certificate_text)
        + key_descriptor(ec_pair("next").certificate_text, None)
        + key_descriptor(active().certificate_text, "signing")
    )
    metadata = read_metadata(upstream_metadata(keys=keys))
    expected = (active().certificate_der, ec_pair("next").certificate_der)
    assert metadata.signing_certificates == expected


@pytest.mark.parametrize("curve", ["secp256r1", "secp384r1", "secp521r1"])
def test_elliptic_curve_keys_of_the_usual_sizes_count(curve: str) -> None:
    pair = ec_pair(f"ec-{curve}", curve)
    assert read_metadata(upstream_metadata(pair)).keys == (pair.certificate.public_key(),)


def test_wrapped_and_indented_certificates_are_read() -> None:
    wrapped = "\n   " + "\r\n\t".join(textwrap.wrap(active().certificate_text, 64)) + "\n  "
    metadata = read_metadata(upstream_metadata(keys=key_descriptor(wrapped)))
    assert metadata.signing_certificates == (active().certificate_der,)


def test_comments_declaration_and_byte_order_mark_are_harmless() -> None:
    octets = upstream_metadata(active(), before_role="<!-- made by hand -->")
    framed = b'\xef\xbb\xbf<?xml version="1.0" encoding="UTF-8"?>\n<!-- x -->' + octets
    assert read_metadata(framed) == read_metadata(upstream_metadata(active()))


def test_other_roles_and_extensions_are_harmless() -> None:
    other = (
        "<md:Extensions><x xmlns='urn:x'/></md:Extensions>"
        "<md:SPSSODescriptor protocolSupportEnumeration='urn:oasis:names:tc:SAML:2.0:protocol'>"
        "<md:AssertionConsumerService Binding='b' Location='http://x' index='1'/>"
        "</md:SPSSODescriptor>"
        "<md:IDPSSODescriptor protocolSupportEnumeration='urn:oasis:names:tc:SAML:1.1:protocol'>"
        "<md:SingleSignOnService Binding='b' Location='http://evil.example.org/'/>"
        "</md:IDPSSODescriptor>"
    )
    metadata = read_metadata(upstream_metadata(active(), before_role=other))
    assert metadata == read_metadata(upstream_metadata(active()))


def test_the_first_address_of_a_binding_counts() -> None:
    services = (
        service("urn:oasis:names:tc:SAML:2.0:bindings:SOAP", "http://soap.example.org"),
        service(POST, "https://first.example.org/?tenant=7"),
        service(POST, "http://never.example.org/"),
    )
    metadata = read_metadata(upstream_metadata(active(), services=services))
    assert metadata.sso == {POST: "https://first.example.org/?tenant=7"}


@pytest.mark.parametrize(
    ("root", "role", "end"),
    [
        ("2026-05-04T12:00:00Z", None, NOW),
        ("2026-05-04T12:00:00.123456789Z", None, NOW + timedelta(microseconds=123456)),
        (" 2026-05-05T12:00:00Z ", "2026-05-04T12:00:00.5Z", NOW + timedelta(milliseconds=500)),
        (None, "2026-05-04T12:00:00Z", NOW),
    ],
)
def test_the_earliest_valid_until_counts(root: str | None, role: str | None, end: datetime) -> None:
    octets = upstream_metadata(
        active(),
        attributes=f'validUntil="{root}"' if root else "",
        role_attributes=f'validUntil="{role}"' if role else "",
    )
    metadata = read_metadata(octets)
    assert metadata.valid_until == end
    assert metadata.expired(end)
    assert not metadata.expired(end - timedelta(microseconds=1))


@pytest.mark.parametrize(
    "location",
    ["http://127.0.0.1:8080/sso", "http://localhost/sso", "http://[::1]:8080/sso"],
)
def test_plain_http_only_on_loopback_and_only_when_told(location: str) -> None:
    octets = upstream_metadata(active(), services=[service(location=location)])
    assert read_metadata(octets, insecure_loopback=True).sso == {REDIRECT: location}
    assert "must be https" in refusal(octets).detail


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://active.example.org/sso", "must be https"),
        ("http://127.0.0.1.evil.example.org/", "must be https"),
        ("javascript:alert(1)", "no host"),
        ("//active.example.org/sso", "must be https"),
        ("/sso", "no host"),
        ("", "not an absolute URL"),
        ("https://", "no host"),
        ("https://active.example.org\\@evil.example.org/", "not an absolute URL"),
        ("https://user@active.example.org/", "user name"),
        ("https://active.example.org/#x", "fragment"),
        ("https://active.example.org/#", "fragment"),
        ("https://active.example.org:99999/", "Port out of range"),
        ("https://[::1/", "Invalid IPv6"),
        ("https://active.example.org/ sso", "not an absolute URL"),
        ("https://\u0430ctive.example.org/", "in ASCII"),
        ("https://active.example.org/" + "a" * 2100, "not an absolute URL"),
        ("https://active.example.org/&#10;x", "not an absolute URL"),
    ],
)
def test_an_ambiguous_or_insecure_address_is_refused(location: str, reason: str) -> None:
    octets = upstream_metadata(active(), services=[service(location=location)])
    refused = refusal(octets, insecure_loopback=True)
    assert refused.rule == "MD-01"
    assert reason in refused.detail


def test_an_aggregate_is_refused_with_the_way_out() -> None:
    octets = b'<m:EntitiesDescriptor xmlns:m="urn:oasis:names:tc:SAML:2.0:metadata"/>'
    assert "file of its own" in refusal(octets).detail


def weak_rsa() -> KeyPair:
    return self_signed("weak", rsa.generate_private_key(public_exponent=65537, key_size=1024))


def wrong_curve() -> KeyPair:
    return self_signed("curve", ec.generate_private_key(ec.SECP256K1()))


def dsa_certificate() -> str:
    """A certificate over a DSA key, which no SAML signature of ours may use."""
    import base64

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import NameOID

    key = dsa.generate_private_key(2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dsa")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(7)
    builder = builder.not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1))
    der = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    return base64.b64encode(der).decode()


@pytest.mark.parametrize(
    ("keys", "rule", "reason"),
    [
        (lambda: key_descriptor(weak_rsa().certificate_text), "KEY-02", "1024 bits"),
        (lambda: key_descriptor(wrong_curve().certificate_text), "KEY-02", "secp256k1"),
        (lambda: key_descriptor(dsa_certificate()), "KEY-02", "neither"),
        (
            lambda: (
                key_descriptor(active().certificate_text)
                + key_descriptor(weak_rsa().certificate_text)
            ),
            "KEY-02",
            "1024 bits",
        ),
        (lambda: key_descriptor("AAAA"), "MD-01", "cannot be read"),
        (lambda: key_descriptor("*"), "MD-01", "not base64"),
        (lambda: key_descriptor(""), "MD-01", "cannot be read"),
        (
            lambda: key_descriptor(active().certificate_text.replace("A", "A<!-- -->", 1)),
            "MD-01",
            "cannot be read",
        ),
        (lambda: "<md:KeyDescriptor/>", "MD-01", "0 certificates"),
        (
            lambda: key_descriptor(
                f"{active().certificate_text}</ds:X509Certificate><ds:X509Certificate>AAAA"
            ),
            "MD-01",
            "2 certificates",
        ),
        (
            lambda: key_descriptor(active().certificate_text, "encryption"),
            "MD-01",
            "no KeyDescriptor for signing",
        ),
    ],
)
def test_a_key_that_cannot_be_trusted_refuses_the_whole_document(
    keys: object, rule: str, reason: str
) -> None:
    assert callable(keys)
    refused = refusal(upstream_metadata(keys=keys()))
    assert (refused.rule, reason in refused.detail) == (rule, True), refused.detail


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"", "not well-formed"),
        (b"<html><body>Sign in</body></html>", "not an EntityDescriptor"),
        (b"<a>", "not well-formed"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "DOCTYPE"),
        (b"<a><![CDATA[x]]></a>", "CDATA"),
        (b"<?xml-stylesheet href='x'?><a/>", "processing instruction"),
        (b"<a><?php ?></a>", "processing instruction"),
        (b"\xff\xfe<\x00a\x00/\x00>\x00", "not UTF-8"),
        (b" " * (MAX_METADATA + 1), "at most"),
    ],
)
def test_what_is_no_metadata_is_refused(octets: bytes, reason: str) -> None:
    assert reason in refusal(octets).detail


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (lambda: upstream_metadata(active(), entity_id=""), "entityID"),
        (lambda: upstream_metadata(active(), entity_id=" https://x"), "entityID"),
        (lambda: upstream_metadata(active(), entity_id="x" * 1025), "entityID"),
        (lambda: upstream_metadata(active(), services=[]), "no SingleSignOnService"),
        (
            lambda: upstream_metadata(active(), services=[service("urn:artifact")]),
            "no SingleSignOnService",
        ),
        (lambda: upstream_metadata(active(), attributes='validUntil="soon"'), "not a UTC time"),
        (
            lambda: upstream_metadata(active(), attributes='validUntil="2026-05-04T12:00:00"'),
            "not a UTC time",
        ),
        (
            lambda: upstream_metadata(active()).replace(b":2.0:protocol", b":1.1:protocol"),
            "0 IDPSSODescriptor",
        ),
        (
            lambda: upstream_metadata(
                active(),
                before_role="<md:IDPSSODescriptor"
                " protocolSupportEnumeration='urn:oasis:names:tc:SAML:2.0:protocol'/>",
            ),
            "2 IDPSSODescriptor",
        ),
    ],
)
def test_what_would_have_to_be_guessed_is_refused(octets: object, reason: str) -> None:
    assert callable(octets)
    refused = refusal(octets())
    assert reason in refused.detail
    assert refused.http_status == 503


@given(st.binary(max_size=300))
def test_no_octets_do_worse_than_being_refused(noise: bytes) -> None:
    octets = upstream_metadata(rsa_pair("active-idp"))
    for mangled in (noise, octets[: len(noise)] + noise + octets[len(noise) :]):
        assert outcome(mangled) in {"read", "MD-01", "KEY-02", "XML-01"}


def outcome(octets: bytes) -> str:
    try:
        read_metadata(octets)
    except MetadataInvalid as refused:
        return refused.rule
    return "read"


# --- signed metadata -----------------------------------------------------------------------------


def signed(pair: KeyPair, octets: bytes | None = None) -> bytes:
    root = parse(octets or upstream_metadata(active(), attributes='ID="_m1"'))
    xml_security.sign(root, pair, index=0)
    return etree.tostring(root)


def federation() -> KeyPair:
    return rsa_pair("federation")


def federation_key() -> rsa.RSAPublicKey:
    return private(federation()).public_key()


def test_signed_metadata_is_read_from_the_octets_under_the_signature() -> None:
    octets = signed_octets(signed(federation()), federation_key())
    assert read_metadata(octets) == read_metadata(upstream_metadata(active()))


def test_a_signature_by_python_xmlsec_is_accepted_too() -> None:
    root = etree.fromstring(upstream_metadata(active(), attributes='ID="_m1"'))
    xml_security.sign(root, federation())
    root.insert(0, root.findall(f"{DS}Signature")[0])
    octets = signed_octets(etree.tostring(root), federation_key())
    assert read_metadata(octets).entity_id == ENTITY_ID


def replaced(old: bytes, new: bytes) -> bytes:
    octets = signed(federation())
    assert old in octets
    return octets.replace(old, new)


def wrapped() -> bytes:
    """An evil descriptor as the root, with the signed one inside its Extensions (XSW)."""
    evil = parse(upstream_metadata(rsa_pair("evil"), attributes='ID="_evil"'))
    extensions = etree.Element(f"{MD}Extensions")
    good = parse(signed(federation()))
    signature = good[0]
    extensions.append(good)
    evil.insert(0, extensions)
    evil.insert(0, signature)
    return etree.tostring(evil)


def several_signatures() -> bytes:
    once = signed(federation())
    return signed(rsa_pair("evil"), once)


@pytest.mark.parametrize(
    "octets",
    [
        lambda: upstream_metadata(active(), attributes='ID="_m1"'),
        lambda: upstream_metadata(active()),
        lambda: signed(rsa_pair("evil")),
        lambda: replaced(SSO_URL.encode(), b"https://evil.example.org/"),
        lambda: replaced(b'ID="_m1"', b'ID="_m2"'),
        lambda: replaced(b'URI="#_m1"', b'URI=""'),
        lambda: replaced(b"rsa-sha256", b"rsa-sha1"),
        lambda: replaced(b"#enveloped-signature", b"#base64"),
        wrapped,
        several_signatures,
        lambda: b"<md:EntitiesDescriptor xmlns:md='urn:oasis:names:tc:SAML:2.0:metadata'/>",
        lambda: b"<!DOCTYPE a><a/>",
        lambda: b"<a>",
        lambda: b"<a/>" * 3,
    ],
)
def test_metadata_not_signed_by_the_pinned_key_or_changed_since_is_refused(octets: object) -> None:
    assert callable(octets)
    with pytest.raises(MetadataInvalid):
        signed_octets(octets(), federation_key())


# --- what we say ---------------------------------------------------------------------------------


def our_idp(successor: KeyPair | None = None, *, signed_requests: bool = False) -> bytes:
    return identity_provider_metadata(
        entity_id="https://sso.example.org/saml/metadata",
        sso_url="https://sso.example.org/saml/sso",
        certificate=active().certificate,
        wants_signed_requests=signed_requests,
        successor=successor.certificate if successor else None,
    )


def certificates_in(octets: bytes) -> list[str]:
    return [e.text or "" for e in etree.fromstring(octets).iter(f"{DS}X509Certificate")]


def test_our_metadata_is_what_mattermosts_importer_takes() -> None:
    root = etree.fromstring(our_idp())
    assert root.tag == f"{MD}EntityDescriptor"
    assert [child.tag for child in root] == [f"{MD}IDPSSODescriptor"]
    services = root.findall(f"{MD}IDPSSODescriptor/{MD}SingleSignOnService")
    assert [s.get("Binding") for s in services] == [REDIRECT, POST]
    assert {s.get("Location") for s in services} == {"https://sso.example.org/saml/sso"}
    (key,) = root.findall(f"{MD}IDPSSODescriptor/{MD}KeyDescriptor")
    assert key.get("use") == "signing"
    assert certificates_in(our_idp()) == [active().certificate_text]
    assert not {"validUntil", "cacheDuration"} & {a for e in root.iter() for a in e.attrib}
    assert root.findtext(f"{MD}IDPSSODescriptor/{MD}NameIDFormat") == names.NAME_ID_PERSISTENT
    assert root[0].get("WantAuthnRequestsSigned") == "false"


def test_a_successor_is_the_second_key_and_only_when_asked_for() -> None:
    octets = our_idp(rsa_pair("successor"))
    expected = [active().certificate_text, rsa_pair("successor").certificate_text]
    assert certificates_in(octets) == expected


def test_our_metadata_can_be_read_by_our_own_reader_and_by_python3_saml() -> None:
    octets = our_idp(signed_requests=True)
    metadata = read_metadata(octets)
    assert metadata.entity_id == "https://sso.example.org/saml/metadata"
    assert metadata.wants_signed_requests
    parsed = OneLogin_Saml2_IdPMetadataParser.parse(octets)["idp"]
    assert parsed["entityId"] == metadata.entity_id
    assert parsed["singleSignOnService"] == {
        "url": "https://sso.example.org/saml/sso",
        "binding": REDIRECT,
    }


def our_sp(encryption: KeyPair | None = None, *, want_assertions_signed: bool = True) -> bytes:
    return service_provider_metadata(
        entity_id="https://sso.example.org/upstream/okta/metadata",
        acs_url="https://sso.example.org/upstream/okta/acs",
        signing_certificate=rsa_pair("okta-sp").certificate,
        encryption_certificate=encryption.certificate if encryption else None,
        name_id_format=names.NAME_ID_PERSISTENT,
        want_assertions_signed=want_assertions_signed,
    )


def valid_by_schema(octets: bytes) -> bool:
    """Valid by the OASIS schema, as python3-saml ships it."""
    from importlib.resources import as_file, files

    with as_file(files("onelogin.saml2") / "schemas") as folder:
        schema = etree.XMLSchema(etree.parse(folder / "saml-schema-metadata-2.0.xsd"))
    schema.assertValid(etree.fromstring(octets))
    return True


@pytest.mark.parametrize(
    "octets",
    [our_idp, our_sp, lambda: our_sp(rsa_pair("okta-dec")), lambda: our_idp(rsa_pair("next"))],
)
def test_what_we_say_is_valid_by_the_schema(octets: object) -> None:
    assert callable(octets)
    assert valid_by_schema(octets())


def key_uses(octets: bytes) -> Sequence[str | None]:
    return [key.get("use") for key in etree.fromstring(octets).iter(f"{MD}KeyDescriptor")]


def test_each_upstream_sees_its_own_service_provider() -> None:
    root = etree.fromstring(our_sp())
    (role,) = root
    assert root.get("entityID") == "https://sso.example.org/upstream/okta/metadata"
    assert role.get("AuthnRequestsSigned") == "true"
    assert role.get("WantAssertionsSigned") == "true"
    (acs,) = root.iter(f"{MD}AssertionConsumerService")
    assert {str(name): value for name, value in acs.attrib.items()} == {
        "Binding": POST,
        "Location": "https://sso.example.org/upstream/okta/acs",
        "index": "0",
        "isDefault": "true",
    }
    assert key_uses(our_sp()) == ["signing"]


def test_an_encryption_key_appears_with_the_algorithms_we_read() -> None:
    octets = our_sp(rsa_pair("okta-dec"), want_assertions_signed=False)
    assert key_uses(octets) == ["signing", "encryption"]
    methods = etree.fromstring(octets).iter(f"{MD}EncryptionMethod")
    algorithms = {method.get("Algorithm", "") for method in methods}
    assert names.XENC + "rsa-oaep-mgf1p" in algorithms
    assert not any("cbc" in algorithm or "rsa-1_5" in algorithm for algorithm in algorithms)
    assert etree.fromstring(octets)[0].get("WantAssertionsSigned") == "false"


@pytest.mark.parametrize("value", ["", "https://x\n", "https://x\x00", "https://x\ud800"])
def test_a_value_that_cannot_stand_in_xml_is_refused_by_name(value: str) -> None:
    with pytest.raises(Unwritable, match="entity ID"):
        identity_provider_metadata(
            entity_id=value,
            sso_url="https://sso.example.org/saml/sso",
            certificate=active().certificate,
            wants_signed_requests=False,
        )


@pytest.mark.parametrize("value", ['"/><evil x="', "]]>&amp;<", "\u00e4\U0001f600", "a&b'c"])
def test_a_value_stays_a_value_whatever_it_holds(value: str) -> None:
    octets = identity_provider_metadata(
        entity_id=value,
        sso_url="https://sso.example.org/saml/sso",
        certificate=active().certificate,
        wants_signed_requests=False,
    )
    root = etree.fromstring(octets)
    assert root.get("entityID") == value
    assert len(root) == 1
