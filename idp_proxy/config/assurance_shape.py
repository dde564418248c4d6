"""The shape of `[assurance]` and `[upstream.assurance]`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from idp_proxy.config.table import Table


class AssuranceTable(Table):
    """`[assurance]`."""

    levels: list[str] = Field(default_factory=list)
    floor: str = ""
    enforce: Literal["standbys", "all"] = "standbys"
    max_age_s: Annotated[int, Field(ge=60, le=604800)] = 28800


class EvidenceTable(Table):
    """`[[upstream.assurance.evidence]]`."""

    attribute: str = ""
    value: str = ""
    level: str = ""
    among_others: bool = False


class UpstreamAssuranceTable(Table):
    """`[upstream.assurance]`. None: on for a standby, where `[assurance]` names levels."""

    contexts: dict[str, str] = Field(default_factory=dict)
    evidence: list[EvidenceTable] = Field(default_factory=list)
    comparison: Literal["exact", "minimum"] = "exact"
    force_authn: bool | None = None
