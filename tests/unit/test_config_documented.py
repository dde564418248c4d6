from __future__ import annotations

from pathlib import Path

import pytest

from idp_proxy.config import shape

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
TABLES: list[type[shape.Table]] = [
    shape.ProxyTable,
    shape.StoreTable,
    shape.ServiceProviderTable,
    shape.UpstreamTable,
    shape.LimitsTable,
    shape.ProbeTable,
    shape.RosterTable,
    shape.AuditTable,
    shape.NotifyTable,
]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: str(table.__name__))
def test_every_field_has_its_place_in_the_manual(table: type[shape.Table]) -> None:
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("|")]
    named = " ".join(row.split("|")[1] for row in rows).replace("`", " ").replace(".", " ")
    words = set(named.replace(",", " ").split())
    assert set(table.model_fields) - {"limits", "probe"} <= words
