"""The shape of `[service_provider.api]`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from idp_proxy.config.table import Table


class ApiTable(Table):
    """`[service_provider.api]`."""

    url: str = ""
    token: str = ""
    tls_ca: str | None = None
    outbound_proxy: str | None = None
    no_proxy: list[str] | None = None
    timeout_s: Annotated[int, Field(ge=1, le=120)] = 15
