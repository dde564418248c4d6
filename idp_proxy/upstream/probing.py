"""What the watch may ask of an upstream: is it reachable, does a login by it work.

Everything here runs in the parent process of `serve`, on connections of its own, and ends within
the time it is given: an upstream that hangs delays neither another probe nor a login.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from idp_proxy.decision.health import Cadence, Outcome, Reference


@dataclass(frozen=True, slots=True)
class Expiry:
    """Something that ends: `what` for people ("TLS certificate of login.example.org")."""

    what: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Probed:
    """What one look saw. `reason` is one line for people, at most 300 characters, without
    secrets; `refused_by_proxy` is what the outbound proxy itself answered, which says nothing
    about the upstream; `expiries` are what the look came by. `asked` is False where nobody was: it
    is known without a network that no login could begin there.
    """

    outcome: Outcome
    reason: str
    refused_by_proxy: str | None = None
    expiries: tuple[Expiry, ...] = ()
    asked: bool = True


class Probe(Protocol):
    """L1: whether an upstream answers, and as itself."""

    @property
    def upstream(self) -> str:
        """The name in the configuration."""

    async def look(self, cadence: Cadence, now: datetime) -> Probed:
        """PASSED or BROKEN; REFUSED by one that works and refuses the account it is asked as. Never
        raises for what a network or an upstream does, and ends within `cadence.timeout`, connecting
        within `cadence.connect`.
        """


class ReferenceProbe(Protocol):
    """A neutral address, asked on the path of the upstream that it guards."""

    async def ask(self, cadence: Cadence, now: datetime) -> Reference:
        """Whether anything answered there; any HTTP status does. Never raises."""


class CanaryLogin(Protocol):
    """L2: a real login by a dedicated account, verified like any other (`upstream.finish`)."""

    @property
    def upstream(self) -> str:
        """The name in the configuration."""

    @property
    def name(self) -> str:
        """The canary's own name: one for each population."""

    async def log_in(self, now: datetime) -> Probed:
        """PASSED, BROKEN or REFUSED. Never raises for what an upstream does, and ends within the
        configured time of a canary.
        """
