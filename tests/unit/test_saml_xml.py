"""The one parser, the one canonical form, and the small readers beside them (XML-03)."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from idp_proxy.errors import MalformedMessage
from idp_proxy.saml.xml import (
    canonical,
    children,
    decode_base64,
    instant,
    is_ncname,
    parse,
    text_of,
)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"   ",
        b"<a>",
        b"<a/><b/>",
        b"<a>&b;</a>",
        b"<a b='1' b='2'/>",
        b"<p:a/>",
        b"<a xmlns:p='urn:x' xmlns:q='urn:x' p:b='1' q:b='2'/>",
        b"<a>\x00</a>",
        b"<a>\xff</a>",
        b"<a>&#0;</a>",
        b"<a>]]></a>",
        "<a/>".encode("utf-16"),
        b'<?xml version="1.0" encoding="utf-8"?>' + b"<a>" * 300 + b"</a>" * 300,
    ],
)
def test_what_is_not_well_formed_is_refused_by_the_rule(octets: bytes) -> None:
    with pytest.raises(MalformedMessage) as refusal:
        parse(octets)
    assert refusal.value.rule == "XML-03"


def test_a_declared_encoding_changes_nothing() -> None:
    assert parse(b'<?xml version="1.0" encoding="utf-7"?><a>+ADw-</a>').text == "+ADw-"


@pytest.mark.parametrize(
    "octets",
    [
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>&x;</a>',
        b"<!DOCTYPE a [<!ATTLIST a ID CDATA 'set by the DTD'>]><a/>",
        b'<!DOCTYPE a [<!ENTITY x "grown">]><a>&x;</a>',
        b'<!DOCTYPE a SYSTEM "http://127.0.0.1/a.dtd"><a/>',
    ],
)
def test_the_parser_is_safe_without_the_checks_before_it(octets: bytes) -> None:
    with pytest.raises(MalformedMessage) as refusal:
        parse(octets)
    assert refusal.value.rule == "XML-01"


def test_the_canonical_form_keeps_listed_prefixes_of_ancestors() -> None:
    root = parse(b'<r xmlns:xs="urn:xs" xmlns:o="urn:o"><a t="xs:string"/></r>')
    assert canonical(root[0]) == b'<a t="xs:string"></a>'
    assert canonical(root[0], ("xs",)) == b'<a xmlns:xs="urn:xs" t="xs:string"></a>'


def test_the_canonical_form_keeps_a_listed_default_namespace_of_an_ancestor() -> None:
    root = parse(b'<r xmlns="urn:r" xmlns:o="urn:o"><o:a/></r>')
    assert canonical(root[0]) == b'<o:a xmlns:o="urn:o"></o:a>'
    assert canonical(root[0], ("#default",)) == b'<o:a xmlns="urn:r" xmlns:o="urn:o"></o:a>'


def test_the_canonical_form_of_a_default_namespace_that_is_undone() -> None:
    root = parse(b'<r xmlns="urn:r"><a><b xmlns=""><c/></b></a></r>')
    assert canonical(root[0]) == b'<a xmlns="urn:r"><b xmlns=""><c></c></b></a>'
    assert canonical(root[0][0]) == b"<b><c></c></b>"


def test_void_canonicalisation_a_relative_namespace_is_refused_and_never_reads_as_empty() -> None:
    with pytest.raises(MalformedMessage) as refusal:
        canonical(parse(b"<a xmlns:p='1'><p:b/></a>"))
    assert refusal.value.rule == "XML-03"


@given(st.binary(max_size=64), st.lists(st.sampled_from([" ", "\t", "\r", "\n"]), max_size=4))
def test_base64_is_read_with_the_blanks_of_xml(octets: bytes, blanks: list[str]) -> None:
    text = base64.b64encode(octets).decode()
    assert decode_base64("".join(blanks).join([*text[:3], text[3:]]), "it") == octets


@pytest.mark.parametrize(
    "text",
    [
        "QQ=",
        "Q",
        "QQ",
        "QQ==QQ==",
        "QQ==\u00a0",
        "QUFB\u2003",
        "QQ-_",
        "Q\x0bQ==",
        "\uff31=",
        "=QQ=",
    ],
)
def test_base64_that_two_decoders_read_differently_is_refused(text: str) -> None:
    with pytest.raises(MalformedMessage) as refusal:
        decode_base64(text, "DigestValue")
    assert refusal.value.rule == "XML-03"
    assert refusal.value.detail == "DigestValue is not base64"


def test_children_are_direct_and_of_one_name() -> None:
    root = etree.fromstring("<r xmlns:p='urn:p'><a/><p:a/><b><a/></b><a/></r>")
    assert children(root, "a") == [root[0], root[3]]
    assert children(root, "{urn:p}a") == [root[1]]
    assert children(root, "c") == []


@pytest.mark.parametrize(
    ("xml", "text"),
    [
        ("<a>text</a>", "text"),
        ("<a> as it stands\n</a>", " as it stands\n"),
        ("<a/>", ""),
        ("<a>admin<b/>.evil</a>", ""),
        ("<a><b/></a>", ""),
    ],
)
def test_the_text_of_an_element_is_whole_or_empty(xml: str, text: str) -> None:
    assert text_of(etree.fromstring(xml)) == text


NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01T12:00:00Z", NOON),
        ("2026-03-01T12:00:00.5Z", NOON + timedelta(milliseconds=500)),
        ("2026-03-01T12:00:00.123456Z", NOON + timedelta(microseconds=123456)),
        ("2026-03-01T12:00:00.123456789Z", NOON + timedelta(microseconds=123456)),
        ("2024-02-29T12:00:00Z", datetime(2024, 2, 29, 12, tzinfo=UTC)),
    ],
)
def test_an_instant_is_utc_with_the_letter_z(text: str, moment: datetime) -> None:
    assert instant(text) == moment


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "2026-03-01T12:00:00",
        "2026-03-01T12:00:00z",
        "2026-03-01T12:00:00+00:00",
        "2026-03-01T12:00:00.Z",
        "2026-03-01T12:00:00.1234567890Z",
        "2026-03-01 12:00:00Z",
        "2026-02-29T12:00:00Z",
        "2026-13-01T12:00:00Z",
        "2026-03-01T25:00:00Z",
        "2026-03-01T12:00:60Z",
        "0000-03-01T12:00:00Z",
        "12026-03-01T12:00:00Z",
        "-2026-03-01T12:00:00Z",
        "2026-03-01T12:00:00Z\n",
        " 2026-03-01T12:00:00Z",
        "\uff12026-03-01T12:00:00Z",
    ],
)
def test_what_is_no_instant_reads_as_none(text: str | None) -> None:
    assert instant(text) is None


@given(st.datetimes(min_value=datetime(1, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - hypothesis wants naive bounds
def test_every_instant_that_is_written_is_read_back(moment: datetime) -> None:
    assert instant(moment.isoformat().replace("+00:00", "Z")) == moment


@pytest.mark.parametrize(
    ("text", "proper"),
    [
        ("_a", True),
        ("a.b-c_9", True),
        ("a" * 256, True),
        ("a" * 257, False),
        ("9a", False),
        ("-a", False),
        ("a:b", False),
        ("a b", False),
        ("a\n", False),
        ("é", False),
        ("", False),
        (None, False),
    ],
)
def test_an_id_is_an_ascii_ncname(text: str | None, proper: bool) -> None:
    assert is_ncname(text) is proper
