"""Who belongs to which of the groups that an envelope names: teams, groups, roles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from conversion.decision.scope import Part, Scope, scope_of
from conversion.errors import NotFound, PlanUnsafe, Rejected

if TYPE_CHECKING:
    from collections.abc import Iterable

    from conversion.decision.account import Account


class Server(Protocol):
    """What is asked. Raises the errors of `MattermostError`."""

    def members(self, scope: Scope) -> frozenset[str]:
        """The user ids in a team or a group."""


class Groups:
    """Asks once for each team and group; a role stands with the account."""

    def __init__(self, server: Server, groups: Iterable[str]) -> None:
        """Raises `PlanUnsafe` for groups that the server does not know, or does not show."""
        self._roles: dict[str, str] = {}
        self._members: dict[str, frozenset[str]] = {}
        problems = []
        for text in sorted(groups):
            scope = scope_of(text)
            if scope.part is Part.ROLE:
                self._roles[text] = scope.name
                continue
            try:
                self._members[text] = server.members(scope)
            except (NotFound, Rejected) as error:
                problems.append(f"unknown_group: {text}: {error.detail}")
        if problems:
            raise PlanUnsafe(problems)

    def of(self, account: Account) -> frozenset[str]:
        """Those that this account belongs to."""
        roles = (text for text, role in self._roles.items() if role in account.roles)
        lists = (text for text, ids in self._members.items() if account.id in ids)
        return frozenset((*roles, *lists))
