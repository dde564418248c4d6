"""Who sits at the terminal: an operator with their credential, or the host's user."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from idp_proxy.audit.log import AuditLog
from idp_proxy.cli import terminal
from idp_proxy.cli.session import EXIT_REFUSED, actor, clock, shown_next, tell
from idp_proxy.config.findings import Findings
from idp_proxy.config.material import Reader
from idp_proxy.decision.approval import Person
from idp_proxy.errors import ConfigError
from idp_proxy.operators import accounts
from idp_proxy.operators.passwords import Passwords
from idp_proxy.operators.refusals import ApprovalRefused, OperatorRefused
from idp_proxy.operators.sign_in import Credential, SignIn

if TYPE_CHECKING:
    from idp_proxy.config import Settings
    from idp_proxy.store.sql import SqlStore

AsOption = Annotated[
    str | None, typer.Option("--as", metavar="NAME", help="Sign in as this operator.")
]
PasswordOption = Annotated[
    str | None,
    typer.Option(
        "--password-from",
        metavar="REF",
        help="Your password from file:PATH or env:NAME instead of a question.",
    ),
]


@dataclass(frozen=True, slots=True)
class Means:
    """How they go about it: the options of the command line."""

    as_name: str | None = None
    override: str | None = None
    password_from: str | None = None


def who(settings: Settings, store: SqlStore, means: Means) -> Person:
    """Whoever sits there. Without operators that is the host's user. With them, root may go
    without a credential; everybody else signs in.

    Raises `typer.Exit` (1) when the sign-in is refused, `ApprovalRefused`, `ConfigError` on a bad
    reference, and `StoreError`.
    """
    with store.reading() as connection:
        operators = accounts.exist(connection)
    if operators and means.as_name is None and os.getuid() == 0:
        tell(f"acting as {actor()}, without an operator's credential (--as NAME signs in)")
    elif operators or means.as_name is not None:
        return signed_in(settings, store, means)
    return Person(actor(), by_host=True)


def signed_in(settings: Settings, store: SqlStore, means: Means) -> Person:
    """An operator who showed their credential just now. Raises as `who`."""
    with store.reading() as connection:
        if not accounts.exist(connection):
            raise ApprovalRefused("there is no operator yet: idp-proxy operator add NAME")
    name = means.as_name or terminal.line("operator")
    if means.password_from is None:
        password = terminal.secret(f"password of {name!a}")
    else:
        password = referred("--password-from", means.password_from)
    credential = Credential(name, password, terminal.line("code of the authenticator"))
    record = AuditLog(settings.proxy.host).append
    try:
        door = SignIn(
            store.writing, accounts.key_ring(settings.proxy.state_keys), Passwords(), record
        )
        return door.authenticate(credential, clock()).person
    except OperatorRefused as error:
        # Its detail is for the audit: here everything that may be wrong sounds the same.
        tell("error:", error.public)
        tell(shown_next("operator", "list"))
        raise typer.Exit(EXIT_REFUSED) from None


def referred(option: str, reference: str) -> str:
    """The secret that `file:PATH` or `env:NAME` means. Raises `ConfigError`; never shows it."""
    findings = Findings()
    reader = Reader(Path.cwd(), os.environ, clock(), findings)
    found = reader.secret_text(option, reference)
    if found is None or findings.problems:
        raise ConfigError(findings.problems)
    return found
