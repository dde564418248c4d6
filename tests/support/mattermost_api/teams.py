"""Teams and groups: who is in which. Groups need a licence."""

from __future__ import annotations

from tests.support.mattermost_api.accounts import LARGEST_PAGE, shown
from tests.support.mattermost_api.asking import Ask, RefusedError, Reply


def get_team(ask: Ask) -> Reply:
    """By its name in addresses."""
    ask.require_session()
    for team in ask.server.teams:
        if ask.server.names[team] == ask.names["name"]:
            return Reply({"id": team, "name": ask.names["name"], "display_name": "A team"})
    raise RefusedError(404, "app.team.get_by_name.missing.app_error")


def list_groups(ask: Ask) -> Reply:
    """Those whose name has the text in it."""
    _require_groups(ask)
    asked = ask.query.get("q", "")
    found = [
        {"id": group, "name": None, "display_name": ask.server.names[group]}
        for group in ask.server.groups
        if asked.lower() in ask.server.names[group].lower()
    ]
    return Reply(found)


def group_members(ask: Ask) -> Reply:
    """Page by page."""
    _require_groups(ask)
    members = ask.server.groups.get(ask.names["group_id"], set())
    users = ask.server.users
    rows = [users[one] for one in users.ordered() if one in members]
    first = ask.number("page", 0) * min(ask.number("per_page", 60), LARGEST_PAGE)
    found = rows[first : first + min(ask.number("per_page", 60), LARGEST_PAGE)]
    return Reply({"members": [shown(ask, row) for row in found], "total_member_count": len(rows)})


def _require_groups(ask: Ask) -> None:
    ask.require_session()
    ask.require_admin()
    if not ask.server.licensed:
        raise RefusedError(501, "api.ldap_groups.license_error")
