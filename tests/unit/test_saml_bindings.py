"""HTTP-Redirect and HTTP-POST, octet by octet (SAML bindings 3.4, 3.5; IDP-02, XML-02)."""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING
from urllib.parse import quote_from_bytes, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp_proxy.errors import MalformedMessage, RequestInvalid, SamlError
from idp_proxy.saml.bindings import (
    MAX_FORM,
    MAX_PARAMETERS,
    RequestMessage,
    ResponseMessage,
    read_post_request,
    read_post_response,
    read_redirect,
)
from idp_proxy.saml.xml import MAX_BASE64, MAX_OCTETS
from tests.unit.saml_messages import deflated, posted, signed_query

if TYPE_CHECKING:
    from collections.abc import Callable

XML = b"<AuthnRequest/>"
MESSAGE = quote_plus(deflated(XML)).encode()
POSTED = quote_plus(posted(XML)).encode()


def refusal(read: Callable[[bytes], object], octets: bytes) -> SamlError:
    with pytest.raises(SamlError) as caught:
        read(octets)
    return caught.value


@pytest.mark.parametrize(
    "query",
    [
        b"SAMLRequest=" + MESSAGE,
        b"utm_source=x&SAMLRequest=" + MESSAGE + b"&&other&other",
        b"%53AMLRequest=" + MESSAGE,
        b"SAMLEncoding=urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE&SAMLRequest="
        + MESSAGE,
    ],
)
def test_a_redirect_is_read(query: bytes) -> None:
    assert read_redirect(query) == RequestMessage(XML, None, None)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_the_relay_state_comes_back_byte_for_byte(state: str) -> None:
    relay = quote_plus(state).encode()
    assert read_redirect(b"RelayState=%s&SAMLRequest=%s" % (relay, MESSAGE)).relay_state == state
    assert read_post_request(b"SAMLRequest=%s&RelayState=%s" % (POSTED, relay)) == RequestMessage(
        XML, state
    )
    assert read_post_response(b"SAMLResponse=%s&RelayState=%s" % (POSTED, relay)) == (
        ResponseMessage(posted(XML), state)
    )


def test_an_empty_relay_state_is_not_an_absent_one() -> None:
    assert read_redirect(b"RelayState=&SAMLRequest=" + MESSAGE).relay_state == ""
    assert read_redirect(b"SAMLRequest=" + MESSAGE).relay_state is None


@pytest.mark.parametrize("relay_state", [None, "", "a b&c=d/\u00e9"])
def test_a_detached_signature_is_over_the_raw_octets_in_the_order_of_the_standard(
    relay_state: str | None,
) -> None:
    query = signed_query(XML, relay_state)
    signed, _, value = query.partition(b"&Signature=")
    found = read_redirect(query).detached
    assert found is not None
    assert found.octets == signed
    assert quote_plus(base64.b64encode(found.value)).encode() == value
    assert found.method.endswith("rsa-sha256")
    shuffled = b"&".join(reversed(query.split(b"&")))
    assert read_redirect(shuffled).detached == found


def test_octets_of_the_query_are_never_encoded_anew() -> None:
    lower = b"SAMLRequest=" + MESSAGE + b"&RelayState=%2f%2F+%20&SigAlg=%75rn&Signature=QQ%3d%3D"
    found = read_redirect(lower).detached
    assert found is not None
    assert found.octets == lower.partition(b"&Signature")[0]
    assert found.method == "urn"


SIGNATURE = b"&SigAlg=urn&Signature=QQ=="


@pytest.mark.parametrize(
    "query",
    [
        b"",
        b"RelayState=x",
        b"SAMLResponse=" + MESSAGE,
        b"SAMLRequest=" + MESSAGE + b"&SAMLResponse=" + MESSAGE,
        b"SAMLRequest=" + MESSAGE + b"&SAMLRequest=" + MESSAGE,
        b"SAMLRequest=" + MESSAGE + b"&%53AMLRequest=" + MESSAGE,
        b"SAMLRequest=" + MESSAGE + b"&RelayState=a&RelayState=a",
        b"SAMLRequest=" + MESSAGE + SIGNATURE + SIGNATURE,
        b"SAMLRequest=" + MESSAGE + b"&SigAlg=urn",
        b"SAMLRequest=" + MESSAGE + b"&Signature=QQ==",
        b"SAMLRequest=" + MESSAGE + b"&SAMLEncoding=urn:other",
        b"SAMLRequest=" + MESSAGE + b"&SAMLEncoding=",
        b"SAMLart=AAQ&SAMLart=AAQ",
    ],
)
def test_a_redirect_with_other_parameters_is_refused(query: bytes) -> None:
    error = refusal(read_redirect, query)
    assert isinstance(error, RequestInvalid)
    assert error.rule == "IDP-02"


@pytest.mark.parametrize(
    "name", ["SAMLRequest", "SAMLResponse", "RelayState", "SigAlg", "Signature"]
)
def test_no_parameter_of_saml_may_come_twice_in_any_binding(name: str) -> None:
    twice = f"{name}=QQ==&{name}=QQ==".encode()
    for read, kind in (
        (read_redirect, RequestInvalid),
        (read_post_request, RequestInvalid),
        (read_post_response, MalformedMessage),
    ):
        error = refusal(read, twice)
        assert (type(error), error.rule) == (kind, "IDP-02")


@pytest.mark.parametrize(
    "query",
    [
        b"SAMLRequest=%",
        b"SAMLRequest=%4",
        b"SAMLRequest=%zz",
        b"SAMLRequest=" + MESSAGE + b"&RelayState=%ff",
        b"SAMLRequest=" + MESSAGE + b"&RelayState=\xff",
        b"SAMLRequest=" + MESSAGE + b"&%C0%80=x",
        b"SAMLRequest=?",
        b"SAMLRequest=" + MESSAGE + b"&SigAlg=urn&Signature=?",
    ],
)
def test_a_redirect_that_is_not_text_is_malformed(query: bytes) -> None:
    error = refusal(read_redirect, query)
    assert (type(error), error.rule) == (MalformedMessage, "XML-03")


def raw(octets: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(octets) + packer.flush()


def redirect(deflated_octets: bytes) -> bytes:
    return b"SAMLRequest=" + quote_from_bytes(base64.b64encode(deflated_octets)).encode()


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        XML,
        raw(XML)[:-1],
        raw(XML) + b"x",
        raw(XML) + raw(XML),
        zlib.compress(XML),
        b"\x1f\x8b" + raw(XML),
    ],
    ids=["nothing", "plain", "cut", "a tail", "twice", "zlib", "gzip"],
)
def test_only_one_whole_raw_deflate_stream_is_inflated(octets: bytes) -> None:
    error = refusal(read_redirect, redirect(octets))
    assert (type(error), error.rule) == (MalformedMessage, "XML-03")


def test_a_bomb_is_inflated_to_the_limit_and_no_further() -> None:
    fits = read_redirect(redirect(raw(b"x" * MAX_OCTETS)))
    assert len(fits.octets) == MAX_OCTETS
    for size in (MAX_OCTETS + 1, 300 * MAX_OCTETS):
        error = refusal(read_redirect, redirect(raw(b"x" * size)))
        assert (type(error), error.rule) == (MalformedMessage, "XML-02")


@pytest.mark.parametrize("read", [read_redirect, read_post_request, read_post_response])
def test_a_form_is_bounded_in_octets_and_parameters(read: Callable[[bytes], object]) -> None:
    for octets in (b"x" * (MAX_FORM + 1), b"&" * MAX_PARAMETERS):
        error = refusal(read, octets)
        assert (type(error), error.rule) == (MalformedMessage, "XML-02")


def test_as_many_parameters_as_allowed_are_read() -> None:
    assert read_redirect(b"a=b&" * (MAX_PARAMETERS - 1) + b"SAMLRequest=" + MESSAGE).octets == XML


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"SAMLRequest": "x"}',
        b"SAMLResponse=" + POSTED,
        b"SAMLRequest=" + POSTED + b"&SAMLResponse=" + POSTED,
        b"SAMLRequest=" + POSTED + b"&SigAlg=urn",
        b"SAMLRequest=" + POSTED + b"&Signature=QQ==",
    ],
)
def test_a_posted_request_with_other_fields_is_refused(body: bytes) -> None:
    error = refusal(read_post_request, body)
    assert (type(error), error.rule) == (RequestInvalid, "IDP-02")


def test_a_posted_request_is_bounded_and_base64() -> None:
    error = refusal(read_post_request, b"SAMLRequest=" + b"A" * (MAX_BASE64 + 1))
    assert (type(error), error.rule) == (MalformedMessage, "XML-02")
    error = refusal(read_post_request, b"SAMLRequest=?")
    assert (type(error), error.rule) == (MalformedMessage, "XML-03")


@pytest.mark.parametrize(
    "body", [b"", b"SAMLRequest=" + POSTED, b"SAMLRequest=x&SAMLResponse=x", b'{"SAMLResponse":""}']
)
def test_a_form_without_exactly_a_response_is_refused(body: bytes) -> None:
    error = refusal(read_post_response, body)
    assert (type(error), error.rule) == (MalformedMessage, "XML-03")


def test_a_posted_response_keeps_its_base64_and_ignores_what_is_not_saml() -> None:
    body = b"SAMLResponse=%s&upstream=other&RelayState=tid" % POSTED
    assert read_post_response(body) == ResponseMessage(posted(XML), "tid")
