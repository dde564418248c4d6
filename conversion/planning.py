"""Journey: plan. Who is to be moved, by which way back, and what stands against it.

`draw_up` asks the server who is on SSO now, chooses, and stores the plan under the digest of its
octets. Nothing is changed by it; `conversion.campaign` carries out a stored plan and no other.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from conversion.decision import triage
from conversion.decision.account import SAML, Binding, Source
from conversion.decision.objections import (
    Candidate,
    Circumstances,
    breaches,
    objections,
    unanswered,
)
from conversion.decision.plan import Plan, Planned, digest, octets
from conversion.errors import PlanUnsafe
from conversion.truth import look
from idp_proxy.audit.chain import Event as AuditEvent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from conversion.bulk import Bulk
    from conversion.decision.account import Account
    from conversion.decision.objections import Objection
    from conversion.decision.plan import Envelope
    from conversion.ledger.base import InventoryRow
    from idp_proxy.audit.chain import Fact

_OUT: Final = frozenset({triage.Standing.LOCKED_OUT, triage.Standing.SOON})


@dataclass(frozen=True, slots=True)
class Choice:
    """Who is to be moved: people by user name or id, or everybody, or who is locked out within
    some time (zero: now). Exclusions are the envelope's.
    """

    named: frozenset[str] = frozenset()
    everybody: bool = False
    locked_out_within: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the caller knows and the server does not say; see `Circumstances`."""

    server: str
    at_most_percent: float = 25.0
    inventory_max_age: timedelta = timedelta(hours=26)
    standby_healthy: bool | None = None
    idle: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A stored plan and what stood against it and was answered."""

    digest: str
    plan: Plan
    answered: tuple[Objection, ...]


def draw_up(
    bulk: Bulk,
    choice: Choice,
    envelope: Envelope,
    around: Surroundings,
    accepted: frozenset[str] = frozenset(),
) -> Draft:
    """Store a plan for `choice`. Raises `PlanUnsafe` with every objection nobody has answered."""
    accounts = look(bulk)
    known = {row.user_id: row for row in bulk.ledger.inventory()}
    now = bulk.clock()
    chosen = [one for one in _chosen(choice, accounts) if one.id not in envelope.exclude]
    standing = _standing(bulk, [one.id for one in chosen], choice, around)
    people = [
        Candidate(one, _way_back(one, known.get(one.id), now))
        for one in chosen
        if choice.locked_out_within is None or standing.get(one.id) in _OUT
    ]
    inventory_at = min(
        (known[one.account.id].seen_at for one in people if one.account.id in known), default=now
    )
    given = _circumstances(bulk, choice, around, people, accounts, inventory_at)
    found = objections(people, given)
    left = [str(one) for one in unanswered(found, accepted)]
    if left:
        raise PlanUnsafe(left)
    plan = Plan(
        around.server, now, inventory_at, envelope, tuple(_planned(one, standing) for one in people)
    )
    too_much = breaches(envelope, plan, 0, now)
    if too_much:
        raise PlanUnsafe(too_much)
    stored = octets(plan)
    name = digest(stored)
    bulk.ledger.put_plan(name, stored, now)
    told: dict[str, Fact] = {
        "digest": name,
        "people": len(people),
        "accepted": ",".join(sorted(accepted)),
    }
    bulk.ledger.record(AuditEvent("plan_stored", bulk.actor, now, facts=told))
    return Draft(name, plan, found)


def _chosen(choice: Choice, accounts: Mapping[str, Account]) -> list[Account]:
    """The accounts that are meant, in order of user name. Raises `PlanUnsafe` for a name that no
    account on SSO has: a slip of the pen must not leave somebody behind in silence.
    """
    on_sso = [one for one in accounts.values() if one.auth_service == SAML]
    names = {name: one for one in on_sso for name in (one.id, one.username)}
    missing = sorted(choice.named - names.keys())
    if missing:
        raise PlanUnsafe([f"nobody: no account on SSO is called {name}" for name in missing])
    if choice.named:
        return sorted({names[name].id: names[name] for name in choice.named}.values(), key=_name)
    # Without a name people are meant: bots, leavers and administrators are not in a crowd.
    crowd = (one for one in on_sso if one.active and not one.is_bot and not one.is_remote)
    return sorted((one for one in crowd if not one.is_admin), key=_name)


def _name(account: Account) -> str:
    return account.username


def _way_back(account: Account, known: InventoryRow | None, now: datetime) -> Binding | None:
    """What the server shows now is the truth; else what `prepare` learnt."""
    if account.auth_data is not None:
        return Binding(account.auth_data, Source.API, now)
    return None if known is None else known.binding


def _standing(
    bulk: Bulk, ids: Sequence[str], choice: Choice, around: Surroundings
) -> Mapping[str, triage.Standing]:
    """Where each of these people stands; asked only where the choice needs it, a call a person."""
    within = choice.locked_out_within
    if within is None:
        return {}
    now = bulk.clock()

    def one(user_id: str) -> triage.Standing:
        sessions = [
            triage.Session(found.expires_at, found.last_activity_at, found.is_token)
            for found in bulk.server.sessions(user_id)
        ]
        return triage.triage(user_id, sessions, now, within, around.idle).standing

    with ThreadPoolExecutor(max_workers=bulk.limits.threads) as pool:
        return dict(zip(ids, pool.map(one, ids), strict=True))


def _circumstances(
    bulk: Bulk,
    choice: Choice,
    around: Surroundings,
    people: Sequence[Candidate],
    accounts: Mapping[str, Account],
    inventory_at: datetime,
) -> Circumstances:
    settings = bulk.server.config().get("ServiceSettings", {})
    return Circumstances(
        saml_accounts=sum(one.auth_service == SAML for one in accounts.values()),
        inventory_at=inventory_at,
        now=bulk.clock(),
        named=frozenset(
            one.account.id
            for one in people
            if {one.account.id, one.account.username} & choice.named
        ),
        at_most_percent=around.at_most_percent,
        inventory_max_age=around.inventory_max_age,
        standby_healthy=around.standby_healthy,
        mfa_enabled=bool(settings.get("EnableMultifactorAuthentication")),
        mfa_enforced=bool(settings.get("EnforceMultifactorAuthentication")),
    )


def _planned(one: Candidate, standing: Mapping[str, triage.Standing]) -> Planned:
    account = one.account
    if one.binding is None:
        raise PlanUnsafe([f"unknown_binding: {account.username}: no way back is known"])
    found = standing.get(account.id)
    return Planned(
        account.id,
        account.username,
        one.binding,
        account.mfa_active,
        standing="" if found is None else found.value,
    )
