"""Rules about moving people to a password (CNV), by the configuration of `sso-conversion`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from idp_proxy.decision.review.findings import BLOCKS, TELLS, About, Fault, Rule, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from idp_proxy.decision.review.evidence import ConversionSeen, Evidence

_DESIGN: Final = "docs/security/rules.md"
#: Whoever is at a password for longer is forgotten.
_LONGEST: Final = timedelta(days=7)
#: A command that goes on while every tenth person fails has met something that nobody thought of.
_MOST_FAILING: Final = 10.0
#: Who moves more than half of all people at once has no way to see that it goes wrong.
_MOST_AT_ONCE: Final = 50.0


def _of(seen: Evidence) -> ConversionSeen | None:
    """The conversion, if its configuration was named and could be read."""
    return seen.conversion if seen.conversion is not None and not seen.conversion.problem else None


def cnv_01_known(seen: Evidence) -> Iterator[Fault]:
    """Where people can be moved to a password, it is known how."""
    if seen.conversion is None:
        if seen.converted_file:
            yield Fault(
                "",
                "people may be moved to a password (service_provider.converted_file), and nobody "
                "named the configuration by which",
                "review.conversion_config: the file of sso-conversion",
            )
    elif seen.conversion.problem:
        yield Fault(
            "",
            f"{seen.conversion.file}: {seen.conversion.problem}: nothing is known of how people "
            "would be moved to a password",
            "sso-conversion preflight; it holds no secret, the proxy's user may read it",
        )


def cnv_01_token(seen: Evidence) -> Iterator[Fault]:
    """The token that moves people is its owner's alone."""
    file = seen.conversion_token
    if file is not None and (file.mode & 0o077 or not file.ours):
        yield Fault(
            "",
            f"{file.what}, with which anybody in Mattermost can be changed, is open to others "
            f"(mode {file.mode:04o})",
            f"chmod 600 {file.what}, and a new token",
        )


def cnv_01_ledger(seen: Evidence) -> Iterator[Fault]:
    """The record of who must come back outlives a disk, and is not read by others."""
    conversion = _of(seen)
    if conversion is None:
        return
    if not conversion.mirror_apart:
        yield Fault(
            "",
            "the mirror of the ledger lies beside it: one disk that fails loses the way back",
            "ledger.mirror on another disk",
        )
    if not conversion.backups_encrypted:
        yield Fault(
            "",
            "no ledger.backup_key: a backup of the ledger names everybody in the clear",
            "ledger.backup_key",
        )
    if not conversion.checkpoints:
        yield Fault(
            "",
            "no checkpoints of the ledger's audit: rows could be cut off its end unseen",
            "audit.checkpoint_file on another host, and audit.checkpoint_key",
        )


def cnv_01_way_back(seen: Evidence) -> Iterator[Fault]:
    """Something can prove that SSO works again: without proof nobody is returned."""
    conversion = _of(seen)
    if conversion is not None and not conversion.proofs:
        yield Fault(
            "",
            "nothing can prove that SSO works again, so that return will refuse: whoever is moved "
            "stays at a password",
            "campaign.operator_user, or campaign.proxy_status_url",
        )


def cnv_01_listed(seen: Evidence) -> Iterator[Fault]:
    """The proxy knows who was moved, and sends them to their password."""
    conversion = _of(seen)
    if conversion is not None and conversion.lists_converted != seen.converted_file:
        yield Fault(
            "",
            "the proxy reads of people at a password in "
            f"{seen.converted_file or 'no file'}, and the conversion writes "
            f"{conversion.lists_converted or 'none'}: Mattermost refuses whoever was moved",
            "service_provider.converted_file and campaign.converted_file: the same file and key",
        )


def cnv_01_deadline(seen: Evidence) -> Iterator[Fault]:
    """People are told before somebody is forgotten at a password."""
    conversion = _of(seen)
    if conversion is None:
        return
    if conversion.deadline > _LONGEST:
        yield Fault(
            "",
            f"only after {conversion.deadline.days} days at a password an alarm goes out",
            "campaign.deadline_h of at most 168",
        )
    if not conversion.channels:
        yield Fault(
            "",
            "notify.urls of the conversion is empty: nobody is told of a deadline",
            "set notify.urls there",
        )


def cnv_02_guards(seen: Evidence) -> Iterator[Fault]:
    """A conversion that goes wrong stops early, and moves few people before somebody looks."""
    conversion = _of(seen)
    if conversion is None:
        return
    if conversion.error_budget_percent > _MOST_FAILING:
        yield Fault(
            "",
            f"a command goes on until {conversion.error_budget_percent:g} % of its people failed",
            f"campaign.error_budget_percent of at most {_MOST_FAILING:g}",
        )
    if conversion.at_most_percent > _MOST_AT_ONCE:
        yield Fault(
            "",
            f"a plan may move {conversion.at_most_percent:g} % of all people unasked",
            f"campaign.at_most_percent of at most {_MOST_AT_ONCE:g}",
        )


def cnv_02_operators(seen: Evidence) -> Iterator[Fault]:
    """Who moves people signs in, and two of them give somebody up."""
    conversion = _of(seen)
    if conversion is not None and not conversion.operators:
        yield Fault(
            "",
            "no [operators]: whoever is on that host moves people alone, and nobody can be written "
            "off by two",
            "[operators] with the proxy's store and state keys",
        )


RULES: Final = (
    Rule(Severity.MEDIUM, About.POLICY, _DESIGN, TELLS, cnv_01_known),
    Rule(Severity.HIGH, About.POLICY, _DESIGN, BLOCKS, cnv_01_token),
    Rule(Severity.MEDIUM, About.POLICY, _DESIGN, TELLS, cnv_01_ledger),
    Rule(Severity.HIGH, About.POLICY, _DESIGN, BLOCKS, cnv_01_way_back),
    Rule(Severity.MEDIUM, About.POLICY, _DESIGN, TELLS, cnv_01_listed),
    Rule(Severity.MEDIUM, About.POLICY, _DESIGN, TELLS, cnv_01_deadline),
    Rule(Severity.HIGH, About.POLICY, _DESIGN, TELLS, cnv_02_guards),
    Rule(Severity.MEDIUM, About.POLICY, _DESIGN, TELLS, cnv_02_operators),
)
