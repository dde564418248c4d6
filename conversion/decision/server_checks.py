"""Checks of the server: its release, its health, its settings, and the token that is used.

Sources: observations on Mattermost's API (version table, settings, rate limit, multi-factor
authentication, tokens). Each check is evidence in, findings out.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from conversion.decision.account import SAML
from conversion.decision.evidence import Finding, Severity, blocking, note, some, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conversion.decision.evidence import Evidence


def _failures(given: Evidence) -> Iterator[Finding]:
    for what, why in given.failures.items():
        yield blocking(
            f"unknown.{what}",
            f"could not be learnt: {what}: {why}",
            "mend this, then run preflight again",
        )


def _release(given: Evidence) -> Iterator[Finding]:
    release = given.release
    if release is None:
        return
    yield note("server.version", f"Mattermost {release.version}")
    if release.warning:
        yield warning("server.release_unknown", release.warning, "try it on a few people first")
    if not release.auth_data_visible:
        yield warning(
            "server.auth_data_hidden",
            "this release shows auth_data to nobody: whether a return is right to the byte"
            " cannot be seen, only that the account is on SAML",
            "keep the inventory fresh by prepare with --sql or --export; or upgrade to 10.11",
        )
    if release.patch_after_auth:
        yield note(
            "server.stale_cache", "an empty patch follows each return, to clear the server's cache"
        )
    if release.login_may_undo_return:
        yield note("server.rehash", "a login during a return can undo it: verification looks again")
    if release.put_auth_ends_sessions:
        yield warning(
            "server.return_ends_sessions",
            "a return ends every session of the person, who must log in by SSO at once",
            "announce it, and return in waves: return --pilot first",
        )


#: How far the clocks may be apart, so that a login of a moment ago still proves something.
_CLOCKS: Final = timedelta(minutes=2)


def _clock(given: Evidence) -> Iterator[Finding]:
    ahead = given.clock_ahead
    if ahead is not None and abs(ahead) > _CLOCKS:
        relation = "ahead of" if ahead > timedelta(0) else "behind"
        yield warning(
            "server.clock",
            f"the server's clock is {abs(ahead) / timedelta(seconds=1):.0f} s {relation} this"
            " host's: a login of a moment ago would be no proof, and who is out when is wrong",
            "set both by NTP before the return",
        )


def _health(given: Evidence) -> Iterator[Finding]:
    for name, severity in (
        ("database_status", Severity.BLOCKING),
        ("filestore_status", Severity.WARNING),
    ):
        said = None if given.statuses is None else given.statuses.get(name)
        if said is not None and said != "OK":
            yield Finding(
                f"server.{name}",
                severity,
                f"the server says {name} {said}",
                "mend the server before any account is touched",
            )


def _sign_in(given: Evidence) -> Iterator[Finding]:
    by_email = given.setting("EmailSettings", "EnableSignInWithEmail")
    by_name = given.setting("EmailSettings", "EnableSignInWithUsername")
    if by_email is False and by_name is False:
        yield blocking(
            "sign_in.closed",
            "nobody can log in with a password: sign-in with email and with user name are off",
            "set EmailSettings.EnableSignInWithEmail to true for the outage",
        )
    elif by_email is False or by_name is False:
        way = "user name" if by_email is False else "email address"
        yield note("sign_in.one_way", f"people log in with their {way} only: tell them so")
    if given.setting("SamlSettings", "Enable") is False:
        yield warning(
            "sign_in.saml_off",
            "SAML is switched off: who is returned cannot log in",
            "set SamlSettings.Enable to true before the return",
        )
    if given.licensed is False:
        yield warning(
            "server.unlicensed",
            "the server says that it has no licence, without which SAML lets nobody in: who is"
            " returned could not log in",
            "apply the licence before the return",
        )
    attempts = given.setting("ServiceSettings", "MaximumLoginAttempts")
    if attempts is not None:
        yield note("sign_in.attempts", f"{attempts} wrong passwords lock an account")


def _mail(given: Evidence) -> Iterator[Finding]:
    if given.setting("EmailSettings", "RequireEmailVerification"):
        yield note(
            "mail.verification",
            "email addresses must be verified: convert marks those of everybody it moves",
        )
    if given.settings is not None and not given.setting("EmailSettings", "SMTPServer"):
        yield warning(
            "mail.no_server",
            "the server sends no mail: people cannot set a password by a reset link",
            "set EmailSettings.SMTPServer, or let the help desk set passwords",
        )


_RULES: Final = {
    "Lowercase": "a lower-case letter",
    "Uppercase": "an upper-case letter",
    "Number": "a digit",
    "Symbol": "a symbol",
}


def _passwords(given: Evidence) -> Iterator[Finding]:
    length = given.setting("PasswordSettings", "MinimumLength")
    if length is None:
        return
    asked = [text for name, text in _RULES.items() if given.setting("PasswordSettings", name)]
    rest = f", with {', '.join(asked)}" if asked else ""
    yield note("password.policy", f"a password needs {length} characters{rest}")


def _sessions(given: Evidence) -> Iterator[Finding]:
    release = given.release
    if release is None or given.settings is None:
        return
    unit = "Hours" if release.session_lengths_in_hours else "Days"
    length = given.setting("ServiceSettings", f"SessionLengthSSOIn{unit}")
    extends = given.setting("ServiceSettings", "ExtendSessionLengthWithActivity")
    if length is not None:
        more = ", prolonged by use" if extends else ""
        yield note("sessions.length", f"an SSO session lives {length} {unit.lower()}{more}")
    ends = given.setting("ServiceSettings", "TerminateSessionsOnPasswordChange")
    if release.password_may_end_sessions and ends:
        yield note(
            "sessions.password_ends",
            "a plain password change ends sessions here; the hashed one that convert uses does not",
        )


#: Calls for one person moved and returned, the look at the sessions included.
_CALLS_EACH: Final = 4
_WALK_PAGE: Final = 200
#: Passes over the list in a campaign: two each to check and verify, out and back.
_PASSES: Final = 8


def _rate(given: Evidence) -> Iterator[Finding]:
    if not given.setting("RateLimitSettings", "Enable"):
        return
    per_second = given.setting("RateLimitSettings", "PerSec")
    if not isinstance(per_second, int) or per_second < 1:
        return
    people = len(given.names())
    pages = (len(given.accounts or ()) // _WALK_PAGE + 2) * _PASSES
    takes = timedelta(seconds=round((people * _CALLS_EACH + pages) / per_second))
    yield warning(
        "rate.limit",
        f"the server takes {per_second} calls a second: {people} people out and back take {takes}",
        "exempt this host, or raise RateLimitSettings.PerSec and restart the server",
    )


def _mfa(given: Evidence) -> Iterator[Finding]:
    if not given.setting("ServiceSettings", "EnableMultifactorAuthentication"):
        return
    enrolled = given.names(lambda one: one.mfa_active)
    if enrolled:
        yield warning(
            "mfa.leftover",
            f"{len(enrolled)} people have an old MFA secret, which an email login asks for:"
            f" {some(enrolled)}",
            "ask each whether the app is still at hand; convert never touches it",
        )
    if given.setting("ServiceSettings", "EnforceMultifactorAuthentication"):
        bare = len(given.names()) - len(enrolled)
        yield warning(
            "mfa.enforced",
            f"MFA is enforced for email accounts: {bare} people must enrol at their first login,"
            " and whoever logs in first enrols",
            "have each enrol under watch, or lift EnforceMultifactorAuthentication for the outage",
        )


#: A token should outlive an outage, and the night after it.
_SOON: Final = timedelta(days=30)
_TOO_SOON: Final = timedelta(days=2)


def _operator(given: Evidence) -> Iterator[Finding]:
    if given.local_mode:
        yield note(
            "token.local_mode",
            "local mode: no token is used, and none can end; it shows neither sessions nor groups",
        )
        if given.release is not None and not given.release.restores:
            yield warning(
                "token.local_no_return",
                f"local mode of Mattermost {given.release.version} converts, and brings nobody"
                " back: it restores bindings from 11.0 on",
                "have a token ready for the return",
            )
        return
    if given.operator is None:
        return
    account = given.operator.account
    if not account.is_admin:
        yield blocking(
            "token.rights",
            f"{account.username}, whose token this is, is no system administrator",
            "make a token of a system administrator, and put it where mattermost.token says",
        )
    if account.auth_service == SAML:
        yield warning(
            "token.on_sso",
            f"{account.username}, whose token this is, logs in by SSO: in an outage nobody could"
            " make a new token",
            "use a local administrator with email and password, kept for this",
        )
    if given.setting("ServiceSettings", "EnableUserAccessTokens") is False:
        yield warning(
            "token.session",
            "personal access tokens are off, so this token is a session's, which ends by itself",
            "set ServiceSettings.EnableUserAccessTokens to true, and make a personal access token",
        )
    days = given.setting("ServiceSettings", "MaximumPersonalAccessTokenLifetimeDays")
    if isinstance(days, int) and days > 0:
        yield note("token.lifetime", f"a new personal access token may live {days} days at most")
    ends = [end for end in given.operator.token_ends if end is not None]
    if ends and min(ends) - given.now < _SOON:
        finding = blocking if max(ends) - given.now < _TOO_SOON else warning
        if None in given.operator.token_ends:
            finding = warning
        yield finding(
            "token.ends",
            f"a token of {account.username} ends on {min(ends):%Y-%m-%d %H:%M} UTC",
            "make a new one before it does",
        )


def _directory(given: Evidence) -> Iterator[Finding]:
    if given.setting("SamlSettings", "EnableSyncWithLdap"):
        yield warning(
            "saml.ldap_sync",
            "LDAP synchronisation passes by who is converted: a leaver stays active",
            "deactivate leavers by hand during the outage",
        )
    if given.settings is not None and not given.setting("SamlSettings", "IdAttribute"):
        yield note(
            "saml.id_is_email",
            "SamlSettings.IdAttribute is empty: auth_data is the email that the provider sends",
        )
    if given.settings is not None and not given.setting("SamlSettings", "EmailAttribute"):
        yield warning(
            "saml.no_email_attribute",
            "SamlSettings.EmailAttribute is empty: a login by SSO brings no address, and who"
            " returns by email as a makeshift would not be met again",
            "set it to the attribute that holds the address, or learn every Id by prepare",
        )
    if given.setting("SamlSettings", "EnableAdminAttribute"):
        yield note(
            "saml.admin_attribute",
            "SSO decides who is administrator: the roles of converted people stay as they are",
        )


SERVER_CHECKS: Final = (
    _failures, _operator, _release, _clock, _health, _sign_in, _mail, _passwords, _sessions, _rate,
    _mfa, _directory,
)  # fmt: skip
