"""A person's second factor: what counts, how often somebody may be wrong, and when it is set up.

It is asked only behind a right password, at a directory whose password alone does not suffice
(DESIGN section 8). So a stranger, who has no password, can lock nobody.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from idp_proxy.decision.health import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from idp_proxy.decision.switching import SwitchState

#: Wrong codes in a row after which a person's codes are locked.
FAILURES: Final = 5
#: For how long at first. Each further lock takes twice as long as the one before, up to LONGEST:
#: whoever knows the password guesses 1 of 333,000 codes at a time, at last five a day.
LOCKED_FOR: Final = timedelta(minutes=15)
LONGEST: Final = timedelta(hours=24)
#: Wrong codes are forgotten after this time without any, and with the next right answer.
FORGOTTEN_AFTER: Final = timedelta(days=7)
#: How long a right password waits for its second step. The login's own time ends it earlier.
PASSWORD_LASTS: Final = timedelta(minutes=5)
#: How long after the login at the active a factor may be set up.
ENROLMENT_LASTS: Final = timedelta(minutes=10)
#: Passkeys of one person, and recovery codes of one set.
MOST_PASSKEYS: Final = 5
RECOVERY_CODES: Final = 10
#: The mark of a passkey that looks copied: it counts for nothing until it is set up anew.
COPIED: Final = -1


class Method(enum.StrEnum):
    """How the second step is done; the words of the evidence attribute `factor`."""

    TOTP = "totp"
    PASSKEY = "passkey"
    RECOVERY = "recovery"


@dataclass(frozen=True, slots=True)
class Factor:
    """One thing that a person set up. `person` is the canonical id, `sealed` its secret.

    `mark` keeps it from counting twice: of a TOTP the last time step that counted (RFC 6238), of a
    passkey its signature counter (WebAuthn 6.1.1), of a recovery code 1 once it was used.
    """

    id: str
    person: str
    method: Method
    added_at: datetime
    mark: int
    sealed: bytes = field(repr=False)
    used_at: datetime | None = None

    @property
    def counts(self) -> bool:
        """Whether it can still be used: no copied passkey, no recovery code that was used."""
        if self.method is Method.RECOVERY:
            return self.mark == 0
        return self.mark != COPIED


@dataclass(frozen=True, slots=True)
class Tries:
    """A person's wrong codes in a row, and how often they led to a lock."""

    person: str
    failures: int = 0
    locks: int = 0
    failed_at: datetime | None = None
    locked_until: datetime | None = None

    def locked(self, now: datetime) -> bool:
        """Whether no code of this person is looked at."""
        return self.locked_until is not None and now < self.locked_until


class Why(enum.StrEnum):
    """Why a second step was refused; for the audit."""

    NONE = "none_enrolled"
    LOCKED = "locked"
    WRONG = "wrong"
    REPEATED = "repeated"
    COPIED = "copied"
    UNREADABLE = "unreadable"


def wrong(tries: Tries, now: datetime) -> Tries:
    """After one more wrong code. One while they are locked is not looked at, and changes nothing.

    A clock that goes back by a moment neither forgets nor prolongs.
    """
    if tries.locked(now):
        return tries
    if tries.failed_at is not None and now - tries.failed_at >= FORGOTTEN_AFTER:
        tries = Tries(tries.person)
    failures = tries.failures + 1
    if failures < FAILURES:
        return replace(tries, failures=failures, failed_at=now, locked_until=None)
    length = min(LOCKED_FOR * 2 ** min(tries.locks, 16), LONGEST)
    return replace(
        tries, failures=0, locks=tries.locks + 1, failed_at=now, locked_until=now + length
    )


@dataclass(frozen=True, slots=True)
class Offer:
    """What a person may answer with now. `locked_until`: until then codes are not looked at."""

    methods: frozenset[Method]
    locked_until: datetime | None = None


def offer(factors: Sequence[Factor], tries: Tries, now: datetime) -> Offer:
    """The methods of the second step. Passkeys cannot be guessed and are never locked."""
    methods = frozenset(one.method for one in factors if one.counts)
    if tries.locked(now):
        return Offer(methods & {Method.PASSKEY}, tries.locked_until)
    return Offer(methods)


def has_any(factors: Sequence[Factor]) -> bool:
    """Whether this person can do a second step at all."""
    return any(one.counts for one in factors)


def why_not_now(state: SwitchState, active: str, verdict: Verdict) -> str | None:
    """Why nobody sets up a factor now; None if they may: the active serves, and is seen to work.

    In an outage it would be whoever got hold of a password who sets up the second factor. What is
    not known to be well is taken for an outage.
    """
    if state.serving != active:
        return f"{state.serving} serves, and not the active {active}"
    if active in state.disabled:
        return f"{active} is disabled"
    if verdict is not Verdict.UP:
        return f"{active} is {verdict.value}"
    return None


def why_not_another(method: Method, factors: Sequence[Factor]) -> str | None:
    """Why nothing of this kind may be added; None if it may.

    A TOTP takes the place of the one before, as recovery codes do; those are for whoever has
    something else that may be lost.
    """
    mine = [one for one in factors if one.method is method]
    if method is Method.PASSKEY and len(mine) >= MOST_PASSKEYS:
        return f"{MOST_PASSKEYS} passkeys are set up already"
    if method is Method.RECOVERY and not _lasting(factors):
        return "recovery codes are for whoever has a code or a passkey"
    return None


def fo_09_same_person(factor_of: str | None, let_in: str) -> str | None:
    """Why who showed the second factor (None: none was shown) is not who is let in: between the two
    the link key may have gone from one person to another (FO-09).
    """
    if factor_of is None or factor_of == let_in:
        return None
    return "FO-09: the link key went to somebody else after the second factor was shown"


def gone_with(factor_id: str, factors: Sequence[Factor]) -> tuple[str, ...]:
    """What is removed when a person removes this one: with the last one, the recovery codes too.

    Empty if it is not theirs. Recovery codes go all together.
    """
    removed = next((one for one in factors if one.id == factor_id), None)
    if removed is None:
        return ()
    recovery = tuple(one.id for one in factors if one.method is Method.RECOVERY)
    if removed.method is Method.RECOVERY:
        return recovery
    left = [one for one in _lasting(factors) if one.id != factor_id]
    return (factor_id,) if left else (factor_id, *recovery)


def _lasting(factors: Sequence[Factor]) -> list[Factor]:
    return [one for one in factors if one.method is not Method.RECOVERY]


def in_time(at: datetime, lasts: timedelta, skew: timedelta, now: datetime) -> bool:
    """Whether what happened `at` is at most that old, and not of the future beyond the skew."""
    return -skew <= now - at <= lasts
