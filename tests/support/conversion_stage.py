"""A conversion on a stage: the double of Mattermost over HTTP, the real client, the real ledger.

Time is the double's: whoever sleeps moves it on, so that settle delays cost nothing.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

from conversion.bulk import Bulk, Limits
from conversion.campaign import convert
from conversion.decision.account import Binding, Source
from conversion.decision.plan import Envelope
from conversion.homecoming import Orders
from conversion.ledger import opening
from conversion.ledger.base import InventoryRow
from conversion.ledger.database import new_file
from conversion.mattermost import Access, Mattermost, capabilities_of
from conversion.planning import Choice, Surroundings, draw_up
from tests.support.launch import in_thread
from tests.support.mattermost_api import MattermostServer, app

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conversion.campaign import Converted
    from conversion.decision.lifecycle import RowState
    from conversion.ledger.sql import SqlLedger
    from tests.support.mattermost_api import User

#: Objections that a small stage cannot help: everybody is moved at once.
ANSWERED = frozenset({"too_many", "fallback_binding", "mfa_leftover", "guest"})
#: The operator of the stage, on SAML like everybody else.
OPERATOR = "operator"


def inventory_row(user: User, seen_at: datetime, *, known: bool = True) -> InventoryRow:
    """What a thorough `prepare` knows of `user`, or (`known` False) one that saw no binding."""
    binding = Binding(user.auth_data or "", Source.SQL, seen_at) if known else None
    return InventoryRow(
        user.id,
        user.username,
        user.email,
        binding,
        frozenset(user.roles.split()),
        active=not user.delete_at,
        is_bot=user.is_bot,
        mfa_active=user.mfa_active,
        seen_at=seen_at,
    )


@cache
def _empty_ledger() -> bytes:
    """A ledger without anything in it: its tables are made once in a process, and copied."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "l.db"
        opening._make(file)
        return file.read_bytes()


def _new_ledger(folder: Path) -> SqlLedger:
    file = folder / "l.db"
    with os.fdopen(new_file(file), "wb") as empty:
        empty.write(_empty_ledger())
    return opening.open_ledger(file, folder / "l.mirror", host="stage")


@dataclass(slots=True)
class Stage:
    """Use it as a context manager. `folder` takes the ledger and its mirror."""

    folder: Path
    version: str = "10.11"
    people: int = 12
    seed: int = 1
    limits: Limits = field(default_factory=lambda: Limits(threads=4, group=4))
    server: MattermostServer = field(init=False)
    client: Mattermost = field(init=False)
    ledger: SqlLedger = field(init=False)
    bulk: Bulk = field(init=False)
    before: dict[str, str] = field(init=False)
    url: str = field(init=False)
    _open: ExitStack = field(default_factory=ExitStack, init=False)

    def __enter__(self) -> Self:
        self.server = MattermostServer(self.version, self.seed)
        self.server.add_saml(OPERATOR)
        self.server.people(self.people)
        url = self._open.enter_context(in_thread(app(self.server)))
        self.url = url
        self.client = self._open.enter_context(self.new_client())
        self.ledger = _new_ledger(self.folder)
        self._open.callback(self.ledger.close)
        self.bulk = Bulk(
            server=self.client,
            capabilities=capabilities_of(self.client.version()),
            ledger=self.ledger,
            actor="tester",
            limits=self.limits,
            clock=self.now,
            sleep=self.sleep,
        )
        self.prepare()
        self.before = self.bindings()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def new_client(self) -> Mattermost:
        """A client with a token that was given this moment."""
        token = self.server.give_token(self.server.admin.id).token
        access = Access(self.url, token, deadline_s=2.0, patience_s=30.0)
        return Mattermost(access, sleep=self.sleep)

    def now(self) -> datetime:
        """The double's time."""
        return datetime.fromtimestamp(self.server.now, UTC)

    def sleep(self, seconds: float) -> None:
        """Time passes."""
        self.server.ahead_s += seconds

    def prepare(self, **known: bool) -> None:
        """Fill the inventory with everybody on SAML; `NAME=False` knows no binding of NAME."""
        now = self.now()
        rows = [
            inventory_row(user, now, known=known.get(user.username, True))
            for user in self.server.users.values()
            if user.auth_service == "saml"
        ]
        self.ledger.put_inventory(rows, now)

    def plan(self, *names: str, accepted: frozenset[str] = ANSWERED, **envelope: Any) -> str:
        """The digest of a stored plan for these people, or for everybody but the operator."""
        usual = Envelope(
            groups=frozenset(),
            at_most=1000,
            exclude=frozenset({self.user(OPERATOR).id}),
            until=self.now() + timedelta(hours=12),
        )
        choice = Choice(frozenset(names), everybody=not names)
        around = Surroundings(server="double")
        return draw_up(self.bulk, choice, replace(usual, **envelope), around, accepted).digest

    def convert(self, *names: str) -> Converted:
        """Plan and convert."""
        return convert(self.bulk, self.plan(*names))

    def orders(self, **changes: Any) -> Orders:
        """A return right after the operator has logged in by SAML, without waiting for a pilot."""
        self.server.give_session(self.user(OPERATOR).id, is_saml=True)
        return replace(Orders(operator=OPERATOR, no_wait_reason="a test"), **changes)

    def user(self, username: str) -> User:
        """The row of a user name."""
        found = self.server.users.find("username", username)
        assert found is not None, username
        return found

    def bindings(self) -> dict[str, str]:
        """Who is on SAML by which binding."""
        return {
            user.id: user.auth_data or ""
            for user in self.server.users.values()
            if user.auth_service == "saml"
        }

    def states(self) -> Mapping[RowState, int]:
        """The rows of the open campaign by state."""
        campaign = self.ledger.current_campaign()
        assert campaign is not None, "no campaign is open"
        return self.ledger.counts(campaign.id)
