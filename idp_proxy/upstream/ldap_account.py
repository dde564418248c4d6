"""What a directory says of an account when somebody binds as it, in words and told apart.

OpenLDAP answers everybody alike and says more in the control of its password policy
(draft-behera-ldap-password-policy-10, 6.2); Active Directory in the text of its answer. None of it
is for the person: a page that told a locked account from a wrong password would tell who exists.
"""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING, Any, Final

from ldap3.core import results
from pyasn1.codec.ber import decoder
from pyasn1.error import PyAsn1Error
from pyasn1.type import namedtype, tag, univ

from idp_proxy.upstream.looking import shortened

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The control that asks for the state of the account, and that answers with it.
POLICY: Final = "1.3.6.1.4.1.42.2.27.8.5.1"

_WORDS: Final = {
    results.RESULT_BUSY: "is busy",
    results.RESULT_UNAVAILABLE: "is unavailable",
    results.RESULT_TIME_LIMIT_EXCEEDED: "ended the search: it took too long",
    results.RESULT_SIZE_LIMIT_EXCEEDED: "ended the search: it found too many entries",
    results.RESULT_ADMIN_LIMIT_EXCEEDED: "ended the search: a limit of the directory",
    results.RESULT_NO_SUCH_OBJECT: "knows no such base, or shows it to nobody who asks so",
    results.RESULT_REFERRAL: "refers to another server, which is never followed",
    results.RESULT_INVALID_CREDENTIALS: "refuses name or password",
}
#: What a bind is answered when the directory works and says no: to a wrong or expired password, to
#: a locked account (389 Directory Server: 19, 53), to this way of proving who one is.
REFUSED_AT_BIND: Final = frozenset(
    {
        results.RESULT_AUTH_METHOD_NOT_SUPPORTED,
        results.RESULT_STRONGER_AUTH_REQUIRED,
        results.RESULT_CONFIDENTIALITY_REQUIRED,
        results.RESULT_CONSTRAINT_VIOLATION,
        results.RESULT_INAPPROPRIATE_AUTHENTICATION,
        results.RESULT_INVALID_CREDENTIALS,
        results.RESULT_INSUFFICIENT_ACCESS_RIGHTS,
        results.RESULT_NO_SUCH_OBJECT,
        results.RESULT_UNWILLING_TO_PERFORM,
    }
)
#: Active Directory says what is wrong with an account in the text of its answer.
_SUBCODE: Final = re.compile(r"\bdata ([0-9a-f]{3})\b")


class AccountState(enum.StrEnum):
    """How a bind ended for a person; the value is for the log and for operators."""

    RIGHT = "right"
    GRACE = "right_by_grace"
    WRONG = "wrong_password"
    LOCKED = "locked"
    EXPIRED = "password_expired"
    MUST_CHANGE = "password_must_be_changed"
    DISABLED = "disabled"
    ACCOUNT_EXPIRED = "account_expired"
    NOT_NOW = "not_at_this_hour"
    NOT_HERE = "not_from_this_machine"
    NO_PASSWORD = "no_password"  # noqa: S105 - a state, no secret
    REFUSED = "refused"

    @property
    def proves(self) -> bool:
        """Whether the password was right, and the account may be used with it."""
        return self in {AccountState.RIGHT, AccountState.GRACE}


_BY_SUBCODE: Final = {
    "525": AccountState.WRONG,
    "52e": AccountState.WRONG,
    "52f": AccountState.REFUSED,
    "530": AccountState.NOT_NOW,
    "531": AccountState.NOT_HERE,
    "532": AccountState.EXPIRED,
    "533": AccountState.DISABLED,
    "569": AccountState.REFUSED,
    "701": AccountState.ACCOUNT_EXPIRED,
    "773": AccountState.MUST_CHANGE,
    "775": AccountState.LOCKED,
}
_SAID: Final = {
    AccountState.NOT_NOW: "not at this hour",
    AccountState.NOT_HERE: "not from this machine",
    AccountState.EXPIRED: "the password has expired",
    AccountState.DISABLED: "the account is disabled",
    AccountState.ACCOUNT_EXPIRED: "the account has expired",
    AccountState.MUST_CHANGE: "the password must be changed",
    AccountState.LOCKED: "the account is locked",
}
_BY_CODE: Final = {
    results.RESULT_INVALID_CREDENTIALS: AccountState.WRONG,
    # Some say so of an entry that is not there: as an error of the directory it would show who is.
    results.RESULT_NO_SUCH_OBJECT: AccountState.WRONG,
    results.RESULT_INVALID_DN_SYNTAX: AccountState.WRONG,
    results.RESULT_INAPPROPRIATE_AUTHENTICATION: AccountState.NO_PASSWORD,
    # 389 Directory Server: locked after failures, and inactivated.
    results.RESULT_CONSTRAINT_VIOLATION: AccountState.LOCKED,
    results.RESULT_UNWILLING_TO_PERFORM: AccountState.DISABLED,
    results.RESULT_INSUFFICIENT_ACCESS_RIGHTS: AccountState.REFUSED,
}
#: `error` of the control. The others are about changing a password, which nobody does here.
_BY_POLICY: Final = {
    0: AccountState.EXPIRED,
    1: AccountState.LOCKED,
    2: AccountState.MUST_CHANGE,
}


def _context(number: int, form: int = tag.tagFormatSimple) -> Any:
    return tag.Tag(tag.tagClassContext, form, number)


_WARNING: Final = univ.Choice(
    componentType=namedtype.NamedTypes(
        namedtype.NamedType("expires_in", univ.Integer().subtype(implicitTag=_context(0))),
        namedtype.NamedType("grace_left", univ.Integer().subtype(implicitTag=_context(1))),
    )
)
_POLICY_VALUE: Final = univ.Sequence(
    componentType=namedtype.NamedTypes(
        namedtype.OptionalNamedType(
            "warning", _WARNING.subtype(explicitTag=_context(0, tag.tagFormatConstructed))
        ),
        namedtype.OptionalNamedType("error", univ.Enumerated().subtype(implicitTag=_context(1))),
    )
)


def account_state(result: Mapping[str, Any]) -> AccountState | None:
    """What the answer to a person's bind says; None if it says nothing about the person.

    A control that cannot be read lets nobody in: it may say that the password must be changed.
    """
    code, (error, grace) = result["result"], _policy(result)
    if code == results.RESULT_SUCCESS:
        if error is None:
            return AccountState.GRACE if grace else AccountState.RIGHT
        return _BY_POLICY.get(error, AccountState.REFUSED)
    state = _BY_CODE.get(code)
    if state is None:
        return None
    if error is not None and error in _BY_POLICY:
        return _BY_POLICY[error]
    found = _SUBCODE.search(str(result.get("message") or ""))
    return _BY_SUBCODE.get(found[1], state) if found else state


def told(result: Mapping[str, Any]) -> str:
    """A result in words, with its code, and what the directory itself said."""
    code, said = result["result"], shortened(str(result.get("message") or ""))
    words = _WORDS.get(code) or f"answers {result['description']}"
    found = _SUBCODE.search(said)
    state = _BY_SUBCODE.get(found[1]) if found else None
    if state in _SAID:
        said = _SAID[state]
    return f"{words} ({code})" + (f": {said}" if said else "")


def _policy(result: Mapping[str, Any]) -> tuple[int | None, bool]:
    """The `error` of the control, -1 if it cannot be read, and whether a grace login was used."""
    control = (result.get("controls") or {}).get(POLICY)
    octets = b"" if control is None else control["value"]
    if not octets:
        return None, False
    try:
        value, rest = decoder.decode(octets, asn1Spec=_POLICY_VALUE)
    except PyAsn1Error:
        return -1, False
    if rest:
        return -1, False
    error, warning = value["error"], value["warning"]
    grace = warning.isValue and warning.getName() == "grace_left"
    return (int(error) if error.isValue else None), grace
