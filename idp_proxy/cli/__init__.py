"""`idp-proxy`: what an operator does on the host.

Exit codes: 0 done, 1 refused or failed, 2 usage or configuration, 3 work is left open. Answers go
to stdout, errors and warnings to stderr, and the last line is `next:` and one command to copy.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import typer

from idp_proxy.cli.audit import register as register_audit
from idp_proxy.cli.cutover import register as register_cutover
from idp_proxy.cli.drill_run import register as register_drill_run
from idp_proxy.cli.drilling import register as register_drilling
from idp_proxy.cli.factors import register as register_factors
from idp_proxy.cli.forgetting import register as register_forgetting
from idp_proxy.cli.hosts import register as register_hosts
from idp_proxy.cli.incident import register as register_incident
from idp_proxy.cli.metadata import register as register_metadata
from idp_proxy.cli.notifying import register as register_notifying
from idp_proxy.cli.operators import register as register_operators
from idp_proxy.cli.overriding import register as register_overriding
from idp_proxy.cli.rehearsing import register as register_rehearsing
from idp_proxy.cli.review import register as register_review
from idp_proxy.cli.roster import register as register_roster
from idp_proxy.cli.session import EXIT_REFUSED, EXIT_USAGE, program, shown_next, tell
from idp_proxy.cli.setup import register as register_setup
from idp_proxy.cli.standby_logins import register as register_standby_logins
from idp_proxy.cli.status import register as register_status
from idp_proxy.cli.switching import register as register_switching
from idp_proxy.errors import ConfigError, CutoverRefused, ProxyError, StoreConflict, StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["main"]

for register in (
    register_setup,
    register_status,
    register_switching,
    register_cutover,
    register_rehearsing,
    register_drilling,
    register_metadata,
    register_hosts,
    register_audit,
    register_notifying,
    register_operators,
    register_overriding,
    register_drill_run,
    register_factors,
    register_roster,
    register_forgetting,
    register_standby_logins,
    register_incident,
    register_review,
):
    register(program)


_TYPED_WRONG: Final = "The command cannot be carried out as it was typed."


def _help_line(arguments: Sequence[str] | None) -> str:
    """Where it says what may be typed, for the command that the arguments begin with."""
    known: object = typer.main.get_command(program)
    found = ""
    for word in sys.argv[1:] if arguments is None else arguments:
        below: Mapping[str, object] = getattr(known, "commands", {})
        if word not in below:
            break
        known = below[word]
        found += f"{word} "
    return f"next: idp-proxy {found}--help"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; `arguments` without the program's name, by default those of the process.

    Always ends by `SystemExit`. What the proxy itself refuses is one message, never a traceback.
    """
    try:
        program(args=arguments, prog_name="idp-proxy")
    except SystemExit as ended:
        if ended.code == EXIT_USAGE:  # by the parser: what was typed is no command
            tell(_help_line(arguments))
        raise
    except ConfigError as error:
        by_option = all(problem.startswith("--") for problem in error.problems)
        tell("error:", _TYPED_WRONG if by_option else error.public)
        for problem in error.problems:
            tell("  -", problem)
        tell(_help_line(arguments) if by_option else shown_next("check-config"))
        sys.exit(EXIT_USAGE)
    except ProxyError as error:
        tell("error:", error.public)
        if error.detail:
            tell(" ", error.detail)
        tell(shown_next(*_next_after(error)))
        sys.exit(EXIT_REFUSED)


def _next_after(error: ProxyError) -> tuple[str, ...]:
    if isinstance(error, CutoverRefused):
        return ("cutover", "check")
    away = isinstance(error, StoreError) and not isinstance(error, StoreConflict)
    return ("check-config",) if away else ("status",)
