"""What an upstream answered, and what the answer is held against.

`Envelope` is the Response as received, `Answer` the same message out of the octets that were
signed. The rules that judge them are in `saml.checks`.
"""

from __future__ import annotations

import enum
import functools
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from idp_proxy.errors import AssertionInvalid
from idp_proxy.saml import names
from idp_proxy.saml.xml import children, instant

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from lxml.etree import _Element

    from idp_proxy.saml.document import Document
    from idp_proxy.saml.signature import PublicKey

_SAML: Final = f"{{{names.SAML}}}"


class RequireSigned(enum.Enum):
    """What an upstream must sign; a signature that is present must verify in any case."""

    ASSERTION = "assertion"
    RESPONSE = "response"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Expected:
    """What the answer is held against: the upstream that was asked, and the one question.

    `issuer` and `keys` come from that upstream's approved metadata, `audience` is our entity ID
    towards it, `proxied_to` the service provider behind us (SAML core 2.5.1.6).
    """

    issuer: str
    keys: tuple[PublicKey, ...]
    audience: str
    acs_url: str
    request_id: str
    proxied_to: str
    now: datetime
    require_signed: RequireSigned = RequireSigned.ASSERTION
    clock_skew: timedelta = timedelta(seconds=120)
    max_lifetime: timedelta = timedelta(hours=1)
    decryption_keys: tuple[RSAPrivateKey, ...] = ()
    allow_aes_cbc: bool = False


@dataclass(frozen=True, slots=True)
class Envelope:
    """The Response as received: enough to refuse by, never to read from."""

    root: _Element
    expected: Expected


class Answer:
    """The Response and its assertion as signed; `response` is None when only the assertion is."""

    def __init__(self, response: Document, assertion: Document, expected: Expected) -> None:
        self.expected = expected
        self.response = response.signed_tree(names.RESPONSE)
        self._own = assertion.signed_tree(names.ASSERTION)
        self._decrypted = assertion.root if assertion is not response else None

    @functools.cached_property
    def assertion(self) -> _Element:
        """The assertion, out of its own signed octets or else out of the signed Response.

        Raises `AssertionInvalid` (XML-03) if nothing in the message was signed.
        """
        if self._own is not None:
            return self._own
        if self.response is None:
            raise AssertionInvalid("XML-03", "nothing in the message was signed")
        if self._decrypted is not None:
            return self._decrypted
        return self.part("Assertion", "SP-09", self.response)

    @property
    def assertion_signed(self) -> bool:
        """Whether the assertion bears a signature of its own."""
        return self._own is not None

    def part(self, tag: str, rule: str, within: _Element | None = None) -> _Element:
        """The one child of this name, of the assertion or of `within`; refused by `rule`."""
        found = children(self.assertion if within is None else within, f"{_SAML}{tag}")
        if len(found) != 1:
            raise AssertionInvalid(rule, f"{len(found)} {tag} elements where one must be")
        return found[0]

    @functools.cached_property
    def subject(self) -> _Element:
        """The one Subject."""
        return self.part("Subject", "SP-09")

    @functools.cached_property
    def conditions(self) -> _Element:
        """The one Conditions element."""
        return self.part("Conditions", "SP-07")

    @functools.cached_property
    def confirmation_data(self) -> _Element:
        """The SubjectConfirmationData of the one bearer confirmation."""
        confirmation = self.part("SubjectConfirmation", "SP-09", self.subject)
        return self.part("SubjectConfirmationData", "SP-09", confirmation)

    @functools.cached_property
    def authn_statement(self) -> _Element:
        """The one AuthnStatement."""
        return self.part("AuthnStatement", "SP-09")


def required_time(element: _Element, name: str) -> datetime:
    """A time that must be there, in UTC (SP-07)."""
    value = instant(element.get(name))
    if value is None:
        raise AssertionInvalid("SP-07", f"{name} is missing or not a UTC time")
    return value
