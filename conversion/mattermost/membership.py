"""Who belongs to a team or to a group, by user id.

A team's people are `GET /users?in_team=`, which every release knows; a group's are
`GET /groups/{id}/members`, and not `?in_group=`: a server that does not know a parameter ignores it
and lists everybody (facts of the API, section 5), while an unknown route is refused. Groups need a
licence; without one the server answers 501 or 403, which is told as it is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from conversion.decision.scope import Part
from conversion.errors import NotFound, Rejected
from conversion.mattermost import rows
from conversion.mattermost.listing import PAGE_SIZE, walk
from conversion.mattermost.wire import Call

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from conversion.decision.account import Account
    from conversion.decision.scope import Scope
    from conversion.mattermost.wire import Answer, Wire

#: A team's name as it stands in addresses, and an id.
_TEAM: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}", re.ASCII)
_ID: Final = re.compile(r"[a-z0-9]{26}", re.ASCII)


def members(wire: Wire, scope: Scope) -> frozenset[str]:
    """The user ids in a team or a group. Raises `NotFound` where there is none of this name."""
    return (members_of_team if scope.part is Part.TEAM else members_of_group)(wire, scope.name)


def members_of_team(wire: Wire, name: str) -> frozenset[str]:
    """The user ids in a team, by its name in addresses. Raises `NotFound` where there is none."""
    if not _TEAM.fullmatch(name):
        raise NotFound(f"no team is called {name[:64]!r}: its name is the one in its address")
    try:
        team = _get(wire, "/teams/name/{name}", f"/teams/name/{name}").read(rows.NAMED)
    except NotFound as error:
        raise NotFound(
            f"no team is called {name!r}: its name is the one in its address",
            error.error_id,
            error.request_id,
        ) from error

    def page(number: int) -> list[Account]:
        params: dict[str, str | int | bool] = {"page": number, "per_page": PAGE_SIZE}
        found = _get(wire, "/users", "/users", params | {"in_team": team.id}).read(rows.USERS)
        return [rows.account(row) for row in found]

    return _walked(page)


def members_of_group(wire: Wire, name: str) -> frozenset[str]:
    """The user ids in a group, by its name, its display name or its id.

    Raises `NotFound` where there is none, `Rejected` where there are several.
    """
    group = name if _ID.fullmatch(name) else _group_called(wire, name)

    def page(number: int) -> list[Account]:
        path = f"/groups/{group}/members"
        params: dict[str, str | int | bool] = {"page": number, "per_page": PAGE_SIZE}
        found = _get(wire, "/groups/{id}/members", path, params).read(rows.MEMBERS)
        return [rows.account(row) for row in found.members]

    return _walked(page)


def _group_called(wire: Wire, name: str) -> str:
    params: dict[str, str | int | bool] = {"q": name, "per_page": PAGE_SIZE}
    listed = _get(wire, "/groups", "/groups", params).read(rows.ALL_NAMED)
    found = [one.id for one in listed if name in {one.name, one.display_name}]
    if not found:
        raise NotFound(f"no group is called {name[:64]!r}")
    if len(found) > 1:
        raise Rejected(f"{len(found)} groups are called {name[:64]!r}: name one by its id")
    return found[0]


def _walked(page: Callable[[int], list[Account]]) -> frozenset[str]:
    """Two passes that agree; the server's total is of everybody, and no measure here."""
    return frozenset(one.id for one in walk(page, lambda: 0).accounts)


def _get(
    wire: Wire, route: str, path: str, params: Mapping[str, str | int | bool] | None = None
) -> Answer:
    return wire.ask(Call("GET", route, path, params))
