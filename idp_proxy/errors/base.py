"""The root of the errors, and what concerns neither one message nor one person."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable


class ProxyError(Exception):
    """The root: `code` is a stable slug for logs, pages and tests; `detail` is for the log only."""

    code: ClassVar[str] = "error"
    public: ClassVar[str] = "Something went wrong on our side."
    http_status: ClassVar[int] = 500

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.public)
        self.detail = detail


class ConfigError(ProxyError):
    """The configuration cannot be used; `problems` names every field that is wrong."""

    code = "configuration"
    public = "The configuration is not usable."

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class StoreError(ProxyError):
    """The store cannot be read or written now."""

    code = "store_unavailable"
    public = "Logins are interrupted for the moment."
    http_status = 503


class StoreAway(StoreError):
    """Nobody answers where the shared store should be; who has a spool goes on with it."""

    code = "store_away"


class StoreConflict(StoreError):
    """A compare-and-swap lost: the row is no longer what the caller had read."""

    code = "store_conflict"
    public = "Somebody else changed this at the same moment."
    http_status = 409


class CutoverRefused(ProxyError):
    """Mattermost cannot be led to another identity provider, or was not."""

    code = "cutover_refused"
    public = "The cutover did not end as it should."
    http_status = 409


class HostRefused(ProxyError):
    """A host cannot be taken off the register."""

    code = "host_refused"
    public = "The host stays on the register."
    http_status = 409


class ListRefused(ProxyError):
    """A list of people that an import cannot use; `problems` names every one, with its place."""

    code = "list_refused"
    public = "The list of people is not usable; nothing was changed."
    http_status = 409

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class RosterRefused(ProxyError):
    """A change of the roster that may not happen; nothing was changed. `detail` says why."""

    code = "roster_refused"
    public = "The roster stays as it is."
    http_status = 409


class ReplayDetected(ProxyError):
    """An id that may be used once came a second time (SP-06)."""

    code = "login_repeated"
    public = "This login was already used."
    http_status = 409


class UpstreamUnavailable(ProxyError):
    """The upstream cannot be asked now: no approved metadata, expired metadata, or disabled."""

    code = "upstream_unavailable"
    public = "The login service cannot be reached right now."
    http_status = 503


class SwitchRefused(ProxyError):
    """A switch that may not happen; nothing was changed. `detail` says why, for the operator."""

    code = "switch_refused"
    public = "The switch was refused."
    http_status = 409


class NotFound(ProxyError):
    """No page lives at this address (RFC 9110 section 15.5.5)."""

    code = "not_found"
    public = "There is no page at this address."
    http_status = 404


class WrongMethod(ProxyError):
    """The address exists, but not for this method; `allow` goes into the Allow header.

    RFC 9110 section 15.5.6.
    """

    code = "wrong_method"
    public = "This address cannot be opened like that."
    http_status = 405

    def __init__(self, allow: Iterable[str], detail: str = "") -> None:
        super().__init__(detail)
        self.allow = tuple(allow)


class TooLarge(ProxyError):
    """The request is longer than any login message may be (XML-02)."""

    code = "too_large"
    public = "The login message is too large."
    http_status = 413


class Internal(ProxyError):
    """A fault of our own that nobody foresaw; `detail` has the cause, for the log."""

    code = "internal"
    public = "Something went wrong on our side."
    http_status = 500
