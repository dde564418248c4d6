"""docs/security/rules.md: each rule, and the functions that refuse by it.

What a rule demands stands in docs/security/rules.toml, in one sentence. What is checked, in which
order and by which function is read from the two `CHECKS`; where else a rule is named, from the
source. A rule that the code names and nobody explains is an error, and so is the reverse.
"""

from __future__ import annotations

import inspect
import re
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from idp_proxy.decision.review import HELD, RULES
from idp_proxy.saml import authn_request, checks
from idp_proxy.saml.document import rule_of
from tests.support.docs.markdown import NOTE, one_line, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from idp_proxy.saml.document import Check

_ROOT = Path(__file__).parents[3]
_RULE = re.compile(r"\b(?:FO|SP|SO|IDP|XML|KEY|MD|WEB|LDAP|OPS|CNV)-\d\d\b")
_LISTS = {
    "An upstream's Response": checks.CHECKS,
    "Mattermost's AuthnRequest": authn_request.CHECKS,
}

_HEAD = f"""{NOTE}

# Rules

A rule ID names one demand. It stands in the log beside a refusal, in the function that refuses, in
the tests and in the [threat model](threat-model.md). No setting, variable or flag switches a rule
off.

The rules come from the SAML 2.0 core, bindings and profiles, from NIST SP 800-63C and from attacks
that were published. The area says what they are about: `XML` and `SP` an upstream's answer, `IDP`
what Mattermost asks and is told, `SO` the second opinion, `FO` the switch between upstreams, `MD`
metadata, `KEY` keys, `WEB` browsers, `LDAP` directories, `OPS` operation, `CNV` moving people to a
password and back.

A rule is held by the code whatever is configured, judged by [the review](../operations/review.md)
because a configuration, a file or a server can fall short of it, or both.
"""

_ORDER = """## The order of the checks

Every check below runs for every message of its kind, cheap ones first, until one refuses. Where a
check says "signed", it reads the octets under a verified signature, parsed again, and nothing else.
"""


class UnexplainedRule(Exception):
    """A rule that only the code, or only rules.toml, knows."""


def rules_page() -> str:
    """The whole page. Raises `UnexplainedRule`."""
    demands, named = _demands(), _named_in()
    if odd := sorted(demands.keys() ^ named.keys()):
        raise UnexplainedRule(f"in the code or in docs/security/rules.toml only: {', '.join(odd)}")
    parts = [_HEAD, "## Every rule\n"]
    parts += [_rule(rule, demands[rule], named[rule]) for rule in demands]
    parts.append(_ORDER)
    parts += [f"### {title}\n\n{_order(listed)}\n" for title, listed in _LISTS.items()]
    return "\n".join(parts)


def _rule(rule: str, demand: str, modules: list[str]) -> str:
    lines = [f"### {rule}\n", demand, ""]
    for title, listed in _LISTS.items():
        functions = [check for check in listed if rule_of(check) == rule]
        if functions:
            names = ", ".join(f"`{check.__name__}`" for check in functions)
            lines.append(f"- {title}: {names}")
    if judged := [f"`{one.name}`" for one in RULES if one.id == rule]:
        lines.append(f"- Judged by `idp-proxy review`: {', '.join(judged)}")
    if held := HELD.get(rule):
        lines.append(
            f"- Held whatever is configured, as shown by: {', '.join(f'`{one}`' for one in held)}"
        )
    lines.append(f"- Named in: {', '.join(f'`{module}`' for module in modules)}\n")
    return "\n".join(lines)


def _order(listed: tuple[Check[Any], ...]) -> str:
    return table(
        ["", "rule", "check", "what it demands", "where"],
        (
            [
                str(number),
                f"[{rule_of(check)}](#{rule_of(check).lower()})",
                f"`{check.__name__}`",
                one_line(inspect.getdoc(check) or ""),
                f"`{check.__module__.removeprefix('idp_proxy.').replace('.', '/')}.py`",
            ]
            for number, check in enumerate(listed, 1)
        ),
    )


def _demands() -> dict[str, str]:
    text = (_ROOT / "docs" / "security" / "rules.toml").read_text("utf-8")
    return {rule: " ".join(demand.split()) for rule, demand in tomllib.loads(text).items()}


def _named_in() -> dict[str, list[str]]:
    """Each rule that the code names, with the modules that do."""
    named: defaultdict[str, list[str]] = defaultdict(list)
    for module, source in _sources():
        for rule in sorted(set(_RULE.findall(source))):
            named[rule].append(module)
    for check in (check for listed in _LISTS.values() for check in listed):
        module = check.__module__.removeprefix("idp_proxy.").replace(".", "/") + ".py"
        if module not in named[rule_of(check)]:
            named[rule_of(check)].append(module)
    for one in RULES:
        module = one.judge.__module__.removeprefix("idp_proxy.").replace(".", "/") + ".py"
        if module not in named[one.id]:
            named[one.id].append(module)
    return dict(named)


def _sources() -> Iterator[tuple[str, str]]:
    package = _ROOT / "idp_proxy"
    for path in sorted(package.rglob("*.py")):
        yield str(path.relative_to(package)), path.read_text("utf-8")
