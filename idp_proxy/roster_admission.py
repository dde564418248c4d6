"""JOURNEY: an approver lets somebody in by a standby, until the outage that goes on is over.

    of_row ....... somebody in the roster whom nothing confirmed of late, or who has a role
    of_account ... somebody whom the roster does not know, by their account in Mattermost
    admit ........ their row if they had none, the approver's word and the audit row, in one commit

Both ways are judged before an approver is asked, and again in the commit: while somebody types a
password another operator may do the same, the active may serve again, and lists are imported.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from idp_proxy.audit.chain import Event
from idp_proxy.decision.roster import (
    AdmittedByHand,
    Question,
    Refusal,
    Refused,
    judge_row,
    row_of,
    why_no_account,
    why_taken,
)
from idp_proxy.errors import RosterRefused
from idp_proxy.store.base import Store
from idp_proxy.store.people import RosterStore, everybody

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from idp_proxy.decision.roster import Account, RosterPolicy, RosterRow
    from idp_proxy.store.base import Transaction
    from idp_proxy.store.people import RosterTransaction

_WAYS: Final = {
    Refusal.BLOCKED: "; nobody admits who is blocked: roster unblock, if that was wrong",
    Refusal.CONFLICT: "; say whose key it is: roster resolve",
    Refusal.PRIVILEGED: "; --in-spite-of-role admits them, and costs an administrator the role",
}


class AdmissionStore(Store, RosterStore, Protocol):
    """The store, as far as this asks."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Whom an approver is asked to admit. `known` is the row that was there when it was asked."""

    row: RosterRow
    known: RosterRow | None
    privileged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterAdmission:
    """The journey's needs. `active` makes the roster; `problem` says why a value of a canonical
    name cannot count, as for a login there.
    """

    store: AdmissionStore
    active: str
    policy: RosterPolicy
    problem: Callable[[str, str], str | None]
    now: Callable[[], datetime]

    def demand_outage(self) -> datetime:
        """Since when the active is left. Raises `RosterRefused` while it serves."""
        state = self.store.switch_state()
        left = None if state is None else state.left.get(self.active)
        if state is not None and state.serving != self.active and left is None:
            raise RosterRefused(f"{self.active} never served: this is no outage of it")
        if left is None or state is None or state.serving == self.active:
            raise RosterRefused(f"{self.active} serves: there is no outage to let anybody in for")
        return left.at

    def of_row(self, row: RosterRow, *, privileged: bool) -> Candidate:
        """Somebody in the roster. Raises `RosterRefused` for whatever an approver's word does not
        stand in for.
        """
        if row.by_hand:
            raise RosterRefused(
                f"{row.id!a} is known by an admission alone; prove the account again, by "
                "--mattermost or --accounts FILE"
            )
        self._demand_admissible(row, privileged=privileged)
        return Candidate(row, row, privileged)

    def of_account(self, account: Account, link_key: str, *, privileged: bool) -> Candidate:
        """Who has this account, and the link key at the standby. Raises `RosterRefused` for an
        account that nobody is let in to, and where the roster has any of it for somebody else.
        """
        if (why := why_no_account(account, privileged=privileged)) is not None:
            raise RosterRefused(f"the account {account.email!a} admits nobody: {why}")
        row = row_of(account, link_key)
        self._demand_fit(row)
        known = self.store.person(row.id)
        if known is not None and not known.by_hand:
            raise RosterRefused(
                f"{row.id!a} is in the roster: admit them without --mattermost, --accounts and "
                "--link-key"
            )
        row = replace(row, blocks=frozenset() if known is None else known.blocks)
        self._demand_admissible(row, privileged=privileged)
        for other in everybody(self.store):
            why = why_taken(row, other)
            if why is not None and not self._is_over(other):
                raise RosterRefused(f"{row.id!a} is not told from {other.id!a}: {why}")
        return Candidate(row, known, privileged)

    def admit(self, candidate: Candidate, by: str, reason: str) -> None:
        """Let them in until the active serves again. Raises `RosterRefused` for what is no longer
        as it was judged, `StoreError`.
        """
        with self.store.writing_people() as tx:
            tx.import_runs()  # from here on operators and imports take turns
            since = self.demand_outage()
            now = tx.person(candidate.row.id)
            if candidate.row.by_hand:
                if now != candidate.known:
                    raise RosterRefused("somebody else changed the person meanwhile; look again")
                self._save(tx, candidate.row)
            elif now is None:
                raise RosterRefused("the person is no longer in the roster")
            else:
                self._demand_admissible(now, privileged=candidate.privileged)
            # This host's clock may be behind the store's: it was said in this outage all the same.
            _say(tx, candidate, max(self.now(), since), by, reason)

    def _save(self, tx: RosterTransaction, row: RosterRow) -> None:
        holder = None if row.lookup_key is None else tx.person_by_lookup_key(row.lookup_key)
        if holder is None or holder.id == row.id:
            tx.save_people((row,))
        elif holder.by_hand and not self._stands(tx, holder):
            tx.save_people((replace(holder, lookup_key=None), row))
        else:
            raise RosterRefused(f"{holder.id!a} holds the link key since a moment ago; look again")

    def _demand_fit(self, row: RosterRow) -> None:
        values = {**row.attributes, "link_key": row.link_key}
        for name, value in values.items():
            if (why := self.problem(name, value)) is not None:
                raise RosterRefused(f"the {name} of this account names nobody for certain: {why}")
        if row.lookup_key is None:
            raise RosterRefused("the link key is blank")

    def _demand_admissible(self, row: RosterRow, *, privileged: bool) -> None:
        said = AdmittedByHand(row.id, self.now(), "", "", privileged)
        verdict = judge_row(Question(row, self.policy, self.now(), by_hand=said))
        if isinstance(verdict, Refused):
            raise RosterRefused(f"{verdict.reason}{_WAYS.get(verdict.refusal, '')}")

    def _is_over(self, row: RosterRow) -> bool:
        """Whether the row is only what an approver said in an outage that is over, or what somebody
        blocked since: then it is in nobody's way.
        """
        if not row.by_hand:
            return False
        with self.store.transaction() as tx:
            return not self._stands(tx, row)

    def _stands(self, tx: Transaction, row: RosterRow) -> bool:
        """Whether this admission counts in the outage that goes on."""
        said, state = tx.admitted_by_hand(row.id), self.store.switch_state()
        if said is None or state is None or row.blocked:
            return False
        return said.in_force(state, self.active)


def _say(tx: RosterTransaction, candidate: Candidate, at: datetime, by: str, reason: str) -> None:
    row = candidate.row
    tx.admit_by_hand(AdmittedByHand(row.id, at, by, reason, candidate.privileged))
    facts: dict[str, str | int | float | bool | None] = {
        "cause": reason.strip(),
        "privileged": candidate.privileged,
        "account": row.by_hand,
    }
    tx.record(Event("person_admitted", by, at, person=row.id, facts=facts))
