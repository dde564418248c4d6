"""What a command asks of the person in front of it, and how long it waits for them to think again.

Questions go to stderr, so that an answer may be piped; a password is never shown.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import typer

from idp_proxy.errors import ConfigError
from idp_proxy.operators.refusals import ApprovalRefused

if TYPE_CHECKING:
    from collections.abc import Callable

#: A reason is a line in the audit, not a document.
_LONGEST: Final = 500


def line(question: str) -> str:
    """One line, typed in the clear. Raises `ApprovalRefused` when nobody is there to type it."""
    return _answer(lambda: typer.prompt(question, err=True))


def secret(question: str, *, twice: bool = False) -> str:
    """A password, typed unseen, and typed again if that is asked. Raises as `line`."""
    return _answer(
        lambda: typer.prompt(question, err=True, hide_input=True, confirmation_prompt=twice)
    )


def pause(seconds: float) -> None:
    """Wait; Ctrl-C ends it with `KeyboardInterrupt`."""
    time.sleep(seconds)


def one_line(text: str, option: str) -> str:
    """What stands in the audit: one line of at most 500 characters. Raises `ConfigError`."""
    text = text.strip()
    if not text:
        raise ConfigError([f"{option}: empty: say why, it stands in the audit"])
    if len(text) > _LONGEST or not text.isprintable():
        raise ConfigError([f"{option}: must be one line of at most {_LONGEST} characters"])
    return text


def _answer(ask: Callable[[], str]) -> str:
    try:
        return ask()
    except typer.Abort:
        raise ApprovalRefused("the question was not answered; nothing has changed") from None
