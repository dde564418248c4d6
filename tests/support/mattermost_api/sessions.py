"""Sessions and personal access tokens."""

from __future__ import annotations

from tests.support.mattermost_api import shapes
from tests.support.mattermost_api.asking import OK, Ask, Reply, invalid_body


def get_sessions(ask: Ask) -> Reply:
    """Expired rows too; an unknown id has none."""
    ask.require_session()
    user_id = ask.user_id()
    ask.require_self_or_admin(user_id)
    return Reply([shapes.session(row) for row in ask.server.sessions.of(user_id)])


def revoke(ask: Ask) -> Reply:
    """One of them."""
    ask.require_session()
    user_id = ask.user_id()
    ask.require_self_or_admin(user_id)
    wanted = ask.text("session_id")
    found = [row for row in ask.server.sessions.of(user_id) if row.id == wanted]
    if not found:
        raise invalid_body("session_id")
    ask.server.sessions.end(found[0])
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
