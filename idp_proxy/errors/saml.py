"""A SAML message that is not acceptable."""

from __future__ import annotations

from idp_proxy.errors.base import ProxyError


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
