"""The journey of one person that ended early; nothing was issued."""

from __future__ import annotations

from typing import ClassVar

from idp_proxy.errors.base import ProxyError


class LoginError(ProxyError):
    """The journey of one person ended early; nothing was issued."""

    code = "login"
    http_status = 400


class LoginUnknown(LoginError):
    """No login of this browser waits for the answer: cookies off, other browser, or forged."""

    code = "login_unknown"
    public = "This browser has no login waiting for that answer."


class LoginExpired(LoginError):
    """The answer came after `answer_within_s`: Mattermost would no longer accept it."""

    code = "login_expired"
    public = "This login took too long."


class LoginUnsolicited(LoginError):
    """A Response nobody asked for, such as a dashboard tile sends (SP-03)."""

    code = "login_unsolicited"
    public = "Logins start at Mattermost."


class LoginNotAsked(LoginError):
    """An answer of an upstream that this login did not ask, or that was left (FO-01, FO-03)."""

    code = "login_not_asked"
    public = "The login service was changed while you were logging in."
    http_status = 409


class RelayStateRefused(LoginError):
    """A RelayState that cannot be given back byte for byte (WEB-03)."""

    code = "relay_state_refused"
    public = "The login request carries more than can be returned safely."


class LoginRefused(LoginError):
    """The upstream vouches for somebody whom the rules of the proxy do not let in.

    `rule` is the rule of docs/security that refuses, where one does.
    """

    code = "login_refused"
    public = "You cannot log in this way."
    http_status = 403
    rule: ClassVar[str | None] = None


class PersonUnknown(LoginRefused):
    """A standby names somebody the active never did (FO-09)."""

    code = "person_unknown"
    public = "The replacement login service does not know your Mattermost account yet."
    rule = "FO-09"


class PersonUnconfirmed(LoginRefused):
    """The roster's row is older than its evidence may be (FO-08)."""

    code = "person_unconfirmed"
    public = "Your account has not been confirmed for a long time."
    rule = "FO-08"


class PersonConflict(LoginRefused):
    """Two people hold one link key; neither is let in by a standby (FO-09)."""

    code = "person_conflict"
    public = "Your account cannot be told apart from another one."
    rule = "FO-09"


class PersonBlocked(LoginRefused):
    """An operator or an import blocked this person (FO-08)."""

    code = "person_blocked"
    public = "Your account is blocked."
    rule = "FO-08"


class PersonMismatch(LoginRefused):
    """A standby says of a person what the active did not, beside an equal email address (FO-09)."""

    code = "person_mismatch"
    public = "The replacement login service describes you differently from the usual one."
    rule = "FO-09"


class PersonPrivileged(LoginRefused):
    """A login by a standby would take away a role, and the person is not named for it (FO-11)."""

    code = "person_privileged"
    public = "Administrators and guests cannot use the replacement login service."
    rule = "FO-11"


class PersonChanged(LoginRefused):
    """The link key went from one person to another during the login (FO-09)."""

    code = "person_changed"
    public = "Your account was changed while you were logging in."
    rule = "FO-09"


class AssuranceTooLow(LoginRefused):
    """The person was authenticated more weakly than is asked for here (FO-04)."""

    code = "assurance_too_low"
    public = "You were not logged in strongly enough."
    rule = "FO-04"


class AuthenticationTooOld(LoginRefused):
    """The person was authenticated longer ago than is allowed, or not afresh (IDP-04)."""

    code = "authentication_too_old"
    public = "The login service let you in by an older login."
    rule = "IDP-04"


class PersonConverted(LoginRefused):
    """The person logs in with email and password for now (conversion campaign)."""

    code = "person_converted"
    public = "For now, use your email address and password."


class CanaryAccount(LoginRefused):
    """The account is one that the watch logs in with; nobody logs in to Mattermost as it."""

    code = "canary_account"
    public = "This account is only for automatic tests of the login."


class PersonNotInDrill(LoginRefused):
    """The browser takes part in a drill for somebody else than who logged in."""

    code = "person_not_in_drill"
    public = "This browser takes part in an exercise, for somebody else."


class RosterUnavailable(LoginRefused):
    """A standby's person cannot be looked up while the store is down."""

    code = "roster_unavailable"
    public = "The replacement login service cannot check your account right now."
    http_status = 503


class SecondFactorMissing(LoginRefused):
    """A password alone does not suffice here, and the person set up no second step."""

    code = "second_factor_missing"
    public = "You have no second step for the replacement login."


class SecondFactorLocked(LoginRefused):
    """Too many wrong codes behind a right password; a passkey would still count."""

    code = "second_factor_locked"
    public = "Too many wrong codes were entered."
    http_status = 429


class EnrolmentRefused(LoginRefused):
    """This person, or nothing more of this kind, may not be set up as a second step."""

    code = "enrolment_refused"
    public = "This cannot be set up as your second step."


class EnrolmentTooWeak(LoginRefused):
    """The login at the active proved less than the second step will stand for (FO-04)."""

    code = "enrolment_too_weak"
    public = "Your login was not strong enough to set up a second step."
    rule = "FO-04"


class EnrolmentOver(LoginError):
    """No login at the active that is a few minutes old stands behind the pages of a second step."""

    code = "enrolment_over"
    public = "Please log in once more to change your second step."
    http_status = 403


class EnrolmentClosed(LoginError):
    """The active does not serve, or is not seen to work: nobody sets up a second step."""

    code = "enrolment_closed"
    public = "A second step cannot be set up right now."
    http_status = 503
