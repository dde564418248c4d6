"""JOURNEY: the second step of a login at a directory, behind a right password.

    begin ....... the password was right: what it proved, sealed (`password_proven`)
    look ........ what the page asks for: a code, a passkey, or both
    by_code, by_passkey ... the answer; if it counts, the login ends as every other one

Nothing is asked of the directory again, and a page that is loaded again does nothing again. What
was wrong is counted for the person, at all hosts; the login's own time runs on.

A rehearsal takes the same step and ends as a rehearsal. What a password proved in one of the two is
sealed by another ring than in the other: neither step can be taken with it in the other's place.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from idp_proxy import errors
from idp_proxy.audit.chain import Event
from idp_proxy.decision.roster import lookup_key
from idp_proxy.decision.second_factor import Method, Why
from idp_proxy.factors.passkeys import CHALLENGE_OCTETS
from idp_proxy.password_proven import opened_proof, sealed_proof
from idp_proxy.saml.names import REFEDS_MFA
from idp_proxy.seal import opened_text, sealed_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from idp_proxy.decision.subject import Subject
    from idp_proxy.factors.passkeys import RelyingParty
    from idp_proxy.factors.proving import Proving
    from idp_proxy.password_proven import PasswordProven
    from idp_proxy.seal import KeyRing
    from idp_proxy.store.base import Store

_LONGEST_KEPT: Final = 1024
#: The attribute that says which factor it was, for the upstream's map of assurance.
FACTOR: Final = "factor"


#: For what a rehearsal's right password is sealed; a login's is `password_proven.PURPOSE`.
REHEARSED: Final = "factor of a rehearsal"
#: What the journey ends in that this is a step of.
Ended_co = TypeVar("Ended_co", covariant=True)


class Logins(Protocol[Ended_co]):
    """The journey that this is a step of (`login.Login`, `rehearsal.Rehearsal`)."""

    def asked_here(self, upstream: str, tid: str, cookie_of: Callable[[str], str | None]) -> object:
        """This browser's login, while it can still end. Raises `LoginError`, `ReplayDetected`."""

    def prove(
        self, upstream: str, tid: str, subject: Subject, cookie_of: Callable[[str], str | None]
    ) -> Ended_co:
        """End it, with everything on record."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which login of this browser is meant: what came with the request."""

    upstream: str
    tid: str
    #: The cookie that the right password left.
    proof: str | None
    cookie_of: Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page asks for. `options` are for the browser's passkeys, `kept` comes back."""

    with_code: bool
    locked: bool
    options: dict[str, Any] | None
    kept: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorStep(Generic[Ended_co]):
    """The journey's needs. `ring` opens what is sealed for this step; without a `party` there are
    no passkeys.
    """

    store: Store
    proving: Proving
    party: RelyingParty | None
    logins: Logins[Ended_co]
    ring: KeyRing
    now: Callable[[], datetime]
    random_bytes: Callable[[int], bytes] = secrets.token_bytes

    def begin(self, proven: PasswordProven) -> str:
        """The value of the cookie with which this browser may take the second step.

        Raises `SecondFactorMissing`, which goes on record, `SecondFactorLocked`, `PersonUnknown`,
        `StoreError`.
        """
        person = self._person(proven)
        found = self.proving.usable(person, self.now()).offer
        if not found.methods and found.locked_until is None:
            facts = {"method": "none", "why": Why.NONE.value, "upstream": proven.upstream}
            with self.store.transaction() as tx:
                tx.record(
                    Event("factor_refused", "idp-proxy", self.now(), person=person, facts=facts)
                )
        self._demand_usable(person)
        return sealed_proof(proven, self.ring)

    def look(self, asked: Asked) -> Shown:
        """What the page asks for. Raises `LoginError` and its kin, as everything here."""
        proven = self._proven(asked)
        person = self._person(proven)
        self._demand_usable(person)
        usable = self.proving.usable(person, self.now())
        methods = usable.offer.methods
        options, kept = None, ""
        if self.party is not None and usable.passkeys:
            challenge = self.random_bytes(CHALLENGE_OCTETS)
            options = self.party.ask(challenge, usable.passkeys)
            kept = sealed_text(_challenge_of(asked.tid), challenge, self.ring)
        return Shown(
            with_code=bool(methods & {Method.TOTP, Method.RECOVERY}),
            locked=usable.offer.locked_until is not None,
            options=options,
            kept=kept,
        )

    def by_code(self, asked: Asked, code: str) -> Ended_co | Why:
        """The end of the login, or why this code does not count."""
        proven = self._proven(asked)
        person = self._person(proven)
        return self._ended(asked, proven, person, self.proving.code(person, code, self.now()))

    def by_passkey(self, asked: Asked, kept: str, answer: str) -> Ended_co | Why:
        """As `by_code`, for what the browser answered to the page's challenge."""
        proven = self._proven(asked)
        person = self._person(proven)
        challenge = None
        if len(kept) <= _LONGEST_KEPT:
            challenge = opened_text(_challenge_of(asked.tid), kept, self.ring)
        if challenge is None:
            raise errors.LoginUnknown("the passkey's question is not of this login")
        found = self.proving.passkey(person, answer, challenge, self.now())
        return self._ended(asked, proven, person, found)

    def _ended(
        self, asked: Asked, proven: PasswordProven, person: str, found: Method | Why
    ) -> Ended_co | Why:
        if found is Why.LOCKED:
            raise errors.SecondFactorLocked("codes of this person are locked")
        if found is Why.NONE:
            raise errors.SecondFactorMissing("nothing that counts is set up any more")
        if isinstance(found, Why):
            return found
        subject = proven.subject
        evidence = replace(
            subject.evidence,
            authn_context=REFEDS_MFA,
            authn_instant=self.now(),
            attributes={**subject.evidence.attributes, FACTOR: (found.value,)},
        )
        # Whom the link key names when the login is committed is held against whose factor it was.
        proof = replace(subject, evidence=evidence, factor_of=person)
        return self.logins.prove(asked.upstream, asked.tid, proof, asked.cookie_of)

    def _proven(self, asked: Asked) -> PasswordProven:
        """What the password proved in this very login, while it goes on.

        Looked at before any code is: one that cannot end a login is not used up by it.
        """
        self.logins.asked_here(asked.upstream, asked.tid, asked.cookie_of)
        if asked.proof is None:
            raise errors.LoginUnknown("no right password came before the second step")
        return opened_proof(asked.proof, asked.tid, asked.upstream, self.ring, self.now())

    def _person(self, proven: PasswordProven) -> str:
        """Whose factors are asked: of the row that holds the link key."""
        row = self.store.person_by_lookup_key(lookup_key(proven.subject.link_key))
        if row is None:
            raise errors.PersonUnknown("no row of the roster holds the link key")
        return row.id

    def _demand_usable(self, person: str) -> None:
        found = self.proving.usable(person, self.now()).offer
        if found.methods:
            return
        if found.locked_until is not None:
            raise errors.SecondFactorLocked(f"locked until {found.locked_until:%H:%M:%S} UTC")
        raise errors.SecondFactorMissing("nothing that counts is set up")


def _challenge_of(tid: str) -> str:
    return f"challenge {tid}"
