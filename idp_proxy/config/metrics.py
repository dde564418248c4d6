"""`[metrics]`: where Prometheus may ask, never in public (OPS-03)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from idp_proxy.config import addresses
from idp_proxy.config.table import Table

if TYPE_CHECKING:
    from idp_proxy.config.material import Reader
    from idp_proxy.config.settings import Listen


class MetricsTable(Table):
    """`[metrics]`."""

    listen: str = ""


def read_metrics(table: MetricsTable, public: str, reader: Reader) -> Listen | None:
    """The listener, None for none; `public` is `proxy.listen`."""
    if not table.listen:
        return None
    where, listen = "metrics.listen", addresses.parse_listen(table.listen)
    if listen is None:
        reader.findings.problem(
            where, f"not an address: {table.listen!r}; it has the form 127.0.0.1:9464"
        )
    elif not addresses.is_loopback(listen.host):
        reader.findings.problem(
            where,
            f"{listen.host} is not loopback: metrics are never public (OPS-03); let an agent on "
            "this host, or a proxy with authentication, read them",
        )
    elif listen == addresses.parse_listen(public):
        reader.findings.problem(where, "is proxy.listen: metrics have their own (OPS-03)")
    return listen
