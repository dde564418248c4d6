"""Every way a request, a login or a command can fail.

ProxyError
  ConfigError                 the configuration file: all problems at once
  StoreError                  the store cannot be read or written
    StoreConflict             somebody else changed the row first (compare-and-swap)
  ReplayDetected              an id that may be used once came a second time (SP-06)
  UpstreamUnavailable         this upstream cannot be asked now (no approved metadata, expired)
  CutoverRefused              Mattermost was not led to another identity provider
  SwitchRefused               an operator's switch that may not happen; nothing changed
  RosterRefused               a change of the roster that may not happen; nothing changed
  ListRefused                 a list of people that an import cannot use: all problems at once
  MattermostError             Mattermost's API, asked by a command: it did not do what was asked
    MattermostUnreachable     no answer, or none of Mattermost's own
      MattermostFaulty, MattermostBusy   worth another attempt
    MattermostRefused         a no: MattermostUnauthorized, MattermostNotFound
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
    EnrolmentOver, EnrolmentClosed   a second step is set up behind a login, in quiet times
    LoginRefused              who the person is does not suffice: one class for each page
  NotFound, WrongMethod, TooLarge, Internal   what HTTP itself has to say

A class tells what everybody may read (`public`, `code`, `http_status`); an instance what only the
log may hold (`detail`). Nothing that a client sent stands in `public`.
"""

from idp_proxy.errors.base import (
    ConfigError,
    CutoverRefused,
    HostRefused,
    Internal,
    ListRefused,
    NotFound,
    ProxyError,
    ReplayDetected,
    RosterRefused,
    StoreAway,
    StoreConflict,
    StoreError,
    SwitchRefused,
    TooLarge,
    UpstreamUnavailable,
    WrongMethod,
)
from idp_proxy.errors.login import (
    AssuranceTooLow,
    AuthenticationTooOld,
    CanaryAccount,
    EnrolmentClosed,
    EnrolmentOver,
    EnrolmentRefused,
    EnrolmentTooWeak,
    LoginError,
    LoginExpired,
    LoginNotAsked,
    LoginRefused,
    LoginUnknown,
    LoginUnsolicited,
    PersonBlocked,
    PersonChanged,
    PersonConflict,
    PersonConverted,
    PersonMismatch,
    PersonNotInDrill,
    PersonPrivileged,
    PersonUnconfirmed,
    PersonUnknown,
    RelayStateRefused,
    RosterUnavailable,
    SecondFactorLocked,
    SecondFactorMissing,
)
from idp_proxy.errors.mattermost import (
    MattermostBusy,
    MattermostError,
    MattermostFaulty,
    MattermostNotFound,
    MattermostRefused,
    MattermostUnauthorized,
    MattermostUnreachable,
)
from idp_proxy.errors.saml import (
    AssertionInvalid,
    MalformedMessage,
    RequestExpired,
    RequestInvalid,
    SamlError,
    UnknownServiceProvider,
    UnsupportedSignature,
    UpstreamRefused,
    WrongAcs,
)

__all__ = [
    "AssertionInvalid",
    "AssuranceTooLow",
    "AuthenticationTooOld",
    "CanaryAccount",
    "ConfigError",
    "CutoverRefused",
    "EnrolmentClosed",
    "EnrolmentOver",
    "EnrolmentRefused",
    "EnrolmentTooWeak",
    "HostRefused",
    "Internal",
    "ListRefused",
    "LoginError",
    "LoginExpired",
    "LoginNotAsked",
    "LoginRefused",
    "LoginUnknown",
    "LoginUnsolicited",
    "MalformedMessage",
    "MattermostBusy",
    "MattermostError",
    "MattermostFaulty",
    "MattermostNotFound",
    "MattermostRefused",
    "MattermostUnauthorized",
    "MattermostUnreachable",
    "NotFound",
    "PersonBlocked",
    "PersonChanged",
    "PersonConflict",
    "PersonConverted",
    "PersonMismatch",
    "PersonNotInDrill",
    "PersonPrivileged",
    "PersonUnconfirmed",
    "PersonUnknown",
    "ProxyError",
    "RelayStateRefused",
    "ReplayDetected",
    "RequestExpired",
    "RequestInvalid",
    "RosterRefused",
    "RosterUnavailable",
    "SamlError",
    "SecondFactorLocked",
    "SecondFactorMissing",
    "StoreAway",
    "StoreConflict",
    "StoreError",
    "SwitchRefused",
    "TooLarge",
    "UnknownServiceProvider",
    "UnsupportedSignature",
    "UpstreamRefused",
    "UpstreamUnavailable",
    "WrongAcs",
    "WrongMethod",
]
