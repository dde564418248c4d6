"""The policy that a reviewer signs: every field by its path, and one digest over all of them.

Values are what the configuration means, never a secret: keys stand in it by the digests of their
certificates. What time changes by itself (proofs, imports) is no part of it.

A release that adds a field must not change what was signed: where the field means what the releases
before it did, it is left out (`LATER`). A default that changes is a change of the policy.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

#: In front of the path of each field of one upstream: `upstream.okta.metadata`.
UPSTREAM: Final = "upstream."
#: The path of the upstreams' names, in order of preference.
ORDER: Final = "upstreams"
#: Fields of a release after 0.1.0, by `pattern_of` their path: what the proxy did before there was
#: such a field. The value stays when a default changes later.
LATER: Final[Mapping[str, str]] = MappingProxyType({})
#: What all standbys have in common: who changes this changes each of them.
_OF_ALL_STANDBYS: Final = frozenset(
    {ORDER, "assurance", "failover", "known_networks", "roster", "service_provider"}
)


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
    """A policy that somebody signed. `genuine`: it is in the store as it was kept there."""

    id: str
    name: str
    at: datetime
    policy: Policy
    open_findings: int
    genuine: bool = True


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

    def concerns(self, standbys: Sequence[str]) -> tuple[str, ...]:
        """The upstreams that are not as they were: its own one, or every standby."""
        if self.upstream:
            return (self.upstream,)
        return tuple(standbys) if self.path.partition(".")[0] in _OF_ALL_STANDBYS else ()


def difference(before: Policy, after: Policy) -> tuple[Change, ...]:
    """Every field that is not as it was, in the order of the paths."""
    paths = sorted({*before.fields, *after.fields})
    changes = (Change(path, before.fields.get(path), after.fields.get(path)) for path in paths)
    return tuple(one for one in changes if one.before != one.after)


def lasting(fields: Mapping[str, str], later: Mapping[str, str] = LATER) -> Policy:
    """The policy of these fields, whichever release reads them: without what came later and means
    what was meant before.
    """
    return Policy(
        {path: value for path, value in fields.items() if later.get(pattern_of(path)) != value}
    )


def pattern_of(path: str) -> str:
    """The path with a star for the name of the upstream."""
    if not path.startswith(UPSTREAM):
        return path
    return f"{UPSTREAM}*.{path.removeprefix(UPSTREAM).partition('.')[2]}"
