"""Signatures inside the message, as Mattermost makes them, that prove nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from idp_proxy.saml import authn_request, document
from tests.attacks import signer
from tests.attacks.attack import Asking, Registration, RequestAttack, Sent
from tests.attacks.corpus.asking import table
from tests.attacks.corpus.asking_query import query, signed_by
from tests.attacks.messages import add, one, piece, put, unset
from tests.attacks.requests import (
    detached,
    enveloped,
    joined,
    octets_of,
    plain,
    posted,
    redirected,
)
from tests.attacks.signer import Style
from tests.support.keys import rsa_pair

if TYPE_CHECKING:
    from collections.abc import Callable

    from lxml import etree

    from tests.attacks.requests import Edit

    Make = Callable[[Asking], Sent]

KEYS = Registration.WITH_KEYS


def inside(*edits: Edit, style: Style = signer.HONEST) -> Make:
    """Signed inside by Mattermost itself."""
    return lambda asking: redirected(octets_of(enveloped(asking, *edits, style=style)))


def inside_then(*edits: Edit) -> Make:
    """Signed inside, changed afterwards."""

    def make(asking: Asking) -> Sent:
        root = enveloped(asking)
        for edit in edits:
            edit(root, asking)
        return redirected(octets_of(root))

    return make


def _wrapped(asking: Asking) -> Sent:
    """The signed request inside an unsigned one."""
    evil = plain(asking, put(".", "ID", "_evil"), put(".", "ForceAuthn", "false"))
    holder = piece("<p:Extensions/>")
    holder.append(enveloped(asking))
    evil.append(holder)
    return redirected(octets_of(evil))


def _in_signature(asking: Asking) -> Sent:
    original = enveloped(asking)
    signature = one(original, "ds:Signature")
    original.remove(signature)
    evil = plain(asking, put(".", "ID", "_evil"))
    holder = piece("<ds:Object/>")
    holder.append(original)
    signature.append(holder)
    evil.insert(1, signature)
    return redirected(octets_of(evil))


def _borrowed(asking: Asking) -> Sent:
    """Another request's signature."""
    signature = one(enveloped(asking), "ds:Signature")
    evil = plain(asking, put(".", "ID", "_evil"))
    evil.insert(1, signature)
    return redirected(octets_of(evil))


def _last(root: etree._Element, _: Asking) -> None:
    root.append(one(root, "ds:Signature"))


def _by_attacker(shown: bool) -> Make:
    def make(asking: Asking) -> Sent:
        style = Style(shown=asking.keys if shown else None)
        return redirected(octets_of(enveloped(asking, style=style, pair=rsa_pair("attacker"))))

    return make


def _without_key_info(asking: Asking) -> Sent:
    root = enveloped(asking, pair=rsa_pair("attacker"))
    signature = one(root, "ds:Signature")
    signature.remove(signature[2])
    return redirected(octets_of(root))


INSIDE = (
    *table(
        "signed inside",
        document.sp_01_signature_value,
        {
            "attacker's key, true certificate": _by_attacker(shown=True),
            "attacker's key, no certificate": _without_key_info,
        },
        registration=KEYS,
    ),
    *table(
        "signed inside",
        authn_request.idp_02_key_info,
        {
            "attacker's key and certificate": _by_attacker(shown=False),
            "true key, another certificate": inside(style=Style(shown=rsa_pair("attacker"))),
        },
        registration=KEYS,
    ),
    *table(
        "signed inside",
        document.sp_02_digest,
        {
            "address changed": inside_then(put(".", "AssertionConsumerServiceURL", "https://x")),
            "flag added": inside_then(put(".", "IsPassive", "true")),
            "Scoping added": inside_then(add(".", "<p:Scoping/>")),
        },
        registration=KEYS,
    ),
    *table(
        "signed inside",
        document.sp_02_one_of_its_kind,
        {"wrapped": _wrapped, "original in its own signature": _in_signature},
        registration=KEYS,
    ),
    *table(
        "signed inside",
        document.sp_02_reference,
        {
            "borrowed": _borrowed,
            "for another ID": inside(style=Style(uri="#_other")),
            "for the whole document": inside(style=Style(uri="")),
        },
        registration=KEYS,
    ),
    *table(
        "signed inside",
        document.sp_02_signature_parts,
        {
            "Object in the signature": inside_then(add("ds:Signature", "<ds:Object/>")),
            "two References, one strange": inside(
                style=Style(edit=lambda info: info.append(piece("<ds:Reference URI=''/>")))
            ),
        },
        registration=KEYS,
    ),
    *table(
        "signed inside",
        document.sp_02_signature_place,
        {"as the last child": inside_then(_last)},
        registration=KEYS,
    ),
    *table(
        "signed inside",
        document.sp_08_algorithms,
        {
            "digest SHA-1": inside(style=Style(digest=signer.SHA1)),
            "HMAC": inside(style=Style(method=signer.HMAC_SHA256)),
            "XPath": inside(
                style=Style(
                    transforms=(signer.ENVELOPED, "http://www.w3.org/TR/1999/REC-xpath-19991116")
                )
            ),
            "no transforms": inside(style=Style(transforms=())),
        },
        registration=KEYS,
    ),
    *table(
        "signed inside",
        authn_request.idp_02_supported,
        {
            "RSA-SHA1, Mattermost's old default": inside(style=Style(method=signer.RSA_SHA1)),
            "C14N 1.1": inside(style=Style(canonicalization=signer.C14N_11)),
            "C14N 1.1 as a transform": inside(
                style=Style(transforms=(signer.ENVELOPED, signer.C14N_11))
            ),
            "inclusive C14N": inside(style=Style(canonicalization=signer.C14N)),
            "RSA-SHA1 beside the query": signed_by(signer.RSA_SHA1),
        },
        registration=KEYS,
    ),
    *table(
        "signed inside",
        authn_request.idp_02_known_keys,
        {"no key is registered": inside(), "nor one for the query": query(dict)},
    ),
    *table(
        "signed inside",
        authn_request.idp_01_destination,
        {
            "for another host": inside(put(".", "Destination", "https://other.example/saml/sso")),
            "for nobody": inside(unset(".", "Destination")),
            "the query, for nobody": lambda asking: Sent(
                query=joined(detached(asking, octets_of(plain(asking, unset(".", "Destination")))))
            ),
        },
        registration=KEYS,
    ),
    *table(
        "must be signed",
        authn_request.idp_02_signed_as_required,
        {
            "unsigned by redirect": lambda asking: redirected(octets_of(plain(asking))),
            "unsigned by post": lambda asking: posted(octets_of(plain(asking))),
            "signature of another namespace": lambda asking: redirected(
                octets_of(enveloped(asking)).replace(b"2000/09/xmldsig", b"2001/09/xmldsig")
            ),
        },
        registration=Registration.MUST_SIGN,
    ),
)

ATTACKS: tuple[RequestAttack, ...] = INSIDE
