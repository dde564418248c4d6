"""How a server shows its rows in JSON: keys in the order of a real one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.support.mattermost_api.people import User
    from tests.support.mattermost_api.records import Audit, Job, PersonalToken, Session
    from tests.support.mattermost_api.releases import Release

TIMEZONE = {"automaticTimezone": "", "manualTimezone": "", "useAutomaticTimezone": "true"}
NOTIFY = {
    "channel": "true",
    "comments": "never",
    "desktop": "mention",
    "desktop_sound": "true",
    "email": "true",
    "first_name": "false",
    "mention_keys": "",
    "push": "mention",
    "push_status": "away",
}


def user(
    row: User, release: Release, *, admin: bool, own: bool = False, full: bool = False
) -> dict[str, Any]:
    """A user as `admin`, or as the person itself (`own`), sees it; `full` with what a login, a
    creation and a patch answer in addition.
    """
    shown: dict[str, Any] = {
        "id": row.id,
        "create_at": row.create_at,
        "update_at": row.update_at,
        "delete_at": row.delete_at,
        "username": row.username,
        **_binding(row, release, admin=admin, own=own),
        "email": row.email,
        "nickname": "",
        "first_name": row.first_name,
        "last_name": row.last_name,
        "position": "",
        "roles": row.roles,
    }
    if row.props:
        shown["props"] = dict(row.props)
    if full:
        shown["notify_props"] = NOTIFY
        shown["last_password_update"] = row.last_password_update
    shown["locale"] = "en"
    shown["timezone"] = TIMEZONE
    if row.mfa_active and (admin or own):
        shown["mfa_active"] = True
    if row.remote_id:
        shown["remote_id"] = row.remote_id
    if row.is_bot:
        shown["is_bot"] = True
    shown["disable_welcome_email"] = False
    return shown


def _binding(row: User, release: Release, *, admin: bool, own: bool) -> dict[str, Any]:
    service = row.auth_service if admin or own else ""
    if not release.shows_auth_data or not (admin or own):
        return {"auth_data": "", "auth_service": service}
    if row.auth_data is None:
        return {"auth_service": service}
    return {"auth_data": row.auth_data, "auth_service": service}


def unsanitised(row: User) -> dict[str, Any]:
    """What 5.37 answers to email/verify/member: the hash and the MFA secret among it."""
    shown: dict[str, Any] = {
        "id": row.id,
        "create_at": row.create_at,
        "update_at": row.update_at,
        "delete_at": row.delete_at,
        "username": row.username,
        "password": row.password,
    }
    if row.auth_data is not None:
        shown["auth_data"] = row.auth_data
    shown |= {
        "auth_service": row.auth_service,
        "email": row.email,
        "nickname": "",
        "first_name": row.first_name,
        "last_name": row.last_name,
        "position": "",
        "roles": row.roles,
        "notify_props": NOTIFY,
        "last_password_update": row.last_password_update,
        "locale": "en",
        "timezone": {},
    }
    if row.mfa_secret:
        shown["mfa_secret"] = row.mfa_secret
    shown["disable_welcome_email"] = False
    return shown


def session(row: Session) -> dict[str, Any]:
    """A session; the token is blanked."""
    props = {
        "browser": "Chrome/91.0",
        "csrf": "x",
        "isMobile": str(row.is_mobile).lower(),
        "isOAuthUser": "false",
        "isSaml": str(row.is_saml).lower(),
        "is_guest": "false",
        "os": "Linux",
        "platform": "Linux",
    }
    if row.is_token:
        props = {
            "is_guest": "false",
            "type": "UserAccessToken",
            "user_access_token_id": row.id,
        }
    return {
        "id": row.id,
        "token": "",
        "create_at": row.create_at,
        "expires_at": row.expires_at,
        "last_activity_at": row.last_activity_at,
        "user_id": row.user_id,
        "device_id": "",
        "roles": row.roles,
        "is_oauth": row.is_oauth,
        "expired_notify": False,
        "props": props,
        "team_members": [],
        "local": False,
    }


def token(row: PersonalToken, release: Release) -> dict[str, Any]:
    """A personal access token without the token."""
    shown: dict[str, Any] = {
        "id": row.id,
        "user_id": row.user_id,
        "description": row.description,
        "is_active": row.is_active,
    }
    if release.validates_services:
        shown["expires_at"] = row.expires_at
    return shown


def audit(row: Audit) -> dict[str, Any]:
    """An audit row."""
    return {
        "id": row.id,
        "create_at": row.create_at,
        "user_id": row.user_id,
        "action": row.action,
        "extra_info": row.extra_info,
        "ip_address": "127.0.0.1",
        "session_id": row.session_id,
    }


def job(row: Job) -> dict[str, Any]:
    """A job."""
    return {
        "id": row.id,
        "type": "export_process",
        "priority": 0,
        "create_at": row.create_at,
        "start_at": 0,
        "last_activity_at": 0,
        "status": row.status,
        "progress": 0,
        "data": row.data,
    }


def export_line(row: User) -> dict[str, Any]:
    """One line of import.jsonl. There is no id in it."""
    return {
        "type": "user",
        "user": {
            "username": row.username,
            "email": row.email,
            "auth_service": row.auth_service or None,
            "auth_data": row.auth_data,
            "nickname": "",
            "first_name": row.first_name,
            "last_name": row.last_name,
            "position": "",
            "roles": row.roles,
            "locale": "en",
            "delete_at": row.delete_at,
            "teams": None,
            "tutorial_step": "0",
            "notify_props": {
                "desktop": "mention",
                "desktop_sound": "true",
                "email": "true",
                "mobile": "mention",
                "mobile_push_status": "away",
                "channel": "true",
                "comments": "never",
                "mention_keys": "",
            },
        },
    }
