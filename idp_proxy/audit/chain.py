"""The chain itself, pure: what an event is, and how a row is bound to the one before it.

A row's digest is SHA-256 over the digest of the row before it and the canonical JSON of what the
row says (RFC 8785 in spirit: sorted keys, no blanks, UTF-8, no NaN). People stand in it as
pseudonyms whose key lies elsewhere and can be erased; the chain verifies without them.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING, TypeAlias

from idp_proxy.errors import StoreConflict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

#: What a fact of an event may be.
Fact: TypeAlias = str | int | float | bool | None

#: What stands as the digest before the first row of a chain.
GENESIS = "0" * 64

#: First row of a chain that a host writes while the store is away.
SPOOL_OPENED = "spool_opened"
#: Last row of such a chain: nothing follows it.
SPOOL_SEALED = "spool_sealed"
#: Row of the host's main chain that binds a merged spool chain to it.
SPOOL_JOINED = "spool_joined"
#: Row that tells how far rows were removed, and which digest the last removed one had.
AUDIT_PRUNED = "audit_pruned"

_SPOOL = "/spool/"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: `kind` is a stable slug, `actor` who caused it, `facts` what is so.

    `person` is the canonical id of the person concerned, in the clear; the log writes a pseudonym
    in its place. `facts` never hold a secret nor anything that identifies a person.
    """

    kind: str
    actor: str
    at: datetime
    person: str | None = None
    facts: Mapping[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: the number and digest (lower-case hex) of its last row."""

    chain: str
    seq: int
    digest: str


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it is kept. `seq` counts from 1; `body` is canonical JSON; digests are hex."""

    chain: str
    seq: int
    at: datetime
    kind: str
    body: str
    previous: str
    digest: str

    @property
    def head(self) -> Head:
        """The chain's end while this is its last row."""
        return Head(self.chain, self.seq, self.digest)

    @property
    def content(self) -> dict[str, object]:
        """What `body` says: `actor`, `person` (a pseudonym or None) and `facts`."""
        content: dict[str, object] = json.loads(self.body)
        return content

    @property
    def facts(self) -> dict[str, object]:
        """The facts of the event."""
        facts = self.content["facts"]
        if not isinstance(facts, dict):
            raise TypeError(f"row {self.seq} of {self.chain} has no facts")
        return facts


@dataclass(frozen=True, slots=True, repr=False)
class PersonKey:
    """What links a pseudonym to a person; it is erased when the person is to be forgotten."""

    pseudonym: str
    person_id: str
    key: bytes

    def __repr__(self) -> str:
        return f"PersonKey(pseudonym={self.pseudonym!r})"


def start(chain: str) -> Head:
    """The head of a chain without rows."""
    return Head(chain, 0, GENESIS)


def canonical(content: Mapping[str, object]) -> str:
    """The one JSON text of `content`. Raises `ValueError` on NaN, infinity and lone surrogates."""
    text = json.dumps(
        content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    text.encode("utf-8")
    return text


def instant(at: datetime) -> str:
    """`at` as rows and checkpoints write it: UTC, microseconds. Raises `ValueError` if naive."""
    if at.tzinfo is None:
        raise ValueError("a time in the audit needs a time zone")
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def pseudonym(key: bytes, person_id: str) -> str:
    """HMAC-SHA256 of the canonical id under a random key of this person only, as hex."""
    return hmac.digest(key, person_id.encode("utf-8", "surrogatepass"), "sha256").hex()


def digest_of(row: Row) -> str:
    """The digest that `row` has if nobody touched it. Raises `ValueError` if it cannot have one."""
    content = canonical(
        {
            "at": instant(row.at),
            "body": row.body,
            "chain": row.chain,
            "kind": row.kind,
            "seq": row.seq,
        }
    )
    return hashlib.sha256(f"{row.previous}\n{content}".encode()).hexdigest()


def append(head: Head, event: Event, person: str | None) -> Row:
    """The row that `event` becomes after `head`; `person` is the pseudonym of `event.person`."""
    body = canonical({"actor": event.actor, "facts": dict(event.facts), "person": person})
    return _bound(Row(head.chain, head.seq + 1, event.at, event.kind, body, head.digest, ""))


def _bound(row: Row) -> Row:
    return Row(row.chain, row.seq, row.at, row.kind, row.body, row.previous, digest_of(row))


def follows(head: Head, rows: Sequence[Row]) -> bool:
    """Whether `rows` continue the chain that ends in `head`, one by one and unaltered."""
    for row in rows:
        linked = (row.chain, row.seq, row.previous) == (head.chain, head.seq + 1, head.digest)
        if not linked or digest_of(row) != row.digest:
            return False
        head = row.head
    return True


def news(head: Head, rows: Sequence[Row]) -> Sequence[Row]:
    """Those of `rows` that lie behind `head`, the end of their chain as known so far.

    Raises `StoreConflict` when they do not continue it: then one of two histories was altered.
    """
    fresh = [row for row in rows if row.seq > head.seq]
    known = [row for row in rows if row.seq == head.seq]
    if not follows(head, fresh) or any(row.digest != head.digest for row in known):
        raise StoreConflict(
            f"the rows of {head.chain} do not continue its row {head.seq} in the store; run "
            "verify-audit, keep the file of the spool, and treat this as tampering"
        )
    return fresh


def spool_chain(host: str, opening_id: str) -> str:
    """The name of the chain that `host` writes while the store is away."""
    return f"{host}{_SPOOL}{opening_id}"


def host_of(chain: str) -> str | None:
    """The main chain a spool chain belongs to; None for a chain that is no spool's."""
    host, mark, _ = chain.partition(_SPOOL)
    return host if mark else None


def spool_opened(known: Head, at: datetime) -> Event:
    """The first event of a spool chain; `known` is the last of the main chain the host had seen."""
    facts: dict[str, Fact] = {"after_seq": known.seq, "after_digest": known.digest}
    return Event(SPOOL_OPENED, "idp-proxy", at, facts=facts)


def spool_joined(end: Head, at: datetime) -> Event:
    """The event of the main chain that binds the whole spool chain ending in `end`."""
    facts: dict[str, Fact] = {"spool": end.chain, "rows": end.seq, "digest": end.digest}
    return Event(SPOOL_JOINED, "idp-proxy", at, facts=facts)


def audit_pruned(end: Head, gone: int, at: datetime) -> Event:
    """The event that tells that rows up to `end` were removed, `gone` of them in all."""
    facts: dict[str, Fact] = {"through_seq": end.seq, "through_digest": end.digest, "rows": gone}
    return Event(AUDIT_PRUNED, "idp-proxy", at, facts=facts)
