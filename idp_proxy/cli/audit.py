"""`verify-audit`: whether the audit is what was written."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - Typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Any

import typer

from idp_proxy.audit.checkpoint import CheckpointFile, read_file
from idp_proxy.audit.log import verify_log
from idp_proxy.cli.session import (
    EXIT_REFUSED,
    ConfigOption,
    JsonOption,
    command_line,
    opened_store,
    settings_of,
    shown_next,
    tell,
)
from idp_proxy.errors import ConfigError

if TYPE_CHECKING:
    from idp_proxy.audit.verification import Verdict
    from idp_proxy.config import Settings


def register(program: typer.Typer) -> None:
    """Add this command to `program`."""
    program.command("verify-audit")(verify_audit)


def verify_audit(
    config: ConfigOption = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", metavar="FILE", help="Signed checkpoints kept elsewhere."),
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Check every row of the audit, and name the first that was altered, lost or put in."""
    settings = settings_of(config)
    signed = checkpoints_of(settings, checkpoint)
    with opened_store(settings) as store, store.reading() as connection:
        verdict = verify_log(connection, signed.checkpoints)
    if as_json:
        typer.echo(json.dumps(_as_json(verdict, signed), indent=2))
    else:
        _show(verdict, signed)
    if not verdict.ok:
        raise typer.Exit(EXIT_REFUSED)


def checkpoints_of(settings: Settings, named: Path | None = None) -> CheckpointFile:
    """The checkpoints in the file that was named, else in the configured one if there is one.
    Raises `ConfigError`.
    """
    configured = settings.audit.checkpoints
    if configured is None:
        if named is None:
            return CheckpointFile((), ())
        raise ConfigError(["audit.checkpoint_key: missing: it verifies the file of --checkpoint"])
    file = configured.file if named is None else named
    if named is None and not file.exists():
        tell(f"warning: no checkpoint was written yet: {file}")
        return CheckpointFile((), ())
    return read_file(file, configured.key.public_key())


def _as_json(verdict: Verdict, signed: CheckpointFile) -> dict[str, Any]:
    broken = verdict.broken
    return {
        "ok": verdict.ok,
        "rows": verdict.rows,
        "chains": list(verdict.chains),
        "checkpoints": verdict.checkpoints,
        "unreadable_checkpoint_lines": list(signed.unreadable),
        "not_yet_joined": list(verdict.unjoined),
        "broken": None
        if broken is None
        else {
            "chain": broken.chain,
            "row": broken.seq,
            "why": broken.why.value,
            "detail": broken.detail,
        },
        "next": command_line("status"),
    }


def _show(verdict: Verdict, signed: CheckpointFile) -> None:
    typer.echo(
        f"{verdict.rows} rows in {len(verdict.chains)} chains, "
        f"{verdict.checkpoints} signed checkpoints"
    )
    for line in signed.unreadable:
        tell(f"warning: line {line} of the checkpoints is no checkpoint: a write was cut off")
    for chain in verdict.unjoined:
        typer.echo(f"not yet joined: {chain}")
    if not verdict.checkpoints:
        tell("warning: without checkpoints a history rewritten as a whole would not show")
    if verdict.broken is None:
        typer.echo("intact: nothing was altered, lost or put in")
        typer.echo(shown_next("status"))
        return
    tell(f"BROKEN: {verdict.broken}")
    tell("keep a copy of the store and of the checkpoints before anything else is done")
    tell(shown_next("verify-audit", "--json"))
