"""What changes how somebody logs in: PUT password, PUT auth, reset by mail, the own switch."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

import bcrypt

from tests.support.mattermost_api.asking import OK, Ask, RefusedError, Reply, invalid_body
from tests.support.mattermost_api.people import DuplicateError
from tests.support.mattermost_api.records import Mail, ResetToken

if TYPE_CHECKING:
    from tests.support.mattermost_api.people import User
    from tests.support.mattermost_api.server import MattermostServer

KNOWN_SERVICES = frozenset({"saml", "ldap", "gitlab", "google", "office365", "openid"})
LONGEST_AUTH_DATA = 128
RESET_LASTS_MS = 24 * 3_600_000

PASSWORD_CONTEXT = RefusedError(
    403,
    "api.user.update_password.context.app_error",
    "Update password failed because context user_id did not match props user_id.",
)
INCOMPLETE = RefusedError(
    400,
    "api.user.update_user_auth.invalid_request",
    "Request is missing either AuthData or AuthService parameter.",
)


def put_auth(ask: Ask) -> Reply:
    """Administrators only; who may is checked before what is asked."""
    ask.require_session()
    if ask.local and not ask.server.release.local_put_auth:
        raise RefusedError(404, "api.context.404.app_error")
    ask.require_admin()
    user_id = ask.user_id()
    body = ask.body
    if not isinstance(body, dict):
        raise invalid_body("user")
    service, data = body.get("auth_service"), body.get("auth_data")
    if not isinstance(service, str | None) or not isinstance(data, str | None):
        raise invalid_body("user")
    if ask.server.release.validates_services:
        _validate(service or "", data)
    elif not service or not data:
        raise INCOMPLETE
    if data is not None and len(data) > LONGEST_AUTH_DATA:
        raise RefusedError(
            500, "app.user.update_auth_data.app_error", "Unable to update the auth data."
        )
    _bind(ask, user_id, service or "", data or None)
    ask.note(f"updated user {user_id} auth to service={service}")
    if service == "email" and ask.server.release.validates_services:
        return Reply({})
    return Reply({"auth_data": data, "auth_service": service})


def _validate(service: str, data: str | None) -> None:
    """From 11.9 on."""
    if service == "email":
        if data:
            raise INCOMPLETE
    elif service not in KNOWN_SERVICES or not data:
        raise INCOMPLETE


def _bind(ask: Ask, user_id: str, service: str, data: str | None) -> None:
    stored = "" if service == "email" and ask.server.release.validates_services else service
    try:
        ask.server.put_auth(user_id, stored, data)
    except DuplicateError as clash:
        raise RefusedError(
            400,
            "app.user.update_auth_data.email_exists.app_error",
            "Unable to switch account to <no value>."
            " An account using the email <no value> already exists.",
        ) from clash


def put_password(ask: Ask) -> Reply:
    """Of anybody by an administrator, of oneself with the current one."""
    ask.require_session()
    user_id = ask.user_id()
    ask.note("attempted")
    new = ask.text("new_password")
    if ask.text("already_hashed") == "true":
        _change(ask, _target(ask, user_id), new)
    elif ask.caller is not None and ask.caller.id == user_id:
        _own(ask, user_id, new)
    else:
        row = _target(ask, user_id)
        check_policy(ask.server, new)
        _change(ask, row, ask.server.hashed(new))
        ask.server.outbox.append(Mail(row.email, "password_changed"))
        _end_sessions(ask, row)
    ask.note("completed")
    return OK


def _target(ask: Ask, user_id: str) -> User:
    row = ask.server.users.get(user_id)
    if row is None or not ask.is_admin:
        raise PASSWORD_CONTEXT
    return row


def _change(ask: Ask, row: User, hashed: str) -> None:
    if row.remote_id and ask.server.release.refuses_remote_passwords:
        raise RefusedError(500, "api.user.update_password.failed.app_error")
    ask.server.put_password(row.id, hashed)


def _own(ask: Ask, user_id: str, new: str) -> None:
    """By the cache: below 9.3 this is how a returned person undoes the return."""
    current = ask.text("current_password")
    if not current:
        raise invalid_body("current_password")
    seen, row = ask.server.profile(user_id), ask.server.users[user_id]
    if seen is not None and seen.auth_data:
        raise RefusedError(
            400,
            "api.user.update_password.oauth.app_error",
            "Update password failed because the user is logged in through an OAuth service.",
        )
    if not matches(current, (seen or row).password):
        raise RefusedError(400, "api.user.update_password.incorrect.app_error")
    check_policy(ask.server, new)
    ask.server.put_password(user_id, ask.server.hashed(new))
    ask.server.outbox.append(Mail(row.email, "password_changed"))
    _end_sessions(ask, row)


def _end_sessions(ask: Ask, row: User) -> None:
    wanted = ask.server.settings["ServiceSettings"]["TerminateSessionsOnPasswordChange"]
    if wanted and ask.server.release.ends_sessions_on_password:
        ask.server.end_sessions(row.id)


def matches(password: str, hashed: str) -> bool:
    """Whether the hash is of this password; garbage is of none."""
    try:
        return bcrypt.checkpw(password.encode()[:72], hashed.encode())
    except ValueError:
        return False


def check_policy(server: MattermostServer, password: str) -> None:
    """PasswordSettings. The id names what the policy asks for, whatever is missing."""
    rules = server.settings["PasswordSettings"]
    wanted = {
        "lowercase": (rules["Lowercase"], r"[a-z]"),
        "uppercase": (rules["Uppercase"], r"[A-Z]"),
        "number": (rules["Number"], r"[0-9]"),
        "symbol": (rules["Symbol"], r"[!-/:-@\[-`{-~ ]"),
    }
    asked = [(name, pattern) for name, (on, pattern) in wanted.items() if on]
    octets = len(password.encode())
    good = rules["MinimumLength"] <= octets <= server.release.longest_password and all(
        re.search(pattern, password) for _, pattern in asked
    )
    if not good:
        suffix = "".join(f"_{name}" for name, _ in asked)
        raise RefusedError(400, f"model.user.is_valid.pwd{suffix}.app_error")


def send_reset(ask: Ask) -> Reply:
    """By mail; an unknown address gets the same answer."""
    row = ask.server.users.find("email", ask.text("email"))
    if row is None:
        return OK
    if row.auth_data:
        if ask.server.settings["ServiceSettings"]["ExperimentalEnableHardenedMode"]:
            return OK
        raise RefusedError(
            400,
            "api.user.send_password_reset.sso.app_error",
            "Unable to reset password for SSO accounts.",
        )
    token = ask.server.new_id(64)
    ask.server.resets[token] = ResetToken(row.id, ask.server.now_ms)
    ask.server.outbox.append(Mail(row.email, "password_reset", token))
    return OK


def reset(ask: Ask) -> Reply:
    """With the token of the mail. By the cache."""
    token = ask.server.resets.get(ask.text("token"))
    if token is None or ask.server.now_ms - token.create_at > RESET_LASTS_MS:
        raise RefusedError(400, "api.user.reset_password.invalid_link.app_error")
    seen = ask.server.profile(token.user_id)
    if seen is None or seen.auth_data:
        raise RefusedError(
            400,
            "api.user.reset_password.sso.app_error",
            "Unable to reset password for SSO accounts.",
        )
    new = ask.text("new_password")
    check_policy(ask.server, new)
    ask.server.put_password(token.user_id, ask.server.hashed(new))
    del ask.server.resets[ask.text("token")]
    ask.server.outbox.append(Mail(seen.email, "password_changed"))
    return OK


def switch(ask: Ask) -> Reply:
    """By the person alone, in both directions."""
    row = ask.server.users.find("email", ask.text("email"))
    if row is None:
        raise RefusedError(404, "app.user.missing_account.const")
    if ask.text("new_service") != "email":
        if not matches(ask.text("password"), row.password):
            raise RefusedError(401, "api.user.check_user_password.invalid.app_error")
        link = f"/login/sso/saml?action=email_to_sso&email={quote(row.email, safe='')}"
        return Reply({"follow_link": f"http://127.0.0.1:18065{link}"})
    ask.require_session()
    if ask.caller is None or ask.caller.id != row.id:
        raise RefusedError(403, "api.user.oauth_to_email.context.app_error")
    check_policy(ask.server, ask.text("new_password"))
    ask.server.put_password(row.id, ask.server.hashed(ask.text("new_password")))
    ask.server.outbox.append(Mail(row.email, "signin_changed"))
    ask.server.end_sessions(row.id)
    return Reply({"follow_link": "/login?extra=signin_change"})
