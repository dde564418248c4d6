"""JOURNEY: what a person sets up and removes behind a login at the active (`enrolment`).

Every page and every change asks again whether the active serves and is well, whether the pass still
holds, and whether the person is still in the roster. What is set up counts only after it was used
once: a code of the app, an answer of the passkey. Each change is one commit with its audit row.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from idp_proxy import errors
from idp_proxy.audit.chain import Event
from idp_proxy.decision.second_factor import (
    RECOVERY_CODES,
    Factor,
    Method,
    Tries,
    gone_with,
    why_not_another,
)
from idp_proxy.enrolment_pass import opened_pass
from idp_proxy.factors import recovery
from idp_proxy.factors.passkeys import CHALLENGE_OCTETS, NoPasskey, Passkey
from idp_proxy.factors.sealing import opened, sealed
from idp_proxy.operators.factor import enrolment_uri, new_secret, step_of
from idp_proxy.seal import opened_text, sealed_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from idp_proxy.enrolment_pass import EnrolmentPass, OpeningHours
    from idp_proxy.factors.passkeys import RelyingParty
    from idp_proxy.seal import KeyRing
    from idp_proxy.store.base import Store, Transaction

_LONGEST_TOKEN: Final = 1024


@dataclass(frozen=True, slots=True)
class Visit:
    """A person at the desk: who, what they have, and the token that their forms carry."""

    ticket: EnrolmentPass
    shown_as: str
    factors: tuple[Factor, ...]
    token: str = field(repr=False)

    @property
    def person(self) -> str:
        """The canonical id."""
        return self.ticket.person

    def has(self, method: Method) -> bool:
        """Whether something of this kind is set up."""
        return any(one.method is method for one in self.factors)

    @property
    def codes_left(self) -> int:
        """Recovery codes that were not used."""
        return sum(one.counts for one in self.factors if one.method is Method.RECOVERY)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the person's device is shown, and the same sealed, to come back with its answer."""

    visit: Visit
    sealed: str = field(repr=False)
    shown: Any = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorDesk:
    """The journey's needs. Without a `party` there are no passkeys; `issuer` is what apps show."""

    store: Store
    hours: OpeningHours
    ring: KeyRing
    passes: KeyRing
    party: RelyingParty | None
    issuer: str
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    random_bytes: Callable[[int], bytes] = secrets.token_bytes

    def look(self, cookie: str | None) -> Visit:
        """What is set up. Raises `EnrolmentOver`, `EnrolmentClosed`, `EnrolmentRefused`,
        `StoreError`, as everything here.
        """
        ticket = opened_pass(cookie, self.passes, self.now())
        self.hours.demand_open()
        row = self.store.person(ticket.person)
        if row is None or row.blocks:
            raise errors.EnrolmentRefused("the person is blocked, or no longer in the roster")
        found = self.store.factors_of(ticket.person)
        return Visit(ticket, row.username, found, self._sealed(ticket, "form", b""))

    def enter(self, cookie: str | None, token: str) -> Visit:
        """As `look`, for a form: its token is of this very visit (WEB-02). Raises `EnrolmentOver`
        for another one, too.
        """
        visit = self.look(cookie)
        if self._opened(visit.ticket, "form", token) is None:
            raise errors.EnrolmentOver("WEB-02: the form is not of this visit")
        return visit

    # --- a code of an app ------------------------------------------------------------------------

    def prepare_code(self, cookie: str | None, token: str) -> Prepared:
        """A fresh secret: what the app is shown. Nothing is kept until a code of it came back."""
        return self._show_code(self.enter(cookie, token), new_secret(self.random_bytes))

    def again(self, cookie: str | None, token: str, kept: str) -> Prepared:
        """The same secret once more, after a wrong code."""
        visit = self.enter(cookie, token)
        return self._show_code(visit, self._returned(visit, Method.TOTP, kept).decode("ascii"))

    def add_code(self, cookie: str | None, token: str, kept: str, code: str) -> bool:
        """Keep the secret in place of the one before, if this is a code of it; whether it was."""
        visit, now = self.enter(cookie, token), self.now()
        secret = self._returned(visit, Method.TOTP, kept)
        step = step_of(secret.decode("ascii"), code, now)
        if step is None:
            return False
        with self.store.transaction() as tx:
            # Its first code is used up by this; the same page sent twice adds nothing twice.
            before = [one for one in self._mine(tx, visit) if one.method is Method.TOTP]
            if any(opened(self.ring, one) == secret for one in before):
                return True
            tx.remove_factors(visit.person, [one.id for one in before])
            self._add(tx, visit, Method.TOTP, [(secret, step)], now)
        return True

    def _show_code(self, visit: Visit, secret: str) -> Prepared:
        shut = self._sealed(visit.ticket, Method.TOTP, secret.encode("ascii"))
        uri = enrolment_uri(secret, visit.shown_as, self.issuer)
        return Prepared(visit, shut, {"secret": secret, "uri": uri})

    # --- passkeys --------------------------------------------------------------------------------

    def prepare_passkey(self, cookie: str | None, token: str) -> Prepared:
        """What the browser is asked to make. Raises `EnrolmentRefused` where no more may be."""
        visit = self.enter(cookie, token)
        if self.party is None:
            raise errors.EnrolmentRefused("there are no passkeys for an IP address")
        self._demand_room(Method.PASSKEY, visit.factors)
        challenge = self.random_bytes(CHALLENGE_OCTETS)
        known = self._passkeys(visit.factors)
        options = self.party.ask_new(visit.person, visit.shown_as, challenge, known)
        return Prepared(visit, self._sealed(visit.ticket, Method.PASSKEY, challenge), options)

    def add_passkey(self, cookie: str | None, token: str, kept: str, answer: str) -> bool:
        """Keep the passkey that the browser made; whether it was one."""
        visit, now = self.enter(cookie, token), self.now()
        challenge = self._returned(visit, Method.PASSKEY, kept)
        if self.party is None:
            return False
        try:
            made, counter = self.party.made(answer, challenge)
        except NoPasskey:
            return False
        with self.store.transaction() as tx:
            mine = self._mine(tx, visit)
            if made.id in {one.id for one in self._passkeys(mine)}:
                return True
            self._demand_room(Method.PASSKEY, mine)
            self._add(tx, visit, Method.PASSKEY, [(made.text(), counter)], now)
        return True

    # --- recovery codes, and an end --------------------------------------------------------------

    def renew_recovery(self, cookie: str | None, token: str) -> tuple[str, ...]:
        """Fresh recovery codes, to be shown this once; those of before count no more."""
        visit, now = self.enter(cookie, token), self.now()
        codes = tuple(recovery.new_code(self.random_bytes) for _ in range(RECOVERY_CODES))
        with self.store.transaction() as tx:
            mine = self._mine(tx, visit)
            self._demand_room(Method.RECOVERY, mine)
            before = [one.id for one in mine if one.method is Method.RECOVERY]
            tx.remove_factors(visit.person, before)
            kept = [(_digest(visit.person, code), 0) for code in codes]
            self._add(tx, visit, Method.RECOVERY, kept, now)
        return codes

    def remove(self, cookie: str | None, token: str, factor_id: str) -> None:
        """Forget one of the person's own; what is not there any more is forgotten already."""
        visit, now = self.enter(cookie, token), self.now()
        with self.store.transaction() as tx:
            mine = self._mine(tx, visit)
            gone = gone_with(factor_id, mine)
            if not gone:
                return
            tx.remove_factors(visit.person, gone)
            methods = sorted({one.method.value for one in mine if one.id in gone})
            self._record(tx, visit, "factor_removed", now, ", ".join(methods))

    # --- who, and what goes back and forth -------------------------------------------------------

    def _mine(self, tx: Transaction, visit: Visit) -> tuple[Factor, ...]:
        """As the store has them now; nobody else changes this person's until the commit."""
        tx.factor_tries(visit.person)
        row = tx.person(visit.person)
        if row is None or row.blocks:
            raise errors.EnrolmentRefused("the person is blocked, or no longer in the roster")
        return tx.factors(visit.person)

    def _add(
        self,
        tx: Transaction,
        visit: Visit,
        method: Method,
        new: Iterable[tuple[bytes, int]],
        now: datetime,
    ) -> None:
        """What was wrong before was wrong with something else, or is proven by a login now."""
        tx.add_factors(
            [
                Factor(
                    id=self.new_id(),
                    person=visit.person,
                    method=method,
                    added_at=now,
                    mark=mark,
                    sealed=sealed(self.ring, visit.person, method, secret),
                )
                for secret, mark in new
            ]
        )
        tx.save_factor_tries(Tries(visit.person))
        self._record(tx, visit, "factor_added", now, method.value)

    def _record(self, tx: Transaction, visit: Visit, kind: str, now: datetime, what: str) -> None:
        facts = {"method": what}
        tx.record(Event(kind, "person", now, person=visit.person, facts=facts))

    def _demand_room(self, method: Method, factors: Sequence[Factor]) -> None:
        if (why := why_not_another(method, factors)) is not None:
            raise errors.EnrolmentRefused(why)

    def _passkeys(self, factors: Sequence[Factor]) -> list[Passkey]:
        kept = (opened(self.ring, one) for one in factors if one.method is Method.PASSKEY)
        return [Passkey.of(text) for text in kept if text is not None]

    def _sealed(self, ticket: EnrolmentPass, what: str, content: bytes) -> str:
        return sealed_text(_context(ticket, what), content, self.passes)

    def _opened(self, ticket: EnrolmentPass, what: str, text: str) -> bytes | None:
        if len(text) > _LONGEST_TOKEN:
            return None
        return opened_text(_context(ticket, what), text, self.passes)

    def _returned(self, visit: Visit, what: str, text: str) -> bytes:
        found = self._opened(visit.ticket, what, text)
        if found is None:
            raise errors.EnrolmentOver("what the page held is not of this visit")
        return found


def _context(ticket: EnrolmentPass, what: str) -> str:
    return json.dumps([ticket.id, ticket.person, str(what)])


def _digest(person: str, shown: str) -> bytes:
    code = recovery.normalised(shown)
    if code is None:
        raise errors.Internal("a fresh recovery code is not of its own shape")
    return recovery.digest(person, code)
