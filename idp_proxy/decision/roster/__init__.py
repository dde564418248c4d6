"""The roster: people as the active described them, and whom of them a standby may name.

A standby never invents a person and never changes who somebody is (DESIGN section 2, FO-08, FO-09):
its subject is only a key into what the active said before. `learn` is what a verified login
at the active does to the roster; `judge_standby` what a standby's subject finds there.
"""

from idp_proxy.decision.roster.forecast import BELOW_FLOOR, NO_FACTOR, Casting, Forecast
from idp_proxy.decision.roster.imports import (
    GIVEN_UP_AFTER,
    Effect,
    Landed,
    Listed,
    Run,
    Tally,
    fo_08_sync_age,
    land,
    unnamed,
    why_refused,
)
from idp_proxy.decision.roster.looks import Comparison, Look, Odd
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
    resolved,
)
from idp_proxy.decision.roster.standby import (
    ADMISSIBLE,
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
    "ADMISSIBLE",
    "BELOW_FLOOR",
    "BY_OPERATOR",
    "CHECKS",
    "DEACTIVATED",
    "GIVEN_UP_AFTER",
    "IMPORTED",
    "MISSING",
    "NO_FACTOR",
    "Admitted",
    "AdmittedByHand",
    "Casting",
    "Comparison",
    "Effect",
    "Forecast",
    "Landed",
    "Listed",
    "Look",
    "Odd",
    "Question",
    "Refusal",
    "Refused",
    "Role",
    "RoleRule",
    "RosterPolicy",
    "RosterRow",
    "Run",
    "SecondAttribute",
    "Tally",
    "fo_08_sync_age",
    "identity_of",
    "judge_row",
    "judge_standby",
    "land",
    "learn",
    "learn_late",
    "lookup_key",
    "placed",
    "resolved",
    "unnamed",
    "why_refused",
]
