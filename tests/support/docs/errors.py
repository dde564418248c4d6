"""docs/errors.md: every error of the tree, with its code, its status and what to do about it."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import TYPE_CHECKING

import idp_proxy
from idp_proxy.errors import ProxyError
from idp_proxy.web.next_steps import NextStep, next_step
from idp_proxy.web.wording import Language, error_wording, texts
from tests.support.docs.markdown import NOTE

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = f"""{NOTE}

# Errors

A page that refuses shows a sentence, what to do, an *error id* and a *kind*. The kind is the code
below. The error id stands in the log of the host, beside the reason in full:

```sh
journalctl -u idp-proxy | grep ERROR-ID
```

The log line has `code`, `rule` (see the [rules](security/rules.md)) and `detail`. A page never
shows the detail, and the log never holds an assertion, a cookie or a password.

What an operator's command refuses goes to standard error, with the exit code: 1 refused or failed,
2 usage or configuration, 3 work is left open.
"""

_OPERATORS = """## What only operators see

These come from commands, or stand in the log; no page shows them.
"""

_STEPS = {
    NextStep.START_AGAIN: "start again from Mattermost",
    NextStep.OPEN_MATTERMOST: "open Mattermost",
    NextStep.ASK_SUPPORT: "contact support",
    NextStep.NEW_LINK: "ask for a new link",
    NextStep.ENROL_AGAIN: "the page for second steps",
    NextStep.LINK_AGAIN: "open the link again",
}


def errors_page() -> str:
    """The whole page."""
    kinds = sorted(_kinds(ProxyError), key=lambda kind: kind.code)
    worded = texts(Language.EN)["errors"]
    parts = [_HEAD, "## What people see\n"]
    parts += [_for_people(kind) for kind in kinds if kind.code in worded]
    parts.append(_OPERATORS)
    parts += [_for_operators(kind) for kind in kinds if kind.code not in worded]
    return "\n".join(parts)


def _for_people(kind: type[ProxyError]) -> str:
    wording = error_wording(kind, Language.EN)
    advice = "\n".join(f"> {paragraph}\n>" for paragraph in wording.what_to_do).removesuffix("\n>")
    return (
        f"### {kind.code}\n\n"
        f"{_meaning(kind)}\n\n"
        f"HTTP {kind.http_status}. The page offers: {_STEPS[next_step(kind)]}.\n\n"
        f"> **{wording.title}**\n>\n{advice}\n"
    )


def _for_operators(kind: type[ProxyError]) -> str:
    return f"### {kind.code}\n\n{_meaning(kind)}\n\n> {kind.public}\n"


def _meaning(kind: type[ProxyError]) -> str:
    return " ".join((inspect.getdoc(kind) or "").split())


def _kinds(root: type[ProxyError]) -> Iterator[type[ProxyError]]:
    """`root` and every error below it, wherever in the package it is defined."""
    for module in pkgutil.walk_packages(idp_proxy.__path__, "idp_proxy."):
        if ".migrations." not in module.name:
            importlib.import_module(module.name)
    return _tree(root)


def _tree(kind: type[ProxyError]) -> Iterator[type[ProxyError]]:
    if kind.__module__.startswith("idp_proxy."):
        yield kind
    for below in kind.__subclasses__():
        yield from _tree(below)
