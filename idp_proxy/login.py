"""JOURNEY: one person logs in to Mattermost.

    Mattermost --AuthnRequest--> begin -----> the serving upstream
                                                   | the person authenticates there
    Mattermost <--Response------ complete <---Response

`begin` asks the one upstream that serves now and seals what it asked into a cookie; `complete`
takes the answer of that upstream only, finds out who the person is for Mattermost, and puts the
used ids, the roster and the audit row on record together before a Response leaves. Nothing is
stored in between. Where the person authenticates on a page of ours, as at a directory, `prove`
ends the login in place of `complete`, by the same checks. While the store is down the active serves
on, with the host's spool in its place; a standby's people cannot be looked up then and are refused
(DESIGN section 6).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from idp_proxy import errors
from idp_proxy.decision.standby_logins import fo_13_session_end
from idp_proxy.decision.switching import refuses_answer, route
from idp_proxy.saml.authn_request import verify_authn_request
from idp_proxy.transaction import (
    LoginTransaction,
    answered_login,
    demand_in_time,
    demand_returnable,
    seal,
)
from idp_proxy.upstream.base import Ask, Pending, Proof, SentOn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime, timedelta

    from idp_proxy.decision.subject import Evidence, Identity, Subject
    from idp_proxy.decision.switching import Grace, SwitchState
    from idp_proxy.login_record import Admission, LoginRecord
    from idp_proxy.saml.authn_request import ServiceProvider
    from idp_proxy.saml.bindings import RequestMessage, ResponseMessage
    from idp_proxy.seal import KeyRing
    from idp_proxy.store.switch_view import SwitchView
    from idp_proxy.transaction import DrillLogin
    from idp_proxy.upstream.base import Upstream


class ResponseIssuer(Protocol):
    """Writes what Mattermost gets; each Response has passed our own verifier before it leaves."""

    def issue(
        self, identity: Identity, evidence: Evidence, in_response_to: str, now: datetime
    ) -> str:
        """A signed Response, in base64."""

    def no_passive(self, in_response_to: str, now: datetime) -> str:
        """A signed Response with the status NoPassive, in base64."""


class Meter(Protocol):
    """Counts logins, for the share that is never answered (`decision.traffic`)."""

    def begun(self, upstream: str, at: datetime) -> None:
        """A login was sent to `upstream`."""

    def answered(self, upstream: str, begun_at: datetime) -> None:
        """`upstream` gave a verified answer, or refused, to a login that began then."""


class Drills(Protocol):
    """Whom a drill leads past the serving upstream (`drill_pass`)."""

    def way(self, cookie: str, state: SwitchState, now: datetime) -> tuple[str, DrillLogin] | None:
        """Where a browser with this pass is led, and for whom; None: where everybody is."""

    def refuses_answer(
        self, login: DrillLogin, state: SwitchState, grace: Grace, now: datetime
    ) -> str | None:
        """Why the answer to such a login is no longer taken; None if it is."""


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
    """The journey's needs. `upstreams` are in order of preference: the first is the active."""

    provider: ServiceProvider
    upstreams: Mapping[str, Upstream]
    switch: SwitchView
    record: LoginRecord
    responses: ResponseIssuer
    drills: Drills
    meter: Meter
    ring: KeyRing
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    answer_within: timedelta
    standby_session: timedelta
    grace: Grace

    def begin(self, message: RequestMessage, drill_pass: str | None = None) -> SentOn:
        """Ask the serving upstream to authenticate the person Mattermost sent; or the standby of a
        drill, if this browser has a pass for one that goes on.

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
        asked, drill = serving, None
        if drill_pass is not None and (way := self._drilled(drill_pass, state, now)):
            asked, drill = way
        upstream = self.upstreams[asked]
        transaction = LoginTransaction(
            tid=self.new_id(),
            started_at=now.replace(microsecond=0),
            sp_request_id=request.id,
            relay_state=message.relay_state,
            acs_url=self.provider.acs_url,
            upstream=asked,
            entity_id=upstream.entity_id(now),
            epoch=state.epoch,
            request_id=f"_{self.new_id()}",
            force_authn=request.force_authn or self.record.assurance.of(asked).force_authn,
            is_passive=request.is_passive,
            drill=drill,
        )
        sent = upstream.begin(
            Ask(
                request_id=transaction.request_id,
                relay_state=transaction.tid,
                force_authn=transaction.force_authn,
                is_passive=request.is_passive,
                now=now,
            )
        )
        self.meter.begun(asked, transaction.started_at)
        return SentOn(sent, transaction.tid, seal(transaction, self.ring))

    def _drilled(
        self, drill_pass: str, state: SwitchState, now: datetime
    ) -> tuple[str, DrillLogin] | None:
        """Where a drill leads this browser, if that upstream can be asked."""
        way = self.drills.way(drill_pass, state, now)
        known = None if way is None else self.upstreams.get(way[0])
        return None if known is None or known.why_unusable(now) is not None else way

    def complete(
        self, upstream: str, message: ResponseMessage, cookie_of: Callable[[str], str | None]
    ) -> Issued:
        """Take the answer posted to the ACS of `upstream`; `cookie_of` finds the login's cookie.

        Raises `LoginError` and its kin for the person's journey, `SamlError` for the answer,
        `ReplayDetected`, `StoreError`. Whatever it raises, nothing was issued.
        """
        now = self.now()
        transaction = answered_login(message.relay_state, cookie_of, self.ring)
        demand_in_time(transaction.started_at, self.answer_within, now)
        self._demand_asked(transaction, upstream, now)
        try:
            proof = self.upstreams[upstream].finish(
                message.message, Pending(transaction.request_id, transaction.entity_id, now)
            )
        except errors.UpstreamRefused:
            self.meter.answered(upstream, transaction.started_at)
            if not transaction.is_passive:
                raise
            response = self.responses.no_passive(transaction.sp_request_id, now)
            return _issued(transaction, response, "no_passive")
        return self._logged_in(transaction, proof, now)

    def asked_here(
        self, upstream: str, tid: str, cookie_of: Callable[[str], str | None]
    ) -> LoginTransaction:
        """The login of this browser that a page of ours is shown for, while it can still end.

        Raises as `complete`; `ReplayDetected` for one that came to its end.
        """
        now = self.now()
        transaction = answered_login(tid, cookie_of, self.ring)
        demand_in_time(transaction.started_at, self.answer_within, now)
        self._demand_asked(transaction, upstream, now)
        self.record.demand_unused(transaction)
        return transaction

    def prove(
        self, upstream: str, tid: str, subject: Subject, cookie_of: Callable[[str], str | None]
    ) -> Issued:
        """End a login by what somebody proved on a page of ours, who is `subject` at `upstream`.

        The checks are those of an answer, under an id of our own. Raises as `complete`.
        """
        now = self.now()
        transaction = answered_login(tid, cookie_of, self.ring)
        demand_in_time(transaction.started_at, self.answer_within, now)
        self._demand_asked(transaction, upstream, now)
        if subject.upstream != upstream:
            raise errors.LoginNotAsked(f"FO-01: asked {upstream}, proven at {subject.upstream}")
        proof = Proof(
            subject=subject,
            assertion_id=f"_{self.new_id()}",
            issuer=transaction.entity_id,
            expires_at=now + self.answer_within,
        )
        return self._logged_in(transaction, proof, now)

    def not_passive(
        self, upstream: str, tid: str, cookie_of: Callable[[str], str | None]
    ) -> Issued:
        """The end of a login that may show no page, at an upstream that is one (SAML core 3.4.1.4).

        Raises as `asked_here`.
        """
        transaction = self.asked_here(upstream, tid, cookie_of)
        self.meter.answered(upstream, transaction.started_at)
        response = self.responses.no_passive(transaction.sp_request_id, self.now())
        return _issued(transaction, response, "no_passive")

    def _logged_in(self, transaction: LoginTransaction, proof: Proof, now: datetime) -> Issued:
        found = self._admission(transaction, proof, now)
        evidence, end = proof.subject.evidence, proof.subject.evidence.session_not_on_or_after
        if transaction.upstream != next(iter(self.upstreams)):
            end = fo_13_session_end(end, now, self.standby_session)
        told = replace(evidence, authn_context=found.context, session_not_on_or_after=end)
        response = self.responses.issue(found.identity, told, transaction.sp_request_id, now)
        return _issued(transaction, response, "logged_in")

    def _admission(self, transaction: LoginTransaction, proof: Proof, now: datetime) -> Admission:
        """Who this is for Mattermost, on record. An answer counts as one, whatever becomes of it;
        the same one posted again does not: it would hide logins that nobody answers.
        """
        try:
            found = self.record.put(transaction, proof, now)
        except errors.ReplayDetected:
            raise
        except errors.ProxyError:
            self.meter.answered(transaction.upstream, transaction.started_at)
            raise
        self.meter.answered(transaction.upstream, transaction.started_at)
        return found

    def _demand_asked(self, transaction: LoginTransaction, upstream: str, now: datetime) -> None:
        """The answer is of the upstream that was asked, and is still wanted (FO-01, FO-03)."""
        if upstream != transaction.upstream or upstream not in self.upstreams:
            raise errors.LoginNotAsked(
                f"FO-01: asked {transaction.upstream}, answered to {upstream}"
            )
        if transaction.acs_url != self.provider.acs_url:
            raise errors.LoginExpired("the service provider's address was changed during the login")
        state = self.switch.state()
        if transaction.drill is None:
            why = refuses_answer(state, upstream, self.grace, now)
        else:
            why = self.drills.refuses_answer(transaction.drill, state, self.grace, now)
        if why is not None:
            raise errors.LoginNotAsked(f"FO-03: {why}")


def _issued(transaction: LoginTransaction, response: str, outcome: str) -> Issued:
    return Issued(
        acs_url=transaction.acs_url,
        saml_response=response,
        relay_state=transaction.relay_state,
        upstream=transaction.upstream,
        outcome=outcome,
    )
