"""Signatures beside the query that were made for another query (bindings 3.4.4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from idp_proxy.saml import authn_request, bindings
from tests.attacks import signer
from tests.attacks.attack import Asking, Registration, RequestAttack, Sent
from tests.attacks.corpus.asking import table
from tests.attacks.messages import put
from tests.attacks.requests import (
    RELAY_STATE,
    deflated,
    detached,
    joined,
    octets_of,
    parameter,
    plain,
    posted,
)
from tests.support.keys import ec_pair, rsa_pair

if TYPE_CHECKING:
    from collections.abc import Callable

    Make = Callable[[Asking], Sent]

KEYS = Registration.WITH_KEYS


KEYS = Registration.WITH_KEYS
SHA512_OF = parameter(signer.RSA_SHA512.encode())


def query(change: Callable[[dict[str, bytes]], dict[str, bytes]]) -> Make:
    """A signed query whose parameters are changed afterwards, raw."""

    def make(asking: Asking) -> Sent:
        return Sent(query=joined(change(detached(asking, octets_of(plain(asking))))))

    return make


def query_text(change: Callable[[bytes], bytes]) -> Make:
    """A signed query changed as text."""

    def make(asking: Asking) -> Sent:
        return Sent(query=change(joined(detached(asking, octets_of(plain(asking))))))

    return make


def without(name: str) -> Make:
    return query(lambda raw: {key: value for key, value in raw.items() if key != name})


def signed_by(method: str, pair: Callable[[Asking], object] = lambda _: None) -> Make:
    return lambda asking: Sent(
        query=joined(
            detached(asking, octets_of(plain(asking)), method=method, pair=pair(asking))  # type: ignore[arg-type]  # a pair or None
        )
    )


def other_request(asking: Asking) -> bytes:
    return parameter(deflated(octets_of(plain(asking, put(".", "ID", "_other")))))


def _swapped_request(asking: Asking) -> Sent:
    raw = detached(asking, octets_of(plain(asking)))
    return Sent(query=joined(raw | {"SAMLRequest": other_request(asking)}))


def _twice(name: str) -> Make:
    """CVE-2025-27773: the first one is verified, the last one is used."""

    def make(asking: Asking) -> Sent:
        raw = detached(asking, octets_of(plain(asking)))
        value = other_request(asking) if name == "SAMLRequest" else raw[name]
        return Sent(query=joined(raw) + b"&" + name.encode() + b"=" + value)

    return make


def _twice_by_escape(asking: Asking) -> Sent:
    raw = detached(asking, octets_of(plain(asking)))
    return Sent(query=joined(raw) + b"&SAML%52equest=" + other_request(asking))


def _lower_escapes(text: bytes) -> bytes:
    for upper in (b"%2B", b"%2F", b"%3D", b"%3A"):
        text = text.replace(upper, upper.lower())
    return text


BESIDE = (
    *table(
        "signed query",
        authn_request.idp_02_detached,
        {
            "another request": _swapped_request,
            "another RelayState": query(lambda raw: raw | {"RelayState": b"evil"}),
            "RelayState dropped": without("RelayState"),
            "RelayState added": lambda asking: Sent(
                query=joined(detached(asking, octets_of(plain(asking)), None))
                + b"&RelayState="
                + RELAY_STATE
            ),
            "RelayState added, empty": lambda asking: Sent(
                query=joined(detached(asking, octets_of(plain(asking)), None)) + b"&RelayState="
            ),
            "SigAlg swapped": query(lambda raw: raw | {"SigAlg": SHA512_OF}),
            "SigAlg of no algorithm": signed_by("urn:none"),
            "SigAlg empty": query(lambda raw: raw | {"SigAlg": b""}),
            "SigAlg HMAC": signed_by(signer.HMAC_SHA256),
            "SigAlg ECDSA for an RSA key": query(
                lambda raw: raw | {"SigAlg": parameter(signer.ECDSA_SHA256.encode())}
            ),
            "wrong key": signed_by(signer.RSA_SHA256, lambda _: rsa_pair("attacker")),
            "key of another kind": signed_by(signer.ECDSA_SHA256, lambda _: ec_pair("attacker")),
            "empty value": query(lambda raw: raw | {"Signature": b""}),
            "escapes in small letters": query_text(_lower_escapes),
            "a letter escaped that was not": query(
                lambda raw: raw | {"RelayState": raw["RelayState"].replace(b"e", b"%65", 1)}
            ),
        },
        registration=KEYS,
    ),
    *table(
        "signed query",
        bindings.read_redirect,
        {
            "SAMLRequest twice": _twice("SAMLRequest"),
            "SAMLRequest twice, once escaped": _twice_by_escape,
            "RelayState twice": _twice("RelayState"),
            "SigAlg twice": _twice("SigAlg"),
            "Signature twice": _twice("Signature"),
            "SAMLResponse beside it": query(lambda raw: raw | {"SAMLResponse": b"PHgvPg%3D%3D"}),
            "SAMLResponse for a request": query_text(
                lambda text: text.replace(b"SAMLRequest", b"SAMLResponse")
            ),
            "Signature without SigAlg": without("SigAlg"),
            "SigAlg without Signature": without("Signature"),
            "another encoding": query(lambda raw: raw | {"SAMLEncoding": b"urn%3Aplain"}),
            "nothing": lambda _: Sent(query=b""),
            "no request": lambda _: Sent(query=b"RelayState=x"),
            "names in small letters": query_text(
                lambda text: text.replace(b"SAMLRequest", b"samlrequest")
            ),
        },
        "IDP-02",
        KEYS,
    ),
    *table(
        "signed query",
        bindings.read_redirect,
        {
            "half an escape": query(lambda raw: raw | {"RelayState": b"x%4"}),
            "an escape of no digits": query(lambda raw: raw | {"RelayState": b"%zz"}),
            "RelayState not UTF-8": query(lambda raw: raw | {"RelayState": b"%ff%fe"}),
            "RelayState overlong": query(lambda raw: raw | {"RelayState": b"%c0%af"}),
            "Signature of no base64": query(lambda raw: raw | {"Signature": b"!!"}),
        },
        "XML-03",
        KEYS,
    ),
    *table(
        "signed query",
        bindings.read_redirect,
        {"a thousand parameters": query_text(lambda text: text + b"&x=1" * 1000)},
        "XML-02",
        KEYS,
    ),
    *table(
        "signed form",
        bindings.read_post_request,
        {
            "SAMLRequest twice": lambda asking: posted(
                octets_of(plain(asking)), b"SAMLRequest=PHgvPg%3D%3D"
            ),
            "SAMLResponse beside it": lambda asking: posted(
                octets_of(plain(asking)), b"SAMLResponse=PHgvPg%3D%3D"
            ),
            "signature of a query": lambda asking: posted(
                octets_of(plain(asking)), b"SigAlg=x", b"Signature=QQ%3D%3D"
            ),
            "nothing": lambda _: Sent("POST", body=b""),
        },
        "IDP-02",
    ),
)

ATTACKS: tuple[RequestAttack, ...] = BESIDE
