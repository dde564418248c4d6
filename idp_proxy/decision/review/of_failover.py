"""Rules about the switch and the people it concerns (FO), as far as a review can judge them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from idp_proxy.decision.review.findings import BLOCKS, TELLS, About, Fault, Rule, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from idp_proxy.decision.review.evidence import Evidence

_DESIGN: Final = "docs/security/rules.md"
#: A standby proven longer ago than this is a guess.
_PROVEN: Final = timedelta(hours=24)
#: The way of the operators is tried at least so often.
_TRIED: Final = timedelta(days=190)
_CALM: Final = timedelta(minutes=5)
_MOST_PER_HOUR: Final = 6


def fo_04_floor(seen: Evidence) -> Iterator[Fault]:
    """Something that a standby can say reaches the floor."""
    for one in seen.standbys:
        if one.reaches_floor is False:
            yield Fault(
                one.name,
                "nothing that it can prove reaches the floor, so its people are refused",
                "map a context class or an attribute of it that stands for a level at the floor, "
                "or take the standby out",
            )


def fo_04_declared(seen: Evidence) -> Iterator[Fault]:
    """What a standby's word for an authentication is worth was declared."""
    for one in seen.standbys:
        if one.saml is not None and not one.level_declared and one.reaches_floor is None:
            yield Fault(
                one.name,
                "no level is declared for it: whatever it accepts is as good there as a second "
                f"factor at {seen.upstreams[0].name}",
                "declare levels, a floor, and what its context classes are worth",
            )


def fo_04_password_alone(seen: Evidence) -> Iterator[Fault]:
    """A directory proves a password: where nothing more is demanded, that is what gets in."""
    for one in seen.standbys:
        if one.directory is not None and one.reaches_floor is None:
            yield Fault(
                one.name,
                "a directory standby without a floor: a password alone gets in",
                "declare a floor that a password does not reach, and let people enrol a second "
                "factor at /enroll",
            )


def fo_04_active(seen: Evidence) -> Iterator[Fault]:
    """The active is no weaker than what a standby must be."""
    for one in seen.upstreams[:1]:
        fix = f'ask {one.name} for more (requested_authn_context), then enforce = "all"'
        if one.reaches_floor is False:
            lets = "so its people are refused" if one.floor_holds else "and its people get in"
            yield Fault(one.name, f"nothing that it can prove reaches the floor, {lets}", fix)
        elif one.reaches_floor and not one.floor_holds:
            seen_so = f"; {one.below_floor} of its answers were below it" * bool(one.below_floor)
            yield Fault(one.name, f"the floor does not hold for the active{seen_so}", fix)


def fo_07_bounded(seen: Evidence) -> Iterator[Fault]:
    """Switches are few, and no upstream is returned to in a hurry."""
    switch = seen.switch
    if switch.automatic > _MOST_PER_HOUR:
        yield Fault(
            "",
            f"failover.automatic_per_hour is {switch.automatic}: a flapping upstream takes "
            "everybody along",
            f"at most {_MOST_PER_HOUR}",
        )
    if switch.automatic_failback and min(switch.hold_down, switch.dwell) < _CALM:
        yield Fault(
            "",
            "failback is automatic after less than 5 min of calm",
            'failback = "approve", or hold_down_s and dwell_s of at least 300',
        )


def fo_08_sync_age(seen: Evidence) -> Iterator[Fault]:
    """An authoritative list says who was disabled at the active, and it is of late."""
    if seen.store is None or not seen.standbys:
        return
    lasts = seen.roster.confirmed_by_import
    fix = "idp-proxy roster import, every night; see docs/operations/roster.md"
    if not seen.store.imports:
        yield Fault(
            "",
            "no list was ever imported: whoever was disabled at the active gets in by a standby "
            f"for up to {seen.roster.confirmed_by_login.days} days after the last login",
            fix,
        )
    for source, at in sorted(seen.store.imports.items()):
        if at is None:
            yield Fault("", f"the import by {source} was never complete", fix)
        elif seen.now - at > lasts:
            yield Fault("", f"the last import by {source} is {(seen.now - at).days} days old", fix)


def fo_09_link_key(seen: Evidence) -> Iterator[Fault]:
    """An email address alone recognises nobody: addresses are given to other people."""
    fix = "map an id that both upstreams know, as link_key or as roster.agreeing_attribute"
    if seen.roster.second is None:
        yield Fault(
            "", "the link key is an email address, and nothing must agree: nobody gets in", fix
        )
    elif seen.roster.second:
        yield Fault(
            "",
            f"the link key is an email address; {seen.roster.second} must agree beside it",
            "map an id that both upstreams know, as link_key",
        )


def fo_10_email_domains(seen: Evidence) -> Iterator[Fault]:
    """A standby speaks for the domains that are listed for it."""
    for one in seen.standbys:
        if not one.email_domains:
            yield Fault(
                one.name,
                "it may speak for an address of any domain",
                f"email_domains for {one.name}, with attributes.email",
            )


def fo_12_apart(seen: Evidence) -> Iterator[Fault]:
    """Two upstreams are two parties: no two of them have one entity ID."""
    known: dict[str, str] = {}
    for one in seen.upstreams:
        if one.saml is None or one.saml.entity_id is None:
            continue
        first = known.setdefault(one.saml.entity_id, one.name)
        if first != one.name:
            yield Fault(
                one.name,
                f"it has the entity ID of {first}: who answers cannot be told apart",
                "give it the metadata of another identity provider",
            )


def fo_13_sessions_end(seen: Evidence) -> Iterator[Fault]:
    """Sessions that came by a standby can be ended: Mattermost takes no end from the answer."""
    if seen.standbys and not seen.proxy.revokes_sessions:
        yield Fault(
            "",
            "Mattermost ignores SessionNotOnOrAfter, and the proxy has no access to its API: "
            "sessions that began at a standby go on after the outage",
            "give the proxy access to Mattermost's API, for standby-logins revoke",
        )


def fo_14_checkpoints(seen: Evidence) -> Iterator[Fault]:
    """That no row was cut off the end of the audit can be proven."""
    if not seen.proxy.checkpoints:
        yield Fault(
            "",
            "no checkpoints: whoever may write the store may cut rows off the end of the audit",
            "audit.checkpoint_file on another disk, and audit.checkpoint_key",
        )


def fo_14_as_it_was_kept(seen: Evidence) -> Iterator[Fault]:
    """What people signed and waived is in the store as they left it."""
    for what in () if seen.store is None else seen.store.altered:
        yield Fault(
            "",
            f"{what} is gone or not as it was kept: somebody wrote into the store, or the state "
            "key under it is gone; it counts for nothing",
            "idp-proxy verify-audit; then read the policy again, and sign or waive anew",
        )


def fo_14_told(seen: Evidence) -> Iterator[Fault]:
    """Somebody is told of a switch."""
    if not seen.proxy.channels:
        yield Fault("", "notify.urls is empty: nobody is told of a switch", "set notify.urls")


def fo_15_rehearsed(seen: Evidence) -> Iterator[Fault]:
    """A login by a standby was proven within a day."""
    if seen.store is None:
        return
    for one in seen.standbys:
        times = (at for at in (one.canary_passed_at, one.proven_at) if at is not None)
        newest = max(times, default=None)
        fix = f"idp-proxy rehearse {one.name}, or a canary"
        if newest is None:
            yield Fault(one.name, "no login by it was ever proven", fix)
        elif seen.now - newest > _PROVEN:
            yield Fault(one.name, f"last proven {newest:%Y-%m-%d %H:%M} UTC", fix)


def fo_15_rehearsal_age(seen: Evidence) -> Iterator[Fault]:
    """A rehearsal does not count for longer than a day."""
    if seen.switch.rehearsal_max_age > _PROVEN:
        hours = seen.switch.rehearsal_max_age.total_seconds() / 3600
        yield Fault(
            "",
            f"a standby takes over that was last proven {hours:.0f} h ago",
            "failover.rehearsal_max_age_s = 86400, and a canary for each standby",
        )


def fo_16_operators_path(seen: Evidence) -> Iterator[Fault]:
    """VPN, vault, pager, mail and name service: one tried way depends on neither upstream."""
    path = seen.operators_path
    fix = "declare [review.operators_path] after you tried the way"
    if path is None:
        yield Fault("", "nobody declared how operators work while an upstream is away", fix)
        return
    domains = {domain for one in seen.upstreams for domain in one.failure_domains}
    names = domains | {one.name for one in seen.upstreams}
    if shared := sorted(names & set(path.depends_on)):
        yield Fault(
            "",
            f"the operators' way ({path.way}) depends on {', '.join(shared)}",
            "a way that depends on no upstream and on none of their failure domains",
        )
    age = seen.now.date() - path.tested_at
    if age > _TRIED:
        yield Fault("", f"the operators' way ({path.way}) was last tried {path.tested_at}", fix)


def fo_17_failure_domains(seen: Evidence) -> Iterator[Fault]:
    """Active and standby share nothing that can fail, as far as was declared."""
    if not seen.upstreams:
        return
    active = seen.upstreams[0]
    for one in seen.standbys:
        if not one.failure_domains or not active.failure_domains:
            yield Fault(
                one.name,
                "nobody declared what it and the active depend on",
                "failure_domains for each upstream: sites, providers, networks, directories",
            )
        elif shared := sorted(one.failure_domains & active.failure_domains):
            yield Fault(
                one.name,
                f"it shares {', '.join(shared)} with {active.name}: what ends the one ends the "
                "other",
                "a standby elsewhere",
            )


RULES: Final = (
    Rule(Severity.CRITICAL, About.UPSTREAM, "NIST SP 800-63C-4; FO-04", BLOCKS, fo_04_floor),
    Rule(Severity.HIGH, About.POLICY, "NIST SP 800-63C-4; FO-04", TELLS, fo_04_declared),
    Rule(Severity.CRITICAL, About.POLICY, "NIST SP 800-63C-4; FO-04", BLOCKS, fo_04_password_alone),
    Rule(Severity.MEDIUM, About.POLICY, "NIST SP 800-63C-4; FO-04", TELLS, fo_04_active),
    Rule(Severity.HIGH, About.POLICY, _DESIGN, BLOCKS, fo_07_bounded),
    Rule(Severity.HIGH, About.TIME, _DESIGN, TELLS, fo_08_sync_age),
    Rule(Severity.MEDIUM, About.POLICY, _DESIGN, TELLS, fo_09_link_key),
    Rule(Severity.MEDIUM, About.UPSTREAM, _DESIGN, TELLS, fo_10_email_domains),
    Rule(Severity.CRITICAL, About.UPSTREAM, "SAML core 8.3.6; FO-12", BLOCKS, fo_12_apart),
    Rule(Severity.MEDIUM, About.POLICY, "SAML core 2.7.2; FO-13", TELLS, fo_13_sessions_end),
    Rule(Severity.MEDIUM, About.POLICY, _DESIGN, TELLS, fo_14_checkpoints),
    Rule(Severity.HIGH, About.POLICY, _DESIGN, BLOCKS, fo_14_as_it_was_kept),
    Rule(Severity.MEDIUM, About.POLICY, _DESIGN, TELLS, fo_14_told),
    Rule(Severity.MEDIUM, About.TIME, _DESIGN, TELLS, fo_15_rehearsed),
    Rule(Severity.MEDIUM, About.POLICY, _DESIGN, TELLS, fo_15_rehearsal_age),
    Rule(Severity.MEDIUM, About.POLICY, _DESIGN, TELLS, fo_16_operators_path),
    Rule(Severity.MEDIUM, About.UPSTREAM, _DESIGN, TELLS, fo_17_failure_domains),
)
