"""Honest answers, and edits that make them hostile.

`said` is what the upstream itself says and signs, `forged` what a third party made of an honest
answer. An edit takes the message and what it was made for (a login, or a
request); paths are those of lxml's `find` with the prefixes of NS.
"""

from __future__ import annotations

import enum
from copy import deepcopy
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, TypeVar

from lxml import etree

from tests.attacks import signer
from tests.support.people import ALICE, OID_ATTRIBUTES
from tests.support.saml_wire import instant

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tests.attacks.attack import Login

T = TypeVar("T")


class Timed(Protocol):
    """What a message is made for, at a moment: a login or a request."""

    @property
    def now(self) -> datetime:
        """The moment."""


NS = {
    "p": "urn:oasis:names:tc:SAML:2.0:protocol",
    "a": signer.SAML,
    "ds": signer.DS,
    "xenc": "http://www.w3.org/2001/04/xmlenc#",
    "xsi": "http://www.w3.org/2001/XMLSchema-instance",
}
ASSERTION = "a:Assertion"
NAME_ID = "a:Assertion/a:Subject/a:NameID"
CONFIRMATION = "a:Assertion/a:Subject/a:SubjectConfirmation"
CONFIRMATION_DATA = f"{CONFIRMATION}/a:SubjectConfirmationData"
CONDITIONS = "a:Assertion/a:Conditions"
STATEMENT = "a:Assertion/a:AuthnStatement"
ATTRIBUTES = "a:Assertion/a:AttributeStatement"
STATUS_CODE = "p:Status/p:StatusCode"
#: Whom a forger wants to be.
VICTIM = "e-0001"

_RESPONSE = """<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" \
xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_r{unique}" Version="2.0" \
IssueInstant="{now}" Destination="{login.acs_url}" InResponseTo="{login.request_id}">\
<saml:Issuer>{login.issuer}</saml:Issuer><samlp:Status>\
<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>\
<saml:Assertion ID="_a{unique}" Version="2.0" IssueInstant="{now}">\
<saml:Issuer>{login.issuer}</saml:Issuer><saml:Subject>\
<saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">\
{person.employee_number}</saml:NameID>\
<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">\
<saml:SubjectConfirmationData InResponseTo="{login.request_id}" NotOnOrAfter="{end}" \
Recipient="{login.acs_url}"/></saml:SubjectConfirmation></saml:Subject>\
<saml:Conditions NotBefore="{start}" NotOnOrAfter="{end}"><saml:AudienceRestriction>\
<saml:Audience>{login.audience}</saml:Audience></saml:AudienceRestriction></saml:Conditions>\
<saml:AuthnStatement AuthnInstant="{now}" SessionIndex="_s{unique}"><saml:AuthnContext>\
<saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport\
</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>\
<saml:AttributeStatement>{attributes}</saml:AttributeStatement></saml:Assertion></samlp:Response>"""


class Signed(enum.Enum):
    """What an answer bears signatures on."""

    NOTHING = ()
    ASSERTION = ("assertion",)
    RESPONSE = ("response",)
    BOTH = ("assertion", "response")


def unsigned(login: Login) -> etree._Element:
    """Alice's answer before it is signed: a Response that every rule but the signature's likes."""
    attributes = "".join(
        f'<saml:Attribute Name="{name}"><saml:AttributeValue>{value}</saml:AttributeValue>'
        "</saml:Attribute>"
        for name, value in ALICE.attributes(OID_ATTRIBUTES).items()
    )
    return etree.fromstring(
        _RESPONSE.format(
            login=login,
            person=ALICE,
            unique=login.request_id.strip("_")[:40],
            attributes=attributes,
            now=instant(login.now),
            start=instant(login.now - timedelta(seconds=60)),
            end=instant(login.now + timedelta(seconds=300)),
        )
    )


def signed(
    root: etree._Element,
    login: Login,
    what: Signed = Signed.ASSERTION,
    style: signer.Style = signer.HONEST,
) -> etree._Element:
    """Sign the parts of `root` in place, the inner one first; gives `root`."""
    if "assertion" in what.value:
        signer.sign(one(root, ASSERTION), login.keys, style)
    if "response" in what.value:
        signer.sign(root, login.keys, style)
    return root


def said(
    *edits: Callable[[etree._Element, Login], object],
    what: Signed = Signed.ASSERTION,
    style: signer.Style = signer.HONEST,
) -> Callable[[Login], bytes]:
    """The upstream says so itself: edited first, signed afterwards."""

    def make(login: Login) -> bytes:
        root = unsigned(login)
        for edit in edits:
            edit(root, login)
        return octets(signed(root, login, what, style))

    return make


def forged(
    *edits: Callable[[etree._Element, Login], object], what: Signed = Signed.ASSERTION
) -> Callable[[Login], bytes]:
    """Somebody on the way says so: signed first, edited afterwards."""

    def make(login: Login) -> bytes:
        root = signed(unsigned(login), login, what)
        for edit in edits:
            edit(root, login)
        return octets(root)

    return make


def rewritten(
    change: Callable[[bytes], bytes], what: Signed = Signed.ASSERTION
) -> Callable[[Login], bytes]:
    """The octets of an honest signed answer, changed as text."""
    return lambda login: change(forged(what=what)(login))


def octets(root: etree._Element) -> bytes:
    """The message as it is sent."""
    return etree.tostring(root)


def one(root: etree._Element, path: str) -> etree._Element:
    """The first element at `path`; "." is the root."""
    found = root if path == "." else root.find(path, NS)
    assert found is not None, path
    return found


def resolve(value: str | Callable[[T], str], login: T) -> str:
    """A value that may depend on the login."""
    return value if isinstance(value, str) else value(login)


def at(seconds: float) -> Callable[[Timed], str]:
    """The moment so many seconds from now."""
    return lambda login: instant(login.now + timedelta(seconds=seconds))


def put(
    path: str, name: str, value: str | Callable[[T], str]
) -> Callable[[etree._Element, T], object]:
    """Set an attribute."""
    return lambda root, login: one(root, path).set(name, resolve(value, login))


def unset(path: str, name: str) -> Callable[[etree._Element, object], object]:
    """Take an attribute away."""
    return lambda root, _: one(root, path).attrib.pop(name)


def write(path: str, value: str | Callable[[T], str]) -> Callable[[etree._Element, T], object]:
    """Set the text of an element."""

    def edit(root: etree._Element, login: T) -> None:
        one(root, path).text = resolve(value, login)

    return edit


def drop(path: str) -> Callable[[etree._Element, object], object]:
    """Remove an element."""

    def edit(root: etree._Element, _: object) -> None:
        element = one(root, path)
        parent = element.getparent()
        assert parent is not None
        parent.remove(element)

    return edit


def twice(path: str) -> Callable[[etree._Element, object], object]:
    """Repeat an element right behind itself, under another ID where it has one."""

    def edit(root: etree._Element, _: object) -> None:
        element = one(root, path)
        copy = deepcopy(element)
        if copy.get("ID"):
            copy.set("ID", f"{copy.get('ID')}x")
        element.addnext(copy)

    return edit


def add(
    path: str, xml: str | Callable[[T], str], index: int | None = None
) -> Callable[[etree._Element, T], object]:
    """Insert a piece of XML (prefixes p, a, ds, xenc, xsi) as a child, last unless told where."""

    def edit(root: etree._Element, login: T) -> None:
        parent = one(root, path)
        parent.insert(len(parent) if index is None else index, piece(resolve(xml, login)))

    return edit


def piece(xml: str) -> etree._Element:
    """A parsed fragment; it may use the prefixes of NS."""
    declared = " ".join(f'xmlns:{prefix}="{name}"' for prefix, name in NS.items())
    return etree.fromstring(f"<holder {declared}>{xml}</holder>")[0]
