"""The form of a Response for Mattermost: all of it but the values of one login (`saml.stencil`).

What is written here is the safe profile of DESIGN section 5; who is logged in, and when, is filled
in by `saml.response`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from saml2 import saml, samlp

from idp_proxy.saml import names
from idp_proxy.saml.object_model import PlainValue, element_of, writable
from idp_proxy.saml.stencil import Stencil, blank

_BASIC: Final = "urn:oasis:names:tc:SAML:2.0:attrname-format:basic"
_URI: Final = "urn:oasis:names:tc:SAML:2.0:attrname-format:uri"


@dataclass(frozen=True, slots=True)
class Shape:
    """What makes the form: our configuration, and which values there are. `attributes` are the
    Names sent, `authorities` how many there are, `session_ends` whether the upstream said when.
    """

    issuer: str
    acs_url: str
    audience: str
    attributes: tuple[str, ...]
    authorities: int
    session_ends: bool


@dataclass(frozen=True, slots=True)
class Form:
    """The assertion, and the Response that it stands in, last."""

    assertion: Stencil
    response: Stencil


@lru_cache(maxsize=64)
def form_of(shape: Shape) -> Form:
    """The form of this shape. Raises `Unwritable` for a setting that cannot be sent."""
    status = samlp.StatusCode(value=names.STATUS_SUCCESS)
    response = response_of(shape.issuer, shape.acs_url, status)
    return Form(Stencil(element_of(_assertion(shape))), Stencil(element_of(response)))


def response_of(issuer: str, acs_url: str, status: samlp.StatusCode) -> samlp.Response:
    """A Response without an assertion. Raises `Unwritable` as `form_of`."""
    return samlp.Response(
        id=blank("the ID of the Response"),
        version="2.0",
        issue_instant=blank("IssueInstant"),
        destination=writable(acs_url, "the ACS address"),
        in_response_to=blank("InResponseTo"),
        issuer=saml.Issuer(text=writable(issuer, "our entity ID")),
        status=samlp.Status(status_code=status),
    )


def _assertion(shape: Shape) -> saml.Assertion:
    return saml.Assertion(
        id=blank("the ID of the assertion"),
        version="2.0",
        issue_instant=blank("IssueInstant"),
        issuer=saml.Issuer(text=shape.issuer),
        subject=_subject(shape),
        conditions=saml.Conditions(
            not_before=blank("NotBefore"),
            not_on_or_after=blank("NotOnOrAfter"),
            audience_restriction=[
                saml.AudienceRestriction(
                    audience=[saml.Audience(text=writable(shape.audience, "the audience"))]
                )
            ],
        ),
        authn_statement=[_authn_statement(shape)],
        attribute_statement=[
            saml.AttributeStatement(
                attribute=[
                    _attribute(name, blank(attribute(at)))
                    for at, name in enumerate(shape.attributes)
                ]
            )
        ],
    )


def _subject(shape: Shape) -> saml.Subject:
    return saml.Subject(
        name_id=saml.NameID(format=names.NAME_ID_PERSISTENT, text=blank("the NameID")),
        subject_confirmation=[
            saml.SubjectConfirmation(
                method=names.CONFIRMATION_BEARER,
                subject_confirmation_data=saml.SubjectConfirmationData(
                    in_response_to=blank("InResponseTo"),
                    recipient=shape.acs_url,
                    not_on_or_after=blank("NotOnOrAfter"),
                ),
            )
        ],
    )


def _authn_statement(shape: Shape) -> saml.AuthnStatement:
    """As the upstream said it; SessionIndex is the assertion's ID (SAML core 2.7.2)."""
    return saml.AuthnStatement(
        authn_instant=blank("AuthnInstant"),
        session_index=blank("the ID of the assertion"),
        session_not_on_or_after=blank("SessionNotOnOrAfter") if shape.session_ends else None,
        authn_context=saml.AuthnContext(
            authn_context_class_ref=saml.AuthnContextClassRef(text=blank("the context class")),
            authenticating_authority=[
                saml.AuthenticatingAuthority(text=blank(authority(at)))
                for at in range(shape.authorities)
            ],
        ),
    )


def _attribute(name: str, value: str) -> saml.Attribute:
    """One value, which is text."""
    name_format = _URI if ":" in name else _BASIC
    return saml.Attribute(
        name=name, name_format=name_format, attribute_value=[PlainValue(text=value)]
    )


def authority(at: int) -> str:
    """The blank of an AuthenticatingAuthority, counted from 0."""
    return f"authority {at + 1}"


def attribute(at: int) -> str:
    """The blank of an attribute's value, counted from 0."""
    return f"attribute {at + 1}"
