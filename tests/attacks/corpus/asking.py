"""AuthnRequests that ask for what nobody may have, or come in a shape nobody may send."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from idp_proxy.saml import authn_request, bindings, document, xml
from tests.attacks import signer
from tests.attacks.attack import Asking, Registration, RequestAttack, Sent, rule_of
from tests.attacks.messages import add, at, drop, put, twice, unset, write
from tests.attacks.requests import (
    deflated,
    octets_of,
    parameter,
    plain,
    posted,
    redirected,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.attacks.requests import Edit

    Make = Callable[[Asking], Sent]

ISSUER = "a:Issuer"
ACS = "AssertionConsumerServiceURL"


def table(
    klass: str,
    check: Callable[..., object],
    makes: Mapping[str, Make],
    rule: str = "",
    registration: Registration = Registration.WITHOUT_KEYS,
) -> tuple[RequestAttack, ...]:
    return tuple(
        RequestAttack(name, klass, rule or rule_of(check), check, make, registration)
        for name, make in makes.items()
    )


def asked(*edits: Edit) -> Make:
    """An unsigned request, edited."""
    return lambda asking: redirected(octets_of(plain(asking, *edits)))


def rewritten(change: Callable[[bytes], bytes]) -> Make:
    """The octets of an honest request, changed as text, by HTTP-POST."""
    return lambda asking: posted(change(octets_of(plain(asking))))


def raw(value: Callable[[bytes], bytes]) -> Make:
    """The query's SAMLRequest made from the XML by other means than DEFLATE and base64."""
    return lambda asking: Sent(query=b"SAMLRequest=" + parameter(value(octets_of(plain(asking)))))


def _zlib(level: int) -> Callable[[bytes], bytes]:
    def pack(octets: bytes) -> bytes:
        packer = zlib.compressobj(wbits=level)
        return signer.text(packer.compress(octets) + packer.flush()).encode()

    return pack


def _inflating(octets: bytes) -> bytes:
    packer = zlib.compressobj(9, wbits=-15)
    return packer.compress(octets) + packer.flush()


def _trailing(octets: bytes) -> bytes:
    return signer.text(_inflating(octets) + b"<more/>").encode()


def _two_streams(octets: bytes) -> bytes:
    return signer.text(_inflating(octets) + _inflating(octets)).encode()


def _bomb(_: bytes) -> bytes:
    return signer.text(_inflating(bytes(20 * 1024 * 1024))).encode()


def _nested_bomb(octets: bytes) -> bytes:
    return deflated(octets.replace(b"<samlp:NameIDPolicy", b" " * 300_000 + b"<samlp:NameIDPolicy"))


def _url(change: Callable[[str], str]) -> Make:
    return asked(lambda root, asking: root.set(ACS, change(asking.acs_url)))


def _extended(xml_: str) -> Make:
    return asked(add(".", xml_))


PROVIDER = (
    *table(
        "issuer",
        authn_request.idp_01_issuer,
        {
            "unknown service provider": asked(write(ISSUER, "https://evil.example")),
            "without an issuer": asked(drop(ISSUER)),
            "two issuers": asked(twice(ISSUER)),
            "empty issuer": asked(write(ISSUER, "")),
            "issuer with a blank": asked(write(ISSUER, lambda asking: f"{asking.entity_id} ")),
            "issuer in capitals": asked(write(ISSUER, lambda asking: asking.entity_id.upper())),
            "issuer with a slash": asked(write(ISSUER, lambda asking: f"{asking.entity_id}/")),
            "issuer with an element": asked(add(ISSUER, "<a:x/>")),
            "our own entity ID as issuer": asked(
                write(ISSUER, lambda asking: asking.sso_url.replace("/sso", "/metadata"))
            ),
        },
    ),
    *table(
        "acs",
        authn_request.idp_01_acs,
        {
            "attacker's address": _url(lambda _: "https://evil.example/acs"),
            "a longer path": _url(lambda url: f"{url}/../../evil"),
            "a slash behind": _url(lambda url: f"{url}/"),
            "with a query": _url(lambda url: f"{url}?next=evil"),
            "with a fragment": _url(lambda url: f"{url}#evil"),
            "with a user": _url(lambda url: url.replace("://", "://chat.example.org@evil.")),
            "in capitals": _url(str.upper),
            "plain http": _url(lambda url: url.replace("https", "http") + ":80"),
            "with a default port": _url(lambda url: url.replace("/login", ":443/login")),
            "empty": _url(lambda _: ""),
            "a script": _url(lambda _: "javascript:alert(1)"),
            "with a line feed": _url(lambda url: f"{url}\r\nX-Evil: 1"),
            "an index beside it": asked(put(".", "AssertionConsumerServiceIndex", "7")),
            "answer by artifact": asked(
                put(".", "ProtocolBinding", "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Artifact")
            ),
            "answer by redirect": asked(
                put(".", "ProtocolBinding", "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect")
            ),
            "no binding's name": asked(put(".", "ProtocolBinding", "")),
        },
    ),
    *table(
        "destination",
        authn_request.idp_01_destination,
        {
            "another host": asked(put(".", "Destination", "https://evil.example/saml/sso")),
            "empty": asked(put(".", "Destination", "")),
            "a longer one": asked(put(".", "Destination", lambda asking: f"{asking.sso_url}/x")),
            "a beginning": asked(put(".", "Destination", lambda asking: asking.sso_url[:-1])),
        },
    ),
    *table(
        "request",
        authn_request.idp_05_request,
        {
            "expired": asked(put(".", "IssueInstant", at(-421))),
            "from the future": asked(put(".", "IssueInstant", at(121))),
            "no IssueInstant": asked(unset(".", "IssueInstant")),
            "another zone": asked(
                put(".", "IssueInstant", lambda asking: at(0)(asking)[:-1] + "+00:00")
            ),
            "version 1.1": asked(put(".", "Version", "1.1")),
            "no version": asked(unset(".", "Version")),
        },
    ),
    *table(
        "request",
        document.sp_02_unique_ids,
        {
            "no ID": asked(unset(".", "ID")),
            "ID that breaks out": asked(put(".", "ID", '"><script>')),
            "ID of 300 characters": asked(put(".", "ID", "_" + "a" * 299)),
            "ID twice": asked(add(".", lambda asking: f'<a:x ID="{asking.request_id}"/>')),
        },
    ),
    *table(
        "understood",
        authn_request.idp_04_understood,
        {
            "about a Subject": _extended("<a:Subject><a:NameID>e-0001</a:NameID></a:Subject>"),
            "with Conditions": _extended("<a:Conditions/>"),
            "weaker context wanted": _extended(
                "<p:RequestedAuthnContext><a:AuthnContextClassRef>"
                "urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified"
                "</a:AuthnContextClassRef></p:RequestedAuthnContext>"
            ),
            "NameID of another kind": _extended(
                '<p:NameIDPolicy Format="urn:oasis:names:tc:SAML:2.0:nameid-format:transient"/>'
            ),
            "ForceAuthn no boolean": asked(put(".", "ForceAuthn", "TRUE")),
            "IsPassive no boolean": asked(put(".", "IsPassive", "yes")),
        },
    ),
)

DOCUMENT = (
    *table(
        "document",
        document.xml_03_root,
        {
            "a LogoutRequest": rewritten(
                lambda text: text.replace(b"AuthnRequest", b"LogoutRequest")
            ),
            "a Response": rewritten(lambda text: text.replace(b"AuthnRequest", b"Response")),
            "of SAML 1.1": rewritten(lambda text: text.replace(b"2.0:protocol", b"1.1:protocol")),
            "empty": rewritten(lambda _: b""),
            "cut": rewritten(lambda text: text[:-20]),
            "two of them": rewritten(lambda text: text * 2),
            "UTF-16 without a mark": rewritten(lambda text: text.decode().encode("utf-16-le")),
        },
    ),
    *table(
        "document",
        document.xml_01_markup,
        {
            "external entity": rewritten(
                lambda text: b'<!DOCTYPE r [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + text
            ),
            "comment in the issuer": rewritten(
                lambda text: text.replace(b"</saml:Issuer>", b"<!--.evil.example--></saml:Issuer>")
            ),
            "instruction": rewritten(lambda text: b"<?xml-stylesheet href='x'?>" + text),
        },
    ),
    *table(
        "document",
        document.xml_03_utf8,
        {
            "UTF-16": rewritten(lambda text: text.decode().encode("utf-16")),
            "byte order mark": rewritten(lambda text: b"\xef\xbb\xbf" + text),
        },
    ),
    *table(
        "limits",
        document.xml_02_tree,
        {
            "65 levels": asked(add(".", "<a:x>" * 64 + "</a:x>" * 64)),
            "3,001 elements": asked(add(".", "<a:x>" + "<a:y/>" * 3000 + "</a:x>")),
        },
    ),
    *table(
        "limits",
        document.xml_02_namespaces,
        {
            "2,001 namespaces": rewritten(
                lambda text: text.replace(
                    b"<samlp:NameIDPolicy",
                    b"<samlp:NameIDPolicy "
                    + b" ".join(b'xmlns:n%d="urn:%d"' % (n, n) for n in range(2001)),
                )
            )
        },
    ),
    *table(
        "limits",
        document.xml_02_octets,
        {"256 KiB and an octet": rewritten(lambda text: text.ljust(256 * 1024 + 1))},
    ),
    *table(
        "wrapping",
        document.sp_02_one_of_its_kind,
        {
            "a request in Extensions": lambda asking: posted(
                octets_of(plain(asking)).replace(
                    b"<samlp:NameIDPolicy",
                    b"<samlp:Extensions>"
                    + octets_of(plain(asking, put(".", "ID", "_inner")))
                    + b"</samlp:Extensions><samlp:NameIDPolicy",
                )
            )
        },
    ),
)

TRANSPORT = (
    *table(
        "deflate",
        bindings.read_redirect,
        {
            "bomb of 20 MiB": raw(_bomb),
            "bomb of blanks": raw(_nested_bomb),
        },
        "XML-02",
    ),
    *table(
        "deflate",
        bindings.read_redirect,
        {
            "not deflated": raw(lambda text: signer.text(text).encode()),
            "with a zlib header": raw(_zlib(15)),
            "with a gzip header": raw(_zlib(31)),
            "something behind it": raw(_trailing),
            "two streams": raw(_two_streams),
            "cut": raw(lambda text: signer.text(_inflating(text)[:-8]).encode()),
            "nothing": raw(lambda _: b""),
        },
        "XML-03",
    ),
    *table(
        "deflate",
        xml.decode_base64,
        {
            "no base64": raw(lambda _: b"***"),
            "URL-safe base64": raw(lambda text: deflated(text).replace(b"+", b"-") + b"-_"),
            "a no-break space": raw(lambda text: deflated(text) + "\u00a0".encode()),
        },
        "XML-03",
    ),
)

ATTACKS: tuple[RequestAttack, ...] = (*PROVIDER, *DOCUMENT, *TRANSPORT)
