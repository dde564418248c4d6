"""Answers that the verifier lets pass, about people who must not get in: names and attributes.

They are truly signed. What refuses them stands behind the verifier: the second opinion (SO-01) or
the mapping to canonical names (SP-10, FO-10).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from idp_proxy.upstream.second_opinion import SecondOpinion
from idp_proxy.upstream.subject_mapping import subject_of
from tests.attacks.attack import ResponseAttack, table
from tests.attacks.corpus.identifiers import AMBIGUOUS
from tests.attacks.messages import ATTRIBUTES, NAME_ID, add, drop, one, piece, put, said, write
from tests.support.people import EMPLOYEE_NUMBER, GIVEN_NAME, MAIL, UID

if TYPE_CHECKING:
    from collections.abc import Callable

    from lxml import etree

    from tests.attacks.attack import Login

    Make = Callable[[Login], bytes]


def value(name: str) -> str:
    """The path of an attribute's value."""
    return f"{attribute(name)}/a:AttributeValue"


def attribute(name: str) -> str:
    """The path of an attribute."""
    return f"{ATTRIBUTES}/a:Attribute[@Name='{name}']"


def is_(name: str, text: str) -> Make:
    return said(write(value(name), text))


def second(name: str, text: str) -> Make:
    """Another value of the same attribute."""
    return said(add(attribute(name), f"<a:AttributeValue>{escape(text)}</a:AttributeValue>"))


def again(name: str, text: str, more: str = "") -> Make:
    """Another attribute of the same name."""
    return said(
        add(
            ATTRIBUTES,
            f'<a:Attribute Name="{name}" {more}><a:AttributeValue>{escape(text)}'
            "</a:AttributeValue></a:Attribute>",
        )
    )


def _markup(name: str) -> Make:
    def edit(root: etree._Element, _: Login) -> None:
        found = one(root, value(name))
        found.text = None
        found.append(piece("<a:b>e-1001</a:b>"))

    return said(edit)


_LOOKS_THE_SAME = {
    name: text
    for name, text in AMBIGUOUS.items()
    if name in {"right to left", "zero-width space", "full-width digits", "line feed", "a ligature"}
}
IDENTIFIERS = {
    **{f"id, {name}": is_(EMPLOYEE_NUMBER, text) for name, text in _LOOKS_THE_SAME.items()},
    "id twice": second(EMPLOYEE_NUMBER, "e-0001"),
    "id in a second attribute": again(EMPLOYEE_NUMBER, "e-0001"),
    "id in a second attribute of another format": again(
        EMPLOYEE_NUMBER, "e-0001", 'NameFormat="urn:x"'
    ),
    "id missing": said(drop(attribute(EMPLOYEE_NUMBER))),
    "id empty": is_(EMPLOYEE_NUMBER, ""),
    "id without a value": said(drop(value(EMPLOYEE_NUMBER))),
    "id of 129 characters": is_(EMPLOYEE_NUMBER, "e" * 129),
    "id under a name with a blank": said(
        put(attribute(EMPLOYEE_NUMBER), "Name", f"{EMPLOYEE_NUMBER} ")
    ),
    "id with an element in it": _markup(EMPLOYEE_NUMBER),
    "username twice": second(UID, "root"),
    "username missing": said(drop(attribute(UID))),
    "username, right to left": is_(UID, "alice\u202e"),
    "email twice": second(MAIL, "admin@example.org"),
    "email missing": said(drop(attribute(MAIL))),
    "email without a domain": is_(MAIL, "alice"),
    "email with two": is_(MAIL, "alice@evil.example@example.org"),
    "email with a line feed": is_(MAIL, "alice@example.org\nBcc: all@example.org"),
    "email with a blank": is_(MAIL, "alice@example.org x@example.org"),
    "email with a full-width at": is_(MAIL, "alice\uff20example.org"),
    "first name with a line feed": is_(GIVEN_NAME, "Alice\nAdmin"),
    "first name, right to left": is_(GIVEN_NAME, "\u202eecilA"),
    "first name of 10,000 characters": is_(GIVEN_NAME, "A" * 10_000),
    "first name twice": second(GIVEN_NAME, "Admin"),
}
OUT_OF_SCOPE = {
    "another domain": is_(MAIL, "alice@evil.example"),
    "a domain below": is_(MAIL, "alice@sub.example.org"),
    "a longer domain": is_(MAIL, "alice@example.org.evil.example"),
    "a domain that ends alike": is_(MAIL, "alice@notexample.org"),
    "a homoglyph": is_(MAIL, "alice@ex\u0430mple.org"),
    "an address literal": is_(MAIL, "alice@[127.0.0.1]"),
    "a dot behind": is_(MAIL, "alice@example.org."),
}

ATTACKS: tuple[ResponseAttack, ...] = (
    *table("attributes", subject_of, IDENTIFIERS, "SP-10"),
    *table("email", subject_of, OUT_OF_SCOPE, "FO-10"),
    *table(
        "second opinion",
        SecondOpinion.confirm,
        {
            "NameID of a form nobody knows": said(put(NAME_ID, "Form", "x")),
        },
        "SO-01",
    ),
)
