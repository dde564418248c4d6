"""JOURNEY: an operator logs in by one upstream, and ends on a page of ours instead of Mattermost.

    idp-proxy rehearse NAME ... a link, sealed: which upstream, as what, who asked, until when
    look, begin ............... the link's page, and from its form on to the upstream
    complete .................. its answer; evidence, audit row and used ids in one commit

What is proven is the whole way: the upstream's page, its answer, our checks. No Response is made of
it: this journey cannot write one, its transactions are sealed for another purpose than a login's
and lie in cookies of another name. The link counts once, when the answer is taken; until then
nothing is stored, and who mistyped a password may try again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from idp_proxy import errors
from idp_proxy.audit.chain import Event
from idp_proxy.decision.assurance import Question, judge
from idp_proxy.decision.assurance import Refused as TooLittle
from idp_proxy.decision.roster import Refusal, Refused, judge_standby, lookup_key
from idp_proxy.links import LinkExpired, LinkUsed, read, write
from idp_proxy.login_record import SHORTFALLS
from idp_proxy.store.base import Evidence, UsedId
from idp_proxy.transaction import (
    CLOCK_SKEW,
    answered,
    demand_in_time,
    sealed_cookie,
)
from idp_proxy.upstream.base import Ask, Pending, Proof, SentOn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from idp_proxy.decision.assurance import AssurancePolicy
    from idp_proxy.decision.canary import CanaryAccounts
    from idp_proxy.decision.roster import RosterPolicy
    from idp_proxy.decision.subject import Subject
    from idp_proxy.saml.bindings import ResponseMessage
    from idp_proxy.seal import KeyRing
    from idp_proxy.store.base import Store, Transaction
    from idp_proxy.store.switch_view import SwitchView
    from idp_proxy.upstream.base import Upstream

#: For what its links and transactions are sealed.
PURPOSE: Final = "rehearse"
#: How long a link is valid: its answer must be here by then.
LINK_LASTS: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a link says: `kind` of evidence about `upstream`, asked for by `actor`."""

    id: str
    kind: Evidence
    upstream: str
    actor: str
    until: datetime

    @property
    def use(self) -> UsedId:
        """That it counts once. It is consumed together with the evidence, never without."""
        return UsedId("rehearsal", "", self.id, self.until + CLOCK_SKEW)


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """A login by `upstream` works. `refusal` is why Mattermost would get no Response for this
    person all the same: that is about the person, and not about the upstream.
    """

    kind: Evidence
    upstream: str
    at: datetime
    refusal: Refusal | None


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A rehearsal that was begun: what was asked, and by which link."""

    tid: str
    ticket: Ticket
    started_at: datetime
    entity_id: str
    request_id: str


def link_of(ticket: Ticket, ring: KeyRing) -> str:
    """The link's last part. Who has it may rehearse, and nothing else."""
    return write(_facts(ticket), ring)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """The journey's needs. `active` is the upstream that makes the roster."""

    upstreams: Mapping[str, Upstream]
    switch: SwitchView
    store: Store
    active: str
    canaries: CanaryAccounts
    roster_policy: RosterPolicy
    assurance: AssurancePolicy
    ring: KeyRing
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    answer_within: timedelta

    def look(self, token: str) -> Ticket:
        """What the link is for; nothing follows from looking.

        Raises `LinkRefused`, `UpstreamUnavailable` when the upstream cannot be asked, `StoreError`.
        """
        now = self.now()
        ticket = _ticket(read(token, self.ring))
        _demand_valid(ticket, now)
        self._demand_enabled(ticket.upstream)
        if (why := self.upstreams[ticket.upstream].why_unusable(now)) is not None:
            raise errors.UpstreamUnavailable(f"{ticket.upstream} cannot be asked: {why}")
        if self.store.is_used(ticket.use):
            raise LinkUsed(f"the link {ticket.id} counted already")
        return ticket

    def begin(self, token: str) -> SentOn:
        """Ask the link's upstream, whoever serves, for a fresh login. Raises as `look`."""
        ticket, now = self.look(token), self.now()
        upstream = self.upstreams[ticket.upstream]
        under_way = _UnderWay(
            tid=self.new_id(),
            ticket=ticket,
            started_at=now.replace(microsecond=0),
            entity_id=upstream.entity_id(now),
            request_id=f"_{self.new_id()}",
        )
        # Fresh: a session that is still open there would prove nothing about its login page.
        ask = Ask(under_way.request_id, under_way.tid, force_authn=True, is_passive=False, now=now)
        return SentOn(upstream.begin(ask), under_way.tid, _sealed(under_way, self.ring))

    def complete(
        self, upstream: str, message: ResponseMessage, cookie_of: Callable[[str], str | None]
    ) -> Rehearsed:
        """Take the answer posted to the ACS of `upstream`; `cookie_of` finds its cookie.

        Raises `LoginError` and its kin, `LinkRefused`, `SamlError` for the answer, `PersonBlocked`,
        `CanaryAccount`, `StoreError`. Whatever it raises, there is no evidence, and the link may
        still count.
        """
        now = self.now()
        under_way = self._under_way(upstream, message.relay_state, cookie_of, now)
        pending = Pending(under_way.request_id, under_way.entity_id, now)
        proof = self.upstreams[upstream].finish(message.message, pending)
        return self._done(under_way, proof, now)

    def asked_here(self, upstream: str, tid: str, cookie_of: Callable[[str], str | None]) -> None:
        """As `Login.asked_here`. Raises as `complete`, `LinkUsed` if it came to its end."""
        ticket = self._under_way(upstream, tid, cookie_of, self.now()).ticket
        if self.store.is_used(ticket.use):
            raise LinkUsed(f"the link {ticket.id} counted already")

    def prove(
        self, upstream: str, tid: str, subject: Subject, cookie_of: Callable[[str], str | None]
    ) -> Rehearsed:
        """As `complete`, for what somebody proved on a page of ours (`Login.prove`)."""
        now = self.now()
        under_way = self._under_way(upstream, tid, cookie_of, now)
        if subject.upstream != upstream:
            raise errors.LoginNotAsked(f"FO-01: asked {upstream}, proven at {subject.upstream}")
        proof = Proof(subject, f"_{self.new_id()}", under_way.entity_id, now + self.answer_within)
        return self._done(under_way, proof, now)

    def _under_way(
        self,
        upstream: str,
        tid: str | None,
        cookie_of: Callable[[str], str | None],
        now: datetime,
    ) -> _UnderWay:
        """The rehearsal of this browser, which goes on and asked this upstream."""
        under_way = _opened(*answered(tid, cookie_of, self.ring))
        ticket = under_way.ticket
        if upstream != ticket.upstream:
            raise errors.LoginNotAsked(f"FO-01: asked {ticket.upstream}, answered to {upstream}")
        demand_in_time(under_way.started_at, self.answer_within, now)
        _demand_valid(ticket, now)
        self._demand_enabled(upstream)
        return under_way

    def _done(self, under_way: _UnderWay, proof: Proof, now: datetime) -> Rehearsed:
        ticket = under_way.ticket
        self._demand_assured(under_way, proof, now)
        with self.store.transaction() as tx:
            person, refusal = self._person(tx, proof.subject, now)
            if refusal is Refusal.BLOCKED:
                raise errors.PersonBlocked("nobody who is blocked vouches for an upstream")
            self._write(tx, under_way, proof, person, refusal, now)
        return Rehearsed(ticket.kind, ticket.upstream, now, refusal)

    def _demand_assured(self, under_way: _UnderWay, proof: Proof, now: datetime) -> None:
        """Fresh, and what a login of this upstream would need: what lets nobody in proves nothing.

        Raises `AssuranceTooLow`, `AuthenticationTooOld`.
        """
        subject = proof.subject
        verdict = judge(
            Question(self.assurance, subject.upstream, subject.evidence, now, under_way.started_at)
        )
        if isinstance(verdict, TooLittle):
            raise SHORTFALLS[verdict.shortfall](verdict.reason)

    def _demand_enabled(self, upstream: str) -> None:
        """Whoever serves; but what is disabled is asked nothing and believed nothing (FO-05)."""
        if upstream not in self.upstreams:
            raise errors.UpstreamUnavailable(f"{upstream} is no longer configured")
        if upstream in self.switch.state().disabled:
            raise errors.UpstreamUnavailable(f"{upstream} is disabled")

    def _person(
        self, tx: Transaction, subject: Subject, now: datetime
    ) -> tuple[str | None, Refusal | None]:
        """Who it was, as far as the roster knows, and why a login would not let them in.

        Raises `CanaryAccount`: it has evidence of its own, and its password is in a file.
        """
        holder = tx.person_by_lookup_key(lookup_key(subject.link_key))
        named = {subject.link_key, subject.attributes.get("id", subject.link_key)}
        if self.canaries.names_one(*named, *(() if holder is None else (holder.id,))):
            raise errors.CanaryAccount("the subject is that of a configured canary")
        if subject.upstream == self.active:
            return subject.attributes["id"], None
        verdict = judge_standby(subject, holder, self.roster_policy, now)
        refusal = verdict.refusal if isinstance(verdict, Refused) else None
        return (None if holder is None else holder.id), refusal

    def _write(
        self,
        tx: Transaction,
        under_way: _UnderWay,
        proof: Proof,
        person: str | None,
        refusal: Refusal | None,
        now: datetime,
    ) -> None:
        ticket = under_way.ticket
        until = ticket.until + CLOCK_SKEW
        try:
            tx.consume(
                ticket.use,
                UsedId("transaction", "", under_way.tid, until),
                UsedId("assertion", proof.issuer, proof.assertion_id, max(proof.expires_at, until)),
            )
        except errors.ReplayDetected as error:
            raise LinkUsed(f"the link {ticket.id} counted already") from error
        tx.note_evidence(ticket.kind, ticket.upstream, now)
        tx.record(
            Event(
                kind=ticket.kind.value,
                actor=ticket.actor,
                at=now,
                person=person,
                facts={
                    "upstream": ticket.upstream,
                    "issuer": proof.issuer,
                    "assertion": proof.assertion_id,
                    "authn_context": proof.subject.evidence.authn_context,
                    "link": ticket.id,
                    "login_would_be_refused": None if refusal is None else refusal.value,
                },
            )
        )


def _demand_valid(ticket: Ticket, now: datetime) -> None:
    if not ticket.until - LINK_LASTS - CLOCK_SKEW <= now < ticket.until:
        raise LinkExpired(f"the link {ticket.id} was valid until {ticket.until:%H:%M:%S} UTC")


def _facts(ticket: Ticket) -> dict[str, str | int]:
    return {
        "id": ticket.id,
        "kind": ticket.kind.value,
        "up": ticket.upstream,
        "by": ticket.actor,
        "until": int(ticket.until.timestamp()),
    }


def _ticket(facts: Mapping[str, Any]) -> Ticket:
    return Ticket(
        id=facts["id"],
        kind=Evidence(facts["kind"]),
        upstream=facts["up"],
        actor=facts["by"],
        until=datetime.fromtimestamp(facts["until"], UTC),
    )


def _sealed(under_way: _UnderWay, ring: KeyRing) -> str:
    facts = {
        "at": int(under_way.started_at.timestamp()),
        "ent": under_way.entity_id,
        "req": under_way.request_id,
        "link": _facts(under_way.ticket),
    }
    content = json.dumps(facts, separators=(",", ":")).encode()
    return sealed_cookie(under_way.tid, under_way.started_at, content, ring)


def _opened(tid: str, content: bytes) -> _UnderWay:
    facts = json.loads(content)
    return _UnderWay(
        tid=tid,
        ticket=_ticket(facts["link"]),
        started_at=datetime.fromtimestamp(facts["at"], UTC),
        entity_id=facts["ent"],
        request_id=facts["req"],
    )
