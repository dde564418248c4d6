"""Rules about directories, and about who may try passwords there (LDAP)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from idp_proxy.decision.review.findings import BLOCKS, TELLS, About, Fault, Rule, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from idp_proxy.decision.review.evidence import Evidence

_DESIGN: Final = "docs/security/rules.md"
#: More wrong passwords in a quarter of an hour than any one address needs that is no office.
_MOST_FROM_ONE: Final = 50
#: And than strangers from everywhere need together.
_MOST_FROM_ELSEWHERE: Final = 1000
#: More failures before a lockout than people need: each is a guess at one account.
_MOST_AT_ONE: Final = 20
#: More addresses than an office has, and more failures than 2,500 people who come to work.
_LARGEST_OFFICE: Final = 2**16
_MOST_IN_OFFICE: Final = 2000


def ldap_02_encrypted(seen: Evidence) -> Iterator[Fault]:
    """A directory is asked by LDAPS or StartTLS only."""
    for one in seen.upstreams:
        if one.directory is not None and one.directory.in_the_clear:
            yield Fault(
                one.name,
                f"asked in the clear: {', '.join(one.directory.in_the_clear)}",
                "ldaps://, or start_tls = true",
            )


def fo_17_one_host(seen: Evidence) -> Iterator[Fault]:
    """A directory has more than one host."""
    for one in seen.upstreams:
        if one.directory is not None and len(one.directory.hosts) == 1:
            yield Fault(
                one.name,
                f"one host only: {one.directory.hosts[0]}",
                "directory.urls with a second one",
            )


def ldap_04_limits(seen: Evidence) -> Iterator[Fault]:
    """Few wrong passwords are let through, for one person, from one place and from everywhere."""
    for one in seen.upstreams:
        if one.directory is None:
            continue
        limits = {
            "lockout_after": (one.directory.lockout_after, _MOST_AT_ONE),
            "failures_per_source": (one.directory.per_source, _MOST_FROM_ONE),
            "failures_elsewhere": (one.directory.elsewhere, _MOST_FROM_ELSEWHERE),
        }
        for name, (configured, most) in limits.items():
            if configured > most:
                yield Fault(
                    one.name,
                    f"directory.{name} is {configured}: whoever guesses has that many tries",
                    f"at most {most}",
                )


def ldap_04_offices(seen: Evidence) -> Iterator[Fault]:
    """A known network is an office, and not everybody."""
    for one in seen.networks:
        if one.sites > _LARGEST_OFFICE or one.failures > _MOST_IN_OFFICE:
            yield Fault(
                "",
                f"known_network {one.name} has {one.sites} addresses that may fail {one.failures} "
                "times in a quarter of an hour",
                "the addresses that the office has, and 500 failures for 2,500 people",
            )


RULES: Final = (
    Rule(Severity.CRITICAL, About.POLICY, "RFC 4513; LDAP-02", BLOCKS, ldap_02_encrypted),
    Rule(Severity.MEDIUM, About.UPSTREAM, _DESIGN, TELLS, ldap_04_limits),
    Rule(Severity.MEDIUM, About.POLICY, _DESIGN, TELLS, ldap_04_offices),
    Rule(Severity.LOW, About.UPSTREAM, _DESIGN, TELLS, fo_17_one_host),
)
