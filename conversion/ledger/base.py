"""What the campaign asks of its ledger, and how atomic each answer is.

A row is changed by compare-and-swap on (state, version). `commit` writes a group of changes with
their audit events in one transaction, after the mirror has them on disk: who returns from it may
call the server. Every implementation passes tests/conformance/test_ledger.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from conversion.decision.account import Binding, Source
    from conversion.decision.lifecycle import RowState
    from idp_proxy.audit.chain import Event
    from idp_proxy.audit.checkpoint import Checkpoint
    from idp_proxy.audit.verification import Verdict

#: A fact of a row: since when the account was at a password, at the earliest (ISO 8601, UTC).
MOVED: Final = "moved"
#: A fact of a row: somebody else brought the account back, by whatever binding.
ELSEWHERE: Final = "elsewhere"
#: A fact of a row: who ran the command that left it as an exception.
LEFT_BY: Final = "left_by"
#: A fact of a row: what was remarked on this person on the way back, a line each.
REMARKS: Final = "remarks"


@dataclass(frozen=True, slots=True)
class InventoryRow:
    """One SAML account as `prepare` found it: what must be known before anything is touched."""

    user_id: str
    username: str
    email: str
    binding: Binding | None
    roles: frozenset[str]
    active: bool
    is_bot: bool
    mfa_active: bool
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Row:
    """One person in one campaign. `binding` is what is restored, to the byte; `version` counts
    the changes; `note` says why the row is where it is.
    """

    campaign: str
    user_id: str
    state: RowState
    version: int
    binding: Binding
    mfa_active: bool
    updated_at: datetime
    note: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """`row` as it shall be (its version already counted up); it must be at `was` now."""

    row: Row
    was: RowState
    event: Event


@dataclass(frozen=True, slots=True)
class Campaign:
    """From the first plan to the last return. `envelope` is the stored plan's, as JSON."""

    id: str
    opened_at: datetime
    envelope: str
    closed_at: datetime | None = None


class Ledger(Protocol):
    """The record of every campaign."""

    def lock(self, command: str, owner: str, now: datetime) -> AbstractContextManager[None]:
        """Hold the lock of bulk commands. Raises `LedgerBusy` with owner, host, command and since
        when; a lock whose process on this host is gone is taken over, and that is recorded.
        """

    def put_inventory(self, rows: Iterable[InventoryRow], now: datetime) -> None:
        """Replace the inventory; a binding that is known is never replaced by an unknown one, nor
        by a makeshift one, and whose binding is known stays, as last seen, when not found again.
        """

    def inventory(self) -> Iterator[InventoryRow]:
        """The inventory in order of user id, read in batches."""

    def open_campaign(self, campaign: Campaign, *events: Event) -> None:
        """Raises `LedgerConflict` while another campaign is open."""

    def set_envelope(self, campaign: str, envelope: str, *events: Event) -> None:
        """Put another envelope, as JSON, in the place of the open campaign's.

        Raises `LedgerConflict` where it is not open.
        """

    def current_campaign(self) -> Campaign | None:
        """The campaign that is open."""

    def last_campaign(self) -> Campaign | None:
        """The campaign that was opened last, closed ones too: what a report is about."""

    def close_campaign(self, campaign: str, now: datetime, *events: Event) -> None:
        """Raises `LedgerConflict` while a row of it is open."""

    def put_plan(self, octets: Iterable[bytes], now: datetime) -> str:
        """Keep a plan for ever, given in pieces; returns its digest, SHA-256 over all octets."""

    def plan(self, digest: str) -> Iterator[bytes] | None:
        """The very octets that were stored, in pieces, or None.

        All of them have been held against the digest before the first is given.
        """

    def add(self, rows: Sequence[Row], events: Sequence[Event]) -> None:
        """New rows, in an initial state and version 1, all or none.

        Raises `LedgerConflict` if a person is in the campaign already, or the campaign is not open.
        """

    def commit(self, changes: Sequence[Change]) -> tuple[Row, ...]:
        """All changes, or those whose row was where they said; returns the rows that lost.

        Who changes what was learnt (binding, MFA) other than by a new plan loses too. Raises
        `LedgerConflict` on a step that the lifecycle does not know, and on a closed campaign. After
        any other `LedgerError` the changes may be on record: read the rows again.
        """

    def rows(self, campaign: str, *states: RowState, source: Source | None = None) -> Iterator[Row]:
        """The rows in these states (all without any), in order of user id, read in batches.

        With `source` only those whose binding was learnt there.
        """

    def row(self, campaign: str, user_id: str) -> Row | None:
        """One row."""

    def given_up(self) -> Iterator[Row]:
        """Who was written off in any campaign, and not seen on SSO by `prepare` since; few."""

    def counts(self, campaign: str) -> Mapping[RowState, int]:
        """How many rows are in each state."""

    def record(self, event: Event) -> None:
        """An event that concerns no row."""

    def checkpoint(self, file: Path, key: Ed25519PrivateKey, now: datetime) -> None:
        """Sign the end of this host's audit chain, and append it to the checkpoints in `file`."""

    def verify_audit(self, checkpoints: Iterable[Checkpoint] = ()) -> Verdict:
        """Whether the audit is what was written, as far as these checkpoints remember it."""

    def close(self) -> None:
        """Give back files and connections."""
