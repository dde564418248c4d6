"""An attack: a hostile message with a name, and the one rule and function that must refuse it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from tests.support.keys import KeyPair


class Policy(enum.Enum):
    """What the attacked upstream's configuration says."""

    ASSERTION = "assertion"
    RESPONSE = "response"
    BOTH = "both"
    BOTH_WITH_CBC = "both_with_cbc"


class Registration(enum.Enum):
    """What is registered about the service provider's own signatures."""

    WITHOUT_KEYS = "without_keys"
    WITH_KEYS = "with_keys"
    MUST_SIGN = "must_sign"


@dataclass(frozen=True, slots=True)
class Login:
    """A login that waits for its answer: all that a well-informed attacker knows, and the keys of
    the parties, so that a misbehaving upstream can be played too.

    `recipient` is the pair that assertions are encrypted for, `standby_*` the other upstream.
    """

    request_id: str
    acs_url: str
    audience: str
    issuer: str
    keys: KeyPair
    standby_acs_url: str
    standby_audience: str
    standby_issuer: str
    standby_keys: KeyPair
    recipient: KeyPair
    proxied_to: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Asking:
    """What a request is made for: the registered service provider and our endpoint."""

    request_id: str
    entity_id: str
    acs_url: str
    sso_url: str
    keys: KeyPair
    now: datetime


@dataclass(frozen=True, slots=True)
class Sent:
    """One HTTP request to the single sign-on service, as raw as it goes out."""

    method: str = "GET"
    query: bytes = b""
    body: bytes = b""
    content_type: str = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class ResponseAttack:
    """`make` gives XML octets, or the very text of the form field `SAMLResponse`.

    `check` is the function that must refuse it, `rule` what it must call the refusal.
    """

    name: str
    klass: str
    rule: str
    check: Callable[..., Any]
    make: Callable[[Login], bytes | str]
    policy: Policy = Policy.ASSERTION

    def __str__(self) -> str:
        return f"{self.klass}: {self.name}"


@dataclass(frozen=True, slots=True)
class RequestAttack:
    """A hostile AuthnRequest; fields as in `ResponseAttack`."""

    name: str
    klass: str
    rule: str
    check: Callable[..., Any]
    make: Callable[[Asking], Sent]
    registration: Registration = Registration.WITHOUT_KEYS

    def __str__(self) -> str:
        return f"{self.klass}: {self.name}"


def table(
    klass: str,
    check: Callable[..., Any],
    makes: Mapping[str, Callable[[Login], bytes | str]],
    rule: str = "",
    policy: Policy = Policy.ASSERTION,
) -> tuple[ResponseAttack, ...]:
    """Attacks of one class that one check must refuse: name -> what makes the message."""
    return tuple(
        ResponseAttack(name, klass, rule or rule_of(check), check, make, policy)
        for name, make in makes.items()
    )


def rule_of(check: Callable[..., Any]) -> str:
    """The rule in the name of a check: `sp_04_audience` enforces SP-04."""
    area, number = check.__name__.split("_")[:2]
    return f"{area.upper()}-{number}"
