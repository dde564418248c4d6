"""`roster ...` as a person types it: imports, what is odd, a forecast, and a word about one."""

from __future__ import annotations

import json
import re
import stat
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

import pytest

from idp_proxy.adapters import open_store, open_switchboard, open_upstreams
from idp_proxy.audit.log import rows
from idp_proxy.cli import approving
from idp_proxy.cli.roster import lists
from idp_proxy.cli.roster.forecasting import _casting
from idp_proxy.config import load
from idp_proxy.decision.assurance import AssurancePolicy, UpstreamAssurance
from idp_proxy.decision.roster import BY_OPERATOR, RosterRow
from idp_proxy.decision.second_factor import Factor, Method
from idp_proxy.mattermost import User
from idp_proxy.saml.names import PASSWORD_PROTECTED_TRANSPORT, REFEDS_MFA
from idp_proxy.upstream.saml import SamlUpstream
from tests.unit.at_the_terminal import Bench, Program
from tests.unit.test_config_directory import corp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from idp_proxy.config import Settings
    from idp_proxy.store.sql import SqlStore
    from tests.unit.config_folder import Folder

__all__ = ["corp"]

HEAD = "id,email,username,first_name"
WHY = ("--reason", "a test")


@pytest.fixture
def bench(
    folder: Folder,
    empty_database: bytes,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Bench:
    program = Program(folder, capsys)
    program.write()
    program.make_store(empty_database)
    return Bench(program, monkeypatch)


@pytest.fixture
def settings(bench: Bench) -> Settings:
    return load(bench.program.file)


@pytest.fixture
def store(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqlStore]:
    monkeypatch.setattr(SamlUpstream, "why_unusable", lambda *_: None)
    opened = open_store(settings)
    open_switchboard(opened, open_upstreams(settings)).current()
    yield opened
    opened.close()


def person(bench: Bench, name: str, **other: Any) -> RosterRow:
    said = {"id": f"e-{name}", "email": f"{name}@example.org", "username": name, "first_name": "X"}
    usual: dict[str, Any] = {
        "link_key": f"e-{name}",
        "lookup_key": f"e-{name}",
        "email": said["email"],
        "username": name,
        "attributes": said,
        "source": "okta",
        "confirmed_at": bench.now - timedelta(days=1),
    }
    return RosterRow(f"e-{name}", **usual | other)


def known(store: SqlStore, *people: RosterRow) -> None:
    with store.writing_people() as tx:
        tx.save_people(people)


def csv_of(folder: Folder, *names: str, head: str = HEAD) -> Path:
    file = folder.path / "people.csv"
    lines = [f"e-{name},{name}@example.org,{name},X" for name in names]
    file.write_text("\n".join((head, *lines)) + "\n")
    return file


def outage(store: SqlStore, settings: Settings) -> None:
    open_switchboard(store, open_upstreams(settings)).to("entra", "okta is down", "host:test")


# --- import --------------------------------------------------------------------------------------


def test_a_list_is_shown_first_and_then_imported(
    bench: Bench, store: SqlStore, folder: Folder
) -> None:
    known(store, person(bench, "alice"), person(bench, "zoe"))
    file = str(csv_of(folder, "alice", "bob"))
    bench.program.ok("roster", "import", "--csv", file, "--dry-run")
    assert "new in the roster" in bench.program.out
    assert "e-bob" in bench.program.out
    assert "nothing was changed" in bench.program.out
    assert store.person("e-bob") is None
    done = bench("roster", "import", "--csv", file, "--json")
    assert done.code == 0, done.err
    read = json.loads(done.out)
    assert (read["people"], read["new"], read["confirmed"], read["blocked"]) == (2, 1, 1, 1)
    assert read["next"].startswith("idp-proxy roster check")
    assert read["examples"] == {}
    zoe, bob = store.person("e-zoe"), store.person("e-bob")
    assert zoe is not None
    assert bob is not None
    assert zoe.blocks == {"missing:csv"}
    assert (bob.source, bob.imported_at, bob.confirmed_at) == ("import:csv", bench.now, None)


def test_a_bad_list_changes_nothing_and_names_line_and_column(
    bench: Bench, store: SqlStore, folder: Folder
) -> None:
    file = csv_of(folder, "alice")
    file.write_text(file.read_text() + "e-bob,bob,bob,B\n")
    done = bench("roster", "import", "--csv", str(file))
    assert done.code == 1
    assert f"{file}: line 3: column email: is no email address" in done.err
    assert store.people_after("", 9) == ()
    assert bench("roster", "import").code == 2


def test_many_are_blocked_only_by_two_people_or_by_override(
    bench: Bench, store: SqlStore, folder: Folder
) -> None:
    bench.staff()
    known(store, *(person(bench, f"p{number}") for number in range(10)))
    file = str(csv_of(folder, *(f"p{number}" for number in range(5))))
    bench.uid = 1000
    refused = bench("roster", "import", "--csv", file)
    assert refused.code == 1
    assert "it would block 5 of 10 people; 1 are allowed" in refused.err
    assert "--block-many takes two people" in refused.err
    begun = bench(
        "roster", "import", "--csv", file, "--block-many", "--as", "olga", *WHY,
        typed=bench.signs_in("olga"),
    )  # fmt: skip
    assert begun.code == 3
    (number,) = re.findall(r"proposal (\w{8}) waits", begun.out)
    assert begun.next.startswith(f"next: idp-proxy roster confirm --csv {file} {number}")
    assert not any(row.blocked for row in store.people_after("", 99))
    other = folder.path / "other.csv"
    other.write_text(csv_of(folder, "p1").read_text())
    wrong = bench("roster", "confirm", number, "--csv", str(other), "--as", "anna")
    assert wrong.code == 1
    assert "another file than the one that was proposed" in wrong.err
    csv_of(folder, *(f"p{number}" for number in range(5)))
    done = bench(
        "roster", "confirm", number, "--csv", file, "--as", "anna", typed=bench.signs_in("anna")
    )
    assert done.code == 0, done.err
    assert sum(row.blocked for row in store.people_after("", 99)) == 5
    assert ("roster_import", "operator:olga (confirmed by operator:anna)") in bench.audit()


def test_a_file_that_is_swapped_while_the_second_person_signs_in_is_not_what_is_imported(
    bench: Bench, store: SqlStore, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one has all the time of a password and a code to put another list in its place."""
    bench.staff()
    known(store, person(bench, "alice", username="archer"), person(bench, "bob"))
    file = str(csv_of(folder, "alice", "bob"))
    words = ("roster", "import", "--csv", file, "--replace", "--as", "olga", *WHY)
    (number,) = re.findall(
        r"proposal (\w{8}) waits", bench(*words, typed=bench.signs_in("olga")).out
    )

    def agree(*given: Any, **named: Any) -> Any:
        csv_of(folder, "bob", "mallory")
        return approving.confirm(*given, **named)

    monkeypatch.setattr("idp_proxy.cli.roster.importing.agree", agree)
    confirmed = ("roster", "confirm", number, "--csv", file, "--as", "anna")
    done = bench(*confirmed, typed=bench.signs_in("anna"))
    assert done.code == 0, done.err
    assert {row.id for row in store.people_after("", 9)} == {"e-alice", "e-bob"}
    assert not any(row.blocked for row in store.people_after("", 9))


def test_what_two_agreed_to_as_a_part_is_carried_out_as_a_part(
    bench: Bench, store: SqlStore, folder: Folder
) -> None:
    bench.staff()
    known(store, *(person(bench, name) for name in ("alice", "bob", "carol")))
    file = str(csv_of(folder, "alice"))
    words = ("roster", "import", "--csv", file, "--replace", "--block-many", "--partial")
    begun = bench(*words, "--as", "olga", *WHY, typed=bench.signs_in("olga"))
    (number,) = re.findall(r"proposal (\w{8}) waits", begun.out)
    confirmed = ("roster", "confirm", number, "--csv", file, "--as", "anna")
    done = bench(*confirmed, typed=bench.signs_in("anna"))
    assert done.code == 0, done.err
    assert not any(row.blocked for row in store.people_after("", 9))


def test_a_part_of_the_people_may_not_block_many_at_once_either(
    bench: Bench, store: SqlStore, folder: Folder
) -> None:
    names = [f"p{number}" for number in range(10)]
    known(store, *(person(bench, name) for name in names))
    file = csv_of(folder, *names[:5])
    head, *lines = file.read_text().splitlines()
    marked = [f"{head},deactivated", *(f"{line},true" for line in lines)]
    file.write_text("\n".join(marked) + "\n")
    done = bench("roster", "import", "--csv", str(file), "--partial")
    assert done.code == 1
    assert "it would block 5 of 10 people; 1 are allowed" in done.err
    assert not any(row.blocked for row in store.people_after("", 99))


def test_an_empty_list_blocks_nobody_by_no_override(
    bench: Bench, store: SqlStore, folder: Folder
) -> None:
    known(store, person(bench, "alice"))
    file = str(csv_of(folder))
    done = bench("roster", "import", "--csv", file, "--block-many", "--override", "hurry", *WHY)
    assert done.code == 1
    assert "an empty list never blocks people" in done.err
    done = bench("roster", "import", "--csv", str(csv_of(folder, "bob")), "--block-many", *WHY)
    assert "it would block everybody" in done.err
    assert store.person("e-alice") == person(bench, "alice")


def test_what_logins_said_is_replaced_only_on_demand(
    bench: Bench, store: SqlStore, folder: Folder
) -> None:
    known(store, person(bench, "alice", username="archer"))
    file = str(csv_of(folder, "alice"))
    bench.program.ok("roster", "import", "--csv", file, "--partial")
    row = store.person("e-alice")
    assert row is not None
    assert (row.username, row.source, row.imported_at) == ("archer", "okta", bench.now)
    bench.program.ok("roster", "import", "--csv", file, "--replace", *WHY)
    row = store.person("e-alice")
    assert row is not None
    assert (row.username, row.source) == ("alice", "import:csv")


def test_a_second_person_agrees_to_what_was_asked_and_to_nothing_else(
    bench: Bench, store: SqlStore, folder: Folder
) -> None:
    """A part of the people stays one: whoever is not in it is not blocked by the second command."""
    bench.staff()
    known(store, person(bench, "alice", username="archer"), person(bench, "bob"))
    file = str(csv_of(folder, "alice"))
    begun = bench(
        "roster", "import", "--csv", file, "--partial", "--replace", "--as", "olga", *WHY,
        typed=bench.signs_in("olga"),
    )  # fmt: skip
    (number,) = re.findall(r"proposal (\w{8}) waits", begun.out)
    words = ("roster", "confirm", number, "--as", "anna")
    assert bench(*words).code == 2  # which list?
    done = bench(*words, "--csv", file, typed=bench.signs_in("anna"))
    assert done.code == 0, done.err
    rows = {row.id: row for row in store.people_after("", 9)}
    assert rows["e-alice"].username == "alice"
    assert not rows["e-bob"].blocked


def test_what_a_timer_imports_stands_in_the_configuration(
    bench: Bench, store: SqlStore, folder: Folder
) -> None:
    assert bench("roster", "import", "--configured").code == 2
    folder.text += '\n[roster]\ncsv = "people.csv"\n'
    bench.program.write()
    csv_of(folder, "alice")
    bench.program.ok("roster", "import", "--configured")
    assert store.person("e-alice") is not None


def test_what_was_exported_is_the_same_when_it_is_imported(
    bench: Bench, store: SqlStore, folder: Folder
) -> None:
    evil = person(bench, "evil", attributes={"first_name": "=1+1", "id": "e-evil"})
    known(store, evil, person(bench, "gone", blocks=frozenset({BY_OPERATOR})))
    before = store.people_after("", 9)
    file = folder.path / "out.csv"
    bench.program.ok("roster", "export", "--output", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "'=1+1" in file.read_text()
    assert bench("roster", "export", "--output", str(file)).code == 1
    assert bench("roster", "export").out == file.read_text()
    bench.program.ok("roster", "import", "--csv", str(file))
    after = {row.id: row for row in store.people_after("", 9)}
    assert replace(after["e-evil"], imported_at=None) == before[0]
    assert after["e-gone"].blocked


# --- check and forecast --------------------------------------------------------------------------


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


# --- one person ----------------------------------------------------------------------------------


def test_a_person_is_blocked_and_let_in_again(bench: Bench, store: SqlStore) -> None:
    known(store, person(bench, "alice", blocks=frozenset({"missing:csv"})))
    bench.program.ok("roster", "block", "Alice@Example.org", *WHY)
    row = store.person("e-alice")
    assert row is not None
    assert row.blocks == {"missing:csv", BY_OPERATOR}
    done = bench("roster", "unblock", "alice", *WHY)
    assert done.code == 0, done.err
    assert "the next import blocks them again" in done.err
    assert bench("roster", "unblock", "alice", *WHY).code == 1
    assert store.person("e-alice") == person(bench, "alice")
    with store.reading() as connection:
        found = [row for row in rows(connection) if row.kind.startswith("person_")]
    assert [row.kind for row in found] == ["person_blocked", "person_unblocked"]
    assert all("alice" not in row.body for row in found)
    assert found[0].content["person"] == found[1].content["person"] != "e-alice"


def test_a_name_that_two_people_have_is_not_guessed_about(bench: Bench, store: SqlStore) -> None:
    known(store, person(bench, "alice"), person(bench, "bob", username="alice"))
    done = bench("roster", "block", "alice", *WHY)
    assert done.code == 1
    assert "could be any of these: e-alice, e-bob" in done.err
    assert "called 'nobody'" in bench("roster", "block", "nobody", *WHY).err
    bench.program.ok("roster", "block", "e-alice", *WHY)


def test_an_approver_lets_somebody_in_for_one_outage(
    bench: Bench, store: SqlStore, settings: Settings
) -> None:
    bench.staff()
    old = bench.now - timedelta(days=100)
    known(store, person(bench, "alice", confirmed_at=old))
    words = ("roster", "admit", "alice", *WHY)
    assert "okta serves: there is no outage" in bench(*words).err
    outage(store, settings)
    by_operator = bench(*words, "--as", "olga", typed=bench.signs_in("olga"))
    assert by_operator.code == 1
    assert "role approver" in by_operator.err
    bench.uid = 0
    assert "takes an override" in bench(*words).err
    bench.now += timedelta(seconds=30)
    done = bench(*words, "--as", "anna", typed=bench.signs_in("anna"))
    assert done.code == 0, done.err
    with store.transaction() as tx:
        said = tx.admitted_by_hand("e-alice")
        state = store.switch_state()
    assert said is not None
    assert state is not None
    assert (said.actor, said.privileged) == ("operator:anna", False)
    assert said.in_force(replace(state, left={}), "okta") is False
    assert ("person_admitted", "operator:anna") in bench.audit()


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"blocks": frozenset({BY_OPERATOR})}, "nobody admits who is blocked"),
        ({"conflict": True}, "say whose key it is: roster resolve"),
    ],
)
def test_an_approver_s_word_does_not_stand_in_for_everything(
    bench: Bench, store: SqlStore, settings: Settings, other: dict[str, Any], said: str
) -> None:
    known(store, person(bench, "alice", **other))
    outage(store, settings)
    done = bench("roster", "admit", "alice", *WHY)
    assert done.code == 1
    assert said in done.err


def test_an_administrator_is_admitted_only_in_so_many_words(
    bench: Bench, store: SqlStore, settings: Settings, folder: Folder
) -> None:
    folder.text = folder.text.replace(
        "signing_certificates = []",
        'signing_certificates = []\nenable_admin_attribute = true\nadmin_attribute = "firstname=X"',
    )
    bench.program.write()
    known(store, person(bench, "alice"))
    outage(store, settings)
    done = bench("roster", "admit", "alice", *WHY)
    assert "FO-11: has role admin" in done.err
    assert "--in-spite-of-role" in done.err
    bench.program.ok("roster", "admit", "alice", "--in-spite-of-role", *WHY)


def test_an_operator_says_whose_a_link_key_is(bench: Bench, store: SqlStore) -> None:
    known(
        store,
        person(bench, "alice", link_key="K", lookup_key="k", conflict=True),
        person(bench, "bob", link_key="k", lookup_key=None, conflict=True),
        person(bench, "carol"),
    )
    assert bench("roster", "resolve", "carol", *WHY).code == 1
    done = bench("roster", "resolve", "bob", *WHY)
    assert done.code == 0, done.err
    assert "without one now: e-alice" in done.out
    found = {row.id: row for row in store.people_after("", 9)}
    assert (found["e-bob"].lookup_key, found["e-bob"].conflict) == ("k", False)
    assert (found["e-alice"].lookup_key, found["e-alice"].conflict) == (None, False)
    assert bench("roster", "check").code == 3  # alice has no key
    bench.program.ok("roster", "resolve", "alice", *WHY)
    assert store.person_by_lookup_key("k") == replace(found["e-alice"], lookup_key="k")


def test_no_person_stands_in_what_the_program_logs(
    bench: Bench, store: SqlStore, folder: Folder
) -> None:
    file = str(csv_of(folder, "alice"))
    bench.program.ok("roster", "import", "--csv", file)
    bench.program.ok("roster", "block", "alice", *WHY)
    with store.reading() as connection:
        bodies = " ".join(row.body for row in rows(connection))
    assert "alice" not in bodies


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
    casting = _casting(replace(corp.read(), assurance=policy), store, "corp")
    assert (casting.enrolled, casting.below_floor) == (enrolled, below)
    entra = _casting(replace(corp.read(), assurance=policy), store, None)
    assert (entra.upstream, entra.enrolled, entra.below_floor) == ("entra", None, True)


@dataclass(frozen=True, slots=True)
class _Api:
    """Mattermost's API, as far as a list needs it."""

    people: tuple[User, ...]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def users(self) -> tuple[User, ...]:
        return self.people


@pytest.mark.parametrize("words", [("--mattermost",), ("--configured",)], ids=" ".join)
def test_mattermost_s_list_confirms_and_blocks_and_is_never_everybody(
    bench: Bench,
    store: SqlStore,
    folder: Folder,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
) -> None:
    folder.text += "\n[roster]\nmattermost = true\n"
    bench.program.write()
    assert bench("roster", "import", *words).code == 2  # no [service_provider.api]
    people = tuple(
        User(name * 26, name, f"{name}@example.org", "saml", f"e-{name}", ("system_admin",), gone)
        for name, gone in (("a", 0), ("b", 1), ("n", 0))
    )
    monkeypatch.setattr(lists, "open_api", lambda *_: _Api(people))
    known(store, person(bench, "a"), person(bench, "b"), person(bench, "z"))
    done = bench("roster", "import", *words)
    assert done.code == 0, done.err
    found = {row.id: row for row in store.people_after("", 9)}
    assert found["e-a"].imported_at == bench.now
    assert found["e-a"].roles == {"system_admin"}
    assert found["e-b"].blocks == {"deactivated:mattermost"}
    assert found["e-z"] == person(bench, "z")
    assert found["e-n"].link_key == "e-n"  # here the link key is the id
