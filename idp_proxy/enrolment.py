"""JOURNEY: a person logs in afresh at the active, to set up a second factor for the standby.

    begin ............. from our page to the active, whatever session is open there
    complete .......... its answer; audit row and used ids in one commit, and a pass for the pages

It goes the way of a rehearsal: its transactions are sealed for another purpose than a login's, and
no Response can be made of it. Before and after, the active must serve and be seen to work.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from idp_proxy import errors
from idp_proxy.audit.chain import Event
from idp_proxy.decision.assurance import Assured, Enforce, Question, Shortfall, judge
from idp_proxy.enrolment_pass import EnrolmentPass, sealed_pass
from idp_proxy.store.base import UsedId
from idp_proxy.transaction import (
    CLOCK_SKEW,
    answered,
    demand_in_time,
    sealed_cookie,
)
from idp_proxy.upstream.base import Ask, Pending, SentOn

if TYPE_CHECKING:
    from collections.abc import Callable

    from idp_proxy.decision.assurance import AssurancePolicy
    from idp_proxy.decision.canary import CanaryAccounts
    from idp_proxy.enrolment_pass import OpeningHours
    from idp_proxy.saml.bindings import ResponseMessage
    from idp_proxy.seal import KeyRing
    from idp_proxy.store.base import Store
    from idp_proxy.upstream.base import Proof, Upstream

#: For what its transactions are sealed.
PURPOSE: Final = "enroll"


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A login at the active that was begun for this."""

    tid: str
    started_at: datetime
    entity_id: str
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """The journey's needs. `active` is the one upstream whose word opens the pages; by `policy` it
    must have proven as much as is asked of a standby, whether or not its logins are held to that.
    """

    active: str
    upstream: Upstream
    hours: OpeningHours
    policy: AssurancePolicy
    store: Store
    canaries: CanaryAccounts
    ring: KeyRing
    passes: KeyRing
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    answer_within: timedelta

    def look(self) -> None:
        """Raises `EnrolmentClosed`, `UpstreamUnavailable`, `StoreError` if it cannot be begun."""
        self.hours.demand_open()
        if (why := self.upstream.why_unusable(self.now())) is not None:
            raise errors.UpstreamUnavailable(f"{self.active} cannot be asked: {why}")

    def begin(self) -> SentOn:
        """Ask the active for a fresh login. Raises as `look`."""
        self.look()
        now = self.now()
        under_way = _UnderWay(
            tid=self.new_id(),
            started_at=now.replace(microsecond=0),
            entity_id=self.upstream.entity_id(now),
            request_id=f"_{self.new_id()}",
        )
        # Fresh: a session that is still open may be in a browser that somebody left alone.
        ask = Ask(under_way.request_id, under_way.tid, force_authn=True, is_passive=False, now=now)
        return SentOn(self.upstream.begin(ask), under_way.tid, _sealed(under_way, self.ring))

    def complete(
        self, upstream: str, message: ResponseMessage, cookie_of: Callable[[str], str | None]
    ) -> str:
        """Take the answer posted to the ACS of `upstream`: the sealed pass, for the cookie.

        Raises `LoginError` and its kin, `SamlError` for the answer, `EnrolmentClosed`,
        `ReplayDetected`, `StoreError`. Whatever it raises, there is no pass.
        """
        now = self.now()
        under_way = _opened(*answered(message.relay_state, cookie_of, self.ring))
        if upstream != self.active:
            raise errors.LoginNotAsked(f"FO-01: asked {self.active}, answered to {upstream}")
        demand_in_time(under_way.started_at, self.answer_within, now)
        self.hours.demand_open()
        pending = Pending(under_way.request_id, under_way.entity_id, now)
        proof = self.upstream.finish(message.message, pending)
        judged = self._judged(under_way, proof, now)
        refusal = self._record(under_way, proof, judged, now)
        if refusal is not None:
            raise refusal
        visit = EnrolmentPass(self.new_id(), proof.subject.attributes["id"], now)
        return sealed_pass(visit, self.passes)

    def _judged(
        self, under_way: _UnderWay, proof: Proof, now: datetime
    ) -> errors.EnrolmentTooWeak | None:
        """Why the login is too weak to set up what a standby will take for strong; None if it is
        not. Who knows a password alone would else make their own second factor of it (FO-04).

        Raises `UpstreamRefused` for one that is not fresh (IDP-04).
        """
        if not self.policy.levels:
            return errors.EnrolmentTooWeak("no floor: nothing says what this login is worth")
        strict = replace(self.policy, enforce=Enforce.ALL)
        evidence, since = proof.subject.evidence, under_way.started_at
        found = judge(Question(strict, self.active, evidence, now, fresh_since=since))
        if isinstance(found, Assured):
            return None
        if found.shortfall is Shortfall.TOO_OLD:
            raise errors.UpstreamRefused(found.rule, found.reason)
        return errors.EnrolmentTooWeak(found.reason)

    def _record(
        self,
        under_way: _UnderWay,
        proof: Proof,
        weak: errors.EnrolmentTooWeak | None,
        now: datetime,
    ) -> errors.LoginRefused | None:
        """The answer counts once, whoever it is about; why this person may not, or None."""
        person = proof.subject.attributes["id"]
        until = under_way.started_at + self.answer_within + CLOCK_SKEW
        with self.store.transaction() as tx:
            tx.consume(
                UsedId("transaction", "", under_way.tid, until),
                UsedId("assertion", proof.issuer, proof.assertion_id, max(proof.expires_at, until)),
            )
            row = tx.person(person)
            refusal: errors.LoginRefused | None = weak
            if self.canaries.names_one(proof.subject.link_key, person):
                refusal = errors.CanaryAccount("the subject is that of a configured canary")
            elif row is None:
                refusal = errors.EnrolmentRefused("the person is not in the roster")
            elif row.blocks:
                refusal = errors.PersonBlocked("nobody who is blocked sets up a second factor")
            tx.record(
                Event(
                    kind="enrolment_begun" if refusal is None else "enrolment_refused",
                    actor="idp-proxy",
                    at=now,
                    person=person,
                    facts={
                        "upstream": self.active,
                        "issuer": proof.issuer,
                        "assertion": proof.assertion_id,
                        "authn_context": proof.subject.evidence.authn_context,
                        "reason": None if refusal is None else refusal.code,
                    },
                )
            )
        return refusal


def _sealed(under_way: _UnderWay, ring: KeyRing) -> str:
    facts = {
        "at": int(under_way.started_at.timestamp()),
        "ent": under_way.entity_id,
        "req": under_way.request_id,
    }
    content = json.dumps(facts, separators=(",", ":")).encode()
    return sealed_cookie(under_way.tid, under_way.started_at, content, ring)


def _opened(tid: str, content: bytes) -> _UnderWay:
    facts = json.loads(content)
    return _UnderWay(
        tid=tid,
        started_at=datetime.fromtimestamp(facts["at"], UTC),
        entity_id=facts["ent"],
        request_id=facts["req"],
    )
