"""Mattermost's accounts in a CSV file, with the columns of its table `users`: where the API does
not tell `auth_data` (below 10.11), or is away.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from idp_proxy.decision.roster import Account
from idp_proxy.errors import ListRefused
from idp_proxy.listing.base import Problems
from idp_proxy.listing.csv_file import opened, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import timedelta
    from pathlib import Path

#: All are needed: who is deactivated or an administrator must not be left unsaid.
_COLUMNS: Final = ("email", "username", "authservice", "authdata", "roles", "deleteat")


@dataclass(frozen=True, slots=True)
class AccountsFile:
    """One file; what it says counts for as long as an import's word (`lasts`) from when it was
    written. Names of columns may have underscores, and others may stand beside them.
    """

    path: Path
    lasts: timedelta

    def accounts(self, now: datetime) -> tuple[Account, ...]:
        """Everybody. Raises `ListRefused` with everything that is wrong."""
        problems = Problems(str(self.path))
        with opened(self.path) as file:
            written = datetime.fromtimestamp(self.path.stat().st_mtime, UTC)
            if now - written > self.lasts:
                days = (now - written).days
                raise ListRefused(
                    [f"{self.path}: written {days} days ago, allowed {self.lasts.days}"]
                )
            rows = rows_of(file, problems)
            place, head = next(rows, ("line 1", []))
            names = [name.strip().lower().replace("_", "") for name in head]
            for column in _COLUMNS:
                if names.count(column) != 1:
                    problems.add(place, f"needs the column {column} once")
            problems.demand_none()
            found = tuple(_accounts(names, rows, problems))
        problems.demand_none()
        return found


def _accounts(
    names: list[str], rows: Iterator[tuple[str, list[str]]], problems: Problems
) -> Iterator[Account]:
    for place, cells in rows:
        if len(cells) != len(names):
            problems.add(place, f"{len(cells)} columns, the head has {len(names)}")
            continue
        row = dict(zip(names, cells, strict=True))
        if not (row["deleteat"].isascii() and row["deleteat"].isdigit()):
            problems.add(place, "column deleteat: no time in milliseconds; 0 is active")
            continue
        yield _account(row)


def _account(row: Mapping[str, str]) -> Account:
    return Account(
        email=row["email"],
        username=row["username"],
        auth_service=row["authservice"],
        auth_data=row["authdata"],
        roles=frozenset(row["roles"].split()),
        deactivated=int(row["deleteat"]) != 0,
    )
