"""What can go wrong when a command asks Mattermost's API. `detail` names the way out."""

from __future__ import annotations

from idp_proxy.errors.base import ProxyError


class MattermostError(ProxyError):
    """Mattermost's API did not do what was asked; `error_id` is its own id of the problem."""

    code = "mattermost"
    public = "Mattermost did not do what was asked."
    http_status = 502

    def __init__(self, detail: str = "", error_id: str = "") -> None:
        super().__init__(detail)
        self.error_id = error_id


class MattermostUnreachable(MattermostError):
    """No answer, or one that is not Mattermost's own. What was asked may have happened."""

    code = "mattermost_unreachable"
    public = "Mattermost's API cannot be reached."


class MattermostFaulty(MattermostUnreachable):
    """No usable answer now; the next attempt may get one."""

    code = "mattermost_faulty"


class MattermostBusy(MattermostUnreachable):
    """Its rate limit refused for now (429); it asks to wait for `wait_s`."""

    code = "mattermost_busy"

    def __init__(self, detail: str = "", wait_s: float = 1.0) -> None:
        super().__init__(detail)
        self.wait_s = wait_s


class MattermostRefused(MattermostError):
    """Mattermost said no, and would again."""

    code = "mattermost_refused"
    public = "Mattermost's API refused."


class MattermostUnauthorized(MattermostRefused):
    """The token is not known, or its account lacks the right."""

    code = "mattermost_unauthorized"
    public = "Mattermost's API does not take the token."


class MattermostNotFound(MattermostRefused):
    """There is no such account."""

    code = "mattermost_not_found"
    public = "Mattermost knows no such account."
