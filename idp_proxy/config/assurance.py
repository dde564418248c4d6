"""`[assurance]` and `[upstream.assurance]`: how strongly somebody must have been authenticated."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from idp_proxy.config import addresses
from idp_proxy.decision.assurance import (
    AssurancePolicy,
    AttributeEvidence,
    Comparison,
    Enforce,
    UpstreamAssurance,
    can_reach_floor,
)

if TYPE_CHECKING:
    from idp_proxy.config.assurance_shape import AssuranceTable, EvidenceTable
    from idp_proxy.config.material import Reader
    from idp_proxy.config.shape import ConfigFile, UpstreamTable


def read_assurance(file: ConfigFile, reader: Reader) -> AssurancePolicy:
    """What is demanded, and what each upstream's word is worth (FO-04).

    That a standby cannot reach the floor is no mistake of the file, only a standby that lets in
    nobody: a warning here, and a finding of the review.
    """
    table = file.assurance
    _judge_levels(table, reader)
    levels = tuple(dict.fromkeys(table.levels))
    policy = AssurancePolicy(
        active=file.upstream[0].name if file.upstream else "",
        levels=levels,
        floor=table.floor if table.floor in levels else next(iter(levels), ""),
        enforce=Enforce(table.enforce),
        max_age=timedelta(seconds=table.max_age_s) if levels else None,
        upstreams={
            one.name: _read_upstream(index, one, levels, reader)
            for index, one in enumerate(file.upstream)
        },
    )
    for index, one in enumerate(file.upstream):
        if policy.binds(one.name) and not can_reach_floor(policy, one.name):
            reader.findings.warning(
                f"upstream[{index}].assurance",
                f"nothing that is mapped for {one.name} reaches the floor {policy.floor!r}: "
                "nobody can log in by it (FO-04)",
            )
    if not levels and len(file.upstream) > 1:
        reader.findings.warning(
            "assurance.levels",
            "not set: a standby may authenticate people more weakly than the active does (FO-04)",
        )
    return policy


def _judge_levels(table: AssuranceTable, reader: Reader) -> None:
    for index, level in enumerate(table.levels):
        where = f"assurance.levels[{index}]"
        if not level or not level.isprintable() or level != level.strip() or len(level) > 64:  # noqa: PLR2004
            reader.findings.problem(where, f"not a name for a level: {level!r}")
        elif level in table.levels[:index]:
            reader.findings.problem(where, f"{level!r} stands in the list already")
    if table.levels:
        _judge_level("assurance.floor", table.floor, tuple(table.levels), reader)
        return
    for name in sorted(table.model_fields_set - {"levels"}):
        reader.findings.problem(
            f"assurance.{name}",
            'has an effect only with levels, weakest first, such as ["password", "mfa"] (FO-04)',
        )


def _judge_level(where: str, level: str, levels: tuple[str, ...], reader: Reader) -> bool:
    if level in levels:
        return True
    known = ", ".join(levels) if levels else "none: name them in assurance.levels"
    said = f"no level is called {level!r}" if level else "missing"
    reader.findings.problem(where, f"{said}; there are {known} (FO-04)")
    return False


def _read_upstream(
    index: int, table: UpstreamTable, levels: tuple[str, ...], reader: Reader
) -> UpstreamAssurance:
    where, own = f"upstream[{index}].assurance", table.assurance
    for context, level in own.contexts.items():
        at = f"{where}.contexts.{context!r}" if context else f"{where}.contexts"
        if not addresses.is_word(context):
            reader.findings.problem(at, f"not a URI: {context!r}")
        _judge_level(at, level, levels, reader)
    evidence = tuple(
        AttributeEvidence(one.attribute, one.value, one.level, one.among_others)
        for number, one in enumerate(own.evidence)
        if _is_sound(f"{where}.evidence[{number}]", one, levels, reader)
    )
    for (attribute, value), times in Counter((e.attribute, e.value) for e in evidence).items():
        if times > 1:
            reader.findings.problem(
                f"{where}.evidence", f"{attribute} = {value!r} stands there {times} times"
            )
    _judge_requested(where, table, reader)
    return UpstreamAssurance(
        contexts={one: level for one, level in own.contexts.items() if level in levels},
        evidence=evidence,
        requested=tuple(table.requested_authn_context),
        comparison=Comparison(own.comparison),
        force_authn=(index > 0 and bool(levels)) if own.force_authn is None else own.force_authn,
    )


def _is_sound(where: str, one: EvidenceTable, levels: tuple[str, ...], reader: Reader) -> bool:
    for name, text in (("attribute", one.attribute), ("value", one.value)):
        if not text or not text.isprintable() or text != text.strip():
            reader.findings.problem(f"{where}.{name}", f"nothing that could be sent: {text!r}")
    return _judge_level(f"{where}.level", one.level, levels, reader)


def _judge_requested(where: str, table: UpstreamTable, reader: Reader) -> None:
    """`minimum` compares by the map: what it does not have could not be compared."""
    if table.assurance.comparison != "minimum":
        return
    if not table.requested_authn_context:
        reader.findings.problem(
            f"{where}.comparison", "has an effect only with requested_authn_context"
        )
    for context in table.requested_authn_context:
        if context not in table.assurance.contexts:
            reader.findings.problem(
                f"{where}.comparison",
                f'"minimum" needs a level for each class that is asked for: {context} has none in '
                "contexts (FO-04)",
            )
