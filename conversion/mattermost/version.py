"""What each release of Mattermost changed for a conversion, as a table.

Source: observations on 5.37.0, and the changelogs and sources of the later releases. A release
newer than the table, or older than what was observed, gets the strictest behaviour and a warning.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Final

_NUMBERS: Final = re.compile(r"v?(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?(?![\d])", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A release. `parse` reads the `X-Version-Id` header as well as a plain number."""

    major: int
    minor: int
    patch: int = 0

    @classmethod
    def parse(cls, text: str) -> Version:
        """The release that `text` begins with. Raises `ValueError`."""
        found = _NUMBERS.match(text.strip())
        if found is None:
            raise ValueError(f"{text[:40]!r} does not begin with a version such as 10.11.0")
        major, minor, patch = found.groups(default="0")
        return cls(int(major), int(minor), int(patch))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a server does. The defaults are those of 5.37, the oldest release that was observed.

    `warning` is empty for a release of the table.
    """

    version: Version
    #: PUT auth leaves a stale cache behind: without an empty patch people undo their return.
    patch_after_auth: bool = True
    #: A single account is answered from a cache for up to 30 minutes after PUT auth.
    account_may_be_stale: bool = True
    #: Session lengths stand in `SessionLength*InHours`, no longer in days.
    session_lengths_in_hours: bool = False
    #: A person's own switch to email needs EnableSignUpWithEmail and a sign-in flag.
    own_switch_checks_sign_in: bool = False
    #: PUT password ends sessions where TerminateSessionsOnPasswordChange is on (never when hashed).
    password_may_end_sessions: bool = False
    #: Administrators see `auth_data` in lists. Probed too: see `listing.shows_auth_data`.
    auth_data_visible: bool = False
    #: A login rewrites the password hash, and a login in flight during a return can undo it.
    login_may_undo_return: bool = False
    #: Local mode answers PUT auth (PUT password it always did).
    local_put_auth: bool = False
    #: One account can be asked for by its `auth_data`.
    users_by_auth_data: bool = False
    #: PUT auth refuses services it does not know.
    put_auth_validates: bool = False
    #: Personal access tokens can have an end: the tool's own too.
    tokens_expire: bool = False
    #: PUT auth ends every session of the person.
    put_auth_ends_sessions: bool = False
    #: Sessions can be seen and ended: not by local mode.
    sees_sessions: bool = True
    #: A binding can be restored at all: by local mode only from `local_put_auth` on.
    restores: bool = True
    warning: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """From release `since` on, `field` of `Capabilities` is `value`."""

    since: Version
    field: str
    value: bool


def by_local_mode(known: Capabilities) -> Capabilities:
    """What is left of it over the socket of local mode, which has some of the routes only.

    Where it restores a binding there is no stale cache any more, and it knows no patch.
    """
    return replace(
        known,
        sees_sessions=False,
        restores=known.local_put_auth,
        patch_after_auth=False,
        users_by_auth_data=False,
    )


OLDEST: Final = Version(5, 37)
NEWEST: Final = Version(11, 10)

CHANGES: Final = (
    Change(Version(7, 0), "session_lengths_in_hours", value=True),
    Change(Version(9, 3), "patch_after_auth", value=False),
    Change(Version(9, 3), "account_may_be_stale", value=False),
    Change(Version(9, 8), "own_switch_checks_sign_in", value=True),
    Change(Version(9, 11), "password_may_end_sessions", value=True),
    Change(Version(10, 11), "auth_data_visible", value=True),
    Change(Version(11, 0), "login_may_undo_return", value=True),
    Change(Version(11, 0), "local_put_auth", value=True),
    Change(Version(11, 8), "users_by_auth_data", value=True),
    Change(Version(11, 9), "put_auth_validates", value=True),
    Change(Version(11, 9), "tokens_expire", value=True),
    Change(Version(11, 10), "put_auth_ends_sessions", value=True),
)

#: What is assumed of a release nobody looked at: every hazard, and no look that was not probed.
STRICTEST: Final[dict[str, Any]] = {
    "patch_after_auth": True,
    "account_may_be_stale": True,
    "password_may_end_sessions": True,
    "auth_data_visible": False,
    "login_may_undo_return": True,
    "put_auth_validates": True,
    "tokens_expire": True,
    "put_auth_ends_sessions": True,
}


def capabilities_of(version: Version) -> Capabilities:
    """What a server of this release does."""
    fields: dict[str, Any] = {
        change.field: change.value for change in CHANGES if change.since <= version
    }
    known = Capabilities(version, **fields)
    if OLDEST <= version < Version(NEWEST.major, NEWEST.minor + 1):
        return known
    relation = "newer" if version > NEWEST else "older"
    strict = replace(known, warning="", **STRICTEST)
    return replace(
        strict,
        warning=(
            f"Mattermost {version} is {relation} than any release this tool was held against"
            f" ({OLDEST} to {NEWEST}); it is treated with the greatest care."
            " Try it on volunteers first: convert --pilot 1, return, and a look at them"
        ),
    )
