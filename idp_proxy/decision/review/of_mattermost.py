"""Rules about Mattermost's own settings, as its API tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from idp_proxy.decision.review.findings import BLOCKS, TELLS, About, Fault, Rule, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from idp_proxy.decision.review.evidence import Evidence

_WEAK_SIGNATURES: Final = frozenset({"RSAwithSHA1"})


def idp_02_algorithms(seen: Evidence) -> Iterator[Fault]:
    """What Mattermost signs with is what we take."""
    server = seen.server
    if server is None or server.sign_request is False:
        return
    if server.signature_algorithm in _WEAK_SIGNATURES:
        yield Fault(
            "",
            f"Mattermost signs with {server.signature_algorithm}: each login is refused",
            "SignatureAlgorithm = RSAwithSHA256",
        )
    if server.canonical_algorithm == "Canonical1.1":
        yield Fault(
            "",
            "Mattermost canonicalises with Canonical1.1: each login is refused",
            "CanonicalAlgorithm = Canonical1.0",
        )


def idp_03_verified(seen: Evidence) -> Iterator[Fault]:
    """Mattermost checks what we sign."""
    if seen.server is not None and seen.server.verify is False:
        yield Fault(
            "",
            "Mattermost's Verify is off: anybody may log in there as anybody",
            "Verify = true, now",
        )


def fo_09_sync_with_ldap(seen: Evidence) -> Iterator[Fault]:
    """A login in Mattermost depends on the proxy, and on no directory beside it."""
    if seen.server is not None and seen.server.enable_sync_with_ldap:
        yield Fault(
            "",
            "Mattermost's EnableSyncWithLdap is on: while that directory is away nobody logs in, "
            "whatever the proxy does (Mattermost 10.9 and later)",
            "EnableSyncWithLdap = false, or a directory that outlives the active",
        )


def fo_09_found_by_id(seen: Evidence) -> Iterator[Fault]:
    """Mattermost finds the account by the id that the proxy sends, and by nothing else."""
    server = seen.server
    if server is None or server.id_attribute is None:
        return
    ours = sorted(sent for sent, canonical in seen.proxy.sent.items() if canonical == "id")
    if server.id_attribute not in ours:
        said = server.id_attribute or "empty, which means the address"
        yield Fault(
            "",
            f"Mattermost's IdAttribute is {said}; the proxy sends the id as {', '.join(ours)}: "
            "whose address changes gets a second account, and lists of the two do not meet",
            f"IdAttribute = {' or '.join(ours)}; docs/operations/mattermost-settings.md first",
        )


def web_01_phones(seen: Evidence) -> Iterator[Fault]:
    """People on phones log in by their own browser, where their cookies and passkeys are."""
    if seen.server is not None and seen.server.mobile_external_browser is False:
        yield Fault(
            "",
            "Mattermost's MobileExternalBrowser is off: on Android the login closes when somebody "
            "looks up a code in another app",
            "NativeAppSettings.MobileExternalBrowser = true",
        )


def fo_11_admin_attribute(seen: Evidence) -> Iterator[Fault]:
    """What Mattermost does with an admin attribute is what the configuration says it does."""
    server = seen.server
    if server is None or server.enable_admin_attribute is None:
        return
    if server.enable_admin_attribute and not seen.proxy.admin_attribute:
        yield Fault(
            "",
            "Mattermost's EnableAdminAttribute is on and the configuration does not know: a login "
            "by a standby takes administrators' rights away",
            "service_provider.enable_admin_attribute = true and admin_attribute as in Mattermost",
        )


def fo_13_kept_long_enough(seen: Evidence) -> Iterator[Fault]:
    """Who came through a standby is known for as long as a session lives that nobody uses."""
    server, kept = seen.server, seen.proxy.standby_logins_kept
    if server is None or server.session_length is None or server.session_length <= kept:
        return
    yield Fault(
        "",
        f"sessions by SSO last {server.session_length.days} days in Mattermost, and who came "
        f"through a standby is known for {kept.days}: what is not ended until then cannot be found",
        f"failover.standby_logins_kept_days = {server.session_length.days + 1} or more",
    )


RULES: Final = (
    Rule(Severity.HIGH, About.POLICY, "RFC 6194; IDP-02", BLOCKS, idp_02_algorithms),
    Rule(Severity.CRITICAL, About.POLICY, "SAML core 5; IDP-03", BLOCKS, idp_03_verified),
    Rule(Severity.HIGH, About.POLICY, "docs/security/rules.md", TELLS, fo_09_sync_with_ldap),
    Rule(Severity.HIGH, About.POLICY, "docs/security/rules.md", TELLS, fo_09_found_by_id),
    Rule(Severity.LOW, About.POLICY, "docs/security/rules.md", TELLS, web_01_phones),
    Rule(Severity.LOW, About.POLICY, "docs/security/rules.md", TELLS, fo_13_kept_long_enough),
    Rule(Severity.HIGH, About.POLICY, "docs/security/rules.md", BLOCKS, fo_11_admin_attribute),
)
