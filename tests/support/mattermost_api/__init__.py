"""A double of Mattermost's API, built from a real server's answers (`recordings/`).

    people       the rows of the users table, and its unique constraints
    records      sessions, tokens, audits, mails, jobs
    shapes       how a server shows these in JSON, to whom, in which release
    releases     what each release changed; written apart from the client's table on purpose
    trouble      what can go wrong: rate limit, faults, lost updates, shifting pages
    server       the state of one server, and what tests may ask of it directly
    asking       one request as a handler sees it, and the errors it may answer with
    accounts, credentials, sessions, logins, system, exports    the handlers
    app          routes, authentication, headers; `control` for the form as a process

`MattermostServer` is the state; `app(server)` is the ASGI application in front of it.
"""

from tests.support.mattermost_api.app import app
from tests.support.mattermost_api.people import DuplicateError, User
from tests.support.mattermost_api.server import MattermostServer, SamlRefusedError
from tests.support.mattermost_api.trouble import Fault, Kind, RateLimit, Shift, Trouble

__all__ = [
    "DuplicateError",
    "Fault",
    "Kind",
    "MattermostServer",
    "RateLimit",
    "SamlRefusedError",
    "Shift",
    "Trouble",
    "User",
    "app",
]
