"""Every way a campaign can fail; `detail` is for the operator, and never holds a secret.

ConversionError
  ConfigError                 the configuration file: all problems at once
  PlanUnsafe                  objections that nobody has answered
  PlanStale                   the plan is older than it may be, or the world has changed
  ConsentRefused              an operator who may not, or a second one who is missing
  ProofMissing                a return without proof that SSO works
  CampaignIncomplete          work is left open (exit code 3)
  LedgerError
    LedgerBusy                another bulk command holds the lock
    LedgerConflict            a row or a campaign is not what the caller had read
  MattermostError             what the server said, told apart by its error id
    Unauthorized              the token is missing, expired, revoked, or may not do this
    NotFound                  no such user
    RateLimited               too many calls, for longer than was waited
    Rejected                  the server refused this change, and always will
      DuplicateBinding        another account holds this auth_data
    Unreachable               no answer, or a broken one: nobody knows whether it was done
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable


class ConversionError(Exception):
    """The root. `code` is a stable slug, `exit_code` what the command ends with."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class ConfigError(ConversionError):
    """The configuration cannot be used; `problems` names every field that is wrong."""

    code = "configuration"
    exit_code = 2

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class PlanUnsafe(ConversionError):
    """The plan has objections; `objections` lists them with the way out of each."""

    code = "plan_unsafe"

    def __init__(self, objections: Iterable[str]) -> None:
        self.objections = tuple(objections)
        super().__init__("\n".join(self.objections))


class PlanStale(ConversionError):
    """The plan is too old, unknown, or not what its digest says."""

    code = "plan_stale"


class ConsentRefused(ConversionError):
    """These operators may not do this, or not alone; nothing was done."""

    code = "consent_refused"


class ProofMissing(ConversionError):
    """Nobody is returned before SSO is proven to work."""

    code = "proof_missing"


class CampaignIncomplete(ConversionError):
    """Work is left open."""

    code = "incomplete"
    exit_code = 3


class LedgerError(ConversionError):
    """The ledger cannot be read or written; nothing more is sent to the server."""

    code = "ledger"


class LedgerBusy(LedgerError):
    """Another bulk command holds the lock."""

    code = "ledger_busy"


class LedgerConflict(LedgerError):
    """A row or a campaign is not what the caller had read."""

    code = "ledger_conflict"


class MattermostError(ConversionError):
    """What the server said. `error_id` is its own (`api.user...`), `request_id` finds its log."""

    code = "mattermost"

    def __init__(self, detail: str, error_id: str = "", request_id: str = "") -> None:
        super().__init__(detail)
        self.error_id = error_id
        self.request_id = request_id


class Unauthorized(MattermostError):
    """The token is missing, expired, revoked, or may not do this."""

    code = "unauthorized"


class NotFound(MattermostError):
    """No such user."""

    code = "not_found"


class RateLimited(MattermostError):
    """The server asked to wait for longer than this command waits."""

    code = "rate_limited"


class Rejected(MattermostError):
    """The server refused this change, and will again."""

    code = "rejected"


class DuplicateBinding(Rejected):
    """Another account holds this auth_data, deactivated ones included."""

    code = "duplicate_binding"


class Unreachable(MattermostError):
    """No answer, or a broken one: the change may have happened, so the server must be asked."""

    code = "unreachable"
