"""Where crashes are played: the double of Mattermost as a process, a ledger and people per case."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx

from conversion.bulk import Bulk
from conversion.decision.account import Binding, Source
from conversion.decision.plan import Envelope
from conversion.ledger.base import InventoryRow
from conversion.ledger.opening import open_ledger
from conversion.mattermost import Access, Mattermost, capabilities_of
from conversion.planning import Choice, Surroundings, draw_up
from tests.crash.worker import Job, outcome, resumed
from tests.support.launch import Party

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OPERATOR = "operator"
_ANSWERED = frozenset({"too_many"})


@dataclass(frozen=True, slots=True)
class Field:
    """The running double, and what tests may ask of it behind the tool's back."""

    url: str
    token: str

    def order(self, **order: Any) -> Any:
        """One order of the double's control."""
        answer = httpx.post(f"{self.url}/control", json=order, timeout=10, trust_env=False)
        answer.raise_for_status()
        return answer.json()

    def people(self, prefix: str) -> dict[str, dict[str, Any]]:
        """The rows of the people whose names begin so, by id."""
        rows = self.order(do="rows")["users"]
        return {row["id"]: row for row in rows if row["username"].startswith(prefix)}


@contextmanager
def field(folder: Path, version: str) -> Iterator[Field]:
    """The double as a process, with an operator on SAML."""
    folder.mkdir(exist_ok=True)
    token_file = folder / "token"
    options = (f"--version={version}", f"--token-file={token_file}")
    party = Party("mattermost", "tests.support.mattermost_api", options, folder / "double.log")
    party.start()
    try:
        party.wait()
        here = Field(party.url, token_file.read_text(encoding="ascii"))
        here.order(do="add_saml", username=OPERATOR)
        yield here
    finally:
        party.kill()


@dataclass(frozen=True, slots=True)
class Case:
    """Some people of the field, with a ledger that knows their bindings and a stored plan."""

    here: Field
    prefix: str
    job: Job
    before: dict[str, str]

    def convert(self, point: str = "", at: int = 1, after_s: float = 0.0) -> int:
        """Convert them all, and perhaps die on the way."""
        return outcome(replace(self.job, point=point, at=at, after_s=after_s))

    def bring_back(self, point: str = "", at: int = 1, after_s: float = 0.0) -> int:
        """Return them all, after the operator has logged in by SAML."""
        operator = next(iter(self.here.people(OPERATOR)))
        self.here.order(do="session", user_id=operator, is_saml=True)
        job = replace(resumed(self.job), plan="", point=point, at=at, after_s=after_s)
        return outcome(job)

    def write_off(self, *people: str, point: str = "", at: int = 1) -> int:
        """Give these up, as two operators agreed."""
        job = replace(resumed(self.job), plan="", given_up=people, point=point, at=at)
        return outcome(job)

    def reconcile(self, point: str = "", at: int = 1) -> int:
        """Adopt whom somebody moved by hand."""
        return outcome(replace(resumed(self.job), plan="", reconcile=True, point=point, at=at))

    def live_through_the_outage(self) -> None:
        """Everybody logs in by password, and enrols a second factor."""
        for user_id in self.before:
            self.here.order(do="session", user_id=user_id)
            self.here.order(do="change", user_id=user_id, mfa_active=True)

    def passwords(self) -> dict[str, str]:
        """The password hash of everybody who has one."""
        rows = self.here.people(self.prefix)
        return {key: row["password"] for key, row in rows.items() if row["password"]}

    def bindings(self) -> dict[str, str | None]:
        """The binding of everybody who is on SAML."""
        rows = self.here.people(self.prefix)
        return {key: row["auth_data"] for key, row in rows.items() if row["auth_service"] == "saml"}


def case(here: Field, folder: Path, prefix: str, people: int = 8) -> Case:
    """So many new people, prepared and planned."""
    folder.mkdir()
    names = [f"{prefix}-{number}" for number in range(people)]
    for name in names:
        here.order(do="add_saml", username=name, auth_data=f"Ünïque-{name}=/+ ")
    rows = here.people(prefix)
    now = datetime.now(UTC)
    ledger = open_ledger(folder / "ledger.db", folder / "mirror", host="crash")
    ledger.put_inventory([_known(row, now) for row in rows.values()], now)
    with Mattermost(Access(here.url, here.token)) as client:
        bulk = Bulk(client, capabilities_of(client.version()), ledger, "crash")
        envelope = Envelope(frozenset(), people, frozenset(), now + timedelta(hours=1))
        draft = draw_up(bulk, Choice(frozenset(names)), envelope, Surroundings("double"), _ANSWERED)
    ledger.close()
    job = Job(folder, here.url, here.token, OPERATOR, draft.digest)
    return Case(here, prefix, job, {key: row["auth_data"] for key, row in rows.items()})


def _known(row: dict[str, Any], now: datetime) -> InventoryRow:
    return InventoryRow(
        user_id=row["id"],
        username=row["username"],
        email=row["email"],
        binding=Binding(row["auth_data"], Source.SQL, now),
        roles=frozenset({"system_user"}),
        active=True,
        is_bot=False,
        mfa_active=False,
        seen_at=now,
    )
