"""Sessions and personal access tokens."""

from __future__ import annotations

from tests.support.mattermost_api import shapes
from tests.support.mattermost_api.asking import (
    OK,
    Ask,
    RefusedError,
    Reply,
    invalid_body,
    invalid_url,
)


def get_sessions(ask: Ask) -> Reply:
    """Expired rows too; an unknown id has none."""
    ask.require_session()
    user_id = ask.user_id()
    ask.require_self_or_admin(user_id)
    return Reply([shapes.session(row) for row in ask.server.sessions.of(user_id)])


def revoke(ask: Ask) -> Reply:
    """One of them; whose it is is looked at after whether there is one."""
    ask.require_session()
    user_id = ask.user_id()
    ask.require_self_or_admin(user_id)
    wanted = ask.text("session_id")
    if not wanted:
        raise invalid_body("session_id")
    found = ask.server.sessions.by_id(wanted)
    if found is None:
        raise RefusedError(
            400, "app.session.get.app_error", "We encountered an error finding the session."
        )
    if found.user_id != user_id:
        raise invalid_url("user_id")
    ask.server.sessions.end(found)
    return OK


def revoke_all(ask: Ask) -> Reply:
    """All of them; tokens stay."""
    ask.require_session()
    user_id = ask.user_id()
    ask.require_self_or_admin(user_id)
    ask.server.end_sessions(user_id)
    return OK


def get_tokens(ask: Ask) -> Reply:
    """Without the tokens themselves."""
    ask.require_session()
    user_id = ask.user_id()
    ask.require_self_or_admin(user_id)
    rows = [row for row in ask.server.tokens.values() if row.user_id == user_id]
    size = min(ask.number("per_page", 60), 200)
    page = ask.number("page", 0) * size
    return Reply([shapes.token(row, ask.server.release) for row in rows[page : page + size]])
