"""Gathers the evidence for a preflight from server, ledger and configuration; changes nothing.

What cannot be learnt is noted with its reason and goes on: at night every other answer still helps.
"""

from __future__ import annotations

from collections.abc import Mapping, ValuesView
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from conversion.decision.account import Account, Binding, Source
from conversion.decision.evidence import Evidence, Operator, Release
from conversion.errors import MattermostError
from conversion.mattermost import by_local_mode, capabilities_of, shows_auth_data
from conversion.mattermost.roll import Roll

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from conversion.config import Settings
    from conversion.ledger.base import InventoryRow, Ledger
    from conversion.mattermost import Listing, Token, Version
    from conversion.proxy_status import ProxyAnswer

T = TypeVar("T")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Server(Protocol):
    """What a preflight asks. Every call raises the errors of `MattermostError`."""

    def version(self) -> Version:
        """The release."""

    def clock(self) -> datetime | None:
        """The server's time (UTC), where it tells."""

    def ping(self) -> Mapping[str, str]:
        """The server's word on itself, its database and its files."""

    def config(self) -> Mapping[str, Mapping[str, Any]]:
        """The settings, by section."""

    def license(self) -> bool:
        """Whether there is a licence."""

    def me(self) -> Account:
        """Whose token this is."""

    def tokens(self, user_id: str) -> Sequence[Token]:
        """The personal access tokens of a person."""

    def walk_accounts(self) -> Listing:
        """All accounts, read until two passes agree."""


class Ways(Mapping[str, Binding]):
    """The way back of everybody whose way back is known, in the little memory of a `Roll`.

    `last` is when `prepare` last ran, None for no inventory.
    """

    def __init__(self, inventory: Iterable[InventoryRow]) -> None:
        self.last: datetime | None = None
        self._roll = Roll(self._known(inventory))

    def _known(self, inventory: Iterable[InventoryRow]) -> Iterator[Account]:
        for row in inventory:
            self.last = row.seen_at if self.last is None else max(self.last, row.seen_at)
            if row.binding is not None:
                # The kind of login has the source; what was learnt when plays no part here.
                source = row.binding.source.value
                yield Account(row.user_id, "", "", source, row.binding.auth_data, frozenset(),
                              row.binding.learnt_at)  # fmt: skip

    def __getitem__(self, user_id: str) -> Binding:
        return _binding(self._roll[user_id])

    def __iter__(self) -> Iterator[str]:
        return iter(self._roll)

    def __len__(self) -> int:
        return len(self._roll)

    def values(self) -> ValuesView[Binding]:
        """In their order, without a search for each."""
        return _Bindings(self)

    def in_order(self) -> Iterator[Binding]:
        """The ways back in order of user id."""
        return map(_binding, self._roll.in_order())


class _Bindings(ValuesView[Binding]):
    """Goes through the records in their order."""

    def __init__(self, ways: Ways) -> None:
        super().__init__(ways)
        self._ways = ways

    def __iter__(self) -> Iterator[Binding]:
        return self._ways.in_order()


def _binding(kept: Account) -> Binding:
    return Binding(kept.auth_data or "", Source(kept.auth_service), kept.deleted_at or _EPOCH)


def gather(
    server: Server, ledger: Ledger, settings: Settings, now: datetime, proxy: ProxyAnswer
) -> Evidence:
    """The evidence. Raises `LedgerError` only: without a ledger nothing else matters."""
    failures: dict[str, str] = {}

    def asked(what: str, ask: Callable[[], T]) -> T | None:
        try:
            return ask()
        except MattermostError as error:
            failures[what] = error.detail
            return None

    known = _known(ledger, settings, now, proxy)
    version = asked("version", server.version)
    if version is None:
        # Each further question would wait as long as this one did.
        return replace(known, failures=failures)
    at = asked("clock", server.clock)
    local = settings.access.local_socket is not None
    me = None if local else asked("token", server.me)
    listing = asked("accounts", server.walk_accounts)
    return replace(
        known,
        statuses=asked("health", server.ping),
        settings=asked("settings", server.config),
        licensed=None if local else asked("licence", server.license),
        operator=None if me is None else _operator(server, me, asked),
        release=_release(version, listing, local=local),
        clock_ahead=None if at is None else at - now,
        accounts=None if listing is None else listing.accounts,
        missing=0 if listing is None else listing.missing,
        failures=failures,
    )


def _known(ledger: Ledger, settings: Settings, now: datetime, proxy: ProxyAnswer) -> Evidence:
    """What needs no server."""
    ways = Ways(ledger.inventory())
    campaign = settings.campaign
    return Evidence(
        now=now,
        local_mode=settings.access.local_socket is not None,
        inventory=ways,
        inventory_at=ways.last,
        inventory_max_age=campaign.inventory_max_age,
        operator_user=campaign.operator_user,
        proxy="" if campaign.proxy_status is None or proxy.logins is not None else proxy.why,
        proof_possible=bool(campaign.operator_user) or campaign.proxy_status is not None,
    )


def _operator(
    server: Server,
    me: Account,
    asked: Callable[[str, Callable[[], Sequence[Token]]], Sequence[Token] | None],
) -> Operator:
    tokens = asked("tokens", lambda: server.tokens(me.id)) or ()
    return Operator(me, tuple(token.expires_at for token in tokens if token.is_active))


def _release(version: Version, listing: Listing | None, *, local: bool) -> Release:
    """The table's word, and for `auth_data` what is seen besides."""
    known = capabilities_of(version)
    known = by_local_mode(known) if local else known
    seen = listing is not None and shows_auth_data(listing.accounts)
    return Release(
        version=str(version),
        warning=known.warning,
        auth_data_visible=seen,
        patch_after_auth=known.patch_after_auth,
        password_may_end_sessions=known.password_may_end_sessions,
        login_may_undo_return=known.login_may_undo_return,
        put_auth_ends_sessions=known.put_auth_ends_sessions,
        session_lengths_in_hours=known.session_lengths_in_hours,
        restores=known.restores,
    )
