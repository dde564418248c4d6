"""A plan: who is to be moved and by which way back, as octets whose digest two people can compare.

A plan is stored as its canonical JSON and named by SHA-256 over those octets; it is valid for 60
minutes. What stands against it is said by `conversion.decision.objections`; before each call
`recheck` holds a person against the server once more.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from conversion.decision.account import SAML, Binding, Source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conversion.decision.account import Account

#: How long a plan may be carried out.
VALID: Final = timedelta(minutes=60)

_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a campaign may do at most, confirmed once: these groups, so many people, until then.

    `groups` empty means everybody may be named. `exclude` holds user ids. `until` is UTC.
    """

    groups: frozenset[str]
    at_most: int
    exclude: frozenset[str]
    until: datetime


@dataclass(frozen=True, slots=True)
class Planned:
    """One person of a plan: `binding` is the way back; `groups` are those of the envelope."""

    user_id: str
    username: str
    binding: Binding
    mfa_active: bool
    groups: frozenset[str] = frozenset()
    standing: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Who is to be moved, made at `created_at` (UTC) for the server at `server`."""

    server: str
    created_at: datetime
    inventory_at: datetime
    envelope: Envelope
    people: tuple[Planned, ...]


def octets(plan: Plan) -> bytes:
    """The one sequence of octets of `plan`: people in order of user id, keys sorted, UTF-8."""
    people = sorted(plan.people, key=lambda person: person.user_id)
    content = {
        "format": _FORMAT,
        "server": plan.server,
        "created_at": _instant(plan.created_at),
        "inventory_at": _instant(plan.inventory_at),
        "envelope": _envelope(plan.envelope),
        "people": [_person(person) for person in people],
    }
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode("ascii")


def digest(plan_octets: bytes) -> str:
    """The name of a plan: SHA-256 over its octets, as lower-case hex."""
    return hashlib.sha256(plan_octets).hexdigest()


def parse(plan_octets: bytes) -> Plan:
    """The plan in these octets. Raises `ValueError` when they are not what `octets` writes."""
    try:
        plan = _plan_from(json.loads(plan_octets))
        same = octets(plan) == plan_octets
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"the stored plan cannot be read ({type(error).__name__})") from error
    if not same:
        raise ValueError("the stored plan is not what this version writes: plan again")
    return plan


def envelope_text(envelope: Envelope) -> str:
    """The envelope as JSON, as a campaign keeps it."""
    return json.dumps(_envelope(envelope), sort_keys=True, separators=(",", ":"))


def parse_envelope(text: str) -> Envelope:
    """The envelope in `text`. Raises `ValueError` when it is not what `envelope_text` writes."""
    try:
        return _envelope_from(json.loads(text))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            f"the campaign's envelope cannot be read ({type(error).__name__})"
        ) from error


def stale(plan: Plan, now: datetime) -> str | None:
    """Why `plan` must be made again; None while it is valid."""
    if plan.created_at > now:
        return (
            f"the plan was made at {_instant(plan.created_at)}, which is not yet: check the clock"
        )
    if now - plan.created_at > VALID:
        minutes = VALID // timedelta(minutes=1)
        return (
            f"the plan was made at {_instant(plan.created_at)}; it is valid for {minutes} minutes"
        )
    return None


def recheck(person: Planned, account: Account | None) -> str | None:
    """Why this person may not be converted any more; None while all is as it was planned."""
    if account is None:
        return "the account is not in the server's list any more"
    reasons = (
        (not account.active, "the account was deactivated since the plan"),
        (account.is_bot, "the account is a bot's"),
        (account.is_remote, "the account belongs to another server (shared channels)"),
        (account.auth_service != SAML, "the account is not on SAML any more"),
        (not _binding_holds(person.binding, account.auth_data), _CHANGED),
    )
    return next((reason for is_so, reason in reasons if is_so), None)


_CHANGED: Final = "the binding is not the one that was planned: prepare and plan again"


def _binding_holds(binding: Binding, auth_data: str | None) -> bool:
    """A server that hides auth_data contradicts nothing; one that shows it must agree."""
    return auth_data is None or auth_data == binding.auth_data


def _instant(at: datetime) -> str:
    if at.tzinfo is None:
        raise ValueError("a time in a plan needs a time zone")
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _envelope(envelope: Envelope) -> dict[str, object]:
    return {
        "groups": sorted(envelope.groups),
        "at_most": envelope.at_most,
        "exclude": sorted(envelope.exclude),
        "until": _instant(envelope.until),
    }


def _person(person: Planned) -> dict[str, object]:
    return {
        "user_id": person.user_id,
        "username": person.username,
        "auth_data": person.binding.auth_data,
        "source": person.binding.source.value,
        "learnt_at": _instant(person.binding.learnt_at),
        "mfa_active": person.mfa_active,
        "groups": sorted(person.groups),
        "standing": person.standing,
    }


def _plan_from(content: Mapping[str, Any]) -> Plan:
    return Plan(
        server=content["server"],
        created_at=datetime.fromisoformat(content["created_at"]),
        inventory_at=datetime.fromisoformat(content["inventory_at"]),
        envelope=_envelope_from(content["envelope"]),
        people=tuple(_person_from(person) for person in content["people"]),
    )


def _envelope_from(content: Mapping[str, Any]) -> Envelope:
    return Envelope(
        groups=frozenset(content["groups"]),
        at_most=content["at_most"],
        exclude=frozenset(content["exclude"]),
        until=datetime.fromisoformat(content["until"]),
    )


def _person_from(content: Mapping[str, Any]) -> Planned:
    return Planned(
        user_id=content["user_id"],
        username=content["username"],
        binding=Binding(
            content["auth_data"],
            Source(content["source"]),
            datetime.fromisoformat(content["learnt_at"]),
        ),
        mfa_active=content["mfa_active"],
        groups=frozenset(content["groups"]),
        standing=content["standing"],
    )
