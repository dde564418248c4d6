"""The readers of what strangers send: each with valid seeds and the errors it may raise."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import xmlsec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from lxml import etree

from conversion.config.loading import load as load_campaign
from conversion.errors import ConversionError
from idp_proxy import links
from idp_proxy.config import load
from idp_proxy.decision.canary import Given, Step, next_step
from idp_proxy.drill_pass import read_pass, write_pass
from idp_proxy.errors import ProxyError
from idp_proxy.saml import encryption
from idp_proxy.saml.answer import RequireSigned
from idp_proxy.saml.assertion import verify_response
from idp_proxy.saml.authn_request import verify_authn_request
from idp_proxy.saml.bindings import (
    RequestMessage,
    read_post_request,
    read_post_response,
    read_redirect,
)
from idp_proxy.saml.metadata import read_metadata
from idp_proxy.saml.xml import canonical, parse
from idp_proxy.seal import KeyRing
from idp_proxy.transaction import CookieStyle, DrillLogin, LoginTransaction, seal, surplus, unseal
from idp_proxy.upstream.login_page import FieldNames, read_page
from tests.differential.layouts import LAYOUTS
from tests.support import login_pages
from tests.support.keys import rsa_pair
from tests.unit.config_folder import CONFIGURATION
from tests.unit.saml_messages import (
    NAMESPACES,
    NOW,
    REQUEST_ID,
    assertion,
    authn_request,
    deflated,
    encrypted,
    expected,
    issuer_pair,
    posted,
    private_key,
    provider,
    response,
    signature,
    signed,
    signed_query,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Target:
    """One reader: `read` may raise nothing but what is `ALLOWED`, after `most` CPU seconds at most:
    XML-02 for what a stranger sends, with room for a slow machine.
    """

    name: str
    seeds: tuple[bytes, ...]
    read: Callable[[bytes], object]
    is_xml: bool = False
    most: float = 1.0


#: A configuration is its operator's own, and the standard library's parser takes the square of how
#: deep its tables are nested.
OPERATORS_OWN = 30.0


DECRYPTION = rsa_pair("decryption")
ENCRYPTED = encrypted(assertion(signature=signature("_assertion-1")), DECRYPTION)
RESPONSES = (
    signed(response()),
    signed(response(signature=signature("_response-1"))),
    ENCRYPTED,
    *(signed(xml) for xml in LAYOUTS.values()),
)
REQUESTS = (
    authn_request().encode(),
    signed(authn_request(signature=signature(REQUEST_ID)), rsa_pair("provider")),
)
FORM = quote_plus(posted(REQUESTS[0])).encode()


def _answer(octets: bytes, **context: Any) -> None:
    wanted: dict[str, Any] = {
        "decryption_keys": (private_key(DECRYPTION),),
        "require_signed": RequireSigned.ASSERTION,
        "allow_aes_cbc": True,
    }
    verify_response(posted(octets), expected(**(wanted | context)))


def _answer_text(octets: bytes) -> None:
    verify_response(octets.decode("utf-8", "surrogateescape"), expected())


def _signed_afterwards(octets: bytes) -> None:
    """The upstream itself is hostile: it signs what was made of its message."""
    try:
        again = signed(etree.tostring(etree.fromstring(octets)).decode())
    except (etree.XMLSyntaxError, xmlsec.Error, xmlsec.InternalError):
        return
    _answer(again)


def _inside_encryption(octets: bytes) -> None:
    """Anybody can encrypt for us: whatever octets come out are read by the same checks."""
    content_key, nonce = os.urandom(16), os.urandom(12)
    content = nonce + AESGCM(content_key).encrypt(nonce, octets, None)
    wrapped = DECRYPTION_KEY.encrypt(content_key, encryption._key_padding(METHOD))
    root = parse(response(assertion="").encode())
    root.append(
        encryption._envelope_element(
            encryption.AES128_GCM, content, wrapped, DECRYPTION.certificate
        )
    )
    _answer(etree.tostring(root))


DECRYPTION_KEY = private_key(DECRYPTION).public_key()
METHOD = etree.Element("m", Algorithm=encryption.RSA_OAEP_MGF1P)
INSIDE = canonical(
    parse(signed(f"<r {NAMESPACES}>{assertion(signature=signature('_assertion-1'))}</r>"))[0]
)


def _request(octets: bytes) -> None:
    verify_authn_request(RequestMessage(octets, None), provider(), NOW)


def _redirect_of(octets: bytes) -> None:
    """The whole way of a Redirect, its XML changed inside the deflated message."""
    query = f"SAMLRequest={quote_plus(deflated(octets))}".encode()
    verify_authn_request(read_redirect(query), provider(), NOW)


def _metadata(octets: bytes) -> None:
    read_metadata(octets).expired(NOW)


METADATA = (
    '<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata"'
    ' xmlns:ds="http://www.w3.org/2000/09/xmldsig#" entityID="https://idp.example.org"'
    ' validUntil="2030-01-01T00:00:00.123456789Z"><md:IDPSSODescriptor'
    ' protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">'
    '<md:KeyDescriptor use="signing"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>'
    f"{issuer_pair().certificate_text}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
    "</md:KeyDescriptor><md:NameIDFormat>urn:x</md:NameIDFormat><md:SingleSignOnService"
    ' Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"'
    ' Location="https://idp.example.org/sso"/></md:IDPSSODescriptor></md:EntityDescriptor>'
).encode()

RING = KeyRing([b"k" * 32, b"o" * 32], "login")
TID = "A" * 22
COOKIE = seal(
    LoginTransaction(
        tid=TID,
        started_at=datetime(2026, 3, 1, tzinfo=UTC),
        sp_request_id=REQUEST_ID,
        relay_state="opaque",
        acs_url="https://chat.example.org/login/sso/saml",
        upstream="active",
        entity_id="https://idp.example.org",
        epoch=1,
        request_id="_r",
        force_authn=False,
        is_passive=False,
    ),
    RING,
).encode()


def _cookie(octets: bytes) -> None:
    text = octets.decode("utf-8", "surrogateescape")
    opened = unseal(text, TID, RING)
    if opened is not None:
        assert opened == unseal(COOKIE.decode(), TID, RING)
    style = CookieStyle()
    surplus([(style.name(text), text)] * 7, style)


LINKS, PASSES = KeyRing([b"k" * 32], "rehearse"), KeyRing([b"k" * 32], "drill")
LINK = links.write({"id": "x", "kind": "rehearsal", "up": "a", "by": "b", "until": 1}, LINKS)
PASS = write_pass(DrillLogin("d1", "a" * 64), PASSES)


def _link(octets: bytes) -> None:
    text = octets.decode("utf-8", "surrogateescape")
    assert links.read(text, LINKS) == links.read(LINK, LINKS)


def _pass(octets: bytes) -> None:
    text = octets.decode("utf-8", "surrogateescape")
    assert read_pass(text, PASSES) in {None, DrillLogin("d1", "a" * 64)}


def _configuration(octets: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "proxy.toml")
        path.write_bytes(octets)
        load(path, now=NOW, environ={})


def _campaign(octets: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "conversion.toml")
        path.write_bytes(octets)
        path.chmod(0o600)
        load_campaign(path, {"TOKEN": "t" * 26})


CAMPAIGN = b"""\
[mattermost]
url = "https://chat.example.org"
token = "env:TOKEN"
concurrency = 8
outbound_proxy = "http://proxy.example.org:3128"

[ledger]
url = "sqlite:///ledger/conversion.db"
mirror = "elsewhere/mirror.jsonl"

[campaign]
operator_user = "olga"
proxy_status_url = "https://sso.example.org/status?format=json"
at_most_percent = 20.5
"""


LOGIN_PAGES = tuple(
    login_pages.page(name)
    for name in ("keycloak-login", "adfs-login", "shibboleth-consent", "captcha-login")
)


def _login_page(octets: bytes) -> None:
    """Whatever a page says, what is typed goes into one of its own fields, and only once."""
    page = read_page("https://idp.example.org/sso", 200, octets, FieldNames())
    for given in Given:
        step = next_step(page.seen, given, has_totp=True)
        if step is Step.GIVE_PASSWORD:
            assert page.form is not None
            assert given < Given.PASSWORD
            assert page.form.asked.passwords[0] in page.form.values


TARGETS = (
    Target(
        "read_redirect",
        (
            signed_query(REQUESTS[0], "state"),
            b"SAMLRequest=" + quote_plus(deflated(REQUESTS[1])).encode(),
        ),
        read_redirect,
    ),
    Target("read_post_request", (b"SAMLRequest=" + FORM + b"&RelayState=s",), read_post_request),
    Target("read_post_response", (b"SAMLResponse=" + FORM + b"&RelayState=s",), read_post_response),
    Target("verify_response", RESPONSES, _answer, is_xml=True),
    Target("verify_response, base64", tuple(posted(x).encode() for x in RESPONSES), _answer_text),
    Target("verify_response, signed after the change", RESPONSES, _signed_afterwards, is_xml=True),
    Target("verify_response, inside the encryption", (INSIDE,), _inside_encryption, is_xml=True),
    Target("verify_authn_request", REQUESTS, _request, is_xml=True),
    Target("read_redirect and verify_authn_request", REQUESTS, _redirect_of, is_xml=True),
    Target("read_metadata", (METADATA,), _metadata, is_xml=True),
    Target("unseal", (COOKIE,), _cookie),
    Target("read a link", (LINK.encode(),), _link),
    Target("read_pass", (PASS.encode(),), _pass),
    Target("read_page", LOGIN_PAGES, _login_page),
    Target("load", (CONFIGURATION.encode(),), _configuration, most=OPERATORS_OWN),
    Target("load a campaign", (CAMPAIGN,), _campaign, most=OPERATORS_OWN),
)
ALLOWED = (ProxyError, ConversionError)
