"""JOURNEY: a drill with real people, from the command that begins it to what ends it.

    idp-proxy drill cohort ... the drill in the store, and one link for each person
    look, join ............... the link's page; its form gives the browser a pass (`drill_pass`)
    guard .................... the watch's turn: a suspected serving upstream ends the drill
    idp-proxy drill stop ..... so does an operator

The switch is never touched: who serves, and everybody else's logins, stay what they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from idp_proxy.audit.chain import Event
from idp_proxy.decision.drill import Drill, drill_route, end_of, ends_a_drill, stopped
from idp_proxy.decision.switching import Departure
from idp_proxy.drill_pass import write_pass
from idp_proxy.errors import ReplayDetected, StoreConflict
from idp_proxy.links import LinkExpired, LinkUsed, read, write
from idp_proxy.store.base import UsedId
from idp_proxy.transaction import CLOCK_SKEW, DrillLogin

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from idp_proxy.audit.chain import Fact
    from idp_proxy.seal import KeyRing
    from idp_proxy.store.base import Store, Transaction
    from idp_proxy.store.switch_view import SwitchView
    from idp_proxy.survey import Survey


@dataclass(frozen=True, slots=True)
class Invitation:
    """What one person's link says: which drill, and who is meant. `person_id` is for the audit."""

    id: str
    login: DrillLogin
    person_id: str


@dataclass(frozen=True, slots=True)
class Joined:
    """The pass for this browser's cookie, and how many seconds it may keep it."""

    drill: Drill
    sealed: str
    seconds: int


def link_of(invitation: Invitation, ring: KeyRing) -> str:
    """The link's last part. It is worth nothing to anybody but this person: who joins by it and
    then logs in as somebody else is refused.
    """
    facts: dict[str, str | int] = {
        "id": invitation.id,
        "drill": invitation.login.drill,
        "key": invitation.login.person,
        "who": invitation.person_id,
    }
    return write(facts, ring)


def begin(tx: Transaction, before: Drill | None, drill: Drill) -> None:
    """Put `drill` in the place of the one before, on record.

    Raises `StoreConflict` when somebody else began one at the same moment.
    """
    tx.swap_drill(0 if before is None else before.version, drill)
    facts: dict[str, Fact] = {
        "drill": drill.id,
        "upstream": drill.upstream,
        "people": len(drill.people),
        "until": drill.until.isoformat(),
        "reason": drill.reason,
    }
    tx.record(Event("drill_started", drill.actor, drill.started_at, facts=facts))


def stop(store: Store, drill: Drill, how: Departure, why: str, actor: str, now: datetime) -> Drill:
    """End `drill`, on record. Raises `StoreConflict` when it was ended or replaced meanwhile."""
    ended = stopped(drill, how, why, now)
    facts = {"drill": drill.id, "upstream": drill.upstream, "reason": why[:500]}
    with store.transaction() as tx:
        tx.swap_drill(drill.version, ended)
        tx.record(Event("drill_stopped", actor, now, facts=facts))
    return ended


@dataclass(frozen=True, slots=True)
class Guard:
    """Ends a drill when an outage may begin. At all other turns of the watch nothing is read."""

    store: Store
    host: str

    def look(self, seen: Survey) -> Drill | None:
        """The drill that was ended by this look. Raises `StoreError`."""
        health = seen.situation.health(seen.state.serving)
        if health is None or not ends_a_drill(health.verdict):
            return None
        drill = self.store.drill()
        if drill is None or end_of(drill, seen.state, seen.at) is not None:
            return None
        why = f"{seen.state.serving} is {health.verdict}: {'; '.join(health.reasons)}"
        try:
            return stop(self.store, drill, Departure.FAILOVER, why, f"watch:{self.host}", seen.at)
        except StoreConflict:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Joining:
    """How a person's browser comes to take part."""

    store: Store
    switch: SwitchView
    ring: KeyRing
    now: Callable[[], datetime]

    def look(self, token: str) -> tuple[Invitation, Drill]:
        """Who is invited to what; nothing follows from looking.

        Raises `LinkRefused`, also when the drill is over, and `StoreError`.
        """
        facts = read(token, self.ring)
        invitation = Invitation(facts["id"], DrillLogin(facts["drill"], facts["key"]), facts["who"])
        drill, login = self.store.drill(), invitation.login
        going_on = drill_route(drill, self.switch.state(), login.drill, login.person, self.now())
        if drill is None or going_on is None:
            raise LinkExpired(f"the drill {login.drill} is over")
        if self.store.is_used(_use(invitation, drill)):
            raise LinkUsed(f"the invitation {invitation.id} was used already")
        return invitation, drill

    def join(self, token: str) -> Joined:
        """Use the link up, on record, for a pass. Raises as `look`."""
        (invitation, drill), now = self.look(token), self.now()
        facts = {"drill": drill.id, "upstream": drill.upstream}
        try:
            with self.store.transaction() as tx:
                tx.consume(_use(invitation, drill))
                tx.record(Event("drill_joined", "idp-proxy", now, invitation.person_id, facts))
        except ReplayDetected as error:
            raise LinkUsed(f"the invitation {invitation.id} was used already") from error
        left = int((drill.until - now).total_seconds())
        return Joined(drill, write_pass(invitation.login, self.ring), left)


def _use(invitation: Invitation, drill: Drill) -> UsedId:
    return UsedId("drill_join", drill.id, invitation.id, drill.until + CLOCK_SKEW)
