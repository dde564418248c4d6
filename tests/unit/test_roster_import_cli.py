"""`roster import`, `confirm` and `export` as a person types them."""

from __future__ import annotations

import json
import re
import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import pytest

from idp_proxy.audit.log import rows
from idp_proxy.cli import approving
from idp_proxy.cli.roster import lists
from idp_proxy.decision.roster import BY_OPERATOR
from idp_proxy.mattermost import User, open_api
from tests.unit.roster_bench import WHY, bench, csv_of, known, person, settings, store

if TYPE_CHECKING:
    from idp_proxy.store.sql import SqlStore
    from tests.unit.at_the_terminal import Bench
    from tests.unit.config_folder import Folder

__all__ = ["bench", "settings", "store"]


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
    (read,) = json.loads(done.out)["imports"]
    assert (read["people"], read["new"], read["confirmed"], read["blocked"]) == (2, 1, 1, 1)
    assert json.loads(done.out)["next"].startswith("idp-proxy roster check")
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


def test_of_several_lists_one_that_cannot_be_had_keeps_nobody_from_being_confirmed(
    bench: Bench, store: SqlStore, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.text += '\n[roster]\ncsv = "people.csv"\nmattermost = true\n'
    bench.program.write()
    account = User("a" * 26, "alice", "alice@example.org", "saml", "e-alice", (), 0)
    real = open_api
    monkeypatch.setattr(lists, "open_api", lambda *_: _Api((account,)))
    known(store, person(bench, "alice"))
    done = bench("roster", "import", "--configured", "--json")
    assert done.code == 1
    assert "error: csv: The list of people is not usable" in done.err
    assert "people.csv: cannot be read: No such file" in done.err
    assert [one["source"] for one in json.loads(done.out)["imports"]] == ["mattermost"]
    row = store.person("e-alice")
    assert row is not None
    assert row.imported_at == bench.now
    monkeypatch.setattr(lists, "open_api", real)
    csv_of(folder, "alice")
    done = bench("roster", "import", "--configured", "--json")
    assert (done.code, [one["source"] for one in json.loads(done.out)["imports"]]) == (1, ["csv"])
    assert "service_provider.api: missing" in done.err
    monkeypatch.setattr(lists, "open_api", lambda *_: _Api((account,)))
    both = json.loads(bench("roster", "import", "--configured", "--json").out)
    assert [one["source"] for one in both["imports"]] == ["csv", "mattermost"]
    done = bench("roster", "import", "--configured", "--replace", *WHY)
    assert done.code == 2
    assert "for one list at a time" in done.err


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


def test_no_person_stands_in_what_the_program_logs(
    bench: Bench, store: SqlStore, folder: Folder
) -> None:
    file = str(csv_of(folder, "alice"))
    bench.program.ok("roster", "import", "--csv", file)
    bench.program.ok("roster", "block", "alice", *WHY)
    with store.reading() as connection:
        bodies = " ".join(row.body for row in rows(connection))
    assert "alice" not in bodies


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
