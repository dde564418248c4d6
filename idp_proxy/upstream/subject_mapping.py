"""From what an upstream asserted to a `Subject` under our canonical names. Pure.

A value that decides who somebody is has exactly one reading (SP-10): one value, one spelling, and
for an email address a domain that this upstream may speak for (FO-10).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from idp_proxy.decision.subject import IDENTIFIERS, Evidence, Subject
from idp_proxy.errors import AssertionInvalid
from idp_proxy.saml.checks import why_ambiguous

if TYPE_CHECKING:
    from collections.abc import Mapping

    from idp_proxy.saml.assertion import VerifiedAssertion

#: Where a mapping says so, the value is the NameID and no attribute.
NAME_ID: Final = "NameID"
#: The canonical name of what every upstream knows of a person; the same as the id if not mapped.
LINK_KEY: Final = "link_key"

_TRANSIENT: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
#: What decides who somebody is -> its longest form; Mattermost stores no longer id (auth_data).
_DECISIVE: Final = {**dict.fromkeys((*IDENTIFIERS, LINK_KEY), 256), "id": 128}
_LONGEST: Final = 256
_LONGEST_URI: Final = 1024  # SAML core 8.3.6
_MOST_AUTHORITIES: Final = 8
_EMAIL: Final = re.compile(r"[^@\s]+@([^@\s]+)")
_UNPRINTABLE: Final = frozenset({"Cc", "Cs", "Cn", "Zl", "Zp"})
#: These turn the direction of what follows, so that a name is shown as another.
_TURNING: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True)
class AttributeMap:
    """`sources`: canonical name -> where this upstream puts it. `email_domains` in lower case;
    empty means any. `evidence` are Names of attributes that say how somebody was authenticated.
    """

    sources: Mapping[str, str]
    email_domains: frozenset[str] = frozenset()
    evidence: frozenset[str] = frozenset()


class _Told(Protocol):
    """What an upstream says of somebody."""

    @property
    def name_id(self) -> str: ...

    @property
    def name_id_format(self) -> str: ...

    @property
    def attributes(self) -> Mapping[str, tuple[str, ...]]: ...


@dataclass(frozen=True, slots=True)
class _Entry:
    attributes: Mapping[str, tuple[str, ...]]
    name_id: str = ""
    name_id_format: str = ""


def subject_of(upstream: str, verified: VerifiedAssertion, mapping: AttributeMap) -> Subject:
    """The person under our canonical names. Raises `AssertionInvalid` (SP-10, FO-10).

    A mapped identifier must be there; another mapped attribute may be absent.
    """
    return _subject(upstream, verified, mapping, _evidence(verified, mapping.evidence))


def subject_of_entry(
    upstream: str,
    attributes: Mapping[str, tuple[str, ...]],
    mapping: AttributeMap,
    evidence: Evidence,
) -> Subject:
    """As `subject_of`, for an entry of a directory whose password was right. It has no NameID."""
    return _subject(upstream, _Entry(attributes), mapping, evidence)


def _subject(upstream: str, told: _Told, mapping: AttributeMap, evidence: Evidence) -> Subject:
    values = {
        canonical: value
        for canonical, source in mapping.sources.items()
        if (value := _one_value(canonical, source, told))
    }
    _judge_email(values.get("email"), mapping)
    link_key = values.pop(LINK_KEY, None) or values.get("id")
    if link_key is None:
        raise AssertionInvalid("SP-10", "neither id nor link_key is mapped")
    return Subject(upstream, link_key, values, evidence)


def _one_value(canonical: str, source: str, verified: _Told) -> str | None:
    """The value for a canonical name; None if an attribute that decides nothing is absent."""
    where = f"{canonical} ({source})"
    if source == NAME_ID:
        if verified.name_id_format == _TRANSIENT:
            raise AssertionInvalid("SP-10", f"{where}: a transient NameID names nobody again")
        found: tuple[str, ...] = (verified.name_id,)
    else:
        found = verified.attributes.get(source, ())
    if len(found) > 1:
        raise AssertionInvalid("SP-10", f"{where}: {len(found)} values where one must be")
    value = found[0] if found else ""
    if (why := _why_unusable(canonical, value)) is not None:
        raise AssertionInvalid("SP-10", f"{where}: {why}")
    return value


def value_problem(canonical: str, value: str, email_domains: frozenset[str]) -> str | None:
    """Why a value that no assertion brought, but an import, cannot count either; None if it can."""
    if (why := _why_unusable(canonical, value)) is not None:
        return why
    if canonical != "email":
        return None
    match = _EMAIL.fullmatch(value)
    if match is None:
        return "is no email address"
    if email_domains and match[1].lower() not in email_domains:
        return f"an address in {match[1]!r}, which is not in the active's email_domains (FO-10)"
    return None


def _why_unusable(canonical: str, value: str) -> str | None:
    longest = _DECISIVE.get(canonical)
    return _why_unfit(value) if longest is None else why_ambiguous(value, longest)


def _why_unfit(value: str) -> str | None:
    """Why a value that is only shown cannot be passed on, or None; it may be empty."""
    if len(value) > _LONGEST:
        return f"has {len(value)} characters, at most {_LONGEST}"
    if any(unicodedata.category(one) in _UNPRINTABLE or one in _TURNING for one in value):
        return "has control, line or direction characters"
    return None


def _judge_email(email: str | None, mapping: AttributeMap) -> None:
    """One address, in a domain that this upstream may speak for (FO-10)."""
    if email is None:
        if mapping.email_domains:
            raise AssertionInvalid("FO-10", "email_domains is set, and no email is mapped")
        return
    match = _EMAIL.fullmatch(email)
    if match is None:
        raise AssertionInvalid("SP-10", "email is no address")
    if mapping.email_domains and match[1].lower() not in mapping.email_domains:
        raise AssertionInvalid("FO-10", f"email in {match[1]!r}, which is not in email_domains")


def _evidence(verified: VerifiedAssertion, attributes: frozenset[str]) -> Evidence:
    """How it authenticated the person; its own entity ID is the nearest authority (IDP-04)."""
    authorities = (verified.issuer, *verified.authorities)
    if len(authorities) > _MOST_AUTHORITIES:
        raise AssertionInvalid("SP-10", f"a chain of {len(authorities)} authorities")
    for what, uri in (
        ("AuthnContextClassRef", verified.authn_context),
        *(("AuthenticatingAuthority", authority) for authority in authorities),
    ):
        if (why := why_ambiguous(uri, _LONGEST_URI)) is not None:
            raise AssertionInvalid("SP-10", f"{what} {why}")
    return Evidence(
        authn_instant=verified.authn_instant,
        authn_context=verified.authn_context,
        authorities=authorities,
        session_not_on_or_after=verified.session_not_on_or_after,
        attributes={name: verified.attributes.get(name, ()) for name in attributes},
    )
