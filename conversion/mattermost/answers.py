"""What an answer means: Mattermost's error ids as errors of ours.

Messages are translated by the server, so decisions rest on status and `id` alone. Of the error
only id, message and request id are kept: `detailed_error` may quote a database row.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from pydantic import BaseModel, ValidationError

from conversion.errors import (
    DuplicateBinding,
    MattermostError,
    NotFound,
    RateLimited,
    Rejected,
    Unauthorized,
    Unreachable,
)

#: Another account holds this auth_data. The server's text speaks of an email: it is wrong.
DUPLICATE: Final = "app.user.update_auth_data.email_exists.app_error"
#: PUT password: either this token may not, or there is no such user.
PASSWORD_REFUSED: Final = "api.user.update_password.context.app_error"  # noqa: S105 - an error id
#: The server does not know this address at all.
NO_SUCH_ROUTE: Final = "api.context.404.app_error"

#: A token that was revoked or has expired comes back by nothing; what was done until then is done.
_MAKE_ANOTHER: Final = (
    " (the token is not taken: log in with the tool's own account, make a new one, put it into the"
    " file that mattermost.token names, and type the same command again)"
)
_SHOWN: Final = 200


class _Problem(BaseModel):
    """The body of every error but 429."""

    id: str
    message: str = ""
    request_id: str = ""


def error_of(call: str, status: int, body: bytes) -> MattermostError:
    """The error for an answer that is no 2xx. `call` names method and route."""
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimited(f"{call}: the server's rate limit refused the call")
    try:
        problem = _Problem.model_validate_json(body)
    except ValidationError:
        return _foreign(call, status)
    kind = _kind(status, problem.id)
    text = f"{call}: {status} {shown(problem.id)}: {shown(problem.message)}{_way_out(problem.id)}"
    if status == HTTPStatus.UNAUTHORIZED:
        text += _MAKE_ANOTHER
    return kind(text, shown(problem.id), shown(problem.request_id))


def _kind(status: int, error_id: str) -> type[MattermostError]:
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return Unauthorized
    if error_id == DUPLICATE:
        return DuplicateBinding
    if status == HTTPStatus.NOT_FOUND and error_id != NO_SUCH_ROUTE:
        return NotFound
    if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return Rejected
    # 501 is how Mattermost says that it lacks a licence or a setting: asking again is in vain.
    return Rejected if status == HTTPStatus.NOT_IMPLEMENTED else Unreachable


def _foreign(call: str, status: int) -> Unreachable:
    """Not Mattermost's words: a proxy, a load balancer or a login page stands in between."""
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return Unreachable(
            f"{call}: {status}, a redirect, which is not followed;"
            " set mattermost.url to the address it leads to"
        )
    return Unreachable(
        f"{call}: {status} that is not Mattermost's own; look at what stands before the server"
    )


def _way_out(error_id: str) -> str:
    if error_id == DUPLICATE:
        return " (read: another account, perhaps a deactivated one, holds this auth_data)"
    if error_id == NO_SUCH_ROUTE:
        return " (this release does not know the call, or mattermost.url has a path too much)"
    return ""


def shown(text: str) -> str:
    """Text of the server as one short line without control characters."""
    return "".join(c if c.isprintable() else " " for c in text[:_SHOWN])
