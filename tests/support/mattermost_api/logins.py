"""Login by password, with the masked refusals of a real server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.mattermost_api import shapes
from tests.support.mattermost_api.asking import Ask, RefusedError, Reply
from tests.support.mattermost_api.credentials import matches

if TYPE_CHECKING:
    from tests.support.mattermost_api.people import User
    from tests.support.mattermost_api.server import MattermostServer


def login(ask: Ask) -> Reply:
    """POST /users/login: the session's token is in the header `Token`."""
    server = ask.server
    row = _named(server, ask.text("login_id"))
    if row is None or row.auth_service:
        raise _masked(server)
    _preflight(server, row)
    server.note(row.id, ask.path, "attempt")
    if not matches(ask.text("password"), row.password):
        server.change(row.id, failed_attempts=row.failed_attempts + 1)
        raise _masked(server)
    _postflight(server, row, ask.text("token"))
    server.note(row.id, ask.path, "authenticated")
    server.change(row.id, failed_attempts=0)
    _rehash(server, row)
    session = server.give_session(row.id)
    server.note(row.id, ask.path, f"success session_user={row.id}", session.id)
    shown = shapes.user(server.users[row.id], server.release, admin=False, own=True, full=True)
    return Reply(shown, headers={"Token": session.token})


def _named(server: MattermostServer, login_id: str) -> User | None:
    email = server.settings["EmailSettings"]
    row = None
    if email["EnableSignInWithUsername"]:
        row = server.users.find("username", login_id)
    if row is None and email["EnableSignInWithEmail"]:
        row = server.users.find("email", login_id)
    return row


def _masked(server: MattermostServer) -> RefusedError:
    if server.settings["SamlSettings"]["Enable"]:
        return RefusedError(401, "api.user.login.invalid_credentials_sso")
    return RefusedError(401, "api.user.login.invalid_credentials_email_username")


def _preflight(server: MattermostServer, row: User) -> None:
    if row.delete_at:
        raise RefusedError(401, "api.user.login.inactive.app_error")
    if row.is_bot:
        raise RefusedError(401, "api.user.login.bot_login_forbidden.app_error")
    if row.is_guest and not server.licensed:
        raise RefusedError(401, "api.user.login.guest_accounts.license.error")
    if row.failed_attempts >= server.settings["ServiceSettings"]["MaximumLoginAttempts"]:
        raise RefusedError(401, "api.user.check_user_login_attempts.too_many.app_error")


def _postflight(server: MattermostServer, row: User, code: str) -> None:
    if server.settings["EmailSettings"]["RequireEmailVerification"] and not row.email_verified:
        raise RefusedError(401, "api.user.login.not_verified.app_error")
    wanted = server.settings["ServiceSettings"]["EnableMultifactorAuthentication"]
    # The double has no clock of codes: the secret itself counts as the right code.
    if wanted and row.mfa_active and (not code or code != row.mfa_secret):
        raise RefusedError(401, "mfa.validate_token.authenticate.app_error")


def _rehash(server: MattermostServer, row: User) -> None:
    """From 11.0 on a login replaces bcrypt by PBKDF2, by UpdatePassword: which ends a binding that
    was set while the login was in flight. The double keeps the hash and plays the effect.
    """
    if not server.release.rehashes or not row.password.startswith("$2"):
        return
    lag = server.trouble.login_lag_s
    if lag:
        server.later(lag, lambda: server.put_password(row.id, row.password))
