"""Who the person is for Mattermost, and everything about a login put on record at once.

The used ids, the roster and the audit row are committed together, or nothing of them is and no
Response leaves. While the store is away the host's spool takes its place (DESIGN section 6).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from idp_proxy import errors
from idp_proxy.audit.chain import Event
from idp_proxy.decision.assurance import UNSPECIFIED, Assured, Question, Shortfall, judge
from idp_proxy.decision.assurance import Refused as TooLittle
from idp_proxy.decision.drill import person_digest
from idp_proxy.decision.roster import (
    ADMISSIBLE,
    Refusal,
    Refused,
    identity_of,
    judge_standby,
    learn,
    lookup_key,
)
from idp_proxy.decision.second_factor import fo_09_same_person
from idp_proxy.decision.standby_logins import StandbyLogin
from idp_proxy.saml.authn_request import MAX_AGE
from idp_proxy.store.base import UsedId
from idp_proxy.transaction import CLOCK_SKEW

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from idp_proxy.decision.assurance import AssurancePolicy
    from idp_proxy.decision.canary import CanaryAccounts
    from idp_proxy.decision.roster import AdmittedByHand, RosterPolicy, RosterRow
    from idp_proxy.decision.subject import Identity, Subject
    from idp_proxy.store.base import Spool, Store, Transaction
    from idp_proxy.store.switch_view import SwitchView
    from idp_proxy.transaction import LoginTransaction
    from idp_proxy.upstream.base import Proof

_REFUSALS: Final[dict[Refusal, type[errors.LoginRefused]]] = {
    Refusal.UNKNOWN: errors.PersonUnknown,
    Refusal.UNCONFIRMED: errors.PersonUnconfirmed,
    Refusal.CONFLICT: errors.PersonConflict,
    Refusal.BLOCKED: errors.PersonBlocked,
    Refusal.MISMATCH: errors.PersonMismatch,
    Refusal.PRIVILEGED: errors.PersonPrivileged,
}
#: The error for each way in which an authentication does not do.
SHORTFALLS: Final[dict[Shortfall, type[errors.LoginRefused]]] = {
    Shortfall.TOO_WEAK: errors.AssuranceTooLow,
    Shortfall.TOO_OLD: errors.AuthenticationTooOld,
}


class Converted(Protocol):
    """Who logs in with email and password for now, as the conversion tool wrote it down."""

    def __contains__(self, person_id: str) -> bool:
        """Whether this canonical id is on the list."""


class Contexts(Protocol):
    """Counts how people were authenticated (`seen_contexts`)."""

    def seen(self, upstream: str, context: str, level: str, at: datetime) -> None:
        """Somebody was, by `upstream`, with this context class, which counts for this level."""


@dataclass(frozen=True, slots=True)
class Admission:
    """The person as Mattermost is told, and what the roster learns from this login; `context` is
    the class of the authentication that Mattermost is told.
    """

    identity: Identity
    rows: tuple[RosterRow, ...]
    context: str = UNSPECIFIED


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginRecord:
    """What it takes to put a login on record. `active` is the upstream that makes the roster;
    `issued_to` the service provider whose requests count once; `canaries` are the accounts that
    log in for the watch alone.
    """

    store: Store
    spool: Spool | None
    switch: SwitchView
    active: str
    issued_to: str
    converted: Converted
    canaries: CanaryAccounts
    withheld_from_standby: frozenset[str]
    answer_within: timedelta
    roster_policy: RosterPolicy
    assurance: AssurancePolicy
    contexts: Contexts
    new_id: Callable[[], str]

    def put(self, transaction: LoginTransaction, proof: Proof, now: datetime) -> Admission:
        """Who the person is for Mattermost, with everything about this login committed at once.

        A refusal is on record too and uses up the same ids. While the store is away the host's
        spool takes its place: for the active's people, and for the refusal of all others. It is
        told of every id, so that what counted before the store went away does not count again.

        Where the store's answer to a commit is lost it may have happened: there the attempt's own
        name tells this login, when the spool is merged, from a second use of its ids.
        """
        used = self._used_ids(transaction, proof)
        verdict = self._assurance(transaction, proof, now)
        refusal = _not_meant(transaction, proof) or _shortfall(verdict)
        try:
            with self.store.transaction() as tx:
                found = refusal or self._judged(tx, proof.subject, now)
                found = self._unless_canary(proof.subject, found)
                self._write(tx, transaction, proof, verdict, found, used, now)
        except errors.StoreConflict:
            raise
        except errors.StoreError:
            if self.spool is None:
                raise
            found = refusal or self._judged_alone(proof.subject, now)
            found = self._unless_canary(proof.subject, found)
            with self.spool.transaction() as tx:
                self._write(tx, transaction, proof, verdict, found, used, now)
        else:
            if self.spool is not None:
                self.spool.remember(used)
        self.contexts.seen(
            transaction.upstream, proof.subject.evidence.authn_context, verdict.level, now
        )
        if isinstance(found, errors.LoginRefused):
            raise found
        if isinstance(verdict, TooLittle):  # it stands in `found`; no other way leads past it
            raise errors.Internal("an authentication that does not do was let in")
        return replace(found, context=verdict.context)

    def _assurance(
        self, transaction: LoginTransaction, proof: Proof, now: datetime
    ) -> Assured | TooLittle:
        """Whether this authentication does: strong enough, young enough, and fresh if that was
        asked for (FO-04, IDP-04).
        """
        since = transaction.started_at if transaction.force_authn else None
        subject = proof.subject
        return judge(Question(self.assurance, subject.upstream, subject.evidence, now, since))

    def demand_unused(self, transaction: LoginTransaction) -> None:
        """Raises `ReplayDetected` for a login that came to its end, `StoreError`. It spares
        a person a form in vain; what counts once is settled by `put`.
        """
        until = transaction.started_at + self.answer_within + CLOCK_SKEW
        if self.store.is_used(UsedId("transaction", "", transaction.tid, until)):
            raise errors.ReplayDetected("this login came to its end already")

    def _unless_canary(
        self, subject: Subject, found: Admission | errors.LoginRefused
    ) -> Admission | errors.LoginRefused:
        """Behind every judgement, so that none lets one in: neither by what the upstream said nor
        by whom it found in the roster.
        """
        named = {subject.link_key, subject.attributes.get("id", subject.link_key)}
        if isinstance(found, Admission):
            named |= {found.identity.id, *(row.link_key for row in found.rows)}
        if self.canaries.names_one(*named):
            return errors.CanaryAccount("the subject is that of a configured canary")
        return found

    def _judged(
        self, tx: Transaction, subject: Subject, now: datetime
    ) -> Admission | errors.LoginRefused:
        """The active's word makes the roster; a standby's is only a key into it (FO-08, FO-09)."""
        holder = tx.person_by_lookup_key(lookup_key(subject.link_key))
        if subject.upstream == self.active:
            person_id = subject.attributes["id"]
            known = holder if holder and holder.id == person_id else tx.person(person_id)
            identity = identity_of(subject.attributes, frozenset())
            return self._unless_converted(identity, learn(subject, known, holder, now))
        verdict = judge_standby(subject, holder, self.roster_policy, now)
        if isinstance(verdict, Refused) and verdict.refusal in ADMISSIBLE:
            said = self._said_by_hand(tx, holder)
            verdict = judge_standby(subject, holder, self.roster_policy, now, said)
        if isinstance(verdict, Refused):
            return _REFUSALS[verdict.refusal](verdict.reason)
        if (why := fo_09_same_person(subject.factor_of, verdict.row.id)) is not None:
            return errors.PersonChanged(why)
        identity = identity_of(verdict.row.attributes, self.withheld_from_standby)
        return self._unless_converted(identity, ())

    def _said_by_hand(self, tx: Transaction, row: RosterRow | None) -> AdmittedByHand | None:
        """What an approver said for this person in the outage that goes on."""
        said = None if row is None else tx.admitted_by_hand(row.id)
        if said is None or not said.in_force(self.switch.state(), self.active):
            return None
        return said

    def _judged_alone(self, subject: Subject, now: datetime) -> Admission | errors.LoginRefused:
        """The same without the roster: the active's people are who it says, others are unknown.

        The row is held against the roster when the spool is merged.
        """
        if subject.upstream != self.active:
            return errors.RosterUnavailable("the store is away, and with it the roster")
        identity = identity_of(subject.attributes, frozenset())
        return self._unless_converted(identity, learn(subject, None, None, now))

    def _unless_converted(
        self, identity: Identity, rows: tuple[RosterRow, ...]
    ) -> Admission | errors.LoginRefused:
        if identity.id in self.converted:
            return errors.PersonConverted("the person is on the list of converted people")
        return Admission(identity, rows)

    def _write(
        self,
        tx: Transaction,
        transaction: LoginTransaction,
        proof: Proof,
        verdict: Assured | TooLittle,
        found: Admission | errors.LoginRefused,
        used: Sequence[UsedId],
        now: datetime,
    ) -> None:
        drill = {} if transaction.drill is None else {"drill": transaction.drill.drill}
        refusal = found if isinstance(found, errors.LoginRefused) else None
        admission = found if isinstance(found, Admission) else None
        tx.consume(*used)
        for row in admission.rows if admission else ():
            tx.save_person(row)
        facts = {"level": verdict.level} if verdict.level else {}
        if isinstance(verdict, TooLittle):
            facts["rule"] = verdict.rule
        else:  # what is too weak to let anybody in proves nothing of the upstream either
            tx.note_proof(transaction.upstream, now)
        if admission is not None and transaction.upstream != self.active:
            # Its session outlives the outage; `standby-logins revoke` ends it afterwards (FO-13).
            tx.note_standby_login(
                StandbyLogin(admission.identity.id, transaction.upstream, transaction.epoch, now)
            )
        tx.record(
            Event(
                kind="login_refused" if refusal else "login",
                actor="idp-proxy",
                at=now,
                person=admission.identity.id if admission else None,
                facts={
                    "upstream": transaction.upstream,
                    "epoch": transaction.epoch,
                    "issuer": proof.issuer,
                    "request": transaction.sp_request_id,
                    "assertion": proof.assertion_id,
                    "authn_context": proof.subject.evidence.authn_context,
                    "reason": refusal.code if refusal else None,
                    **drill,
                    **facts,
                },
            )
        )

    def _used_ids(self, transaction: LoginTransaction, proof: Proof) -> tuple[UsedId, ...]:
        """The request, the transaction and the assertion count once (SP-06, IDP-05).

        Each is remembered for as long as it could be accepted again: the assertion until its end,
        the transaction until it is too old, the request until no transaction for it can be younger.
        """
        until = transaction.started_at + self.answer_within + CLOCK_SKEW
        asked_until = until + MAX_AGE + CLOCK_SKEW
        proof_until, attempt = max(proof.expires_at, until), self.new_id()
        return (
            UsedId("request", self.issued_to, transaction.sp_request_id, asked_until, attempt),
            UsedId("transaction", "", transaction.tid, until, attempt),
            UsedId("assertion", proof.issuer, proof.assertion_id, proof_until, attempt),
        )


def _shortfall(verdict: Assured | TooLittle) -> errors.LoginRefused | None:
    return SHORTFALLS[verdict.shortfall](verdict.reason) if isinstance(verdict, TooLittle) else None


def _not_meant(transaction: LoginTransaction, proof: Proof) -> errors.PersonNotInDrill | None:
    """In a drill nobody comes through the standby but whom the browser's pass was made for."""
    meant, key = transaction.drill, lookup_key(proof.subject.link_key)
    if meant is None or person_digest(key) == meant.person:
        return None
    return errors.PersonNotInDrill(f"the pass of the drill {meant.drill} is somebody else's")
