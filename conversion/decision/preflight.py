"""What must be right before people are moved, judged from evidence that was gathered elsewhere.

Each check is one function: evidence in, findings out. What could not be learnt is a finding too,
never silence. This file has the checks of people and of their way back.
"""

from __future__ import annotations

from array import array
from collections import Counter
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from conversion.decision.account import SAML, Source
from conversion.decision.evidence import Finding, Severity, blocking, note, some, warning
from conversion.decision.server_checks import SERVER_CHECKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from conversion.decision.evidence import Evidence


def findings(evidence: Evidence) -> tuple[Finding, ...]:
    """All findings, the blocking ones first."""
    order = list(Severity)
    found = (finding for check in CHECKS for finding in check(evidence))
    return tuple(sorted(found, key=lambda finding: order.index(finding.severity)))


def _listing(given: Evidence) -> Iterator[Finding]:
    if given.accounts is None:
        return
    away = sum(one.auth_service == SAML and not one.active for one in given.accounts)
    people, guests = len(given.names()), len(given.names(lambda one: one.is_guest))
    yield note(
        "people.counts",
        f"{people} people on SAML, of whom {len(given.names(lambda one: one.is_admin))} are"
        f" administrators and {guests} guests; besides {away}"
        f" deactivated accounts on SAML, and {sum(one.is_bot for one in given.accounts)} bots",
    )
    if not people:
        yield blocking("people.none", "nobody is on SAML", "is this the right server?")
    if given.missing:
        yield warning(
            "people.unlisted",
            f"the server counts {given.missing} accounts that it does not list",
            "look into the database: nobody can say who they are",
        )
    no_mail = given.names(lambda one: "@" not in one.email)
    if no_mail:
        yield warning(
            "people.no_mail",
            f"{len(no_mail)} people have no email address: {some(no_mail)}",
            "give them one, or leave them out",
        )
    if guests and not (given.licensed and given.setting("GuestAccountsSettings", "Enable")):
        yield warning(
            "people.guests",
            "guests cannot log in by email without a licence and GuestAccountsSettings.Enable",
            "leave them out, or mend both",
        )


def _inventory(given: Evidence) -> Iterator[Finding]:
    if given.inventory_at is None:
        yield blocking(
            "inventory.none", "there is no inventory: no way back is known", "run prepare"
        )
        return
    age = given.now - given.inventory_at
    if not timedelta(0) <= age <= given.inventory_max_age:
        hours = age / timedelta(hours=1)
        yield warning(
            "inventory.age",
            f"the inventory is {hours:.0f} hours old",
            "run prepare; have cron run it every night",
        )
    if given.accounts is None:
        return
    lost = given.names(lambda one: given.inventory.get(one.id) is None)
    if lost:
        yield warning(
            "inventory.unknown",
            f"the way back of {len(lost)} people is not known: {some(lost)}",
            "run prepare with --sql, --export, --ldap or --csv; as a last resort --email-fallback",
        )
    makeshift = Source.EMAIL_FALLBACK
    guessed = given.names(
        lambda one: bool((known := given.inventory.get(one.id)) and known.source is makeshift)
    )
    if guessed:
        yield warning(
            "inventory.fallback",
            f"{len(guessed)} people would return by their email: {some(guessed)}",
            "run prepare with --sql, --export, --ldap or --csv",
        )


def _bindings(given: Evidence) -> Iterator[Finding]:
    def values() -> Iterator[str]:
        return (known.auth_data for known in given.inventory.values() if known is not None)

    repeated = _more_than_one(values(), _often(values()))
    if repeated:
        yield blocking(
            "inventory.duplicates",
            f"{repeated} values of auth_data stand with more than one account, of which all but"
            " one must be wrong",
            "run prepare with --sql; the server keeps them unique",
        )
    often = _often(value.casefold() for value in values())
    twins = {value for value in values() if hash(value.casefold()) in often}
    alike = _more_than_one((value.casefold() for value in twins), often)
    if alike:
        yield warning(
            "inventory.case",
            f"{alike} values of auth_data differ in case alone: to Mattermost they are different"
            " people, to most providers one",
            "look for double accounts, made when the provider changed its spelling",
        )


def _often(values: Iterable[str]) -> frozenset[int]:
    """Eight octets of each value that may be there twice: of most values nothing else is kept."""
    marks = sorted(array("q", map(hash, values)))
    return frozenset(mark for mark, after in pairwise(marks) if mark == after)


def _more_than_one(values: Iterable[str], often: frozenset[int]) -> int:
    """How many values, of those marked so, are there more than once."""
    counted = Counter(value for value in values if hash(value) in often)
    return sum(count > 1 for count in counted.values())


def _proof(given: Evidence) -> Iterator[Finding]:
    if not given.proof_possible:
        yield warning(
            "return.no_proof",
            "nothing can prove that SSO works again, and return will refuse",
            "set campaign.operator_user or campaign.proxy_status_url",
        )
    if given.proxy:
        yield warning(
            "return.proxy",
            f"the proxy's status is not known: {given.proxy}; it proves nothing, and objects to no"
            " plan while a standby serves",
            "mend campaign.proxy_status_url or campaign.proxy_tls_ca",
        )
    name = given.operator_user
    if name and given.accounts is not None:
        found = [one for one in given.people() if one.username == name]
        if not found:
            yield warning(
                "return.operator",
                f"no active account on SAML is called {name}, as campaign.operator_user says: no"
                " login of it could prove that SSO works",
                "name your own SAML account there; it must not be moved",
            )


CHECKS: Final = (*SERVER_CHECKS, _listing, _inventory, _bindings, _proof)
