"""The shape of `[review]`."""

from __future__ import annotations

from pydantic import Field

from idp_proxy.config.table import Table


class OperatorsPathTable(Table):
    """`[review.operators_path]`."""

    way: str = ""
    depends_on: list[str] = Field(default_factory=list)
    tested_at: str = ""


class ReviewTable(Table):
    """`[review]`."""

    conversion_config: str = ""
    operators_path: OperatorsPathTable = Field(default_factory=OperatorsPathTable)
