"""What stands against a plan. Each objection names the people and the way out; some need an answer
by a person, and some have none: those people must leave the plan.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from conversion.decision.account import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from conversion.decision.account import Account, Binding
    from conversion.decision.plan import Envelope, Planned


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody who is to be moved: the account as listed now, and the way back if there is one."""

    account: Account
    binding: Binding | None


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What must be known about the world before people are moved.

    `named` are user ids that the operator asked for one by one. `standby_healthy` is None where
    no proxy is configured or its status is not known. Times are UTC.
    """

    saml_accounts: int
    inventory_at: datetime
    now: datetime
    named: frozenset[str] = frozenset()
    at_most_percent: float = 25.0
    inventory_max_age: timedelta = timedelta(hours=26)
    standby_healthy: bool | None = None
    mfa_enabled: bool = False
    mfa_enforced: bool = False


@dataclass(frozen=True, slots=True)
class Objection:
    """`code` is what an operator answers with; a `final` one has no answer but its way out."""

    code: str
    says: str
    way_out: str
    people: tuple[str, ...] = field(default=())
    final: bool = False

    def __str__(self) -> str:
        return f"{self.code}: {self.says}; {self.way_out}"


@dataclass(frozen=True, slots=True)
class _PersonRule:
    code: str
    applies: Callable[[Candidate, Circumstances], bool]
    says: str
    way_out: str
    final: bool = False


_PERSON_RULES: Final = (
    _PersonRule(
        "bot",
        lambda one, _: one.account.is_bot or one.account.is_remote,
        "bots or accounts of another server; a password cannot be of use to them",
        "leave them out with --exclude",
        final=True,
    ),
    _PersonRule(
        "inactive",
        lambda one, _: not one.account.active,
        "deactivated accounts; they cannot log in either way",
        "leave them out with --exclude",
        final=True,
    ),
    _PersonRule(
        "admin",
        lambda one, given: one.account.is_admin and one.account.id not in given.named,
        "system administrators who were not named one by one",
        "name each with --user, or leave them out",
        final=True,
    ),
    _PersonRule(
        "guest",
        lambda one, _: one.account.is_guest,
        "guests; email login of guests needs a licence and GuestAccountsSettings",
        "check both, then answer with --accept guest, or leave them out",
    ),
    _PersonRule(
        "no_mail",
        lambda one, _: "@" not in one.account.email,
        "people without an email address; they could not log in",
        "leave them out with --exclude",
        final=True,
    ),
    _PersonRule(
        "unknown_binding",
        lambda one, _: one.binding is None,
        "people whose way back is not known",
        "run prepare from a richer source (--sql, --export, --ldap, --csv), or with"
        " --email-fallback",
        final=True,
    ),
    _PersonRule(
        "fallback_binding",
        lambda one, _: one.binding is not None and one.binding.source is Source.EMAIL_FALLBACK,
        "people who would return by their email address as a makeshift",
        "run prepare from a richer source, or answer with --accept fallback_binding",
    ),
    _PersonRule(
        "mfa_leftover",
        lambda one, given: one.account.mfa_active and given.mfa_enabled,
        "people with an old MFA secret, which their email login will ask for",
        "ask them whether they still have it, then answer with --accept mfa_leftover",
    ),
    _PersonRule(
        "mfa_enrolment",
        lambda one, given: given.mfa_enforced and not one.account.mfa_active,
        "people without MFA while it is enforced: whoever logs in first enrols it",
        "have each enrol under watch, then answer with --accept mfa_enrolment",
    ),
)


def objections(people: Iterable[Candidate], given: Circumstances) -> tuple[Objection, ...]:
    """All that stands against moving `people` now, those without an answer first.

    They are gone through once, and of each only the name is kept.
    """
    names: dict[str, list[str]] = {rule.code: [] for rule in _PERSON_RULES}
    count = 0
    for one in people:
        count += 1
        for rule in _PERSON_RULES:
            if rule.applies(one, given):
                names[rule.code].append(one.account.username)
    found = (*_about_people(names), *_about_the_whole(count, given))
    return tuple(sorted(found, key=lambda objection: not objection.final))


def unanswered(
    found: Sequence[Objection], accepted: frozenset[str] = frozenset()
) -> tuple[Objection, ...]:
    """Those that nobody has answered; a final one cannot be."""
    return tuple(one for one in found if one.final or one.code not in accepted)


def breaches(
    envelope: Envelope, people: Iterable[Planned], moved: int, now: datetime
) -> tuple[str, ...]:
    """How a plan of `people` leaves the confirmed `envelope`, `moved` others moved before it."""
    excluded: list[str] = []
    strangers: list[str] = []
    total = moved
    for one in people:
        total += 1
        if one.user_id in envelope.exclude:
            excluded.append(one.username)
        if envelope.groups and not one.groups & envelope.groups:
            strangers.append(one.username)
    cases = (
        (now >= envelope.until, f"the envelope ended at {envelope.until:%Y-%m-%d %H:%M} UTC"),
        (total > envelope.at_most, f"{total} people, and the envelope allows {envelope.at_most}"),
        (bool(excluded), f"excluded by the envelope: {_some(excluded)}"),
        (bool(strangers), f"in no group of the envelope: {_some(strangers)}"),
    )
    return tuple(text for is_so, text in cases if is_so)


def _about_people(found: Mapping[str, Sequence[str]]) -> Iterator[Objection]:
    for rule in _PERSON_RULES:
        if names := found[rule.code]:
            says = f"{len(names)} {rule.says}: {_some(names)}"
            yield Objection(rule.code, says, rule.way_out, tuple(sorted(names)), rule.final)


def _about_the_whole(people: int, given: Circumstances) -> Iterator[Objection]:
    if not people:
        yield Objection("nobody", "the plan names nobody", "choose other people", final=True)
    if people > given.saml_accounts * given.at_most_percent / 100:
        yield Objection(
            "too_many",
            f"{people} of {given.saml_accounts} people on SSO, "
            f"more than {given.at_most_percent:g} %",
            "most keep working by their sessions: see `now`; or answer with --accept too_many",
        )
    if given.standby_healthy:
        yield Objection(
            "standby_healthy",
            "the proxy serves logins; who is converted cannot use it",
            "let people log in by the proxy, or answer with --accept standby_healthy",
        )
    age = given.now - given.inventory_at
    if not timedelta(0) <= age <= given.inventory_max_age:
        yield Objection(
            "inventory_age",
            f"the inventory is of {given.inventory_at:%Y-%m-%d %H:%M} UTC",
            "run prepare again, or answer with --accept inventory_age",
        )


_SHOWN: Final = 5


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(sorted(names)[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
