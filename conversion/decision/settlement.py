"""What a row is in truth, once the server was asked: the reading of an account, and the table.

An intent that a crash left behind, and any other row that somebody may have changed behind the
tool's back, is held against what the paged list says (facts: a 200 proves nothing). The answer is
an event of the lifecycle with its reason; None means that row and server agree.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from conversion.decision.account import EMAIL, SAML, Account, Source
from conversion.decision.lifecycle import Event, RowState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conversion.decision.account import Binding


class Finding(enum.Enum):
    """What the server says about one account, seen from the binding that the row holds."""

    EMAIL = "logs in by email and password"
    BOUND = "is bound to SSO by our binding"
    HIDDEN = "is on SSO, by which auth_data this server does not show"
    REBOUND = "is on SSO, bound by a login since; ours was the email only"
    OTHER = "is bound to something else"
    GONE = "is not in the server's list"


@dataclass(frozen=True, slots=True)
class Settled:
    """The event that brings the row to the truth. `certain` is False where the server shows only
    the kind of login and not the binding: below 10.11, or after a return by email.
    """

    event: Event
    reason: str
    certain: bool = True


#: As good as our own binding, but not proven to the byte.
_ALIKE: Final = frozenset({Finding.HIDDEN, Finding.REBOUND})

_S, _E, _F = RowState, Event, Finding

#: Who was at email and password since the row was last planned is not back at the start by being
#: on SSO again: sessions, MFA and the binding are still to be verified.
_ELSEWHERE: Final = (_E.FOUND_RETURNED, "somebody else brought the account back to SSO")

_LOOK: Final = "deleted for good, or the list was not whole: look, then return or write off"
_DECIDE: Final = "a person decides: return to restore ours, or write off"
_BY_HAND: Final = "somebody set a password by hand; the way back is on record"
_LAST: Final[Mapping[RowState, Mapping[Finding, tuple[Event, str]]]] = {
    _S.PLANNED: {
        _F.EMAIL: (_E.FOUND_CONVERTED, _BY_HAND),
        _F.OTHER: (_E.SKIP, "the binding changed since the plan: prepare and plan again"),
        _F.GONE: (_E.SKIP, "the account is not in the server's list any more"),
    },
    _S.OFFERED: {
        _F.EMAIL: (_E.FOUND_CONVERTED, _BY_HAND),
        _F.OTHER: (_E.WITHDRAW, "the binding changed since the plan: prepare and plan again"),
        _F.GONE: (_E.WITHDRAW, "the account is not in the server's list any more"),
    },
    _S.CLAIMING: {
        _F.EMAIL: (_E.FOUND_CONVERTED, "whether it is the person's own password cannot be seen"),
        _F.BOUND: (_E.UNTOUCHED, "the password never arrived; the code may be redeemed again"),
        _F.OTHER: (_E.CONTRADICT, _DECIDE),
        _F.GONE: (_E.GONE, _LOOK),
    },
    _S.CONVERTING: {
        _F.EMAIL: (_E.CONVERT_DONE, "the server had taken the password"),
        _F.BOUND: (_E.UNTOUCHED, "the password never arrived"),
        _F.OTHER: (_E.CONTRADICT, _DECIDE),
        _F.GONE: (_E.GONE, _LOOK),
    },
    _S.RETURNING: {
        _F.EMAIL: (_E.FOUND_CONVERTED, "the binding never arrived, or was undone"),
        _F.BOUND: (_E.RETURN_DONE, "the server had taken the binding"),
        _F.OTHER: (_E.CONTRADICT, _DECIDE),
        _F.GONE: (_E.GONE, _LOOK),
    },
    **{
        state: {
            _F.BOUND: _ELSEWHERE,
            _F.OTHER: (_E.CONTRADICT, _DECIDE),
            _F.GONE: (_E.GONE, _LOOK),
        }
        for state in (_S.CONVERTED, _S.CLAIMED)
    },
    _S.RETURNED: {
        _F.EMAIL: (_E.RETURN, "a concurrent update undid the return: restore it again"),
        _F.OTHER: (_E.CONTRADICT, _DECIDE),
        _F.GONE: (_E.GONE, _LOOK),
    },
    _S.VERIFIED: {
        _F.EMAIL: (_E.FOUND_CONVERTED, "back at email and password after it was verified"),
        _F.OTHER: (_E.CONTRADICT, _DECIDE),
    },
    _S.SKIPPED: {_F.EMAIL: (_E.FOUND_CONVERTED, _BY_HAND)},
    _S.WITHDRAWN: {_F.EMAIL: (_E.FOUND_CONVERTED, _BY_HAND)},
    _S.CONFLICT: {
        _F.EMAIL: (_E.FOUND_CONVERTED, "return tries again, and says who holds its binding"),
        _F.BOUND: (_E.FOUND_RETURNED, "the conflict is resolved"),
        _F.GONE: (_E.GONE, _LOOK),
    },
    _S.FAILED: {
        _F.EMAIL: (_E.FOUND_CONVERTED, "the account is there; the way back is on record"),
        _F.BOUND: _ELSEWHERE,
        _F.OTHER: (_E.CONTRADICT, _DECIDE),
    },
    _S.WRITTEN_OFF: {},
}

#: Every cell that changes a row. A cell that is not here means: row and server agree.
SETTLEMENTS: Final[Mapping[tuple[RowState, Finding], tuple[Event, str]]] = {
    (state, finding): cell for state, cells in _LAST.items() for finding, cell in cells.items()
}


def read(binding: Binding, account: Account | None) -> Finding:
    """What `account`, taken from the paged list, says about a row that holds `binding`.

    Whether the account is deactivated plays no part: one that comes back must find its way too.
    """
    if account is None:
        return Finding.GONE
    if account.auth_service == EMAIL:
        return Finding.EMAIL
    return _read_saml(binding, account.auth_data) if account.auth_service == SAML else Finding.OTHER


def _read_saml(binding: Binding, auth_data: str | None) -> Finding:
    if auth_data is None:
        return Finding.HIDDEN
    if auth_data == binding.auth_data:
        return Finding.BOUND
    rebound = binding.source is Source.EMAIL_FALLBACK and auth_data != ""
    return Finding.REBOUND if rebound else Finding.OTHER


def settle(
    state: RowState, binding: Binding, account: Account | None, *, moved: bool = False
) -> Settled | None:
    """What the row becomes after asking the server; None where it stays as it is.

    `moved`: the row was at `converted` or `claimed` since it was last planned. For an intent the
    answer is never None.
    """
    finding = read(binding, account)
    cell = SETTLEMENTS.get((state, Finding.BOUND if finding in _ALIKE else finding))
    if cell is None:
        return None
    event, reason = cell
    if moved and event is Event.UNTOUCHED:
        event, reason = _ELSEWHERE
    return Settled(event, f"the account {finding.value}: {reason}", finding not in _ALIKE)
