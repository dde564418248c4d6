"""The tree that a message becomes is what pysaml2 itself would write, and nothing is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from saml2 import ExtensionElement, saml, samlp

from idp_proxy.saml.object_model import PlainValue, element_of, octets_of
from idp_proxy.saml.xml import canonical, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from saml2 import SamlBase

TEXT = st.text(st.characters(codec="utf-8", categories=("L", "M", "N", "P", "S", "Zs")), min_size=1)


def status(value: str) -> samlp.Status:
    inner = samlp.StatusCode(value=value)
    return samlp.Status(status_code=samlp.StatusCode(value=value, status_code=inner))


def assertion(value: str) -> saml.Assertion:
    """Attributes, text, single children, several, and a class that lists its order."""
    audiences = [saml.Audience(text=value), saml.Audience(text="https://chat.example.org")]
    return saml.Assertion(
        id="_a",
        issuer=saml.Issuer(text=value),
        conditions=saml.Conditions(
            not_before=value,
            one_time_use=[saml.OneTimeUse()],
            audience_restriction=[saml.AudienceRestriction(audience=audiences)],
        ),
        attribute_statement=[
            saml.AttributeStatement(
                attribute=[saml.Attribute(name=value, attribute_value=[PlainValue(text=value)])]
            )
        ],
    )


def request(value: str) -> samlp.AuthnRequest:
    return samlp.AuthnRequest(
        id="_q", issuer=saml.Issuer(text=value), name_id_policy=samlp.NameIDPolicy(format=value)
    )


def response(value: str) -> samlp.Response:
    return samlp.Response(id="_r", status=status(value), assertion=[assertion(value)])


@pytest.mark.parametrize("made", [response, assertion, request, status])
@given(value=TEXT)
def test_a_tree_is_what_pysaml2_writes(made: Callable[[str], SamlBase], value: str) -> None:
    written = made(value)
    assert canonical(element_of(written)) == canonical(parse(octets_of(written)))


def test_the_root_declares_both_namespaces_and_nothing_below_declares_any() -> None:
    root = element_of(response("x"))
    assert {str(p): u for p, u in root.nsmap.items()} == {
        "samlp": samlp.NAMESPACE,
        "saml": saml.NAMESPACE,
    }
    assert canonical(root).count(b"xmlns:samlp=") == 1
    assert all(element.nsmap == root.nsmap for element in root.iter())


def test_a_plain_value_has_no_type() -> None:
    statement = saml.AttributeStatement(
        attribute=[saml.Attribute(name="mail", attribute_value=[PlainValue(text="1")])]
    )
    (value,) = element_of(statement).iter(f"{{{saml.NAMESPACE}}}AttributeValue")
    assert (value.items(), value.text) == ([], "1")


@pytest.mark.parametrize(
    "written",
    [
        samlp.Status(extension_elements=[ExtensionElement("x", "urn:x")]),
        samlp.Status(extension_attributes={"{urn:x}a": "1"}),
        samlp.Response(id="_r", status=samlp.Status(extension_attributes={"a": "1"})),
        saml.Attribute(name="mail", attribute_value=[saml.AttributeValue(text="typed")]),
    ],
)
def test_what_it_does_not_write_is_refused_and_never_left_out(written: SamlBase) -> None:
    with pytest.raises(TypeError, match="extensions"):
        element_of(written)
