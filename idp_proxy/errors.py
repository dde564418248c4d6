"""Every way a request, a login or a command can fail.

ProxyError
  ConfigError                 the configuration file: all problems at once
  StoreError                  the store cannot be read or written
    StoreConflict             somebody else changed the row first (compare-and-swap)
  ReplayDetected              an id that may be used once came a second time (SP-06)
  UpstreamUnavailable         this upstream cannot be asked now (no approved metadata, expired)
  SwitchRefused               an operator's switch that may not happen; nothing changed
  SamlError                   carries the rule of docs/security that refused
    MalformedMessage          not a SAML message at all: encoding, size, XML
    UnsupportedSignature      a request signed in a way Mattermost can be told to avoid
    RequestInvalid            an AuthnRequest that fails a rule
      UnknownServiceProvider  another issuer than the registered one
      WrongAcs                asks for an answer to another address
      RequestExpired          too old, or from the future
    AssertionInvalid          an upstream's Response that fails a rule
      UpstreamRefused         a Response with another status than Success
  LoginError                  the journey of one person
    LoginUnknown, LoginExpired, LoginUnsolicited, LoginNotAsked, RelayStateRefused
    LoginRefused              who the person is does not suffice: one class for each page
  NotFound, WrongMethod, TooLarge, Internal   what HTTP itself has to say

A class tells what everybody may read (`public`, `code`, `http_status`); an instance what only the
log may hold (`detail`). Nothing that a client sent stands in `public`.
"""

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


class HostRefused(ProxyError):
    """A host cannot be taken off the register."""

    code = "host_refused"
    public = "The host stays on the register."
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


class SamlError(ProxyError):
    """A SAML message that is not acceptable; `rule` is the rule ID that refused it."""

    code = "saml"
    public = "The login message could not be accepted."
    http_status = 400

    def __init__(self, rule: str, detail: str = "") -> None:
        super().__init__(detail)
        self.rule = rule

    def __str__(self) -> str:
        return f"{self.rule}: {self.detail or self.public}"


class MalformedMessage(SamlError):
    """The octets are no SAML message: encoding, size or XML (XML-01, XML-02, XML-03)."""

    code = "malformed_message"
    public = "The login message could not be read."


class UnsupportedSignature(SamlError):
    """A request signed with RSA-SHA1 or C14N 1.1: Mattermost's settings have the cure (IDP-02)."""

    code = "unsupported_signature"
    public = "Mattermost signs its login requests in a way that is no longer accepted."


class RequestInvalid(SamlError):
    """An AuthnRequest that fails a rule."""

    code = "request_invalid"
    public = "The login request from Mattermost could not be accepted."


class UnknownServiceProvider(RequestInvalid):
    """The issuer of the AuthnRequest is not the registered service provider (IDP-01)."""

    code = "unknown_service_provider"
    public = "This login service does not serve the application that sent you here."
    http_status = 403


class WrongAcs(RequestInvalid):
    """The AuthnRequest asks for its answer at an address that is not registered (IDP-01)."""

    code = "wrong_acs"
    public = "The application asked for an answer at an address that is not registered."
    http_status = 403


class RequestExpired(RequestInvalid):
    """The AuthnRequest's IssueInstant lies outside the window (IDP-05)."""

    code = "request_expired"
    public = "This login request is too old."


class AssertionInvalid(SamlError):
    """An upstream's Response that fails a rule; nothing in it may be used."""

    code = "answer_refused"
    public = "The answer of the login service was refused."
    http_status = 403


class UpstreamRefused(AssertionInvalid):
    """The upstream says that this authentication failed (FO-02: never evidence of an outage)."""

    code = "upstream_refused"
    public = "The login service did not log you in."


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
    """The upstream vouches for somebody whom the rules of the proxy do not let in."""

    code = "login_refused"
    public = "You cannot log in this way."
    http_status = 403


class PersonUnknown(LoginRefused):
    """A standby names somebody the active never did (FO-09)."""

    code = "person_unknown"
    public = "The replacement login service does not know your Mattermost account yet."


class PersonUnconfirmed(LoginRefused):
    """The roster's row is older than its evidence may be (FO-08)."""

    code = "person_unconfirmed"
    public = "Your account has not been confirmed for a long time."


class PersonConflict(LoginRefused):
    """Two people hold one link key; neither is let in by a standby (FO-09)."""

    code = "person_conflict"
    public = "Your account cannot be told apart from another one."


class PersonBlocked(LoginRefused):
    """An operator or an import blocked this person (FO-08)."""

    code = "person_blocked"
    public = "Your account is blocked."


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
