"""JOURNEY: one person logs in to Mattermost.

    Mattermost --AuthnRequest--> begin -----> the serving upstream
                                                   | the person authenticates there
    Mattermost <--Response------ complete <---Response

`begin` asks the one upstream that serves now and seals what it asked into a cookie; `complete`
takes the answer of that upstream only, finds out who the person is for Mattermost, and puts the
used ids, the roster and the audit row on record together before a Response leaves. Nothing is
stored in between. While the store is down the active serves on, with the host's spool in its place;
a standby's people cannot be looked up then and are refused (DESIGN section 6).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from idp_proxy import errors
from idp_proxy.audit.chain import Event
from idp_proxy.decision.roster import (
    Refusal,
    Refused,
    identity_of,
    judge_standby,
    learn,
    lookup_key,
)
from idp_proxy.decision.switching import refuses_answer, route
from idp_proxy.saml.authn_request import MAX_AGE, verify_authn_request
from idp_proxy.store.base import UsedId
from idp_proxy.transaction import (
    LoginTransaction,
    demand_returnable,
    is_tid,
    seal,
    unseal,
)
from idp_proxy.upstream.base import Ask, Pending

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from idp_proxy.decision.roster import RosterLimits, RosterRow
    from idp_proxy.decision.subject import Evidence, Identity, Subject
    from idp_proxy.decision.switching import Grace
    from idp_proxy.saml.authn_request import ServiceProvider
    from idp_proxy.saml.bindings import RequestMessage, ResponseMessage
    from idp_proxy.seal import KeyRing
    from idp_proxy.store.base import Spool, Store, Transaction
    from idp_proxy.store.switch_view import SwitchView
    from idp_proxy.upstream.base import PostForm, Proof, Redirect, Upstream

#: How far the clocks of two hosts, or of an upstream and a host, may be apart.
CLOCK_SKEW: Final = timedelta(seconds=120)

_REFUSALS: Final[dict[Refusal, type[errors.LoginRefused]]] = {
    Refusal.UNKNOWN: errors.PersonUnknown,
    Refusal.UNCONFIRMED: errors.PersonUnconfirmed,
    Refusal.CONFLICT: errors.PersonConflict,
    Refusal.BLOCKED: errors.PersonBlocked,
}


class ResponseIssuer(Protocol):
    """Writes what Mattermost gets; each Response has passed our own verifier before it leaves."""

    def issue(
        self, identity: Identity, evidence: Evidence, in_response_to: str, now: datetime
    ) -> str:
        """A signed Response, in base64."""

    def no_passive(self, in_response_to: str, now: datetime) -> str:
        """A signed Response with the status NoPassive, in base64."""


class Converted(Protocol):
    """Who logs in with email and password for now, as the conversion tool wrote it down."""

    def __contains__(self, person_id: str) -> bool:
        """Whether this canonical id is on the list."""


@dataclass(frozen=True, slots=True)
class Admission:
    """The person as Mattermost is told, and what the roster learns from this login."""

    identity: Identity
    rows: tuple[RosterRow, ...]


@dataclass(frozen=True, slots=True)
class Begun:
    """The way to the upstream, and the transaction's id with its sealed form."""

    way: Redirect | PostForm
    tid: str
    sealed: str


@dataclass(frozen=True, slots=True)
class Issued:
    """What the browser posts to Mattermost, and what the log may say of it."""

    acs_url: str
    saml_response: str
    relay_state: str | None
    upstream: str
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """The journey's needs. `preference` names the upstreams in order: the first is the active."""

    provider: ServiceProvider
    upstreams: Mapping[str, Upstream]
    preference: tuple[str, ...]
    store: Store
    spool: Spool | None
    switch: SwitchView
    responses: ResponseIssuer
    converted: Converted
    ring: KeyRing
    withheld_from_standby: frozenset[str]
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    answer_within: timedelta
    grace: Grace
    roster_limits: RosterLimits

    def begin(self, message: RequestMessage) -> Begun:
        """Ask the serving upstream to authenticate the person Mattermost sent.

        Raises `SamlError` for the request, `RelayStateRefused`, `UpstreamUnavailable` while nobody
        serves, `StoreError` while it cannot be known who does.
        """
        now = self.now()
        request = verify_authn_request(message, self.provider, now)
        demand_returnable(message.relay_state)
        state = self.switch.state()
        serving = route(state)
        if serving is None or serving not in self.upstreams:
            raise errors.UpstreamUnavailable(
                f"the serving upstream {state.serving} takes no logins"
            )
        upstream = self.upstreams[serving]
        transaction = LoginTransaction(
            tid=self.new_id(),
            started_at=now.replace(microsecond=0),
            sp_request_id=request.id,
            relay_state=message.relay_state,
            acs_url=self.provider.acs_url,
            upstream=serving,
            entity_id=upstream.entity_id(now),
            epoch=state.epoch,
            request_id=f"_{self.new_id()}",
            force_authn=request.force_authn,
            is_passive=request.is_passive,
        )
        way = upstream.begin(
            Ask(
                request_id=transaction.request_id,
                relay_state=transaction.tid,
                force_authn=request.force_authn,
                is_passive=request.is_passive,
                now=now,
            )
        )
        return Begun(way, transaction.tid, seal(transaction, self.ring))

    def complete(
        self, upstream: str, message: ResponseMessage, cookie_of: Callable[[str], str | None]
    ) -> Issued:
        """Take the answer posted to the ACS of `upstream`; `cookie_of` finds the login's cookie.

        Raises `LoginError` and its kin for the person's journey, `SamlError` for the answer,
        `ReplayDetected`, `StoreError`. Whatever it raises, nothing was issued.
        """
        now = self.now()
        transaction = self._transaction(message.relay_state, cookie_of, now)
        self._demand_asked(transaction, upstream, now)
        try:
            proof = self.upstreams[upstream].finish(
                message.message, Pending(transaction.request_id, transaction.entity_id, now)
            )
        except errors.UpstreamRefused:
            if not transaction.is_passive:
                raise
            response = self.responses.no_passive(transaction.sp_request_id, now)
            return _issued(transaction, response, "no_passive")
        _demand_fresh(transaction, proof.subject.evidence)
        identity = self._on_record(transaction, proof, now)
        response = self.responses.issue(
            identity, proof.subject.evidence, transaction.sp_request_id, now
        )
        return _issued(transaction, response, "logged_in")

    def _transaction(
        self, relay_state: str | None, cookie_of: Callable[[str], str | None], now: datetime
    ) -> LoginTransaction:
        if relay_state is None or not is_tid(relay_state):
            raise errors.LoginUnsolicited("the RelayState is not of a login that began here")
        cookie = cookie_of(relay_state)
        if cookie is None:
            raise errors.LoginUnknown("the login's cookie did not come with the answer")
        transaction = unseal(cookie, relay_state, self.ring)
        if transaction is None:
            raise errors.LoginUnknown("the login's cookie was not sealed for this RelayState")
        age = now - transaction.started_at
        if not -CLOCK_SKEW <= age <= self.answer_within:
            raise errors.LoginExpired(f"answered after {age.total_seconds():.0f} s")
        return transaction

    def _demand_asked(self, transaction: LoginTransaction, upstream: str, now: datetime) -> None:
        """The answer is of the upstream that was asked, and is still wanted (FO-01, FO-03)."""
        if upstream != transaction.upstream or upstream not in self.upstreams:
            raise errors.LoginNotAsked(
                f"FO-01: asked {transaction.upstream}, answered to {upstream}"
            )
        if transaction.acs_url != self.provider.acs_url:
            raise errors.LoginExpired("the service provider's address was changed during the login")
        if why := refuses_answer(self.switch.state(), upstream, self.grace, now):
            raise errors.LoginNotAsked(f"FO-03: {why}")

    def _on_record(self, transaction: LoginTransaction, proof: Proof, now: datetime) -> Identity:
        """Who the person is for Mattermost, with everything about this login committed at once.

        A refusal is on record too and uses up the same ids. While the store is away the host's
        spool takes its place: for the active's people, and for the refusal of all others. It is
        told of every id, so that what counted before the store went away does not count again.
        """
        try:
            with self.store.transaction() as tx:
                found = self._judged(tx, proof.subject, now)
                self._write(tx, transaction, proof, found, now)
        except errors.StoreConflict:
            raise
        except errors.StoreError:
            if self.spool is None:
                raise
            found = self._judged_alone(proof.subject, now)
            with self.spool.transaction() as tx:
                self._write(tx, transaction, proof, found, now)
        else:
            if self.spool is not None:
                self.spool.remember(self._used_ids(transaction, proof))
        if isinstance(found, errors.LoginRefused):
            raise found
        return found.identity

    def _judged(
        self, tx: Transaction, subject: Subject, now: datetime
    ) -> Admission | errors.LoginRefused:
        """The active's word makes the roster; a standby's is only a key into it (FO-08, FO-09)."""
        holder = tx.person_by_lookup_key(lookup_key(subject.link_key))
        if subject.upstream == self.preference[0]:
            person_id = subject.attributes["id"]
            known = holder if holder and holder.id == person_id else tx.person(person_id)
            identity = identity_of(subject.attributes, frozenset())
            return self._unless_converted(identity, learn(subject, known, holder, now))
        verdict = judge_standby(holder, self.roster_limits, now)
        if isinstance(verdict, Refused):
            return _REFUSALS[verdict.refusal](verdict.reason)
        identity = identity_of(verdict.row.attributes, self.withheld_from_standby)
        return self._unless_converted(identity, ())

    def _judged_alone(self, subject: Subject, now: datetime) -> Admission | errors.LoginRefused:
        """The same without the roster: the active's people are who it says, others are unknown.

        The row is held against the roster when the spool is merged.
        """
        if subject.upstream != self.preference[0]:
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
        found: Admission | errors.LoginRefused,
        now: datetime,
    ) -> None:
        refusal = found if isinstance(found, errors.LoginRefused) else None
        admission = found if isinstance(found, Admission) else None
        tx.consume(*self._used_ids(transaction, proof))
        for row in admission.rows if admission else ():
            tx.save_person(row)
        tx.note_proof(transaction.upstream, now)
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
        return (
            UsedId("request", self.provider.entity_id, transaction.sp_request_id, asked_until),
            UsedId("transaction", "", transaction.tid, until),
            UsedId("assertion", proof.issuer, proof.assertion_id, max(proof.expires_at, until)),
        )


def _issued(transaction: LoginTransaction, response: str, outcome: str) -> Issued:
    return Issued(
        acs_url=transaction.acs_url,
        saml_response=response,
        relay_state=transaction.relay_state,
        upstream=transaction.upstream,
        outcome=outcome,
    )


def _demand_fresh(transaction: LoginTransaction, evidence: Evidence) -> None:
    """Who asked for a fresh authentication gets one: an older session does not do (IDP-04)."""
    oldest = transaction.started_at - CLOCK_SKEW
    if transaction.force_authn and evidence.authn_instant < oldest:
        raise errors.UpstreamRefused(
            "IDP-04", "ForceAuthn was asked, and an older session answered"
        )
