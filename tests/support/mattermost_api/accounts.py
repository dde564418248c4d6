"""Users: looking at them, listing them, and the changes that leave credentials alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.support.mattermost_api import shapes
from tests.support.mattermost_api.asking import (
    OK,
    Ask,
    RefusedError,
    Reply,
    invalid_body,
    invalid_url,
    missing,
)
from tests.support.mattermost_api.people import DuplicateError
from tests.support.mattermost_api.trouble import Shift

if TYPE_CHECKING:
    from tests.support.mattermost_api.people import User

DEFAULT_PAGE, LARGEST_PAGE = 60, 200


def shown(ask: Ask, row: User, *, full: bool = False) -> dict[str, Any]:
    """A user as this caller sees it."""
    own = ask.caller is not None and ask.caller.id == row.id
    return shapes.user(row, ask.server.release, admin=ask.is_admin, own=own, full=full or own)


def _one(ask: Ask, row: User | None) -> Reply:
    if row is None:
        raise missing()
    tag = f"{ask.server.release.text}.{row.id}.{row.update_at}..0.true.true.0"
    return Reply(shown(ask, row), headers={"Etag": tag})


def get_user(ask: Ask) -> Reply:
    """By the cache."""
    ask.require_session()
    return _one(ask, ask.server.profile(ask.user_id()))


def get_by_name(ask: Ask) -> Reply:
    """By the database."""
    ask.require_session()
    return _one(ask, ask.server.users.find("username", ask.names["username"]))


def get_by_email(ask: Ask) -> Reply:
    """By the database."""
    ask.require_session()
    return _one(ask, ask.server.users.find("email", ask.names["email"]))


def get_by_auth_data(ask: Ask) -> Reply:
    """From 11.8; before, the word is taken for a user id."""
    ask.require_session()
    if not ask.server.release.finds_auth_data:
        raise invalid_url("user_id")
    ask.require_admin()
    return _one(ask, ask.server.users.find("auth_data", ask.query.get("value", "")))


def list_users(ask: Ask) -> Reply:
    """By the database, in order of user name; unknown parameters (`auth_service`) are ignored."""
    ask.require_session()
    if "sort" in ask.query and not {"in_team", "in_channel"} & set(ask.query):
        raise invalid_url("sort")
    page = ask.number("page", 0)
    size = min(ask.number("per_page", DEFAULT_PAGE), LARGEST_PAGE)
    users = ask.server.users
    ids = users.ordered()
    if ask.flag("active"):
        ids = [one for one in ids if not users[one].delete_at]
    if ask.flag("inactive"):
        ids = [one for one in ids if users[one].delete_at]
    if team := ask.query.get("in_team"):
        ids = [one for one in ids if one in ask.server.teams.get(team, ())]
    found = [users[one] for one in ids[page * size : (page + 1) * size]]
    _shift(ask, page)
    return Reply([shown(ask, row) for row in found])


def _shift(ask: Ask, page: int) -> None:
    """Somebody else changes the list behind the walker's back."""
    trouble, users = ask.server.trouble, ask.server.users
    due = trouble.shifts_left > 0 and page % trouble.shift_every == trouble.shift_every - 1
    if trouble.shift is Shift.NONE or not due:
        return
    trouble.shifts_left -= 1
    if trouble.shift is Shift.INSERT:
        ask.server.add(f"0new{ask.server.new_id(8)}")
        return
    first = users[users.ordered()[0]]
    ask.server.change(first.id, username=f"zz{ask.server.new_id(8)}")


def users_by_ids(ask: Ask) -> Reply:
    """By the cache."""
    ask.require_session()
    ids = ask.body if isinstance(ask.body, list) else []
    rows = [row for one in ids if (row := ask.server.profile(one)) is not None]
    return Reply([shown(ask, row) for row in rows])


def search(ask: Ask) -> Reply:
    """By the database; the term may not be empty."""
    ask.require_session()
    term = ask.text("term").lower()
    if not term:
        raise invalid_body("term")
    rows = [
        row
        for row in map(ask.server.users.__getitem__, ask.server.users.ordered())
        if row.username.startswith(term) or row.email.startswith(term)
    ]
    return Reply([shown(ask, row) for row in rows[:100]])


def stats(ask: Ask) -> Reply:
    """Without the deactivated."""
    ask.require_session()
    rows = ask.server.users.values()
    return Reply({"total_users_count": sum(1 for row in rows if not row.delete_at)})


def stats_filtered(ask: Ask) -> Reply:
    """As the query says; takes sysconsole_read_user_management_users, as a system_manager has."""
    ask.require_session()
    if ask.caller is None or "system_manager" not in ask.caller.roles.split():
        ask.require_admin()
    deleted, bots = ask.flag("include_deleted"), ask.flag("include_bots")
    remote = ask.flag("include_remote_users") or not ask.server.release.counts_remote_people_apart
    rows = ask.server.users.values()
    count = sum(
        1
        for r in rows
        if (deleted or not r.delete_at) and (bots or not r.is_bot) and (remote or not r.remote_id)
    )
    return Reply({"total_users_count": count})


def create(ask: Ask) -> Reply:
    """By an administrator, who may bind the user at once."""
    ask.require_session()
    ask.require_admin()
    service, data = ask.text("auth_service"), ask.text("auth_data")
    password = ask.text("password")
    try:
        row = ask.server.add(
            ask.text("username"),
            email=ask.text("email"),
            auth_service=service,
            auth_data=data or None,
            password=ask.server.hashed(password) if password else "",
            first_name=ask.text("first_name"),
            last_name=ask.text("last_name"),
        )
    except DuplicateError as clash:
        raise RefusedError(
            400, f"app.user.save.{clash}_exists.app_error", f"An account with that {clash} already"
        ) from clash
    return Reply(shown(ask, row, full=True), status=201)


def patch(ask: Ask) -> Reply:
    """The profile; a binding in the body is ignored. Always forgets the cache."""
    ask.require_session()
    row = ask.user()
    ask.require_self_or_admin(row.id)
    body = ask.body if isinstance(ask.body, dict) else {}
    fields = {name: body[name] for name in ("first_name", "last_name", "props") if name in body}
    fields |= {name: body[name] for name in ("username", "email") if body.get(name)}
    row = replace(row, update_at=ask.server.now_ms, **fields)
    ask.server.users[row.id] = row
    ask.server.forget(row.id)
    ask.note()
    return Reply(shown(ask, row, full=True))


def set_active(ask: Ask) -> Reply:
    """Deactivating ends sessions."""
    ask.require_session()
    row = ask.user()
    ask.require_admin()
    active = isinstance(ask.body, dict) and ask.body.get("active") is True
    ask.server.change(row.id, delete_at=0 if active else ask.server.now_ms)
    ask.server.forget(row.id)
    if not active:
        ask.server.end_sessions(row.id)
    ask.note()
    return OK


def set_mfa(ask: Ask) -> Reply:
    """Activation needs a code, which no administrator has; an SSO account cannot have one."""
    ask.require_session()
    row = ask.user()
    ask.require_self_or_admin(row.id)
    if isinstance(ask.body, dict) and ask.body.get("activate") is True:
        if row.auth_service not in {"", "ldap"}:
            raise RefusedError(400, "api.user.activate_mfa.email_and_ldap_only.app_error")
        ask.server.change(row.id, mfa_active=True, mfa_secret=ask.server.new_id(32).upper())
    else:
        ask.server.change(row.id, mfa_active=False, mfa_secret="")
    ask.server.forget(row.id)
    ask.note()
    return OK


def verify_email(ask: Ask) -> Reply:
    """By an administrator. 5.37 answers the whole row."""
    ask.require_session()
    row = ask.user()
    ask.require_admin()
    row = ask.server.change(row.id, email_verified=True)
    ask.server.forget(row.id)
    return Reply(shapes.unsanitised(row))


def put_preferences(ask: Ask) -> Reply:
    """Of oneself, or of anybody by an administrator."""
    ask.require_session()
    user_id = ask.user_id()
    ask.require_self_or_admin(user_id)
    for row in ask.body if isinstance(ask.body, list) else []:
        key = (user_id, row["category"], row["name"])
        ask.server.preferences[key] = row["value"]
    return OK


def demote(ask: Ask) -> Reply:
    """Needs a licence."""
    ask.require_session()
    ask.require_admin()
    if not ask.server.licensed:
        raise RefusedError(501, "api.team.demote_user_to_guest.license.error")
    row = ask.user()
    ask.server.change(row.id, roles="system_guest")
    ask.server.forget(row.id)
    return OK
