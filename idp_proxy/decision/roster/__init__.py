"""The roster: people as the active described them, and whom of them a standby may name.

A standby never invents a person and never changes who somebody is (DESIGN section 2, FO-08, FO-09):
its subject is only a key into what the active said before. `learn` is what a verified login
at the active does to the roster; `judge_standby` what a standby's subject finds there.
"""

from idp_proxy.decision.roster.rows import (
    BY_OPERATOR,
    DEACTIVATED,
    IMPORTED,
    MISSING,
    RosterRow,
    learn,
    learn_late,
    lookup_key,
    placed,
)
from idp_proxy.decision.roster.standby import (
    CHECKS,
    Admitted,
    AdmittedByHand,
    Question,
    Refusal,
    Refused,
    Role,
    RoleRule,
    RosterPolicy,
    SecondAttribute,
    identity_of,
    judge_row,
    judge_standby,
)

__all__ = [
    "BY_OPERATOR",
    "CHECKS",
    "DEACTIVATED",
    "IMPORTED",
    "MISSING",
    "Admitted",
    "AdmittedByHand",
    "Question",
    "Refusal",
    "Refused",
    "Role",
    "RoleRule",
    "RosterPolicy",
    "RosterRow",
    "SecondAttribute",
    "identity_of",
    "judge_row",
    "judge_standby",
    "learn",
    "learn_late",
    "lookup_key",
    "placed",
]
