"""The second step itself: what one person answers, held against what the store has of them.

Each attempt is one transaction: what counted is marked, or what was wrong is counted, together with
the audit row; the answer is known only once that is committed. Whoever asks many times at once
waits in line, at whichever worker and host.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from idp_proxy.audit.chain import Event
from idp_proxy.decision.second_factor import (
    COPIED,
    PASSWORD_LASTS,
    Factor,
    Method,
    Tries,
    Why,
    has_any,
    offer,
    wrong,
)
from idp_proxy.errors import ReplayDetected
from idp_proxy.factors import recovery
from idp_proxy.factors.passkeys import NoPasskey, Passkey, answered_by
from idp_proxy.factors.sealing import opened, sealed
from idp_proxy.operators.factor import step_of
from idp_proxy.store.base import UsedId
from idp_proxy.transaction import CLOCK_SKEW

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from idp_proxy.decision.second_factor import Offer
    from idp_proxy.factors.passkeys import RelyingParty
    from idp_proxy.seal import KeyRing
    from idp_proxy.store.base import Store, Transaction

#: Characters of a code that somebody typed.
_LONGEST_CODE: Final = 64
#: What counts as one more wrong code.
_COUNTED: Final = frozenset({Why.WRONG, Why.REPEATED})


@dataclass(frozen=True, slots=True)
class Usable:
    """What a person may answer the second step with now."""

    offer: Offer
    passkeys: tuple[Passkey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proving:
    """Where people show their second factor. Without a `party` no passkey counts."""

    store: Store
    ring: KeyRing
    party: RelyingParty | None

    def usable(self, person: str, now: datetime) -> Usable:
        """What the step's page asks for. Raises `StoreError`."""
        factors, tries = self.store.factors_of(person), self.store.factor_tries_of(person)
        if self.party is None:
            factors = tuple(one for one in factors if one.method is not Method.PASSKEY)
        found = offer(factors, tries, now)
        return Usable(found, tuple(key for _, key in self._passkeys(factors)))

    def code(self, person: str, typed: str, now: datetime) -> Method | Why:
        """Which factor this code is of, or why it does not count. Raises `StoreError`."""
        with self.store.transaction() as tx:
            tries = tx.factor_tries(person)
            found = self._judge_code(tx, person, typed, tries, now)
            after = Tries(person) if isinstance(found, Method) else tries
            if found in _COUNTED:
                after = wrong(tries, now)
            if after != tries:
                tx.save_factor_tries(after)
            tx.record(_event(person, "code", found, now))
            if after.locks > tries.locks:
                until = after.locked_until or now
                facts = {"minutes": int((until - now).total_seconds() // 60)}
                tx.record(Event("factor_locked", "idp-proxy", now, person=person, facts=facts))
        return found

    def passkey(self, person: str, answer: str, challenge: bytes, now: datetime) -> Method | Why:
        """As `code`, for what a browser answered to `challenge`, which counts once."""
        with self.store.transaction() as tx:
            tx.factor_tries(person)  # so that one waits for the other here, too
            found = self._judge_passkey(tx, person, answer, challenge, now)
            tx.record(_event(person, Method.PASSKEY, found, now))
        return found

    def _judge_code(
        self, tx: Transaction, person: str, typed: str, tries: Tries, now: datetime
    ) -> Method | Why:
        factors = tx.factors(person)
        if not has_any(factors):
            return Why.NONE
        if tries.locked(now):
            return Why.LOCKED
        typed = typed[:_LONGEST_CODE]
        judged = [
            self._judge_totp(tx, one, typed, now) for one in factors if one.method is Method.TOTP
        ]
        judged.append(self._judge_recovery(tx, factors, typed, now))
        for wanted in (Method.TOTP, Method.RECOVERY, Why.REPEATED, Why.UNREADABLE):
            if wanted in judged:
                return wanted
        return Why.WRONG

    def _judge_totp(self, tx: Transaction, totp: Factor, typed: str, now: datetime) -> Method | Why:
        secret = opened(self.ring, totp)
        if secret is None:
            return Why.UNREADABLE
        step = step_of(secret.decode("ascii"), typed, now)
        if step is None:
            return Why.WRONG
        if step <= totp.mark:
            return Why.REPEATED
        return self._use(tx, totp, step, secret, now)

    def _judge_recovery(
        self, tx: Transaction, factors: Sequence[Factor], typed: str, now: datetime
    ) -> Method | Why:
        code = recovery.normalised(typed)
        if code is None:
            return Why.WRONG
        found: Method | Why = Why.WRONG
        for one in factors:
            kept = opened(self.ring, one) if one.method is Method.RECOVERY else None
            if kept is not None and recovery.fits(kept, one.person, code):
                found = self._use(tx, one, 1, kept, now) if one.counts else Why.REPEATED
        return found

    def _judge_passkey(
        self, tx: Transaction, person: str, answer: str, challenge: bytes, now: datetime
    ) -> Method | Why:
        named = answered_by(answer)
        mine = [pair for pair in self._passkeys(tx.factors(person)) if pair[1].id == named]
        if self.party is None or not mine:
            return Why.WRONG
        factor, passkey = mine[0]
        try:
            counter = self.party.shown(answer, challenge, passkey)
            tx.consume(_once(challenge, now))
        except NoPasskey:
            return Why.WRONG
        except ReplayDetected:
            return Why.REPEATED
        if counter <= factor.mark and (counter or factor.mark):
            # Two devices sign as one, or an old answer came again (WebAuthn 6.1.1): nobody can tell
            # which is the person's own, so neither counts until they set one up anew.
            tx.use_factor(factor, COPIED, factor.sealed, now)
            return Why.COPIED
        return self._use(tx, factor, counter, passkey.text(), now)

    def _passkeys(self, factors: Sequence[Factor]) -> list[tuple[Factor, Passkey]]:
        """Those that count and can be read."""
        found = []
        for one in factors:
            if one.method is Method.PASSKEY and one.counts:
                text = opened(self.ring, one)
                if text is not None:
                    found.append((one, Passkey.of(text)))
        return found

    def _use(
        self, tx: Transaction, factor: Factor, mark: int, secret: bytes, now: datetime
    ) -> Method | Why:
        anew = sealed(self.ring, factor.person, factor.method, secret)
        return factor.method if tx.use_factor(factor, mark, anew, now) else Why.REPEATED


def _once(challenge: bytes, now: datetime) -> UsedId:
    """Passkeys that are kept in several devices have no counter: the challenge counts once."""
    value = base64.b64encode(challenge).decode("ascii")
    return UsedId("challenge", "", value, now + PASSWORD_LASTS + CLOCK_SKEW)


def _event(person: str, by: str, found: Method | Why, now: datetime) -> Event:
    if isinstance(found, Method):
        facts = {"method": found.value}
        return Event("factor_used", "idp-proxy", now, person=person, facts=facts)
    facts = {"method": str(by), "why": found.value}
    return Event("factor_refused", "idp-proxy", now, person=person, facts=facts)
