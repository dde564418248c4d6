"""What every command shares: the program, which configuration is meant, who acts, how it speaks."""

from __future__ import annotations

import os
import pwd
import re
import shlex
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from idp_proxy import adapters
from idp_proxy.config import CONFIG_VARIABLE, load
from idp_proxy.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from idp_proxy.config import Settings
    from idp_proxy.store.sql import SqlStore

EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_OPEN = 3
_DEFAULT_CONFIG = Path("idp-proxy.toml")
_USER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}")

#: Tables for people; nothing in them is taken for markup.
screen = Console(markup=False, highlight=False, emoji=False)
program = typer.Typer(
    help="A failover SAML identity provider between Mattermost and your active and standby.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="The configuration file.", show_default=False),
]
ReasonOption = Annotated[
    str, typer.Option("--reason", help="Why, in one line; it stands in the audit.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@dataclass(slots=True)
class _Meant:
    """Which configuration this invocation means; named is one that stood on the command line."""

    file: Path = _DEFAULT_CONFIG
    named: bool = False


_meant = _Meant()


@program.callback()
def root(config: ConfigOption = None) -> None:
    """A failover SAML identity provider between Mattermost and your active and standby.

    The configuration file is named by --config or IDP_PROXY_CONFIG; else idp-proxy.toml is read
    from the current folder.
    """
    _meant.file, _meant.named = Path(os.environ.get(CONFIG_VARIABLE) or _DEFAULT_CONFIG), False
    if config is not None:
        _meant.file, _meant.named = config, True


def configuration_of(config: Path | None) -> Path:
    """Which file is meant, unread; `config` is the option behind a command, which comes first."""
    if config is not None:
        _meant.file, _meant.named = config, True
    return _meant.file.absolute()


def settings_of(config: Path | None) -> Settings:
    """The checked configuration; `config` is the option behind a command, which comes first.

    Raises `ConfigError`.
    """
    return load(configuration_of(config), now=clock())


def clock() -> datetime:
    """Now, in UTC: the one place where the command line reads a clock."""
    return datetime.now(UTC)


def moment(option: str, text: str) -> datetime:
    """The time that was typed behind `option`: UTC, unless it says otherwise. Raises
    `ConfigError`.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            [f"{option}: not a time: {text!r}; it has the form 2026-12-01T02:30 (UTC)"]
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def command_line(*words: str) -> str:
    """An `idp-proxy` command to copy, for the same configuration as this one."""
    named = ("--config", str(_meant.file)) if _meant.named else ()
    return shlex.join(("idp-proxy", *words, *named))


def shown_next(*words: str) -> str:
    """The last line of every output."""
    return f"next: {command_line(*words)}"


def tell(*words: str) -> None:
    """Say something to the person, beside the answer: on stderr, never wrapped."""
    typer.echo(" ".join(words), err=True)


def warn(settings: Settings) -> None:
    """Say what the configuration warns about."""
    for warning in settings.warnings:
        tell("warning:", warning)


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
def opened_store(settings: Settings) -> Iterator[SqlStore]:
    """The store, given back at the end. Raises `StoreError`."""
    store = adapters.open_store(settings)
    try:
        yield store
    finally:
        store.close()
