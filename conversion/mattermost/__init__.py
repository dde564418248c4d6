"""Mattermost's REST API (version 4) as the conversion needs it, and nothing beyond it.

    access    where the server is, and how a call leaves this host
    wire      one call: deadline, pace, retries of what may be repeated, typed errors, log
    answers   what an answer means: the error ids of Mattermost as errors of ours
    pace      the server's rate limit, kept by all threads together
    rows      what the server lists (accounts, sessions, tokens, audits), read strictly
    version   what each release changed, as a table
    listing   the walk through all accounts until two passes agree
    export    the bulk export job: the only way to `auth_data` below 10.11
    client    one method a call

House rules: a 200 is no proof (verify by the list); `account` may be stale below 9.3; a change is
never repeated by itself, for who does not know whether it happened has to ask.
"""

from conversion.mattermost.access import Access
from conversion.mattermost.client import Mattermost
from conversion.mattermost.export import ExportedUser
from conversion.mattermost.listing import Listing, shows_auth_data
from conversion.mattermost.rows import AuditRow, Session, Token
from conversion.mattermost.version import Capabilities, Version, by_local_mode, capabilities_of

__all__ = [
    "Access",
    "AuditRow",
    "Capabilities",
    "ExportedUser",
    "Listing",
    "Mattermost",
    "Session",
    "Token",
    "Version",
    "by_local_mode",
    "capabilities_of",
    "shows_auth_data",
]
