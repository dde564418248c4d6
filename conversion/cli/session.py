"""What every command shares: the program, which configuration is meant, who acts, how it speaks."""

from __future__ import annotations

import logging
import os
import pwd
import re
import shlex
import signal
import stat
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
import typer
from rich.console import Console

from conversion.bulk import Bulk, Limits
from conversion.config import CONFIG_VARIABLE, load
from conversion.converted_file import ConvertedFile
from conversion.errors import ConfigError, LedgerError
from conversion.ledger.database import errors_translated
from conversion.ledger.opening import open_ledger
from conversion.mattermost import Mattermost, by_local_mode, capabilities_of
from idp_proxy.audit.checkpoint import read_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from conversion.bulk import Progress
    from conversion.config import Settings
    from conversion.ledger.base import Ledger
    from conversion.ledger.sql import SqlLedger
    from idp_proxy.audit.checkpoint import Checkpoint

EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_OPEN = 3
_DEFAULT_CONFIG = Path("sso-conversion.toml")
_USER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}")

#: Tables for people; nothing in them is taken for markup.
screen = Console(markup=False, highlight=False, emoji=False)
program = typer.Typer(
    help="Moves people from SSO to email and password during an outage, and brings them back.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="The configuration file.", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


class StopAtOnce(BaseException):
    """The second signal. No error that a journey could answer, and so no `Exception`."""


@dataclass(slots=True)
class _Meant:
    """Which configuration this invocation means; named is one that stood on the command line."""

    file: Path = _DEFAULT_CONFIG
    named: bool = False


_meant = _Meant()


@program.callback()
def root(
    config: ConfigOption = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Log each change and its request id, on stderr.")
    ] = False,
) -> None:
    """Moves people from SSO to email and password during an outage, and brings them back.

    The configuration file is named by --config or SSO_CONVERSION_CONFIG; else sso-conversion.toml
    is read from the current folder.
    """
    _meant.file, _meant.named = Path(os.environ.get(CONFIG_VARIABLE) or _DEFAULT_CONFIG), False
    if config is not None:
        _meant.file, _meant.named = config, True
    _log_to_stderr(logging.INFO if verbose else logging.WARNING)


def settings_of(config: Path | None) -> Settings:
    """The checked configuration, its warnings told; `config` stood behind the command.

    Raises `ConfigError`.
    """
    if config is not None:
        _meant.file, _meant.named = config, True
    settings = load(_meant.file)
    for warning in settings.warnings:
        tell("warning:", warning)
    return settings


def clock() -> datetime:
    """Now, in UTC: the one place where the command line reads a clock."""
    return datetime.now(UTC)


def command_line(*words: str) -> str:
    """An `sso-conversion` command to copy, for the same configuration as this one."""
    named = ("--config", str(_meant.file)) if _meant.named else ()
    return shlex.join(("sso-conversion", *named, *words))


def shown_next(*words: str) -> str:
    """The last line of every output."""
    return f"next: {command_line(*words)}"


def tell(*words: str) -> None:
    """Say something to the person, beside the answer: on stderr, never wrapped."""
    typer.echo(" ".join(words), err=True)


def actor() -> str:
    """Who runs this command, as the kernel knows; behind sudo also as sudo says."""
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"uid-{uid}"
    behind = os.environ.get("SUDO_USER", "")
    if uid == 0 and behind and behind != name and _USER_NAME.fullmatch(behind):
        return f"host:{name} (sudo by {behind})"
    return f"host:{name}"


@contextmanager
def opened_ledger(settings: Settings) -> Iterator[SqlLedger]:
    """The ledger, given back at the end. Raises `LedgerError`."""
    kept = settings.ledger
    ledger = open_ledger(kept.place, kept.mirror, host=kept.host)
    try:
        yield ledger
    finally:
        ledger.close()


@contextmanager
def opened_server(settings: Settings) -> Iterator[tuple[SqlLedger, Mattermost]]:
    """Ledger and server, for who only looks. Raises `LedgerError`."""
    with opened_ledger(settings) as ledger, Mattermost(settings.access) as client:
        yield ledger, client


@contextmanager
def opened_bulk(settings: Settings, tell_progress: Callable[[Progress], None]) -> Iterator[Bulk]:
    """Everything a journey works with; Ctrl-C, SIGTERM and SIGHUP stop it between people."""
    with (
        stop_on_signals() as stop,
        opened_ledger(settings) as ledger,
        Mattermost(settings.access) as client,
    ):
        capabilities = capabilities_of(client.version())
        if settings.access.local_socket is not None:
            capabilities = by_local_mode(capabilities)
        if capabilities.warning:
            tell("warning:", capabilities.warning)
        campaign = settings.campaign
        converted = campaign.converted
        bulk = Bulk(
            server=client,
            capabilities=capabilities,
            ledger=ledger,
            actor=actor(),
            limits=Limits(
                threads=settings.access.connections,
                plain_threads=settings.access.plain_connections,
                attempts=campaign.attempts,
                error_budget_percent=campaign.error_budget_percent,
                settle_delay=campaign.settle_delay,
            ),
            converted=None if converted is None else ConvertedFile(converted.file, converted.key),
            clock=clock,
            stop=stop,
            tell=tell_progress,
        )
        try:
            yield bulk
        finally:
            _sign_the_end(settings, ledger)


def _sign_the_end(settings: Settings, ledger: SqlLedger) -> None:
    """A checkpoint behind each command, failed ones too: what it did stays done either way."""
    signed = settings.checkpoints
    if signed is None:
        return
    try:
        ledger.checkpoint(signed.file, signed.key, clock())
    except LedgerError as error:
        tell("warning:", f"audit.checkpoint_file: no checkpoint was written: {error.detail}")


def audit_in_words(settings: Settings, ledger: Ledger) -> str:
    """What the audit is found to be. Raises `LedgerError` when it is not what was written."""
    signed = settings.checkpoints
    known: tuple[Checkpoint, ...] = ()
    if signed is not None and signed.file.exists():
        with errors_translated(signed.file):
            known = read_file(signed.file, signed.key.public_key()).checkpoints
    verdict = ledger.verify_audit(known)
    if verdict.broken is not None:
        raise LedgerError(
            f"the audit is not what was written: {verdict.broken}; keep the ledger and the file of"
            " checkpoints as they are, and treat this as tampering"
        )
    return f"audit: {verdict.rows} rows are what was written, {verdict.checkpoints} checkpoints"


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Whether to stop, asked between people. A second signal raises `StopAtOnce`; what was begun is
    an intent on disk then, and settled by the next command. A terminal that goes away stops too.
    """
    asked = threading.Event()

    def stop(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            _let_go_of_the_terminal()
        elif asked.is_set():
            raise StopAtOnce
        asked.set()
        name = signal.Signals(number).name
        tell(f"{name}: stopping after the people who are under way; again to stop at once")

    former = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        former[signal.SIGHUP] = signal.signal(signal.SIGHUP, stop)
    try:
        yield asked.is_set
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _let_go_of_the_terminal() -> None:
    """It is gone, as when a connection breaks: whoever wrote to it would fail from now on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        if stat.S_ISCHR(os.fstat(stream.fileno()).st_mode):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def must_be_text(file: Path, option: str) -> list[str]:
    """The lines of a file that an option names, without blank ones. Raises `ConfigError`."""
    try:
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{option}: {file}: cannot be read: {error}"]) from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _log_to_stderr(level: int) -> None:
    """Answers go to stdout; what the client and the ledger have to say is for a log."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_names: structlog.WriteLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
