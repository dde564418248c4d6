"""What the failover proxy says: do logins work? Asked over verified TLS, and never guessed."""

from __future__ import annotations

import enum
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpx
from pydantic import BaseModel, ValidationError

if TYPE_CHECKING:
    from pathlib import Path

    from conversion.config import ProxyStatus

#: Seconds for the answer. A status page that needs longer is no proof of anything.
_TIMEOUT: Final = 5.0
_MAX_ANSWER: Final = 64 * 1024


class Logins(enum.Enum):
    """The proxy's word on logins."""

    WORKS = "works"
    FAILS = "fails"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ProxyAnswer:
    """`logins` is None where no answer could be had; `why` says the reason then."""

    logins: Logins | None
    why: str = ""

    @property
    def works(self) -> bool | None:
        """True or False if the proxy knows, else None."""
        return {Logins.WORKS: True, Logins.FAILS: False}.get(self.logins) if self.logins else None


class _Body(BaseModel):
    login: Logins


def ask(status: ProxyStatus | None, transport: httpx.BaseTransport | None = None) -> ProxyAnswer:
    """What the proxy says now. `transport` stands in for the network in tests."""
    if status is None:
        return ProxyAnswer(None, "campaign.proxy_status_url is not set")
    try:
        url = httpx.URL(status.url).copy_merge_params({"format": "json"})
        with httpx.Client(
            verify=_trusted(status.tls_ca),
            transport=transport,
            timeout=_TIMEOUT,
            trust_env=False,
            follow_redirects=False,
        ) as client:
            answer = client.get(url, headers={"Accept": "application/json"})
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        return ProxyAnswer(None, f"no answer ({type(error).__name__})")
    if not answer.is_success or len(answer.content) > _MAX_ANSWER:
        return ProxyAnswer(None, f"an answer of status {answer.status_code} that says nothing")
    try:
        return ProxyAnswer(_Body.model_validate_json(answer.content).login)
    except ValidationError:
        return ProxyAnswer(None, "an answer that is no status of the proxy")


def _trusted(tls_ca: Path | None) -> ssl.SSLContext | bool:
    return True if tls_ca is None else ssl.create_default_context(cafile=str(tls_ca))
