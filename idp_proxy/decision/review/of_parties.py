"""Rules about each side's protocol, keys and listeners (SP, IDP, KEY, MD, WEB, OPS)."""

from __future__ import annotations

import re
from datetime import timedelta
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

from idp_proxy.decision.review.findings import BLOCKS, TELLS, About, Fault, Rule, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from idp_proxy.decision.review.evidence import CertificateSeen, Evidence

_USUAL_SKEW: Final = timedelta(seconds=120)
_LIFETIME_CAP: Final = timedelta(hours=1)
_ENDS_SOON: Final = timedelta(days=30)
_OFFSET: Final = timedelta(seconds=30)
_NEW_RSA: Final = 3072
_LEAST_RSA: Final = 2048
_OLD_HASHES: Final = frozenset({"md5", "sha1"})
#: More addresses than any set of reverse proxies has.
_WIDEST: Final = 2**16
#: Names under which rights travel, whatever stands around them.
_RIGHTS: Final = re.compile(
    r"(^|[^a-z])(is)?(roles?|admin|administrator|guest|groups?|permissions?)($|[^a-z])"
)


def sp_01_keys(seen: Evidence) -> Iterator[Fault]:
    """There is a key by which its answers are verified."""
    for one in seen.upstreams:
        if one.saml is not None and not one.certificates:
            yield Fault(
                one.name,
                f"no key verifies an answer of it: {one.usable or 'no metadata is approved'}",
                f"idp-proxy metadata show {one.name}",
            )


def sp_07_times(seen: Evidence) -> Iterator[Fault]:
    """Assertions live briefly, and clocks agree well."""
    for one in seen.upstreams:
        if one.saml is None:
            continue
        if one.saml.clock_skew > _USUAL_SKEW:
            yield Fault(
                one.name,
                f"limits.clock_skew_s is {one.saml.clock_skew.seconds}: a wrong clock stays hidden",
                "clock_skew_s of at most 120",
            )
        if one.saml.max_lifetime >= _LIFETIME_CAP:
            yield Fault(
                one.name,
                "assertions may live for an hour, which is the cap: a stolen one is good for long",
                "limits.max_assertion_lifetime_s as its provider sets it, often 300 to 600",
            )


def sp_08_encryption(seen: Evidence) -> Iterator[Fault]:
    """No AES-CBC: whoever can try often reads what it hides."""
    for one in seen.upstreams:
        if one.saml is not None and one.saml.allow_aes_cbc:
            yield Fault(
                one.name,
                "allow_aes_cbc lets assertions in that can be altered unseen but for the signature "
                "around them",
                "let it encrypt with AES-GCM and remove allow_aes_cbc",
            )


def sp_08_certificates(seen: Evidence) -> Iterator[Fault]:
    """No certificate is signed with a hash that is broken."""
    for one in seen.upstreams:
        for certificate in one.certificates:
            if certificate.signature_hash in _OLD_HASHES:
                yield Fault(
                    one.name,
                    f"{certificate.what} is signed with {certificate.signature_hash.upper()}: only "
                    "its key counts here, and a provider that old may sign answers so, which are "
                    "refused",
                    "a new signing certificate there, with SHA-256, and its new metadata here",
                )


def idp_02_signed_requests(seen: Evidence) -> Iterator[Fault]:
    """Mattermost signs what it asks, and it is demanded."""
    if not seen.proxy.demands_signed_requests:
        yield Fault(
            "",
            "requests need no signature: anybody may begin a login in Mattermost's name",
            "SignRequest in Mattermost, its certificate and require_signed_requests = true here",
        )


def idp_03_encrypted(seen: Evidence) -> Iterator[Fault]:
    """Who somebody is does not pass through the browser in the clear, and both sides agree."""
    if not seen.proxy.encrypts:
        yield Fault(
            "",
            "assertions pass through the browser in the clear",
            "Encrypt in Mattermost, service_provider.encrypt = true here",
        )
    wanted = None if seen.server is None else seen.server.encrypt
    if wanted is not None and wanted is not seen.proxy.encrypts:
        yield Fault(
            "",
            f"Mattermost's Encrypt is {wanted}, service_provider.encrypt is {seen.proxy.encrypts}",
            "the same on both sides",
        )


def idp_06_rights(seen: Evidence) -> Iterator[Fault]:
    """What gives rights in Mattermost is withheld from a standby's people."""
    for sent, canonical in seen.proxy.sent.items():
        sources = (one.attributes.get(canonical, "") for one in seen.upstreams)
        speaks = any(_RIGHTS.search(name.casefold()) for name in (sent, canonical, *sources))
        if speaks and canonical not in seen.proxy.withheld:
            yield Fault(
                "",
                f"{canonical} is sent as {sent} at a standby too, and its name speaks of rights",
                f'add "{canonical}" to service_provider.role_attributes, or send it no more',
            )


def key_01_files(seen: Evidence) -> Iterator[Fault]:
    """Keys and secrets are this user's alone."""
    for file in seen.proxy.private_files:
        if file.mode & 0o077:
            yield Fault(
                "",
                f"{file.what} is open to others (mode {file.mode:04o})",
                f"chmod 600 {file.what}",
            )
        elif not file.ours:
            yield Fault("", f"{file.what} belongs to another user", f"chown it: {file.what}")


def key_02_strength(seen: Evidence) -> Iterator[Fault]:
    """RSA keys of an upstream have at least 2048 bits, ours 3072 when they are new."""
    for one in seen.upstreams:
        for certificate in one.certificates:
            if certificate.algorithm == "RSA" and certificate.bits < _LEAST_RSA:
                yield Fault(
                    one.name,
                    f"{certificate.what} has {certificate.bits} bits",
                    "a new key there, RSA with 3072 bits or P-256",
                )


def key_02_own_strength(seen: Evidence) -> Iterator[Fault]:
    """Our own RSA keys have 3072 bits."""
    for certificate in seen.proxy.certificates:
        if certificate.algorithm == "RSA" and certificate.bits < _NEW_RSA:
            yield Fault(
                "",
                f"{certificate.what} has {certificate.bits} bits",
                "RSA with 3072 bits at the next change of keys",
            )


def key_02_ends(seen: Evidence) -> Iterator[Fault]:
    """No certificate ends within 30 days."""
    own = (*seen.proxy.certificates, *seen.proxy.party_certificates)
    named: list[tuple[str, CertificateSeen]] = [("", one) for one in own]
    named += [(one.name, found) for one in seen.upstreams for found in one.certificates]
    for subject, certificate in named:
        if certificate.begins > seen.now:
            yield Fault(
                subject,
                f"{certificate.what} counts from {certificate.begins:%Y-%m-%d %H:%M} UTC on",
                "wait, or look at the clock",
            )
        elif certificate.ends <= seen.now:
            yield Fault(
                subject,
                f"{certificate.what} ended {certificate.ends:%Y-%m-%d}",
                "replace it; the other side refuses it",
            )
        elif certificate.ends - seen.now < _ENDS_SOON:
            yield Fault(
                subject,
                f"{certificate.what} ends {certificate.ends:%Y-%m-%d}",
                "replace it; the other side must be told first",
            )


def md_01_pinned(seen: Evidence) -> Iterator[Fault]:
    """Fetched metadata is signed, and the signer's certificate is pinned."""
    for one in seen.upstreams:
        if one.saml is None or one.saml.warrant == "file":
            continue
        if one.saml.warrant == "tls":
            yield Fault(
                one.name,
                "its metadata is believed because of the address: whoever answers there may take "
                "keys away, and propose new ones to be approved",
                'trust = "signed" with certificate and pin, or a file',
            )
        elif not one.saml.pinned:
            yield Fault(
                one.name,
                "the signer of its metadata is not pinned: whoever replaces that one file chooses "
                "the keys",
                "metadata.pin: the digest of the certificate, from another place than the file",
            )


def md_01_ends(seen: Evidence) -> Iterator[Fault]:
    """What was fetched says until when it counts, and that is not soon."""
    for one in seen.upstreams:
        if one.saml is None or one.saml.valid_until is None:
            continue
        if one.saml.valid_until - seen.now < timedelta(days=1):
            yield Fault(
                one.name,
                f"its metadata counts until {one.saml.valid_until:%Y-%m-%d %H:%M} UTC",
                f"idp-proxy metadata show {one.name}",
            )


def md_01_waiting(seen: Evidence) -> Iterator[Fault]:
    """What an upstream says of itself now is what was approved, and can be looked at."""
    for one in seen.upstreams:
        if one.saml is not None and one.saml.waiting:
            yield Fault(
                one.name,
                "its metadata changed by itself, and nobody approved that yet",
                f"idp-proxy metadata diff {one.name}",
            )
        elif one.saml is not None and one.saml.refresh_problem:
            yield Fault(
                one.name,
                f"its metadata could not be refreshed: {one.saml.refresh_problem}",
                f"idp-proxy metadata show {one.name}",
            )


def web_01_listener(seen: Evidence) -> Iterator[Fault]:
    """Beyond this machine the listener speaks TLS, or a listed reverse proxy does."""
    proxy = seen.proxy
    if not proxy.tls and not proxy.on_loopback and not proxy.trusted_proxies:
        yield Fault(
            "",
            f"{proxy.listens_on} without TLS",
            "proxy.tls_certificate and tls_key, or listen on 127.0.0.1 behind a reverse proxy",
        )


def web_01_trial(seen: Evidence) -> Iterator[Fault]:
    """A trial on one machine is not what people log in by."""
    if seen.proxy.insecure_loopback:
        yield Fault(
            "",
            "insecure_loopback: no TLS and no Secure cookie, for a trial on this machine",
            "insecure_loopback = false",
        )


def web_04_reverse_proxies(seen: Evidence) -> Iterator[Fault]:
    """Whose forwarded addresses are believed is a short list."""
    for text in seen.proxy.trusted_proxies:
        if ip_network(text, strict=False).num_addresses > _WIDEST:
            yield Fault(
                "",
                f"trusted_proxies has {text}: anybody there says from where a login comes",
                "the addresses of the reverse proxies alone",
            )


def ops_02_clock(seen: Evidence) -> Iterator[Fault]:
    """This host's clock is right."""
    if seen.live is not None and abs(seen.live.clock_offset) > _OFFSET:
        yield Fault(
            "",
            f"this host's clock is {seen.live.clock_offset.total_seconds():+.0f} s from the "
            "store's",
            "look at the time service (chronyc tracking)",
        )


def fo_15_answers(seen: Evidence) -> Iterator[Fault]:
    """Each upstream answers now, and as itself."""
    probes = {} if seen.live is None else seen.live.probes
    for name, why in probes.items():
        if why is not None:
            yield Fault(name, f"it does not answer now: {why}", "idp-proxy status")


RULES: Final = (
    Rule(Severity.CRITICAL, About.TIME, "SAML core 5; SP-01", BLOCKS, sp_01_keys),
    Rule(Severity.MEDIUM, About.UPSTREAM, "SAML profiles 4.1.4; SP-07", TELLS, sp_07_times),
    Rule(Severity.HIGH, About.UPSTREAM, "XML Encryption 1.1, 5.2; SP-08", BLOCKS, sp_08_encryption),
    Rule(Severity.MEDIUM, About.UPSTREAM, "RFC 6194; SP-08", TELLS, sp_08_certificates),
    Rule(Severity.MEDIUM, About.POLICY, "SAML core 3.4; IDP-02", TELLS, idp_02_signed_requests),
    Rule(Severity.LOW, About.POLICY, "saml2int; IDP-03", TELLS, idp_03_encrypted),
    Rule(Severity.HIGH, About.POLICY, "docs/security/rules.md", BLOCKS, idp_06_rights),
    Rule(Severity.CRITICAL, About.OWN, "docs/security/rules.md", BLOCKS, key_01_files),
    Rule(Severity.HIGH, About.UPSTREAM, "NIST SP 800-131A; KEY-02", BLOCKS, key_02_strength),
    Rule(Severity.LOW, About.POLICY, "NIST SP 800-131A; KEY-02", TELLS, key_02_own_strength),
    Rule(Severity.HIGH, About.TIME, "docs/security/rules.md", TELLS, key_02_ends),
    Rule(Severity.HIGH, About.UPSTREAM, "SAML metadata 4.3; MD-01", TELLS, md_01_pinned),
    Rule(Severity.HIGH, About.TIME, "SAML metadata 2.3.2; MD-01", TELLS, md_01_ends),
    Rule(Severity.HIGH, About.TIME, "SAML metadata 4.3; MD-01", TELLS, md_01_waiting),
    Rule(Severity.CRITICAL, About.OWN, "OWASP SAML; WEB-01", BLOCKS, web_01_listener),
    Rule(Severity.MEDIUM, About.POLICY, "OWASP SAML; WEB-01", TELLS, web_01_trial),
    Rule(Severity.HIGH, About.POLICY, "docs/security/rules.md", BLOCKS, web_04_reverse_proxies),
    Rule(Severity.HIGH, About.TIME, "docs/security/rules.md", TELLS, ops_02_clock),
    Rule(Severity.HIGH, About.TIME, "docs/security/rules.md", TELLS, fo_15_answers),
)
