"""The service provider's request: one test for each rule, and the three ways of signing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from idp_proxy.errors import (
    MalformedMessage,
    RequestExpired,
    RequestInvalid,
    SamlError,
    UnknownServiceProvider,
    UnsupportedSignature,
    WrongAcs,
)
from idp_proxy.saml import authn_request as under_test
from idp_proxy.saml.authn_request import AuthnRequest, verify_authn_request
from idp_proxy.saml.bindings import Detached, RequestMessage, read_redirect
from idp_proxy.saml.document import rule_of
from tests.support.keys import ec_pair, rsa_pair
from tests.unit.saml_messages import (
    ACS,
    DS,
    ENVELOPED,
    EXC_C14N,
    MORE,
    NOW,
    REQUEST_ID,
    SERVICE_PROVIDER,
    SSO,
    at,
    authn_request,
    provider,
    public_key,
    received,
    signature,
    signed,
    signed_query,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.keys import KeyPair

OWN = signature(REQUEST_ID)
WITH_CERTIFICATE = signature(
    REQUEST_ID,
    key_info="<ds:KeyInfo><ds:X509Data><ds:X509Certificate/></ds:X509Data></ds:KeyInfo>",
)
EMPTY = f'<ds:Signature xmlns:ds="{DS}"/>'
REQUIRED: dict[str, Any] = {"require_signed": True}
NAME_ID_FORMAT = "urn:oasis:names:tc:SAML:2.0:nameid-format:"


def verify(octets: bytes, detached: Detached | None = None, **registered: Any) -> AuthnRequest:
    message = RequestMessage(octets, None, detached)
    return verify_authn_request(message, provider(**registered), NOW)


def enveloped(pair: KeyPair | None = None, **pieces: str) -> bytes:
    return signed(authn_request(**({"signature": OWN} | pieces)), pair or rsa_pair("provider"))


def refused(
    check: Callable[[Any], None],
    octets: bytes,
    detached: Detached | None = None,
    **registered: Any,
) -> SamlError:
    """The error of the check alone; the whole list must refuse the request as well."""
    with pytest.raises(SamlError) as caught:
        check(received(octets, detached, **registered))
    with pytest.raises(SamlError):
        verify(octets, detached, **registered)
    assert caught.value.rule == rule_of(check)
    return caught.value


def unsigned(**pieces: str) -> bytes:
    return authn_request(**pieces).encode()


def test_every_function_of_a_rule_is_in_the_one_list() -> None:
    written = {value for name, value in vars(under_test).items() if name.startswith("idp_")}
    assert written == {*under_test.ON_REQUEST, *under_test.ON_VERIFIED}
    assert written <= set(under_test.CHECKS)


@pytest.mark.parametrize(
    ("octets", "is_signed"),
    [
        (unsigned(), False),
        (unsigned(acs="", binding="", destination="", policy=""), False),
        (enveloped(), True),
        (enveloped(signature=WITH_CERTIFICATE), True),
    ],
)
def test_a_request_of_mattermost_is_read(octets: bytes, is_signed: bool) -> None:
    request = verify(octets)
    assert (request.id, request.signed) == (REQUEST_ID, is_signed)
    assert (request.force_authn, request.is_passive) == (False, False)


@pytest.mark.parametrize("relay_state", [None, "opaque+/="])
def test_a_request_signed_beside_the_query_is_read(relay_state: str | None) -> None:
    message = read_redirect(signed_query(unsigned(), relay_state))
    assert verify_authn_request(message, provider(**REQUIRED), NOW).signed


def test_only_verify_authn_request_makes_an_authn_request() -> None:
    with pytest.raises(TypeError, match="only verify_authn_request"):
        AuthnRequest(received(unsigned()), object())


def issuer(text: str) -> str:
    return f"<saml:Issuer>{text}</saml:Issuer>"


@pytest.mark.parametrize(
    "issuers",
    [
        "",
        issuer(""),
        issuer("https://other.example.org"),
        issuer(f"{SERVICE_PROVIDER}/"),
        issuer(f" {SERVICE_PROVIDER}"),
        issuer(f"{SERVICE_PROVIDER}<a/>"),
        issuer(SERVICE_PROVIDER) * 2,
    ],
)
def test_idp_01_issuer(issuers: str) -> None:
    error = refused(under_test.idp_01_issuer, unsigned(issuer=issuers))
    assert isinstance(error, UnknownServiceProvider)


OLD = [
    {"method": f"{DS}rsa-sha1"},
    {"method": f"{DS}dsa-sha1"},
    {
        "canonicalization": '<ds:CanonicalizationMethod Algorithm="http://www.w3.org/2006/12/xml-c14n11"/>'
    },
    {
        "transforms": f'<ds:Transform Algorithm="{ENVELOPED}"/>'
        '<ds:Transform Algorithm="http://www.w3.org/TR/2001/REC-xml-c14n-20010315"/>'
    },
]


@pytest.mark.parametrize("how", OLD)
def test_idp_02_supported(how: dict[str, str]) -> None:
    octets = unsigned(signature=signature(REQUEST_ID, **how))
    error = refused(under_test.idp_02_supported, octets)
    assert isinstance(error, UnsupportedSignature)
    assert "SamlSettings.SignatureAlgorithm = RSAwithSHA256" in error.detail
    assert "SamlSettings.CanonicalAlgorithm = Canonical1.0" in error.detail


def test_idp_02_supported_beside_the_query() -> None:
    old = Detached(f"{DS}rsa-sha1", b"x", b"SAMLRequest=x")
    assert isinstance(refused(under_test.idp_02_supported, unsigned(), old), UnsupportedSignature)
    under_test.idp_02_supported(received(unsigned(signature=EMPTY)))


@pytest.mark.parametrize("by", ["enveloped", "detached"])
def test_idp_02_known_keys(by: str) -> None:
    detached = read_redirect(signed_query(unsigned())).detached if by == "detached" else None
    octets = enveloped() if by == "enveloped" else unsigned()
    error = refused(under_test.idp_02_known_keys, octets, detached, keys=())
    assert isinstance(error, RequestInvalid)
    assert "service_provider.signing_certificates" in error.detail
    under_test.idp_02_known_keys(received(unsigned(), keys=()))


def test_idp_02_key_info() -> None:
    octets = enveloped(signature=WITH_CERTIFICATE)
    error = refused(under_test.idp_02_key_info, octets, certificates=())
    assert isinstance(error, RequestInvalid)
    refused(under_test.idp_02_key_info, octets, certificates=(rsa_pair("other").certificate_der,))
    under_test.idp_02_key_info(received(enveloped(), certificates=()))


def test_idp_02_key_info_that_is_no_base64_is_malformed() -> None:
    text = WITH_CERTIFICATE.replace(
        "<ds:X509Certificate/>", "<ds:X509Certificate>?</ds:X509Certificate>"
    )
    with pytest.raises(MalformedMessage):
        verify(unsigned(signature=text))


def test_idp_02_detached() -> None:
    good = read_redirect(signed_query(unsigned(), "state")).detached
    assert good is not None
    under_test.idp_02_detached(received(unsigned(), good))
    under_test.idp_02_detached(received(unsigned()))
    others = (public_key(ec_pair("other")), public_key(rsa_pair("other")))
    under_test.idp_02_detached(received(unsigned(), good, keys=(*others, *provider().keys)))
    cases: list[tuple[Detached, dict[str, Any]]] = [
        (Detached(good.method, good.value, good.octets + b"&x"), {}),
        (Detached(good.method, good.value[:-1], good.octets), {}),
        (Detached(f"{MORE}rsa-sha512", good.value, good.octets), {}),
        (Detached(f"{MORE}rsa-md5", good.value, good.octets), {}),
        (Detached("", good.value, good.octets), {}),
        (good, {"keys": others}),
    ]
    for detached, registered in cases:
        error = refused(under_test.idp_02_detached, unsigned(), detached, **registered)
        assert isinstance(error, RequestInvalid)


def test_idp_02_detached_is_of_this_very_query() -> None:
    query = signed_query(unsigned(), "state")
    for changed in (
        query.replace(b"RelayState=state", b"RelayState=other"),
        query.replace(b"&RelayState=state", b""),
        query.replace(b"%2B", b"%2b", 1) if b"%2B" in query else query.replace(b"%2F", b"%2f", 1),
    ):
        assert changed != query
        message = read_redirect(changed)
        with pytest.raises(RequestInvalid) as caught:
            verify_authn_request(message, provider(), NOW)
        assert caught.value.rule == "IDP-02"


def test_idp_02_signed_as_required() -> None:
    error = refused(under_test.idp_02_signed_as_required, unsigned(), **REQUIRED)
    assert isinstance(error, RequestInvalid)
    detached = read_redirect(signed_query(unsigned())).detached
    under_test.idp_02_signed_as_required(received(unsigned(), detached, **REQUIRED))
    under_test.idp_02_signed_as_required(received(enveloped(), **REQUIRED))
    under_test.idp_02_signed_as_required(received(unsigned()))


@pytest.mark.parametrize(
    "url", ["", f"{ACS}/", ACS[:-1], f"{ACS}#x", "https://evil.example.org/acs", ACS.upper()]
)
def test_idp_01_acs(url: str) -> None:
    octets = unsigned(acs=f'AssertionConsumerServiceURL="{url}"')
    assert isinstance(refused(under_test.idp_01_acs, octets), WrongAcs)


def test_idp_01_acs_is_named_once_and_by_post() -> None:
    index = 'AssertionConsumerServiceIndex="1"'
    both = refused(under_test.idp_01_acs, unsigned(flags=index))
    assert isinstance(both, WrongAcs)
    verify(unsigned(acs=index, binding=""))
    for binding in ("HTTP-Redirect", "HTTP-Artifact", "PAOS", ""):
        octets = unsigned(
            binding=f'ProtocolBinding="urn:oasis:names:tc:SAML:2.0:bindings:{binding}"'
        )
        assert type(refused(under_test.idp_01_acs, octets)) is RequestInvalid


@pytest.mark.parametrize("url", ["", f"{SSO}/", SSO.upper(), "https://other.example.org/sso"])
def test_idp_01_destination(url: str) -> None:
    for octets in (
        unsigned(destination=f'Destination="{url}"'),
        enveloped(destination=f'Destination="{url}"'),
        enveloped(destination=""),
    ):
        assert type(refused(under_test.idp_01_destination, octets)) is RequestInvalid


def test_idp_01_destination_must_be_in_what_is_signed_beside_the_query() -> None:
    octets = unsigned(destination="")
    detached = read_redirect(signed_query(octets)).detached
    refused(under_test.idp_01_destination, octets, detached)
    verify(octets)


@pytest.mark.parametrize(
    "pieces",
    [
        {"version": ""},
        {"version": 'Version="1.1"'},
        {"id": ""},
        {"id": 'ID="1"'},
        {"id": 'ID="a b"'},
        {"instant": ""},
        {"instant": f'IssueInstant="{at()[:-1]}"'},
    ],
)
def test_idp_05_request(pieces: dict[str, str]) -> None:
    assert type(refused(under_test.idp_05_request, unsigned(**pieces))) is RequestInvalid


@pytest.mark.parametrize(("good", "bad"), [(-420, -421), (120, 121)])
def test_idp_05_request_window(good: int, bad: int) -> None:
    verify(unsigned(instant=f'IssueInstant="{at(good)}"'))
    octets = unsigned(instant=f'IssueInstant="{at(bad)}"')
    assert isinstance(refused(under_test.idp_05_request, octets), RequestExpired)


CONTEXT = "<samlp:RequestedAuthnContext/>"


@pytest.mark.parametrize(
    "pieces",
    [
        {"extra": "<saml:Subject/>"},
        {"extra": "<saml:Conditions/>"},
        {"extra": CONTEXT},
        {"policy": f'<samlp:NameIDPolicy Format="{NAME_ID_FORMAT}transient"/>'},
        {"policy": '<samlp:NameIDPolicy/><samlp:NameIDPolicy Format="urn:x"/>'},
        {"flags": 'ForceAuthn="yes"'},
        {"flags": 'IsPassive=""'},
        {"flags": 'IsPassive="TRUE"'},
    ],
)
def test_idp_04_understood(pieces: dict[str, str]) -> None:
    assert type(refused(under_test.idp_04_understood, unsigned(**pieces))) is RequestInvalid


@pytest.mark.parametrize(
    "policy",
    [
        "",
        '<samlp:NameIDPolicy Format=""/>',
        '<samlp:NameIDPolicy Format="urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"/>',
        '<samlp:NameIDPolicy Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"/>',
        "<samlp:Scoping><samlp:IDPList/></samlp:Scoping>",
    ],
)
def test_idp_04_understood_what_asks_for_nothing_else(policy: str) -> None:
    assert verify(unsigned(policy=policy)).id == REQUEST_ID


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("1", True), ("false", False), ("0", False)]
)
def test_force_authn_and_is_passive_are_booleans_of_xml(text: str, value: bool) -> None:
    assert verify(unsigned(flags=f'ForceAuthn="{text}"')).force_authn is value
    assert verify(unsigned(flags=f'IsPassive="{text}"')).is_passive is value


def test_an_enveloped_signature_must_verify_whether_it_is_required_or_not() -> None:
    octets = enveloped(flags='IsPassive="true"')
    changed = octets.replace(b'IsPassive="true"', b'IsPassive="false"')
    assert changed != octets
    nothing: dict[str, Any] = {}
    for registered in (nothing, REQUIRED):
        for bad in (changed, enveloped(rsa_pair("stranger"))):
            with pytest.raises(RequestInvalid):
                verify(bad, **registered)


def test_a_good_query_signature_does_not_excuse_a_bad_enveloped_one() -> None:
    octets = enveloped(rsa_pair("stranger"))
    with pytest.raises(RequestInvalid) as caught:
        verify_authn_request(read_redirect(signed_query(octets)), provider(), NOW)
    assert caught.value.rule == "SP-01"


def test_a_request_is_read_from_what_was_signed() -> None:
    judged = received(enveloped())
    assert judged.request is not judged.document.root
    assert judged.request.get("ID") == REQUEST_ID
    plain = received(unsigned())
    assert plain.request is plain.document.root


def test_exclusive_canonicalisation_is_what_mattermost_calls_canonical_1_0() -> None:
    assert EXC_C14N not in under_test._OLD_CANONICAL
