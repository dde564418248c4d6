"""An upstream's Response, verified: the narrow reader behind every login.

A message that passes every one of `saml.checks.CHECKS` becomes a `VerifiedAssertion`, which nobody
but `verify_response` can make.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from idp_proxy.errors import AssertionInvalid
from idp_proxy.saml import checks, document, names
from idp_proxy.saml.answer import Answer, Envelope, Expected, RequireSigned, required_time
from idp_proxy.saml.document import Document, Profile, run
from idp_proxy.saml.encryption import decrypt_assertion
from idp_proxy.saml.xml import children, decode_base64, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from lxml.etree import _Element

__all__ = ["Expected", "RequireSigned", "VerifiedAssertion", "verify_response"]

_SAML: Final = f"{{{names.SAML}}}"
RESPONSE_PROFILE: Final = Profile(
    root=names.RESPONSE,
    signable={names.RESPONSE: names.ISSUER, names.ASSERTION: names.ISSUER},
    refusal=AssertionInvalid,
)
ASSERTION_PROFILE: Final = Profile(
    root=names.ASSERTION, signable={names.ASSERTION: names.ISSUER}, refusal=AssertionInvalid
)


_MAKING: Final = object()


class VerifiedAssertion:
    """What an upstream asserted and signed. Only `verify_response` makes one.

    `attributes` has the values by attribute Name, in order; a value that is no text reads as "".
    `not_on_or_after` is the earlier end of the confirmation and the conditions (UTC).
    """

    __slots__ = (
        "attributes",
        "authn_context",
        "authn_instant",
        "authorities",
        "id",
        "issuer",
        "name_id",
        "name_id_format",
        "not_on_or_after",
        "session_not_on_or_after",
    )

    def __init__(self, answer: Answer, making: object) -> None:
        if making is not _MAKING:
            raise TypeError("only verify_response makes a VerifiedAssertion")
        name_id = answer.part("NameID", "SP-09", answer.subject)
        statement = answer.authn_statement
        context = answer.part("AuthnContext", "SP-09", statement)
        session_end = statement.get("SessionNotOnOrAfter")
        self.id: str = answer.assertion.get("ID", "")
        self.issuer: str = answer.expected.issuer
        self.name_id: str = text_of(name_id)
        self.name_id_format: str = name_id.get("Format", names.NAME_ID_UNSPECIFIED)
        self.attributes: Mapping[str, tuple[str, ...]] = _attributes(answer.assertion)
        self.authn_instant: datetime = required_time(statement, "AuthnInstant")
        self.authn_context: str = text_of(
            answer.part("AuthnContextClassRef", "SP-09", context)
        ).strip()
        self.authorities: tuple[str, ...] = tuple(
            text_of(authority) for authority in children(context, f"{_SAML}AuthenticatingAuthority")
        )
        self.session_not_on_or_after: datetime | None = (
            None if session_end is None else required_time(statement, "SessionNotOnOrAfter")
        )
        self.not_on_or_after: datetime = min(
            required_time(answer.conditions, "NotOnOrAfter"),
            required_time(answer.confirmation_data, "NotOnOrAfter"),
        )


def verify_response(message: str, expected: Expected) -> VerifiedAssertion:
    """The assertion in a posted `SAMLResponse`, if every one of saml.checks.CHECKS lets it pass.

    Raises `MalformedMessage`, `UpstreamRefused` or `AssertionInvalid`, with the rule that refused.
    """
    run(checks.CHECKS, checks.ON_MESSAGE, message)
    return verify_octets(decode_base64(message, "SAMLResponse"), expected)


def verify_octets(octets: bytes, expected: Expected) -> VerifiedAssertion:
    """The same for a Response that is no base64 yet (or any more): all checks but those of it."""
    response = Document(octets, RESPONSE_PROFILE, expected.keys)
    run(checks.CHECKS, document.OCTET_CHECKS, response)
    run(checks.CHECKS, document.SHAPE_CHECKS, response)
    run(checks.CHECKS, checks.ON_ENVELOPE, Envelope(response.root, expected))
    run(checks.CHECKS, document.SIGNATURE_CHECKS, response)
    assertion = _opened(response, expected)
    answer = Answer(response, assertion, expected)
    run(checks.CHECKS, checks.ON_ANSWER, answer)
    return VerifiedAssertion(answer, _MAKING)


def _opened(response: Document, expected: Expected) -> Document:
    """The document that holds the assertion: the Response itself, or what was encrypted in it.

    AES-CBC is opened only by the upstream's own opt-in and inside a signed Response, since it has
    no integrity of its own. What comes out passes the same checks as what came in.
    """
    signed = response.signed_tree(names.RESPONSE)
    tree = response.root if signed is None else signed
    encrypted = tree.find(names.ENCRYPTED_ASSERTION)
    if encrypted is None:
        return response
    octets = decrypt_assertion(
        encrypted,
        expected.decryption_keys,
        allow_cbc=expected.allow_aes_cbc and signed is not None,
    )
    opened = Document(octets, ASSERTION_PROFILE, expected.keys)
    run(checks.CHECKS, document.OCTET_CHECKS, opened)
    run(checks.CHECKS, document.SHAPE_CHECKS, opened)
    run(checks.CHECKS, document.SIGNATURE_CHECKS, opened)
    return opened


def _attributes(assertion: _Element) -> dict[str, tuple[str, ...]]:
    """The values by Name; one Name in several elements counts as one."""
    found: dict[str, tuple[str, ...]] = {}
    for statement in children(assertion, f"{_SAML}AttributeStatement"):
        for attribute in children(statement, f"{_SAML}Attribute"):
            values = tuple(_value(value) for value in children(attribute, f"{_SAML}AttributeValue"))
            name = attribute.get("Name", "")
            found[name] = found.get(name, ()) + values
    return found


def _value(element: _Element) -> str:
    """The text of a value; that of a NameID inside it (eduPersonTargetedID) counts as its own."""
    if len(element) == 0:
        return text_of(element)
    blank = not (element.text or "").strip() and not (element[0].tail or "").strip()
    only_name_id = len(element) == 1 and element[0].tag == f"{_SAML}NameID" and blank
    return text_of(element[0]) if only_name_id else ""
