"""A plan: who is to be moved and by which way back, as octets whose digest two people can compare.

A plan is canonical JSON, a line each: first the head, then the people in order of user id. So it is
written and read person by person, however many there are. It is named by SHA-256 over its octets
and valid for 60 minutes. What stands against it is said by `conversion.decision.objections`; before
each call `recheck` holds a person against the server once more.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from conversion.decision.account import SAML, Binding, Source
from conversion.decision.triage import Load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from conversion.decision.account import Account

#: How long a plan may be carried out.
VALID: Final = timedelta(minutes=60)

_FORMAT: Final = 2


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a campaign may do at most, confirmed once: these groups, so many people, until then.

    `groups` (`team:ops`, `group:oncall`, `role:system_user`) empty means everybody may be named.
    `exclude` holds user ids. `until` is UTC.
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
class Head:
    """What a plan says besides its people: made at `created_at` (UTC) for the server at `server`.

    `people` is how many there are; `answered` are the objections that somebody answered for;
    `loads` is who is locked out when, of those looked at, empty where sessions were not asked.
    """

    server: str
    created_at: datetime
    inventory_at: datetime
    envelope: Envelope
    people: int
    answered: tuple[str, ...] = ()
    loads: tuple[Load, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan as it is stored. `source` gives its octets, in pieces, as often as they are needed."""

    head: Head
    source: Callable[[], Iterable[bytes]] = field(repr=False)

    def people(self) -> Iterator[Planned]:
        """The people in order of user id, read from the octets each time."""
        stored = _split(self.source())
        next(stored, None)
        return (_person_from(json.loads(line)) for line in stored)


def lines(head: Head, people: Iterable[Planned]) -> Iterator[bytes]:
    """The lines of a plan, whose octets are all of them.

    Raises `ValueError` on a time without a zone, and unless `people` are `head.people` different
    ones in order of user id.
    """
    yield _line(_head(head))
    count, before = 0, ""
    for person in people:
        if count and person.user_id <= before:
            raise ValueError("the people of a plan stand in order of user id, each once")
        count, before = count + 1, person.user_id
        yield _line(_person(person))
    if count != head.people:
        raise ValueError(f"a plan of {head.people} people has {count}")


def digest(plan_octets: bytes) -> str:
    """The name of a plan: SHA-256 over its octets, as lower-case hex."""
    return hashlib.sha256(plan_octets).hexdigest()


def parse(source: Callable[[], Iterable[bytes]]) -> Plan:
    """The plan in the octets that `source` gives, in pieces. All of them are read at once.

    Raises `ValueError` when they are not what `lines` writes.
    """
    stored = _split(source())
    try:
        first = next(stored, b"")
        plan = Plan(_head_from(json.loads(first)), source)
        pairs = zip(lines(plan.head, plan.people()), chain([first], stored), strict=True)
        # Line by line: what is read must be written again to the byte.
        same = all(written == found for written, found in pairs)
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ValueError(f"the stored plan cannot be read ({type(error).__name__})") from error
    if not same:
        raise ValueError("the stored plan is not what this version writes: plan again")
    return plan


def _split(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The lines in `pieces`, each with its end; the last one may lack it."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line + b"\n" for line in whole)
    if rest:
        yield rest


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


def stale(head: Head, now: datetime) -> str | None:
    """Why the plan must be made again; None while it is valid."""
    made = _instant(head.created_at)
    if head.created_at > now:
        return f"the plan was made at {made}, which is not yet: check the clock"
    if now - head.created_at > VALID:
        minutes = VALID // timedelta(minutes=1)
        return f"the plan was made at {made}; it is valid for {minutes} minutes"
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


def _line(content: Mapping[str, object]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"


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


def _head(head: Head) -> dict[str, object]:
    return {
        "format": _FORMAT,
        "server": head.server,
        "created_at": _instant(head.created_at),
        "inventory_at": _instant(head.inventory_at),
        "envelope": _envelope(head.envelope),
        "people": head.people,
        "answered": list(head.answered),
        "loads": [_load(one) for one in head.loads],
    }


def _head_from(content: Mapping[str, Any]) -> Head:
    return Head(
        server=content["server"],
        created_at=datetime.fromisoformat(content["created_at"]),
        inventory_at=datetime.fromisoformat(content["inventory_at"]),
        envelope=_envelope_from(content["envelope"]),
        people=content["people"],
        answered=tuple(content["answered"]),
        loads=tuple(_load_from(one) for one in content["loads"]),
    )


def _load(load: Load) -> dict[str, object]:
    return {
        "after_s": load.after // timedelta(seconds=1),
        "people": load.people,
        "phone_s": load.phone // timedelta(seconds=1),
    }


def _load_from(content: Mapping[str, Any]) -> Load:
    return Load(
        timedelta(seconds=content["after_s"]),
        content["people"],
        timedelta(seconds=content["phone_s"]),
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
