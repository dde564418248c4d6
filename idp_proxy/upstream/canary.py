"""L2: a real login by a dedicated account, from a signed question to an answer that is verified.

How the pages are gone through is a driver's job (`canary_form`, `canary_browser`). What comes out
is held against everything that a person's answer is held against, and against the one subject that
the account is known by. The answer is posted nowhere: no transaction was ever sealed for it, so
nobody could log in by it either.
"""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from idp_proxy.decision.canary import Ended, Given, Step, after
from idp_proxy.decision.health import Outcome
from idp_proxy.errors import SamlError, UpstreamRefused, UpstreamUnavailable
from idp_proxy.upstream.base import Ask, Pending, PostForm
from idp_proxy.upstream.login_page import FieldNames
from idp_proxy.upstream.looking import NETWORK_ERRORS, Wrong, explained, in_a_line
from idp_proxy.upstream.probing import Probed

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from idp_proxy.config import CanarySettings
    from idp_proxy.upstream.base import Proof, Redirect
    from idp_proxy.upstream.login_page import Asked

_HIDDEN: Final = "(hidden)"
#: What every provider uses: RFC 6238 leaves it open.
_CODE_DIGITS: Final = 6
_CODE_LIVES_S: Final = 30


class Asks(Protocol):
    """The upstream as a login would ask it (`base.Upstream`)."""

    def entity_id(self, now: datetime) -> str:
        """The entity ID in the approved metadata. Raises `UpstreamUnavailable` without any."""

    def begin(self, ask: Ask) -> Redirect | PostForm:
        """The way to the upstream's login. Raises `UpstreamUnavailable`."""

    def finish(self, message: str, pending: Pending) -> Proof:
        """Verify the posted `SAMLResponse`. Raises `SamlError`, or `UpstreamUnavailable`."""


class Halted(Exception):
    """The login ended before there was an answer; `ended` says how."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.ended = Ended(outcome, reason)


@dataclass(frozen=True, slots=True)
class Question:
    """What the upstream was asked, when, and where it posts its answer to. `deadline` is the loop's
    time at which the login must be over.
    """

    way: Redirect | PostForm
    request_id: str
    relay_state: str
    entity_id: str
    acs_url: str
    began: datetime
    deadline: float
    _ticks: float

    @property
    def address(self) -> str:
        """Where the login begins."""
        return self.way.action if isinstance(self.way, PostForm) else self.way.url

    def now(self) -> datetime:
        """The time as the caller of `log_in` counts it, reckoned on from the beginning."""
        passed = asyncio.get_running_loop().time() - self._ticks
        return self.began + timedelta(seconds=passed)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the last page would have the browser post, and where to."""

    action: str
    message: str
    relay_state: str | None


@dataclass(slots=True)
class Progress:
    """How far a login has come: what it gave so far, and whether this host itself is at work: it
    starts a browser, or verifies the answer. Time that passes then says nothing of the upstream.
    """

    given: Given = Given.NOTHING
    at_work: bool = False


class Driver(Protocol):
    """Goes through the pages of a login, with a fresh memory each time."""

    async def drive(self, question: Question, progress: Progress) -> Answer:
        """From the question to the answer before its deadline, with `progress` kept up to date.
        What it opened it may close after the deadline, within a few seconds.

        Raises `Halted`, `Wrong` or one of `NETWORK_ERRORS`.
        """


@dataclass(frozen=True, slots=True)
class Canary:
    """One `[[upstream.canary]]`; implements `probing.CanaryLogin`.

    `link_attribute` is where the upstream has the subject; `timeout` bounds a login as a whole.
    """

    upstream: str
    settings: CanarySettings
    asks: Asks
    driver: Driver
    new_id: Callable[[], str]
    acs_url: str
    link_attribute: str
    timeout: timedelta

    @property
    def name(self) -> str:
        """See `probing.CanaryLogin`."""
        return self.settings.name

    async def log_in(self, now: datetime) -> Probed:
        """See `probing.CanaryLogin`."""
        progress = Progress()
        try:
            proof = await self._prove(now, progress)
            self._demand_subject(proof)
        except Halted as halted:
            seen = Probed(halted.ended.outcome, halted.ended.reason)
        except (Wrong, UpstreamUnavailable, SamlError) as error:
            seen = Probed(_outcome_of(error), _explained(error))
        except NETWORK_ERRORS as error:
            if progress.at_work and not isinstance(error, TimeoutError):
                raise
            if progress.at_work:
                seen = Probed(Outcome.REFUSED, "this host is too slow to do its own part in time")
            else:
                seen = explained(error, self.timeout)
                seen = replace(seen, reason=f"{seen.reason}{after(progress.given)}")
        else:
            seen = Probed(Outcome.PASSED, "logs in, and the answer is verified")
        return self._without_secrets(seen)

    async def _prove(self, now: datetime, progress: Progress) -> Proof:
        question = self._question(now)
        answer = await self.driver.drive(question, progress)
        _demand_ours(answer, question)
        progress.at_work = True
        pending = Pending(question.request_id, question.entity_id, question.now())
        async with asyncio.timeout_at(question.deadline):
            return await asyncio.to_thread(self.asks.finish, answer.message, pending)

    def _question(self, now: datetime) -> Question:
        """A signed AuthnRequest; ForceAuthn, so that no session answers in the account's place."""
        request_id, relay_state = f"_{self.new_id()}", self.new_id()
        ticks = asyncio.get_running_loop().time()
        return Question(
            way=self.asks.begin(
                Ask(request_id, relay_state, force_authn=True, is_passive=False, now=now)
            ),
            request_id=request_id,
            relay_state=relay_state,
            entity_id=self.asks.entity_id(now),
            acs_url=self.acs_url,
            began=now,
            deadline=ticks + self.timeout.total_seconds(),
            _ticks=ticks,
        )

    def _demand_subject(self, proof: Proof) -> None:
        """The proof counts for this one account only, byte for byte."""
        if proof.subject.link_key != self.settings.subject:
            raise Halted(
                Outcome.REFUSED,
                "the answer is about somebody else than the configured subject: compare it with "
                f"what the upstream sends as {self.link_attribute}",
            )

    def _without_secrets(self, seen: Probed) -> Probed:
        """A reason may quote a peer, and a peer may quote what it was told."""
        return replace(
            seen,
            reason=self._hidden(in_a_line(seen.reason)),
            refused_by_proxy=seen.refused_by_proxy and self._hidden(seen.refused_by_proxy),
        )

    def _hidden(self, reason: str) -> str:
        for secret in filter(None, (self.settings.password, self.settings.totp)):
            reason = reason.replace(secret, _HIDDEN)
        return reason


def names_of(settings: CanarySettings) -> FieldNames:
    """How the fields are called, as far as the configuration says."""
    return FieldNames(settings.username_field, settings.password_field, settings.totp_field)


def typed(asked: Asked, step: Step, settings: CanarySettings, at: datetime) -> dict[str, str]:
    """What a person would type into these fields at this step."""
    values: dict[str, str] = {}
    if step in {Step.GIVE_USERNAME, Step.GIVE_PASSWORD} and asked.username:
        values[asked.username] = settings.username
    if step is Step.GIVE_PASSWORD:
        values[asked.passwords[0]] = settings.password
    if step in {Step.GIVE_PASSWORD, Step.GIVE_CODE} and asked.code and settings.totp:
        values[asked.code] = code_of(settings, at)
    return values


def code_of(settings: CanarySettings, at: datetime) -> str:
    """The one-time code of the account (RFC 6238). Only for settings with `totp`.

    Providers give secrets of 80 bits too, which pyotp refuses.
    """
    secret = settings.totp or ""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    codes = TOTP(key, _CODE_DIGITS, SHA1(), _CODE_LIVES_S, enforce_key_length=False)  # noqa: S303 - RFC 6238 says SHA-1, and providers do
    return codes.generate(int(at.timestamp())).decode("ascii")


def _demand_ours(answer: Answer, question: Question) -> None:
    """An answer that a browser would take elsewhere, or that we could match to nobody."""
    if answer.action != question.acs_url:
        raise Wrong("posts its answer to another address than the one asked for")
    if answer.relay_state != question.relay_state:
        raise Wrong("does not give the RelayState back: a person's login would be unknown here")


def _outcome_of(error: Exception) -> Outcome:
    return Outcome.REFUSED if isinstance(error, UpstreamRefused) else Outcome.BROKEN


def _explained(error: Exception) -> str:
    if isinstance(error, UpstreamRefused):
        return f"the answer says no: {error}"
    if isinstance(error, SamlError):
        return f"the answer does not verify: {error}"
    return error.detail if isinstance(error, UpstreamUnavailable) else str(error)
