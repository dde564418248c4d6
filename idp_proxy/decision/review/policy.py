"""The policy that a reviewer signs: every field by its path, and one digest over all of them.

Values are what the configuration means, never a secret: keys stand in it by the digests of their
certificates. What time changes by itself (proofs, imports) is no part of it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

#: In front of the path of each field of one upstream: `upstream.okta.metadata`.
UPSTREAM: Final = "upstream."


@dataclass(frozen=True, slots=True)
class Policy:
    """Path -> value, each as text."""

    fields: Mapping[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 over the canonical JSON."""
        text = json.dumps(dict(self.fields), sort_keys=True, separators=(",", ":"))
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Signed:
    """A policy that somebody signed."""

    id: str
    name: str
    at: datetime
    policy: Policy
    open_findings: int


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs; None where it is not there."""

    path: str
    before: str | None
    after: str | None

    @property
    def upstream(self) -> str:
        """The upstream that it belongs to, or ""."""
        if not self.path.startswith(UPSTREAM):
            return ""
        return self.path.removeprefix(UPSTREAM).partition(".")[0]


def difference(before: Policy, after: Policy) -> tuple[Change, ...]:
    """Every field that is not as it was, in the order of the paths."""
    paths = sorted({*before.fields, *after.fields})
    changes = (Change(path, before.fields.get(path), after.fields.get(path)) for path in paths)
    return tuple(one for one in changes if one.before != one.after)
