"""`sso-conversion`: what IT staff do during an outage, and after it.

Exit codes: 0 done, 1 refused or failed, 2 usage or configuration, 3 work is left open. Answers go
to stdout, progress, errors and warnings to stderr, and the last line is `next:` and one command.

    session   what every command shares: the program, configuration, ledger, client, signals
    progress  how far a command is, for a terminal and for a log
    looking   prepare, preflight
    telling   now, status, brief
    notifying notify test
    planning  plan
    moving    convert
    homeward  return, reconcile, verify
    giving_up write-off
    records   report, backup, restore
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from conversion.cli.giving_up import register as register_giving_up
from conversion.cli.homeward import register as register_homeward
from conversion.cli.looking import register as register_looking
from conversion.cli.moving import register as register_moving
from conversion.cli.notifying import register as register_notifying
from conversion.cli.planning import register as register_planning
from conversion.cli.records import register as register_records
from conversion.cli.session import EXIT_REFUSED, StopAtOnce, program, shown_next, tell
from conversion.cli.telling import register as register_telling
from conversion.errors import (
    ConfigError,
    ConsentRefused,
    ConversionError,
    LedgerBusy,
    LedgerError,
    MattermostError,
    PlanStale,
    PlanUnsafe,
    ProofMissing,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

for register in (
    register_looking,
    register_planning,
    register_moving,
    register_homeward,
    register_giving_up,
    register_records,
    register_telling,
    register_notifying,
):
    register(program)

_WAYS_OUT: tuple[tuple[type[ConversionError], tuple[str, ...]], ...] = (
    (PlanStale, ("plan", "--help")),
    (PlanUnsafe, ("plan", "--help")),
    (ProofMissing, ("return",)),
    (ConsentRefused, ("status",)),
    (LedgerBusy, ("status",)),
    (LedgerError, ("status",)),
    (MattermostError, ("preflight",)),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; `arguments` without the program's name, by default those of the process.

    Always ends by `SystemExit`. What the tool itself refuses is one message, never a traceback.
    """
    try:
        program(args=arguments, prog_name="sso-conversion")
    except ConfigError as error:
        _told("this cannot be used:", error.problems)
        tell(shown_next("--help"))
        sys.exit(error.exit_code)
    except ConversionError as error:
        _told("", error.detail.splitlines())
        ways = (words for kind, words in _WAYS_OUT if isinstance(error, kind))
        tell(shown_next(*next(ways, ("status",))))
        sys.exit(error.exit_code)
    except StopAtOnce:
        tell("stopped; what was begun is on record")
        tell(shown_next("status"))
        sys.exit(EXIT_REFUSED)


def _told(head: str, lines: Sequence[str]) -> None:
    if not head and len(lines) == 1:
        tell("error:", lines[0])
        return
    tell("error:", head or f"{len(lines)} reasons:")
    for line in lines:
        tell("  -", line)
