"""Responses and AuthnRequests in pieces: a test replaces one piece and keeps the rest valid.

They are signed by python-xmlsec, so that no mistake of our own signer is mirrored by the reader.
"""

from __future__ import annotations

import base64
import zlib
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import xmlsec
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from lxml import etree

from idp_proxy.saml.answer import Answer, Envelope
from idp_proxy.saml.assertion import RESPONSE_PROFILE, Expected, _opened
from idp_proxy.saml.authn_request import PROFILE as REQUEST_PROFILE
from idp_proxy.saml.authn_request import Received, ServiceProvider
from idp_proxy.saml.bindings import Detached, RequestMessage
from idp_proxy.saml.document import Document
from tests.support import xml_security
from tests.support.keys import KeyPair, rsa_pair

if TYPE_CHECKING:
    from idp_proxy.saml.signature import PublicKey

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
ISSUER = "https://idp.example.org/metadata"
AUDIENCE = "https://login.example.org/sp/active"
ACS = "https://login.example.org/saml/acs/active"
REQUEST_ID = "_request-1"
SERVICE_PROVIDER = "https://chat.example.org/login/sso/saml"
SSO = "https://login.example.org/saml/sso"

NAMESPACES = (
    'xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"'
    ' xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"'
)
EXC_C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
ENVELOPED = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
MORE = "http://www.w3.org/2001/04/xmldsig-more#"
SHA_256 = "http://www.w3.org/2001/04/xmlenc#sha256"
DS = "http://www.w3.org/2000/09/xmldsig#"


def at(seconds: float = 0) -> str:
    """The instant so many seconds after NOW, as SAML writes it."""
    return (NOW + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


@cache
def issuer_pair() -> KeyPair:
    """The upstream's pinned key."""
    return rsa_pair("issuer")


@cache
def public_key(pair: KeyPair) -> PublicKey:
    """The key of a pair's certificate, as metadata would pin it."""
    key = pair.certificate.public_key()
    assert isinstance(key, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey))
    return key


def expected(**changes: Any) -> Expected:
    """What the messages of this module are answers to."""
    values: dict[str, Any] = {
        "issuer": ISSUER,
        "keys": (public_key(issuer_pair()),),
        "audience": AUDIENCE,
        "acs_url": ACS,
        "request_id": REQUEST_ID,
        "proxied_to": SERVICE_PROVIDER,
        "now": NOW,
    }
    return Expected(**(values | changes))


def signature(
    to: str,
    *,
    method: str = f"{MORE}rsa-sha256",
    canonicalization: str = f'<ds:CanonicalizationMethod Algorithm="{EXC_C14N}"/>',
    transforms: str = (
        f'<ds:Transform Algorithm="{ENVELOPED}"/><ds:Transform Algorithm="{EXC_C14N}"/>'
    ),
    digest: str = SHA_256,
    key_info: str = "",
) -> str:
    """A Signature that `signed` fills in; `to` is the ID it refers to."""
    return (
        f'<ds:Signature xmlns:ds="{DS}"><ds:SignedInfo>{canonicalization}'
        f'<ds:SignatureMethod Algorithm="{method}"/><ds:Reference URI="#{to}">'
        f"<ds:Transforms>{transforms}</ds:Transforms>"
        f'<ds:DigestMethod Algorithm="{digest}"/><ds:DigestValue/></ds:Reference>'
        f"</ds:SignedInfo><ds:SignatureValue/>{key_info}</ds:Signature>"
    )


def _pieces(defaults: dict[str, str], changes: dict[str, str]) -> dict[str, str]:
    unknown = changes.keys() - defaults.keys()
    assert not unknown, f"no such piece: {unknown}"
    return defaults | changes


def assertion(**changes: str) -> str:
    """An unsigned assertion; `signature=signature("_assertion-1")` makes it one to be signed."""
    piece = _pieces(
        {
            "attributes": f'ID="_assertion-1" Version="2.0" IssueInstant="{at()}"',
            "namespaces": "",
            "issuer": f"<saml:Issuer>{ISSUER}</saml:Issuer>",
            "signature": "",
            "subject": subject(),
            "conditions": conditions(),
            "authn": authn_statement(),
            "statement": attribute_statement({"email": ("ada@example.org",)}),
            "extra": "",
        },
        changes,
    )
    return (
        f"<saml:Assertion {piece['namespaces']} {piece['attributes']}>{piece['issuer']}"
        f"{piece['signature']}{piece['subject']}{piece['conditions']}{piece['authn']}"
        f"{piece['statement']}{piece['extra']}</saml:Assertion>"
    )


def subject(**changes: str) -> str:
    """A Subject with one bearer confirmation."""
    piece = _pieces(
        {
            "name_id": (
                '<saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">'
                "ada-1815</saml:NameID>"
            ),
            "method": "urn:oasis:names:tc:SAML:2.0:cm:bearer",
            "data": confirmation_data(),
            "extra": "",
        },
        changes,
    )
    return (
        f'<saml:Subject>{piece["name_id"]}<saml:SubjectConfirmation Method="{piece["method"]}">'
        f"{piece['data']}</saml:SubjectConfirmation>{piece['extra']}</saml:Subject>"
    )


def confirmation_data(**changes: str) -> str:
    """A SubjectConfirmationData; an empty piece leaves the attribute out."""
    piece = _pieces(
        {
            "in_response_to": f'InResponseTo="{REQUEST_ID}"',
            "recipient": f'Recipient="{ACS}"',
            "end": f'NotOnOrAfter="{at(300)}"',
            "start": "",
        },
        changes,
    )
    return f"<saml:SubjectConfirmationData {' '.join(piece.values())}/>"


def audience_restriction(*audiences: str) -> str:
    """One AudienceRestriction over these."""
    inner = "".join(f"<saml:Audience>{audience}</saml:Audience>" for audience in audiences)
    return f"<saml:AudienceRestriction>{inner}</saml:AudienceRestriction>"


def conditions(**changes: str) -> str:
    """The Conditions; an empty piece leaves it out."""
    piece = _pieces(
        {
            "start": f'NotBefore="{at(-60)}"',
            "end": f'NotOnOrAfter="{at(300)}"',
            "audience": audience_restriction(AUDIENCE),
            "extra": "",
        },
        changes,
    )
    return (
        f"<saml:Conditions {piece['start']} {piece['end']}>{piece['audience']}{piece['extra']}"
        "</saml:Conditions>"
    )


def authn_statement(**changes: str) -> str:
    """The AuthnStatement."""
    piece = _pieces(
        {
            "instant": f'AuthnInstant="{at(-30)}"',
            "end": "",
            "context": (
                "<saml:AuthnContext><saml:AuthnContextClassRef>"
                "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
                "</saml:AuthnContextClassRef></saml:AuthnContext>"
            ),
        },
        changes,
    )
    return (
        f'<saml:AuthnStatement SessionIndex="s1" {piece["instant"]} {piece["end"]}>'
        f"{piece['context']}</saml:AuthnStatement>"
    )


def attribute_statement(values: dict[str, tuple[str, ...]]) -> str:
    """An AttributeStatement; the values are XML."""
    inner = "".join(
        f'<saml:Attribute Name="{name}">'
        + "".join(f"<saml:AttributeValue>{value}</saml:AttributeValue>" for value in several)
        + "</saml:Attribute>"
        for name, several in values.items()
    )
    return f"<saml:AttributeStatement>{inner}</saml:AttributeStatement>"


SUCCESS = (
    "<samlp:Status><samlp:StatusCode "
    'Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>'
)


def response(**changes: str) -> str:
    """A Response whose assertion is to be signed; `signature` asks for the Response's own too."""
    piece = _pieces(
        {
            "id": 'ID="_response-1"',
            "version": 'Version="2.0"',
            "instant": f'IssueInstant="{at()}"',
            "in_response_to": f'InResponseTo="{REQUEST_ID}"',
            "destination": f'Destination="{ACS}"',
            "issuer": f"<saml:Issuer>{ISSUER}</saml:Issuer>",
            "signature": "",
            "extensions": "",
            "status": SUCCESS,
            "assertion": assertion(signature=signature("_assertion-1")),
        },
        changes,
    )
    return (
        f"<samlp:Response {NAMESPACES} {piece['id']} {piece['version']} {piece['instant']}"
        f" {piece['in_response_to']} {piece['destination']}>{piece['issuer']}{piece['signature']}"
        f"{piece['extensions']}{piece['status']}{piece['assertion']}</samlp:Response>"
    )


def authn_request(**changes: str) -> str:
    """An AuthnRequest as Mattermost writes it; `signature` asks for an enveloped one."""
    piece = _pieces(
        {
            "id": f'ID="{REQUEST_ID}"',
            "version": 'Version="2.0"',
            "instant": f'IssueInstant="{at()}"',
            "destination": f'Destination="{SSO}"',
            "binding": 'ProtocolBinding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"',
            "acs": f'AssertionConsumerServiceURL="{ACS}"',
            "flags": "",
            "issuer": f"<saml:Issuer>{SERVICE_PROVIDER}</saml:Issuer>",
            "signature": "",
            "policy": '<samlp:NameIDPolicy AllowCreate="true"/>',
            "extra": "",
        },
        changes,
    )
    return (
        f"<samlp:AuthnRequest {NAMESPACES} {piece['id']} {piece['version']} {piece['instant']}"
        f" {piece['destination']} {piece['binding']} {piece['acs']} {piece['flags']}>"
        f"{piece['issuer']}{piece['signature']}{piece['policy']}{piece['extra']}"
        "</samlp:AuthnRequest>"
    )


@cache
def _xmlsec_key(pair: KeyPair) -> Any:
    key = xmlsec.Key.from_memory(pair.key_pem, xmlsec.constants.KeyDataFormatPem, None)
    key.load_cert_from_memory(pair.certificate_pem, xmlsec.constants.KeyDataFormatPem)
    return key


def signed(xml: str, pair: KeyPair | None = None) -> bytes:
    """The document with each of its Signatures filled in by python-xmlsec, the inner ones first."""
    root = etree.fromstring(xml.encode())
    xmlsec.tree.add_ids(root, ["ID"])
    for element in reversed(list(root.iter(f"{{{DS}}}Signature"))):
        context = xmlsec.SignatureContext()
        context.key = _xmlsec_key(pair or issuer_pair())
        context.sign(element)
    return etree.tostring(root)


def posted(octets: bytes) -> str:
    """The base64 of HTTP-POST."""
    return base64.b64encode(octets).decode("ascii")


def document(octets: bytes, **changes: Any) -> Document:
    """A Response on its way through the checks of documents."""
    return Document(octets, RESPONSE_PROFILE, expected(**changes).keys)


def envelope(octets: bytes, **changes: Any) -> Envelope:
    """A Response on its way through the checks of what was received."""
    return Envelope(document(octets).root, expected(**changes))


def answer(octets: bytes, **changes: Any) -> Answer:
    """A Response on its way through the checks of what was signed."""
    wanted = expected(**changes)
    received = document(octets, **changes)
    return Answer(received, _opened(received, wanted), wanted)


def provider(**changes: Any) -> ServiceProvider:
    """The registered service provider, which signs with the key "provider"."""
    pair = rsa_pair("provider")
    values: dict[str, Any] = {
        "entity_id": SERVICE_PROVIDER,
        "acs_url": ACS,
        "sso_url": SSO,
        "keys": (public_key(pair),),
        "certificates": (pair.certificate_der,),
    }
    return ServiceProvider(**(values | changes))


def received(octets: bytes, detached: Detached | None = None, **changes: Any) -> Received:
    """A request on its way through its checks."""
    return Received(RequestMessage(octets, None, detached), provider(**changes), NOW)


def request_document(octets: bytes) -> Document:
    """A request on its way through the checks of documents."""
    return Document(octets, REQUEST_PROFILE, provider().keys)


def deflated(octets: bytes) -> str:
    """The base64 of HTTP-Redirect."""
    packer = zlib.compressobj(wbits=-15)
    return posted(packer.compress(octets) + packer.flush())


def signed_query(
    octets: bytes,
    relay_state: str | None = None,
    *,
    method: str = f"{MORE}rsa-sha256",
    pair: KeyPair | None = None,
) -> bytes:
    """A query with a detached RSA-SHA256 signature (SAML bindings 3.4.4.1)."""
    fields = {"SAMLRequest": deflated(octets), "RelayState": relay_state, "SigAlg": method}
    query = "&".join(f"{k}={quote_plus(v)}" for k, v in fields.items() if v is not None)
    key = private_key(pair or rsa_pair("provider"))
    value = key.sign(query.encode(), padding.PKCS1v15(), SHA256())
    return f"{query}&Signature={quote_plus(posted(value))}".encode()


@cache
def private_key(pair: KeyPair) -> rsa.RSAPrivateKey:
    """The private RSA key of a pair."""
    key = load_pem_private_key(pair.key_pem, None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def encrypted(
    xml: str,
    pair: KeyPair,
    *,
    algorithm: str = "aes128-gcm",
    sign_assertion: bool = True,
    sign_response: bool = False,
) -> bytes:
    """A Response around this assertion: signed, encrypted by python-xmlsec for `pair`, and around
    that signed again where it is asked.
    """
    inner = f"<r {NAMESPACES}>{xml}</r>"
    plain = etree.fromstring(signed(inner) if sign_assertion else inner.encode())[0]
    around = response(
        assertion="<saml:EncryptedAssertion/>",
        signature=signature("_response-1") if sign_response else "",
    )
    root = etree.fromstring(around.encode())
    root[-1].append(xml_security.encrypt(plain, pair.certificate_pem, _CIPHERS[algorithm]))
    return signed(etree.tostring(root).decode())


_CIPHERS = {
    "aes128-gcm": xml_security.AES128_GCM,
    "aes256-gcm": xml_security.AES256_GCM,
    "aes128-cbc": xml_security.AES128_CBC,
}
