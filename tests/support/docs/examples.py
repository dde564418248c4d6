"""Whether what a page tells people to type exists: commands, make targets and configuration."""

from __future__ import annotations

import re
import shlex
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from conversion.cli.session import program as conversion_program
from conversion.config.shape import ConfigFile as ConversionFile
from conversion.config.shape import read_shape as read_conversion_shape
from idp_proxy.cli.session import program as proxy_program
from idp_proxy.config.findings import Findings
from idp_proxy.config.shape import ConfigFile as ProxyFile
from idp_proxy.config.shape import read_shape
from tests.support.docs.markdown import Fence, Page

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PROGRAMS = {"idp-proxy": proxy_program, "sso-conversion": conversion_program}
_SHELL = frozenset({"sh", "console"})
#: A line of a systemd unit that runs something, a shell's -c included.
_EXEC = re.compile(r"^Exec\w+=[-@:+!]*(?:/bin/sh -c '(?:exec )?(?P<shell>.*)'|(?P<words>.*))$")
#: A line of a crontab: when, perhaps who (as in /etc/cron.d), and what.
_CRON = re.compile(r"^(?:@\w+|(?:[\d*/,-]+\s+){5})\s*(?:(?:root|sso-proxy)\s+)?(?P<what>.*)$")
#: Parts of a line that a shell runs one after the other, and what may stand before a program.
_PARTS = re.compile(r"\s*(?:&&|;|\|)\s*")
_BEFORE = re.compile(r"^chronic ")
#: What stands between a prompt and the program; nothing else in a line of ours does.
_LEADING = re.compile(r"^(?:[$#] )?(?:sudo (?:-u \S+ )?)?(?:/\S*/)?")
_TARGET = re.compile(r"^([a-z0-9-]+):", re.MULTILINE)


def example_problems(pages: Iterable[Path]) -> Iterator[str]:
    """One line for each command, target or field that does not exist."""
    for path in pages:
        page = Page(path)
        for fence in page.fences():
            for why in _fence_problems(fence):
                yield f"{path}:{fence.line}: {why}"
        for word in page.code_words():
            if (problem := _word_problem(word.target)) is not None:
                yield f"{path}:{word.line}: {problem}"


def _fence_problems(fence: Fence) -> Iterator[str]:
    if fence.language == "toml":
        yield from _toml_problems(fence.text)
    for line in _lines(fence):
        words = _typed(line)
        if words and words[0] in _PROGRAMS and (why := command_problem(words)) is not None:
            yield f"{line.strip()}: {why}"
        if words[:1] == ["make"]:
            yield from _target_problems(words[1:])


def _lines(fence: Fence) -> Iterator[str]:
    """What is typed, or run by a timer."""
    lines = fence.text.replace("\\\n", " ").splitlines()
    if fence.language in _SHELL:
        yield from lines
    if fence.language == "ini":
        for found in filter(None, map(_EXEC.match, lines)):
            yield from _parts(found["shell"] or found["words"])
    if fence.language == "cron":
        for found in filter(None, map(_CRON.match, lines)):
            yield from _parts(found["what"])


def _parts(line: str) -> Iterator[str]:
    yield from (_BEFORE.sub("", part) for part in _PARTS.split(line))


def _word_problem(code: str) -> str | None:
    """A command in running text may leave out what the sentence is not about."""
    words = _typed(code)
    if words[:1] == ["make"] and len(words) > 1:
        return next(_target_problems(words[1:]), None)
    if words[:1] not in [[name] for name in _PROGRAMS] or len(words) == 1:
        return None
    found, rest = _leaf(words)
    if isinstance(found, str):
        return f"{code}: {found}"
    known = {option for parameter in found.params for option in parameter.opts} | {"--help"}
    unknown = [word for word in rest if word.startswith("--") and word not in known]
    return f"{code}: no option {unknown[0]}" if unknown else None


def _typed(line: str) -> list[str]:
    """The words of a command line after prompt, sudo and folder; none for what is no command."""
    try:
        return shlex.split(_LEADING.sub("", line.strip()), comments=True)
    except ValueError:
        return []


def command_problem(words: list[str]) -> str | None:
    """Why the program that `words` begin with would not understand the rest; None if it would."""
    found, rest = _leaf(words)
    if isinstance(found, str):
        return found
    try:
        found.make_context(words[0], rest)
    except Exception as error:  # noqa: BLE001 - Typer's own copy of Click has no public name
        return f"{type(error).__name__}: {error}"
    return None


def _leaf(words: list[str]) -> tuple[Any, list[str]]:
    """The command that is meant and its arguments, or why there is none."""
    command: Any = typer.main.get_command(_PROGRAMS[words[0]])
    rest = words[1:]
    if rest[:1] == ["--config"]:
        rest = rest[2:]
    while hasattr(command, "commands"):
        if command.invoke_without_command and (not rest or rest[0].startswith("--")):
            return command, rest  # a group that is a command too, as `failback`
        if not rest:
            return "names no command", rest
        name = rest.pop(0)
        if name not in command.commands:
            return f"no command {name}; there are {', '.join(command.commands)}", rest
        command = command.commands[name]
    return command, rest


def _target_problems(words: list[str]) -> Iterator[str]:
    for word in words:
        if "=" not in word and not word.startswith("-") and word not in _targets():
            yield f"make has no target {word}"


@cache
def _targets() -> frozenset[str]:
    makefile = Path(__file__).parents[3] / "Makefile"
    return frozenset(_TARGET.findall(makefile.read_text("utf-8")))


def _toml_problems(text: str) -> Iterator[str]:
    """A piece of configuration is TOML, and every field in it exists with this type."""
    findings = Findings()
    try:
        document, for_conversion = tomllib.loads(text), tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        yield f"no TOML: {error}"
        return
    of_conversion = len(document.keys() & ConversionFile.model_fields.keys())
    of_proxy = len(document.keys() & ProxyFile.model_fields.keys())
    read_shape(document, findings)
    problems = read_conversion_shape(for_conversion)[1] if of_conversion else findings.problems
    # Sections that both programs have are right if they are for one of them.
    if of_proxy > of_conversion or (of_proxy == of_conversion and not findings.problems):
        problems = findings.problems
    yield from problems
