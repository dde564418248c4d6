"""A login under way, sealed into a cookie: no server remembers it, so any host can finish it.

The transaction's id travels to the upstream as the RelayState and comes back with the answer; the
cookie that belongs to it never leaves this origin. Neither is of use without the other, which is
what ties an answer to the browser that asked (login CSRF, SP-03, WEB-01).

A rehearsal goes the same way. It has cookies of another name, sealed by a ring of another purpose:
neither can be completed as the other.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from idp_proxy.errors import (
    LoginExpired,
    LoginUnknown,
    LoginUnsolicited,
    RelayStateRefused,
)
from idp_proxy.seal import opened_text, sealed_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from idp_proxy.seal import KeyRing

PURPOSE: Final = "login"
#: How far the clocks of two hosts, or of an upstream and a host, may be apart.
CLOCK_SKEW: Final = timedelta(seconds=120)
MAX_AGE_S: Final = 600
MAX_COOKIES: Final = 5
#: Octets of Mattermost's RelayState.
MAX_RELAY_STATE: Final = 2048
#: Octets of a sealed transaction: with its name and attributes it is within the 4096 that every
#: browser keeps (RFC 6265, section 6.1).
MAX_SEALED: Final = 4000

_TID = re.compile(r"[A-Za-z0-9_-]{22}", re.ASCII)
#: A form gives none of these back as they came (HTML 4.10.21.8 makes CRLF of each line break).
_LOST_IN_A_FORM = re.compile(r"[\x00-\x1f\x7f]")
_ISSUED = re.compile(r"[0-9]{1,12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class DrillLogin:
    """A login as part of a drill, and for whom (`decision.drill.person_digest`)."""

    drill: str
    person: str


@dataclass(frozen=True, slots=True)
class LoginTransaction:
    """One login: what Mattermost asked, and the one upstream that was asked for it.

    `tid` has 22 characters (128 bits); `started_at` is whole seconds in UTC; `relay_state` is
    Mattermost's own, byte for byte, and never goes upstream (WEB-03).
    """

    tid: str
    started_at: datetime
    sp_request_id: str
    relay_state: str | None
    acs_url: str
    upstream: str
    entity_id: str
    epoch: int
    request_id: str
    force_authn: bool
    is_passive: bool
    drill: DrillLogin | None = None


@dataclass(frozen=True, slots=True)
class CookieStyle:
    """How the cookies of one purpose are named and marked. `insecure` is for loopback without TLS
    only: there a `__Host-` cookie could not be set at all.
    """

    insecure: bool = False
    purpose: str = PURPOSE

    @property
    def prefix(self) -> str:
        """What every such cookie's name begins with."""
        return f"{self.purpose}-" if self.insecure else f"__Host-{self.purpose}-"

    def name(self, tid: str) -> str:
        """The name of the cookie that belongs to this transaction."""
        return self.prefix + tid[:8]

    def header(self, name: str, value: str, max_age_s: int = MAX_AGE_S) -> str:
        """A Set-Cookie value. The answer is a cross-site POST, hence SameSite=None (WEB-01)."""
        site = "SameSite=Lax" if self.insecure else "Secure; SameSite=None"
        return f"{name}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; {site}"

    def removal(self, name: str) -> str:
        """A Set-Cookie value that removes a cookie."""
        return self.header(name, "", 0)


def is_tid(text: str | None) -> bool:
    """Whether this can be a transaction's id."""
    return text is not None and _TID.fullmatch(text) is not None


def demand_returnable(relay_state: str | None) -> None:
    """A RelayState goes back byte for byte, or the login does not begin (WEB-03).

    Raises `RelayStateRefused`.
    """
    if relay_state is None:
        return
    octets = len(relay_state.encode())
    if octets > MAX_RELAY_STATE:
        raise RelayStateRefused(f"{octets} octets, at most {MAX_RELAY_STATE}")
    if _LOST_IN_A_FORM.search(relay_state):
        raise RelayStateRefused("it has control characters, which a form does not give back")


def seal(transaction: LoginTransaction, ring: KeyRing) -> str:
    """The cookie's value: the time it was made, in the clear, and the sealed transaction.

    The time in front only serves to drop the oldest of a person's own cookies. The relay state
    stands behind the JSON as it came, since escaping could double it beyond a cookie's 4 KiB.

    Raises `RelayStateRefused` if it is longer than a cookie all the same: a browser would drop it.
    """
    facts: dict[str, object] = {
        "at": int(transaction.started_at.timestamp()),
        "id": transaction.sp_request_id,
        "acs": transaction.acs_url,
        "up": transaction.upstream,
        "ent": transaction.entity_id,
        "ep": transaction.epoch,
        "req": transaction.request_id,
        "fa": transaction.force_authn,
        "ip": transaction.is_passive,
        "rs": transaction.relay_state is not None,
    }
    if transaction.drill is not None:
        facts["dr"] = [transaction.drill.drill, transaction.drill.person]
    content = json.dumps(facts, separators=(",", ":")).encode() + b"\0"
    content += (transaction.relay_state or "").encode()
    return sealed_cookie(transaction.tid, transaction.started_at, content, ring)


def sealed_cookie(tid: str, started_at: datetime, content: bytes, ring: KeyRing) -> str:
    """`content`, sealed for this id, behind the time. Raises `RelayStateRefused` as `seal`."""
    cookie = f"{int(started_at.timestamp())}.{sealed_text(tid, content, ring)}"
    if len(cookie) > MAX_SEALED:
        raise RelayStateRefused(f"sealed, the login has {len(cookie)} octets, at most {MAX_SEALED}")
    return cookie


def unseal(cookie: str, tid: str, ring: KeyRing) -> LoginTransaction | None:
    """The transaction of this id, or None if the cookie was not sealed for it by this ring."""
    content = opened_text(tid, cookie.partition(".")[2], ring)
    return None if content is None else _login_of(tid, content)


def answered_login(
    relay_state: str | None, cookie_of: Callable[[str], str | None], ring: KeyRing
) -> LoginTransaction:
    """The login that an answer belongs to. Raises as `answered`."""
    return _login_of(*answered(relay_state, cookie_of, ring))


def answered(
    relay_state: str | None, cookie_of: Callable[[str], str | None], ring: KeyRing
) -> tuple[str, bytes]:
    """The id and the content of the transaction that an answer belongs to: this browser's only.

    Raises `LoginUnsolicited` for a RelayState that is none of ours, `LoginUnknown` where
    `cookie_of` finds no cookie for it that this ring sealed.
    """
    if relay_state is None or not is_tid(relay_state):
        raise LoginUnsolicited("the RelayState is not of a login that began here")
    cookie = cookie_of(relay_state)
    if cookie is None:
        raise LoginUnknown("the login's cookie did not come with the answer")
    content = opened_text(relay_state, cookie.partition(".")[2], ring)
    if content is None:
        raise LoginUnknown("the login's cookie was not sealed for this RelayState")
    return relay_state, content


def demand_in_time(started_at: datetime, answer_within: timedelta, now: datetime) -> None:
    """Raises `LoginExpired` when the answer comes too late, or before it was asked for."""
    age = now - started_at
    if not -CLOCK_SKEW <= age <= answer_within:
        raise LoginExpired(f"answered after {age.total_seconds():.0f} s")


def _login_of(tid: str, content: bytes) -> LoginTransaction:
    text, _, relay_state = content.partition(b"\0")
    facts = json.loads(text)
    return LoginTransaction(
        tid=tid,
        started_at=datetime.fromtimestamp(facts["at"], UTC),
        sp_request_id=facts["id"],
        relay_state=relay_state.decode() if facts["rs"] else None,
        acs_url=facts["acs"],
        upstream=facts["up"],
        entity_id=facts["ent"],
        epoch=facts["ep"],
        request_id=facts["req"],
        force_authn=facts["fa"],
        is_passive=facts["ip"],
        drill=DrillLogin(*facts["dr"]) if "dr" in facts else None,
    )


def surplus(cookies: Iterable[tuple[str, str]], style: CookieStyle) -> list[str]:
    """Names of the login cookies to drop so that a new one makes at most MAX_COOKIES."""
    mine = [(_issued(value), name) for name, value in cookies if name.startswith(style.prefix)]
    return [name for _, name in sorted(mine)[: max(0, len(mine) - MAX_COOKIES + 1)]]


def _issued(value: str) -> int:
    head = value.partition(".")[0]
    return int(head) if _ISSUED.fullmatch(head) else 0
