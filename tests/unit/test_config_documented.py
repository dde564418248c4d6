from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from idp_proxy.config import failover, shape
from idp_proxy.config.assurance_shape import (
    AssuranceTable,
    EvidenceTable,
    UpstreamAssuranceTable,
)
from idp_proxy.config.failover_shape import FailoverTable, HealthTable
from idp_proxy.config.mattermost_shape import ApiTable
from idp_proxy.config.metrics import MetricsTable
from idp_proxy.config.networks_shape import KnownNetworkTable
from idp_proxy.config.review_shape import OperatorsPathTable, ReviewTable
from idp_proxy.config.roster_shape import RosterLdapTable, RosterTable

if TYPE_CHECKING:
    from idp_proxy.config.table import Table

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
TABLES: list[type[Table]] = [
    shape.ProxyTable,
    shape.StoreTable,
    shape.ServiceProviderTable,
    ApiTable,
    shape.UpstreamTable,
    shape.LimitsTable,
    shape.ProbeTable,
    shape.CanaryTable,
    shape.DirectoryTable,
    MetricsTable,
    AssuranceTable,
    UpstreamAssuranceTable,
    EvidenceTable,
    RosterTable,
    RosterLdapTable,
    KnownNetworkTable,
    shape.AuditTable,
    shape.NotifyTable,
    FailoverTable,
    HealthTable,
    ReviewTable,
    OperatorsPathTable,
]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: str(table.__name__))
def test_every_field_has_its_place_in_the_manual(table: type[Table]) -> None:
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("|")]
    named = " ".join(row.split("|")[1] for row in rows).replace("`", " ").replace(".", " ")
    words = set(named.replace(",", " ").split())
    inner = {"limits", "probe", "directory", "ldap", "assurance", "api", "operators_path"}
    assert set(table.model_fields) - inner <= words


def test_the_manual_has_the_numbers_of_both_profiles() -> None:
    checked = 0
    for line in PAGE.read_text("utf-8").splitlines():
        if not line.startswith("| `failover."):
            continue
        names, default, fast = (
            cell.replace("`", "").replace("failover.", "").strip().split(", ")
            for cell in line.split("|")[1:4]
        )
        for position, name in enumerate(names):
            if hasattr(failover.PROFILES["default"], name):
                for profile, said in (("default", default), ("fast", fast)):
                    assert float(said[position]) == getattr(failover.PROFILES[profile], name)
                    checked += 1
    assert checked == 2 * len(fields(failover.PROFILES["default"]))
