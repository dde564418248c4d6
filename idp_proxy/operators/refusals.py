"""How a sign-in, an enrolment or an act of an operator is refused."""

from __future__ import annotations

import enum

from idp_proxy.errors import ProxyError


class OperatorRefused(ProxyError):
    """Somebody who wanted to sign in as an operator and did not. `why` and `detail` are for the
    log and the audit: who asks gets the same words, whatever was wrong.
    """

    code = "operator_refused"
    public = (
        "Name, password and code do not fit together, or there were too many tries: look at the "
        "clock of your device, wait 15 minutes, or let another operator enrol you again."
    )
    http_status = 403

    def __init__(self, why: Why) -> None:
        super().__init__(why.value)
        self.why = why


class Why(enum.Enum):
    """What was wrong with a sign-in."""

    UNKNOWN = "nobody has this name"
    NOT_ENABLED = "the operator is disabled, or was never confirmed"
    LOCKED = "locked after too many failures"
    WRONG = "the password or the code is wrong"
    REPEATED = "the code was used before"
    UNREADABLE = "the factor cannot be read: the state key that sealed it is not configured"


class OperatorInvalid(ProxyError):
    """An operator who cannot be enrolled or changed like this; nothing was written."""

    code = "operator_invalid"
    public = "The operator was not changed."
    http_status = 400


class ApprovalRefused(ProxyError):
    """An act that these people may not do; nothing was done."""

    code = "approval_refused"
    public = "This was not approved."
    http_status = 403
