"""`roster admit` of somebody whom the roster does not know, by their account in Mattermost."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

import pytest

from idp_proxy.adapters import open_switchboard, open_upstreams
from idp_proxy.audit.log import rows
from idp_proxy.cli.roster import admitting
from idp_proxy.cli.roster.people import approved_by
from idp_proxy.decision.roster import BY_HAND
from idp_proxy.mattermost import User
from tests.unit.roster_bench import WHY, bench, csv_of, known, outage, person, settings, store

if TYPE_CHECKING:
    from pathlib import Path

    from idp_proxy.config import Settings
    from idp_proxy.store.sql import SqlStore
    from tests.unit.at_the_terminal import Bench
    from tests.unit.config_folder import Folder

__all__ = ["bench", "settings", "store"]

BY_API = ("--mattermost", *WHY)
COLUMNS = "email,username,authservice,authdata,roles,deleteat"


@dataclass(slots=True)
class _Api:
    people: tuple[User, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def users(self) -> tuple[User, ...]:
        return self.people


def account(name: str, **changes: Any) -> User:
    usual: dict[str, Any] = {
        "email": f"{name}@example.org",
        "auth_service": "saml",
        "auth_data": f"e-{name}",
        "roles": ("system_user",),
        "delete_at": 0,
    }
    return User(**{"id": "m" * 26, "username": name} | usual | changes)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> _Api:
    asked = _Api((account("alice"), account("zoe")))
    monkeypatch.setattr(admitting, "open_api", lambda *_: asked)
    return asked


@pytest.fixture
def keyed(folder: Folder, bench: Bench) -> Folder:
    """The link key is what Mattermost does not store."""
    folder.text = folder.text.replace(
        'first_name = "urn:oid:2.5.4.42"',
        'first_name = "urn:oid:2.5.4.42"\nlink_key = "employeeNumber"',
    )
    bench.program.write()
    return folder


@pytest.mark.usefixtures("api")
def test_an_approver_lets_in_whom_the_roster_does_not_know(
    bench: Bench, store: SqlStore, settings: Settings
) -> None:
    bench.staff()
    words = ("roster", "admit", "alice", *BY_API)
    assert "okta serves: there is no outage" in bench(*words).err
    outage(store, settings)
    assert "admitted by --mattermost" in bench("roster", "admit", "alice", *WHY).err
    by_operator = bench(*words, "--as", "olga", typed=bench.signs_in("olga"))
    assert "role approver" in by_operator.err
    assert store.person("e-alice") is None
    done = bench(*words, "--as", "anna", typed=bench.signs_in("anna"))
    assert done.code == 0, done.err
    assert "account: id e-alice, email alice@example.org, user name alice" in done.err
    row = store.person_by_lookup_key("e-alice")
    assert row is not None
    assert (row.id, row.source, row.confirmed_at) == ("e-alice", BY_HAND, None)
    with store.transaction() as tx:
        said, state = tx.admitted_by_hand("e-alice"), store.switch_state()
    assert said is not None
    assert state is not None
    assert (said.actor, said.in_force(state, "okta")) == ("operator:anna", True)
    with store.reading() as connection:
        (found,) = [one for one in rows(connection) if one.kind == "person_admitted"]
    assert "alice" not in found.body
    assert found.content["facts"] == {"account": True, "cause": "a test", "privileged": False}


def test_an_admission_ends_with_its_outage_and_no_later_one_revives_it(
    bench: Bench, store: SqlStore, settings: Settings, api: _Api
) -> None:
    outage(store, settings)
    bench.program.ok("roster", "admit", "alice", *BY_API)
    board = open_switchboard(store, open_upstreams(settings))
    board.to("okta", "it is back", "host:test")
    board.to("entra", "it is away again", "host:test")
    with store.transaction() as tx:
        said, state = tx.admitted_by_hand("e-alice"), store.switch_state()
    assert said is not None
    assert state is not None
    assert not said.in_force(state, "okta")
    assert "0 of 1 people would get in" in bench("roster", "forecast").out
    refused = bench("roster", "admit", "alice", *WHY)
    assert "prove the account again" in refused.err
    api.people = (account("alice", delete_at=1),)
    assert "deactivated in Mattermost" in bench("roster", "admit", "alice", *BY_API).err


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"is_bot": True}, "a bot"),
        ({"auth_service": ""}, "a password of its own"),
        ({"auth_data": None}, "--accounts FILE names it"),
        ({"auth_data": "e-\u200balice"}, "names nobody for certain"),
        ({"email": "alice"}, "is no email address"),
        ({"roles": ("system_admin",)}, "FO-11"),
        ({"username": "archer", "email": "x@example.org"}, "no account in Mattermost"),
    ],
)
def test_an_account_that_names_nobody_is_refused(
    bench: Bench,
    store: SqlStore,
    settings: Settings,
    api: _Api,
    changes: dict[str, Any],
    said: str,
) -> None:
    outage(store, settings)
    who = account("alice", **changes)
    api.people = (who,)
    done = bench("roster", "admit", "alice", *BY_API)
    assert done.code == 1
    assert said in done.err
    assert store.people_after("", 9) == ()


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"email": "alice@example.org"}, "the email address is theirs"),
        ({"link_key": "E-alice", "lookup_key": None}, "the link key is theirs"),
        ({"link_key": "e-\u0430lice", "lookup_key": "e-\u0430lice"}, "looks like theirs"),
        ({"username": "Alice", "blocks": frozenset({"operator"})}, "the user name is theirs"),
    ],
)
@pytest.mark.usefixtures("api")
def test_what_somebody_else_has_admits_nobody(
    bench: Bench, store: SqlStore, settings: Settings, other: dict[str, Any], said: str
) -> None:
    bob = person(bench, "bob", **other)
    known(store, bob)
    outage(store, settings)
    done = bench("roster", "admit", "alice", *BY_API)
    assert done.code == 1
    assert said in done.err
    assert "'e-bob'" in done.err
    assert store.people_after("", 9) == (bob,)


@pytest.mark.usefixtures("api")
def test_whom_the_roster_knows_is_not_known_by_an_account(
    bench: Bench, store: SqlStore, settings: Settings
) -> None:
    known(store, person(bench, "alice"))
    outage(store, settings)
    done = bench("roster", "admit", "alice", *BY_API)
    assert "'e-alice' is in the roster: admit them without" in done.err
    assert bench("roster", "admit", "alice", "--link-key", "x", *WHY).code == 2
    file = str(csv_of(bench.program.folder, "alice"))
    assert bench("roster", "admit", "alice", *BY_API, "--accounts", file).code == 2


def test_a_name_of_two_accounts_is_not_guessed_about(
    bench: Bench, store: SqlStore, settings: Settings, api: _Api
) -> None:
    outage(store, settings)
    api.people = (account("alice"), account("bob", auth_data="alice"))
    done = bench("roster", "admit", "alice", *BY_API)
    assert "'alice' could be any of these accounts: 'alice@example.org' (id 'e-alice')" in done.err
    bench.program.ok("roster", "admit", "e-alice", *BY_API)


@pytest.mark.usefixtures("api")
def test_who_is_blocked_stays_out_also_as_an_account(
    bench: Bench, store: SqlStore, settings: Settings
) -> None:
    outage(store, settings)
    bench.program.ok("roster", "admit", "alice", *BY_API)
    bench.program.ok("roster", "block", "alice", *WHY)
    done = bench("roster", "admit", "alice", *BY_API)
    assert "nobody admits who is blocked" in done.err
    assert "holds a link key against nobody" in bench("roster", "resolve", "alice", *WHY).err
    bench.program.ok("roster", "unblock", "alice", *WHY)
    bench.program.ok("roster", "admit", "alice", *BY_API)


@pytest.mark.usefixtures("api")
def test_a_link_key_that_mattermost_stores_is_not_said_otherwise(
    bench: Bench, store: SqlStore, settings: Settings
) -> None:
    outage(store, settings)
    words = ("roster", "admit", "alice", *BY_API, "--link-key")
    done = bench(*words, "e-zoe")
    assert "the link key is the id here, and Mattermost has 'e-alice', not 'e-zoe'" in done.err
    assert store.people_after("", 9) == ()
    bench.program.ok(*words, "E-ALICE")


@pytest.mark.usefixtures("keyed", "api")
def test_a_link_key_is_asked_for_where_mattermost_has_none(
    bench: Bench, store: SqlStore, settings: Settings
) -> None:
    outage(store, settings)
    words = ("roster", "admit", "alice", *BY_API)
    done = bench(*words)
    assert done.code == 2
    assert "--link-key: missing: what stands in NameID at entra for this person" in done.err
    assert "the link key is blank" not in bench.program.ok(*words, "--link-key", "1001").err
    row = store.person_by_lookup_key("1001")
    assert row is not None
    assert row.id == "e-alice"
    taken = bench("roster", "admit", "zoe", *BY_API, "--link-key", "1001")
    assert "'e-zoe' is not told from 'e-alice': the link key is theirs" in taken.err
    bench.program.ok("roster", "block", "alice", *WHY)  # it was the wrong one
    bench.program.ok("roster", "admit", "zoe", *BY_API, "--link-key", "1001")
    former, row = store.person("e-alice"), store.person_by_lookup_key("1001")
    assert former is not None
    assert row is not None
    assert (former.lookup_key, row.id) == (None, "e-zoe")


@pytest.mark.usefixtures("keyed", "api")
def test_what_changed_while_the_approver_signed_in_is_looked_at_again(
    bench: Bench,
    store: SqlStore,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another operator, a list and the active may each be faster than a password and a code."""
    outage(store, settings)
    agreed = approved_by
    words = ("roster", "admit", "alice", *BY_API, "--link-key", "1001")

    def meanwhile(step: Any) -> None:
        def approved(*given: Any, **named: Any) -> Any:
            monkeypatch.setattr(admitting, "approved_by", agreed)
            step()
            return agreed(*given, **named)

        monkeypatch.setattr(admitting, "approved_by", approved)

    meanwhile(lambda: known(store, person(bench, "bob", link_key="1001", lookup_key="1001")))
    assert "holds the link key since a moment ago" in bench(*words).err
    known(store, person(bench, "bob"))
    meanwhile(lambda: known(store, person(bench, "alice")))
    assert "somebody else changed the person meanwhile" in bench(*words).err
    assert store.person("e-alice") == person(bench, "alice")
    board = open_switchboard(store, open_upstreams(settings))
    words = ("roster", "admit", "zoe", *BY_API, "--link-key", "1002")
    meanwhile(lambda: board.to("okta", "it is back", "host:test"))
    assert "there is no outage" in bench(*words).err
    assert store.person("e-zoe") is None


def accounts_file(folder: Folder, *lines: str, head: str = COLUMNS) -> Path:
    file = folder.path / "accounts.csv"
    file.write_text("\n".join((head, *lines)) + "\n", encoding="utf-8-sig")
    return file


def test_a_file_of_mattermost_s_accounts_does_where_its_api_does_not(
    bench: Bench, store: SqlStore, settings: Settings, folder: Folder
) -> None:
    outage(store, settings)
    file = accounts_file(folder, "alice@example.org,alice,saml,e-alice,system_user,0")
    words = ("roster", "admit", "alice", "--accounts", str(file), *WHY)
    written = (bench.now - timedelta(days=8)).timestamp()
    os.utime(file, (written, written))
    assert "written 8 days ago, allowed 7" in bench(*words).err
    os.utime(file, (bench.now.timestamp(), bench.now.timestamp()))
    bench.program.ok(*words)
    assert store.person_by_lookup_key("e-alice") is not None


@pytest.mark.parametrize(
    ("head", "line", "said"),
    [
        ("email,username,authdata,roles,deleteat", "", "line 1: needs the column authservice once"),
        (f"{COLUMNS},auth_data", "", "line 1: needs the column authdata once"),
        (COLUMNS, "a@example.org,a,saml,e-a,system_user", "line 2: 5 columns, the head has 6"),
        (COLUMNS, "a@example.org,a,saml,e-a,system_user,", "line 2: column deleteat"),
        (COLUMNS, 'a@example.org,a,saml,"e-a', "no proper CSV"),
    ],
)
def test_a_file_that_leaves_something_unsaid_proves_nobody(
    bench: Bench,
    store: SqlStore,
    settings: Settings,
    folder: Folder,
    head: str,
    line: str,
    said: str,
) -> None:
    outage(store, settings)
    file = accounts_file(folder, line, head=head)
    done = bench("roster", "admit", "a", "--accounts", str(file), *WHY)
    assert done.code == 1
    assert said in done.err


@pytest.mark.usefixtures("api")
def test_an_export_that_is_imported_confirms_nobody_who_was_admitted(
    bench: Bench, store: SqlStore, settings: Settings, folder: Folder
) -> None:
    known(store, person(bench, "bob"))
    outage(store, settings)
    bench.program.ok("roster", "admit", "alice", *BY_API)
    before = store.person("e-alice")
    file = folder.path / "out.csv"
    bench.program.ok("roster", "export", "--output", str(file))
    bench.program.ok("roster", "import", "--csv", str(file), "--partial")
    assert store.person("e-alice") == before
