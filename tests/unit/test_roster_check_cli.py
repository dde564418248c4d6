"""`roster check` and `roster forecast`: what somebody should look at before an outage does."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from idp_proxy.cli.roster.forecasting import casting_of
from idp_proxy.decision.assurance import AssurancePolicy, UpstreamAssurance
from idp_proxy.decision.roster import BY_OPERATOR
from idp_proxy.decision.second_factor import Factor, Method
from idp_proxy.saml.names import PASSWORD_PROTECTED_TRANSPORT, REFEDS_MFA
from tests.unit.roster_bench import WHY, bench, csv_of, known, person, settings, store
from tests.unit.test_config_directory import corp

if TYPE_CHECKING:
    from idp_proxy.store.sql import SqlStore
    from tests.unit.at_the_terminal import Bench
    from tests.unit.config_folder import Folder

__all__ = ["bench", "corp", "settings", "store"]


def test_a_check_says_what_is_odd_by_its_exit_code(
    bench: Bench, store: SqlStore, folder: Folder
) -> None:
    assert "nothing is odd" in bench.program.ok("roster", "check").out
    known(store, person(bench, "alice"), person(bench, "bob", email="ALICE@example.org"))
    done = bench("roster", "check")
    assert done.code == 3
    assert "one email address" in done.out
    file = str(csv_of(folder, "alice", "carol"))
    done = bench("roster", "check", "--csv", file, "--json")
    read = json.loads(done.out)
    assert read["coverage"] == {
        "people": 2, "by_login": 2, "by_list": 0, "by_nothing": 0, "blocked": 0,
    }  # fmt: skip
    assert read["odd"][0]["people"] == ["e-alice", "e-bob"]
    (one,) = read["lists"]
    assert (one["people"], one["roster"], one["not_in_the_roster"], one["not_in_the_list"]) == (
        2, 2, 1, 1,
    )  # fmt: skip
    assert one["examples"]["missing"] == ["e-bob"]
    assert store.import_runs() == ()
    assert "1 not in the roster" in bench("roster", "check", "--csv", file).out
    bench.program.ok("roster", "import", "--csv", file, "--partial")
    bench.program.ok("roster", "import", "--csv", file)
    bench.now += timedelta(days=8)
    done = bench("roster", "check")
    assert done.code == 1
    assert "3 people: 1 confirmed by a login, 0 by a list, 1 by neither; 1 blocked" in done.out
    assert "FO-08: the last complete import by csv is 8 days old, allowed 7" in done.out


def test_look_alikes_are_shown_so_that_they_can_be_told_apart(
    bench: Bench, store: SqlStore
) -> None:
    known(store, person(bench, "paul"), person(bench, "p\u0430ul", email="x@example.org"))
    done = bench("roster", "check")
    assert done.code == 3
    assert "'e-p\\u0430ul'" in done.out
    assert "p\u0430ul" not in done.out


def test_a_forecast_counts_lists_and_is_kept(bench: Bench, store: SqlStore) -> None:
    known(
        store,
        person(bench, "alice"),
        person(bench, "bob", confirmed_at=bench.now - timedelta(days=100)),
        person(bench, "carol", blocks=frozenset({BY_OPERATOR})),
    )
    bench.program.ok("roster", "forecast", "--people")
    assert "1 of 3 people would get in by entra" in bench.program.out
    assert "person_unconfirmed  e-bob  bob" in bench.program.out
    read = json.loads(bench("roster", "forecast", "--json").out)
    assert read["refused"]["person_blocked"] == {
        "count": 1, "people": [{"id": "e-carol", "username": "carol"}],
    }  # fmt: skip
    kept = store.forecast()
    assert kept is not None
    assert (kept.upstream, kept.people, kept.get_in) == ("entra", 3, 1)
    assert dict(kept.refused) == {"person_unconfirmed": 1, "person_blocked": 1}
    assert bench("roster", "forecast", "--upstream", "okta").code == 2
    bench.program.ok("upstream", "disable", "entra", *WHY)
    assert bench("roster", "forecast").code == 2
    bench.program.ok("roster", "forecast", "--upstream", "entra")


@pytest.mark.parametrize(
    ("mapped", "enrolled", "below"),
    [
        ({PASSWORD_PROTECTED_TRANSPORT: "mfa"}, None, False),
        ({REFEDS_MFA: "mfa"}, frozenset({"e-alice"}), False),
        ({}, frozenset({"e-alice"}), True),
    ],
    ids=["a password is enough", "a second factor is asked for", "nothing is enough"],
)
def test_a_forecast_asks_what_the_floor_asks_of_a_directory(
    corp: Folder,
    bench: Bench,
    store: SqlStore,
    mapped: dict[str, str],
    enrolled: frozenset[str] | None,
    below: bool,
) -> None:
    with store.transaction() as tx:
        tx.add_factors([Factor("f-1", "e-alice", Method.TOTP, bench.now, 1, b"sealed")])
    maps = {"corp": UpstreamAssurance(mapped)}
    policy = AssurancePolicy("okta", ("password", "mfa"), "mfa", upstreams=maps)
    casting = casting_of(replace(corp.read(), assurance=policy), store, "corp")
    assert (casting.enrolled, casting.below_floor) == (enrolled, below)
    entra = casting_of(replace(corp.read(), assurance=policy), store, None)
    assert (entra.upstream, entra.enrolled, entra.below_floor) == ("entra", None, True)
