"""Signatures by algorithms and transforms that prove less, and References that lead elsewhere."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

from idp_proxy.saml import document
from tests.attacks import signer
from tests.attacks.corpus.signatures import INFO, attack, resigned
from tests.attacks.messages import ASSERTION, one, piece, said
from tests.attacks.signer import Style

if TYPE_CHECKING:
    from collections.abc import Callable

    from lxml import etree

    from tests.attacks.attack import Login, ResponseAttack


def uri(value: str) -> Callable[[Login], bytes]:
    return said(style=Style(uri=value))


def uri_of_id(pattern: str) -> Callable[[Login], bytes]:
    """A Reference that leads to the signed element, in another notation than "#ID"."""
    return resigned(
        lambda root, _: one(root, f"{INFO}/ds:Reference").set(
            "URI", pattern.format(one(root, ASSERTION).get("ID"))
        )
    )


def transform(*transforms: str) -> Callable[[Login], bytes]:
    return said(style=Style(transforms=transforms))


def within(name: str, xml: str) -> Callable[[Login], bytes]:
    """A signed SignedInfo with a piece of XML inside one of its elements."""
    return resigned(
        lambda root, _: one(root, f"{INFO}/{name}" if name else INFO).append(piece(xml))
    )


def _second_reference(root: etree._Element, _: Login) -> None:
    info = one(root, INFO)
    info.append(deepcopy(one(info, "ds:Reference")))


def _hidden_reference(root: etree._Element, _: Login) -> None:
    """Of a shape that a reader passes over, so that two look like one."""
    one(root, INFO).append(piece('<ds:Reference URI="#_other"/>'))


def _no_uri(root: etree._Element, _: Login) -> None:
    one(root, f"{INFO}/ds:Reference").attrib.pop("URI")


_XSLT = (
    '<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116">'
    '<xsl:stylesheet xmlns:xsl="http://www.w3.org/1999/XSL/Transform" version="1.0">'
    '<xsl:template match="/"><xsl:value-of select="document(\'file:///etc/passwd\')"/>'
    "</xsl:template></xsl:stylesheet></ds:Transform>"
)
_XPATH = (
    '<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116">'
    "<ds:XPath>count(//. | //@* | //namespace::*) &gt; 0</ds:XPath></ds:Transform>"
)
_MANY = (signer.ENVELOPED, *[signer.EXC_C14N] * 50)
_LONG_LIST = " ".join(f"n{number}" for number in range(40))
_INCLUSIVE = f'<x:InclusiveNamespaces xmlns:x="{signer.EXC_C14N}" PrefixList="{_LONG_LIST}"/>'

ALGORITHMS = tuple(
    attack("algorithm", name, document.sp_08_algorithms, make)
    for name, make in {
        "RSA-SHA1": said(style=Style(method=signer.RSA_SHA1)),
        "RSA-SHA1 and SHA-1": said(style=Style(method=signer.RSA_SHA1, digest=signer.SHA1)),
        "digest SHA-1": said(style=Style(digest=signer.SHA1)),
        "digest MD5": said(style=Style(digest=signer.MD5)),
        "RSA-MD5": said(style=Style(method=f"{signer.MORE}rsa-md5")),
        "DSA-SHA1": said(style=Style(method=f"{signer.DS}dsa-sha1")),
        "RSA-PSS": said(
            style=Style(method="http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1")
        ),
        "HMAC with the certificate as secret": said(style=Style(method=signer.HMAC_SHA256)),
        "no algorithm": said(style=Style(method="")),
        "algorithm with a blank behind it": said(style=Style(method=f"{signer.RSA_SHA256} ")),
        "digest with no algorithm": said(style=Style(digest="")),
        "C14N with comments": said(style=Style(canonicalization=f"{signer.EXC_C14N}WithComments")),
        "C14N inclusive": said(style=Style(canonicalization=signer.C14N)),
        "C14N 1.1": said(style=Style(canonicalization=signer.C14N_11)),
        "C14N of one's own": said(style=Style(canonicalization="urn:minimal")),
        "no transforms": transform(),
        "enveloped only": transform(signer.ENVELOPED),
        "C14N only": transform(signer.EXC_C14N),
        "transforms in the other order": transform(signer.EXC_C14N, signer.ENVELOPED),
        "inclusive C14N transform": transform(signer.ENVELOPED, signer.C14N),
        "C14N transform with comments": transform(
            signer.ENVELOPED, f"{signer.EXC_C14N}WithComments"
        ),
        "base64 transform": transform(signer.ENVELOPED, signer.EXC_C14N, f"{signer.DS}base64"),
        "fifty transforms": transform(*_MANY),
        "XSLT": within("ds:Reference/ds:Transforms", _XSLT),
        "XPath": within("ds:Reference/ds:Transforms", _XPATH),
        "XPath filter 2": transform(
            signer.ENVELOPED, "http://www.w3.org/2002/06/xmldsig-filter2", signer.EXC_C14N
        ),
        "a transform that is none": within(
            "ds:Reference/ds:Transforms", '<x:Transform xmlns:x="urn:x"/>'
        ),
    }.items()
)

REFERENCES = (
    *(
        attack("reference", name, document.sp_02_reference, make)
        for name, make in {
            "to the whole document": uri(""),
            "to another ID": uri("#_other"),
            "to an xpointer of the root": uri("#xpointer(/)"),
            "to an xpointer of the ID": uri_of_id("#xpointer(id('{}'))"),
            "with a blank": uri_of_id("#{} "),
            "with a file in front": uri_of_id("message.xml#{}"),
            "with a host": uri("https://attacker.example/assertion.xml"),
            "to a local file": uri("file:///etc/passwd"),
            "without the hash": uri_of_id("{}"),
            "with two hashes": uri_of_id("##{}"),
            "without a URI": resigned(_no_uri),
            "twice": resigned(_second_reference),
        }.items()
    ),
    *(
        attack("reference", name, document.sp_02_signature_parts, make)
        for name, make in {
            "beside one of a strange shape": resigned(_hidden_reference),
            "beside a Manifest": within("", "<ds:Manifest/>"),
            "in a list of forty prefixes": within(
                "ds:Reference/ds:Transforms/ds:Transform", _INCLUSIVE
            ),
            "below a list of forty prefixes": within("ds:CanonicalizationMethod", _INCLUSIVE),
            "HMACOutputLength": within(
                "ds:SignatureMethod", "<ds:HMACOutputLength>1</ds:HMACOutputLength>"
            ),
        }.items()
    ),
)

ATTACKS: tuple[ResponseAttack, ...] = (*ALGORITHMS, *REFERENCES)
