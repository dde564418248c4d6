"""That a password was right, on its way to the second step: sealed, for one login of one browser.

It goes with the page of the step and comes back with its form. It opens for the transaction that it
was made for and no other, for minutes, and proves nothing by itself: a login ends with it only
together with a second factor, and its transaction counts once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from idp_proxy.decision.second_factor import PASSWORD_LASTS, in_time
from idp_proxy.decision.subject import Evidence, Subject
from idp_proxy.errors import LoginExpired, LoginUnknown
from idp_proxy.seal import opened_text, sealed_text
from idp_proxy.transaction import CLOCK_SKEW

if TYPE_CHECKING:
    from idp_proxy.seal import KeyRing

#: For what it is sealed.
PURPOSE: Final = "factor"
#: Characters that it stays within.
LONGEST: Final = 16_384


@dataclass(frozen=True, slots=True)
class PasswordProven:
    """Whose password was right at which upstream, in which login, and when.

    `subject` is as a login by the password alone would tell it.
    """

    tid: str
    upstream: str
    subject: Subject
    at: datetime


def sealed_proof(proven: PasswordProven, ring: KeyRing) -> str:
    """What the step's page carries."""
    subject = proven.subject
    facts = {
        "up": proven.upstream,
        "at": proven.at.timestamp(),
        "key": subject.link_key,
        "has": dict(subject.attributes),
        "acr": subject.evidence.authn_context,
        "did": subject.evidence.authn_instant.timestamp(),
        "by": list(subject.evidence.authorities),
        "shows": {name: list(values) for name, values in subject.evidence.attributes.items()},
    }
    return sealed_text(_context(proven.tid), json.dumps(facts).encode(), ring)


def opened_proof(
    text: str, tid: str, upstream: str, ring: KeyRing, now: datetime
) -> PasswordProven:
    """What `sealed_proof` sealed for this login at this upstream.

    Raises `LoginUnknown` for anything else, `LoginExpired` when it is too old, or of the future.
    """
    content = opened_text(_context(tid), text, ring) if len(text) <= LONGEST else None
    if content is None:
        raise LoginUnknown("the step's page is not of this login")
    facts = json.loads(content)
    at, done = (datetime.fromtimestamp(facts[name], UTC) for name in ("at", "did"))
    if facts["up"] != upstream:
        raise LoginUnknown(f"the password was right at {facts['up']}, not at {upstream}")
    if not in_time(at, PASSWORD_LASTS, CLOCK_SKEW, now):
        raise LoginExpired(f"the password was right {(now - at).total_seconds():.0f} s ago")
    shows = {name: tuple(values) for name, values in facts["shows"].items()}
    evidence = Evidence(done, facts["acr"], tuple(facts["by"]), attributes=shows)
    return PasswordProven(
        tid, upstream, Subject(upstream, facts["key"], facts["has"], evidence), at
    )


def _context(tid: str) -> str:
    return f"password {tid}"
