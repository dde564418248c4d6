"""Journey: plan. Who is to be moved, by which way back, and what stands against it.

`draw_up` asks the server who is on SSO now, chooses, and stores the plan under the digest of its
octets. Nothing is changed by it; `conversion.campaign` carries out a stored plan and no other.
A hundred thousand people are held once, as the server listed them; all else goes person by person.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from conversion.bulk import Progress
from conversion.decision.account import SAML, Binding, Source
from conversion.decision.objections import (
    Candidate,
    Circumstances,
    breaches,
    objections,
    unanswered,
)
from conversion.decision.plan import Head, Plan, Planned, lines, parse_envelope
from conversion.decision.triage import HORIZONS, Standing
from conversion.errors import PlanUnsafe
from conversion.groups import Groups
from conversion.sessions import Looks, Question, look_at_sessions
from conversion.truth import look
from idp_proxy.audit.chain import Event as AuditEvent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from conversion.bulk import Bulk
    from conversion.decision.account import Account
    from conversion.decision.objections import Objection
    from conversion.decision.plan import Envelope
    from idp_proxy.audit.chain import Fact

#: Who cannot log in, now or soon.
OUT: Final = frozenset({Standing.LOCKED_OUT, Standing.SOON})


@dataclass(frozen=True, slots=True)
class Choice:
    """Who is to be moved: people by user name or id, or everybody; of those, where `standings` is
    given, who stands there by their sessions, "soon" being within `within`.

    Sessions are a call a person; `sessions` asks for them where the choice does not need them, so
    that the plan tells how many are locked out when. Exclusions are the envelope's.
    """

    named: frozenset[str] = frozenset()
    everybody: bool = False
    standings: frozenset[Standing] = frozenset()
    within: timedelta = timedelta(0)
    sessions: bool = False


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the caller knows and the server does not say; see `Circumstances`."""

    server: str
    at_most_percent: float = 25.0
    inventory_max_age: timedelta = timedelta(hours=26)
    standby_healthy: bool | None = None
    idle: timedelta | None = None
    minutes_a_call: float = 6.0


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
    now = bulk.clock()
    accounts = look(bulk)
    groups = Groups(bulk.server, envelope.groups | _groups_of_the_open_campaign(bulk))
    chosen = _chosen(accounts, choice, envelope, groups)
    looks = _looks(bulk, chosen, choice, around)
    if choice.standings:
        chosen = [one for one in chosen if looks.standings.get(one) in choice.standings]
    crew = _Crew(bulk, accounts, chosen, looks, groups)
    found = objections(crew.candidates(), _circumstances(bulk, choice, around, crew))
    left = [str(one) for one in unanswered(found, accepted)]
    left = left or list(breaches(envelope, crew.planned(), 0, now))
    if left:
        raise PlanUnsafe(left)
    head = Head(
        around.server,
        now,
        crew.inventory_at,
        envelope,
        len(chosen),
        answered=tuple(map(str, found)),
        loads=looks.loads,
    )
    return _stored(bulk, head, crew, found, accepted)


def _stored(
    bulk: Bulk, head: Head, crew: _Crew, found: tuple[Objection, ...], accepted: frozenset[str]
) -> Draft:
    written = lines(head, crew.planned())
    name = bulk.ledger.put_plan(written, head.created_at)
    told: dict[str, Fact] = {
        "digest": name,
        "people": head.people,
        "accepted": ",".join(sorted(accepted)),
    }
    event = AuditEvent("plan_stored", bulk.actor, head.created_at, facts=told)
    bulk.ledger.record(event)
    return Draft(name, Plan(head, lambda: lines(head, crew.planned())), found)


def _groups_of_the_open_campaign(bulk: Bulk) -> frozenset[str]:
    """Its envelope is the one that counts: the plan must say who belongs to these."""
    campaign = bulk.ledger.current_campaign()
    return frozenset() if campaign is None else parse_envelope(campaign.envelope).groups


def _chosen(
    accounts: Mapping[str, Account], choice: Choice, envelope: Envelope, groups: Groups
) -> list[str]:
    """The user ids that are meant, in order. A crowd is a crowd of the envelope's groups.

    Raises `PlanUnsafe` for a name that no account on SSO has: a slip of the pen must not leave
    somebody behind in silence.
    """
    chosen: list[str] = []
    missing = set(choice.named)
    for one in accounts.values():
        if one.auth_service != SAML:
            continue
        missing -= {one.id, one.username}
        if one.id in envelope.exclude or not _is_meant(one, choice):
            continue
        if choice.named or not envelope.groups or groups.of(one) & envelope.groups:
            chosen.append(one.id)
    if missing:
        says = [f"nobody: no account on SSO is called {name}" for name in sorted(missing)]
        raise PlanUnsafe(says)
    return sorted(chosen)


def _is_meant(one: Account, choice: Choice) -> bool:
    if choice.named:
        return one.id in choice.named or one.username in choice.named
    # Without a name people are meant: bots, leavers and administrators are not in a crowd.
    return one.active and not one.is_bot and not one.is_remote and not one.is_admin


def _looks(bulk: Bulk, chosen: Sequence[str], choice: Choice, around: Surroundings) -> Looks:
    """Where everybody stands; asked only where it is needed, or wanted and to be had."""
    wanted = choice.sessions and bulk.capabilities.sees_sessions
    if not choice.standings and not wanted:
        return Looks()
    question = Question(
        bulk.clock(),
        around.minutes_a_call,
        choice.within,
        around.idle,
        tuple(sorted({*HORIZONS, choice.within})),
        bulk.limits.threads,
    )

    def tell(done: int, total: int) -> None:
        bulk.tell(Progress("sessions", done, 0, total))

    return look_at_sessions(bulk.server, chosen, question, tell)


class _Crew:
    """The people of a plan, each made up when it is their turn."""

    def __init__(
        self,
        bulk: Bulk,
        accounts: Mapping[str, Account],
        chosen: Sequence[str],
        looks: Looks,
        groups: Groups,
    ) -> None:
        """`chosen` in order of user id."""
        self._groups = groups
        self.accounts = accounts
        self.chosen = chosen
        self._standings = looks.standings
        self._now = bulk.clock()
        self._learnt: dict[str, Binding] = {}
        self.inventory_at = self._remember(bulk)

    def _remember(self, bulk: Bulk) -> datetime:
        """The way back of whom the server does not show it for; gives the oldest row's time."""
        wanted = set(self.chosen)
        oldest = self._now
        for row in bulk.ledger.inventory():
            if row.user_id not in wanted:
                continue
            oldest = min(oldest, row.seen_at)
            if row.binding is not None and self.accounts[row.user_id].auth_data is None:
                self._learnt[row.user_id] = row.binding
        return oldest

    def candidates(self) -> Iterator[Candidate]:
        """Everybody, with the way back where there is one: what the server shows now is the truth,
        else what `prepare` learnt.
        """
        for account in map(self.accounts.__getitem__, self.chosen):
            if account.auth_data is None:
                yield Candidate(account, self._learnt.get(account.id))
            else:
                yield Candidate(account, Binding(account.auth_data, Source.API, self._now))

    def planned(self) -> Iterator[Planned]:
        """Everybody, as the plan has them. Raises `PlanUnsafe` where there is no way back."""
        for one in self.candidates():
            account = one.account
            if one.binding is None:
                raise PlanUnsafe([f"unknown_binding: {account.username}: no way back is known"])
            found = self._standings.get(account.id)
            yield Planned(
                account.id,
                account.username,
                one.binding,
                account.mfa_active,
                self._groups.of(account),
                standing="" if found is None else found.value,
            )


def _circumstances(bulk: Bulk, choice: Choice, around: Surroundings, crew: _Crew) -> Circumstances:
    settings: Mapping[str, object] = bulk.server.config().get("ServiceSettings", {})
    # Who was chosen by name was named; a crowd has named nobody.
    named = frozenset(crew.chosen) if choice.named else frozenset()
    return Circumstances(
        saml_accounts=sum(one.auth_service == SAML for one in crew.accounts.values()),
        inventory_at=crew.inventory_at,
        now=bulk.clock(),
        named=named,
        at_most_percent=around.at_most_percent,
        inventory_max_age=around.inventory_max_age,
        standby_healthy=around.standby_healthy,
        mfa_enabled=bool(settings.get("EnableMultifactorAuthentication")),
        mfa_enforced=bool(settings.get("EnforceMultifactorAuthentication")),
    )
