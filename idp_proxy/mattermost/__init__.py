"""Mattermost's REST API (version 4), as far as an operator's commands ask for it.

    wire      one call: deadline, size, repeats of what may be repeated, typed errors
    rows      people and sessions, read strictly
    listing   the walk through all people until two passes agree
    client    one method a call

Only commands import this (a contract in pyproject.toml): the token is a system administrator's.

    with open_api(settings, "the import") as api:
        api.whoami()
        for person in api.users(): ...
"""

from idp_proxy.mattermost.client import MattermostApi, open_api, open_api_of
from idp_proxy.mattermost.rows import Session, User

__all__ = ["MattermostApi", "Session", "User", "open_api", "open_api_of"]
