"""A message with blanks, filled, is the message that would have been written with the values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from saml2 import saml

from idp_proxy.saml import names
from idp_proxy.saml.object_model import PlainValue, Unwritable, element_of
from idp_proxy.saml.stencil import Stencil, blank
from idp_proxy.saml.xml import canonical, parse

#: Everything that `writable` lets pass, markup and characters of every plane among it.
WRITABLE = st.text(
    st.characters(
        exclude_categories=["Cc", "Cs"],
        exclude_characters=[*map(chr, range(0xFDD0, 0xFDF0)), "\ufffe", "\uffff"],
    ),
    min_size=1,
)


def statement(attribute: str, text: str) -> saml.AttributeStatement:
    value = PlainValue(text=text)
    fixed = saml.Attribute(name='a & "b" <c>', attribute_value=[PlainValue(text='>"&')])
    return saml.AttributeStatement(
        attribute=[fixed, saml.Attribute(name=attribute, attribute_value=[value]), fixed]
    )


@given(name=WRITABLE, text=WRITABLE)
def test_what_is_filled_in_is_what_would_have_been_written(name: str, text: str) -> None:
    stencil = Stencil(element_of(statement(blank("a name"), blank("a text"))))
    filled = stencil.fill({"a name": name, "a text": text})
    assert filled == canonical(element_of(statement(name, text)))
    assert canonical(parse(filled)) == filled


@given(value=WRITABLE)
def test_a_value_never_opens_another_blank(value: str) -> None:
    stencil = Stencil(element_of(statement(blank("x"), blank("y"))))
    filled = parse(stencil.fill({"x": value, "y": blank("x").strip("\ufdd0")}))
    assert [e.text for e in filled.iter(f"{{{names.SAML}}}AttributeValue")][1] == "x"


@pytest.mark.parametrize("value", ["", "a\nb", "a\tb", "a\rb", "\x00", "\ud800", blank("a text")])
@pytest.mark.parametrize("where", ["a name", "a text"])
def test_what_cannot_be_sent_is_refused_by_its_name(where: str, value: str) -> None:
    stencil = Stencil(element_of(statement(blank("a name"), blank("a text"))))
    with pytest.raises(Unwritable, match=where):
        stencil.fill({"a name": "n", "a text": "t", where: value})


def test_one_value_may_stand_in_several_places() -> None:
    stencil = Stencil(element_of(statement(blank("it"), blank("it"))))
    assert stencil.fill({"it": "me"}) == canonical(element_of(statement("me", "me")))


@pytest.mark.parametrize(
    "part", [f"#{blank('it')}", f"{blank('it')}.", f"{blank('a')}{blank('b')}"]
)
@pytest.mark.parametrize("place", ["attribute", "text"])
def test_a_blank_is_a_whole_value(place: str, part: str) -> None:
    written = statement(part, "x") if place == "attribute" else statement("x", part)
    with pytest.raises(ValueError, match="whole"):
        Stencil(element_of(written))
