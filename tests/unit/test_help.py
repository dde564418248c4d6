"""What `--help` prints is what was written: Rich takes words in brackets for its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rich.text import Text
from typer.main import get_command

from conversion.cli import main as _conversion
from conversion.cli.session import program as conversion
from idp_proxy.cli import main as _proxy
from idp_proxy.cli.session import program as proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer import Typer


def helps(command: Any, path: str) -> Iterator[tuple[str, str]]:
    yield path, command.help or ""
    for parameter in command.params:
        yield f"{path} {parameter.name}", getattr(parameter, "help", None) or ""
    for name, inner in getattr(command, "commands", {}).items():
        yield from helps(inner, f"{path} {name}")


#: Whoever imports them has every command registered.
MAINS = (_conversion, _proxy)


@pytest.mark.parametrize("program", [conversion, proxy])
def test_no_word_of_a_help_text_is_taken_for_markup(program: Typer) -> None:
    texts = dict(helps(get_command(program), ""))
    assert len(texts) > 50
    assert [at for at, text in texts.items() if Text.from_markup(text).plain != text] == []
