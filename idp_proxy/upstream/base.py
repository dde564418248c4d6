"""What a journey may ask of an upstream, whatever its kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from idp_proxy.decision.subject import Subject


@dataclass(frozen=True, slots=True)
class Ask:
    """What an upstream is asked: to authenticate somebody, and how (SAML core 3.4.1).

    `request_id` is the ID of the AuthnRequest, `relay_state` the transaction's id.
    """

    request_id: str
    relay_state: str
    force_authn: bool
    is_passive: bool
    now: datetime


@dataclass(frozen=True, slots=True)
class Redirect:
    """Send the browser to `url` (HTTP-Redirect binding)."""

    url: str


@dataclass(frozen=True, slots=True)
class PostForm:
    """Let the browser post `fields` to `action` (HTTP-POST binding)."""

    action: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SentOn:
    """What the browser is given: the way to the upstream, and the transaction, sealed."""

    way: Redirect | PostForm
    tid: str
    sealed: str


@dataclass(frozen=True, slots=True)
class Pending:
    """What an answer is held against: the one question this login asked, and whom."""

    request_id: str
    entity_id: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Proof:
    """A verified answer: who it is about, and the assertion's ID, which counts once until then."""

    subject: Subject
    assertion_id: str
    issuer: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Found:
    """Who was looked for at a directory. `name` is the DN of the one entry, None where there is
    none, or several; `attributes` has its values by the names of the configuration.
    """

    name: str | None
    attributes: Mapping[str, tuple[str, ...]]
    entries: int


class Upstream(Protocol):
    """One identity provider behind the proxy."""

    @property
    def name(self) -> str:
        """The name in the configuration."""

    def entity_id(self, now: datetime) -> str:
        """The entity ID in the approved metadata. Raises `UpstreamUnavailable` without any."""

    def begin(self, ask: Ask) -> Redirect | PostForm:
        """The way to the upstream's login. Raises `UpstreamUnavailable`."""

    def finish(self, message: str, pending: Pending) -> Proof:
        """Verify the posted `SAMLResponse`. Raises `SamlError`, or `UpstreamUnavailable`."""

    def why_unusable(self, now: datetime) -> str | None:
        """None, or the reason why nobody could log in here: no or expired approved metadata."""
