"""The shape of `[[known_network]]`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from idp_proxy.config.table import Table


class KnownNetworkTable(Table):
    """`[[known_network]]`."""

    name: str = ""
    networks: list[str] = Field(default_factory=list)
    failures: Annotated[int, Field(ge=1, le=100000)] = 500
