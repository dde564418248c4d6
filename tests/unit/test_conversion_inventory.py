"""`prepare`: the way back of everybody, from every source, and no quiet guess anywhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from conversion.decision.account import EMAIL, SAML, Account, Binding, Source
from conversion.errors import ConfigError, Unreachable
from conversion.inventory import (
    Key,
    Merge,
    Prepared,
    Said,
    from_export,
    prepare,
    read_csv,
    read_sql,
)
from conversion.ledger.base import InventoryRow
from conversion.ledger.opening import open_ledger
from conversion.mattermost import ExportedUser
from conversion.mattermost.roll import Roll
from conversion.preflight import Ways

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from conversion.ledger.sql import SqlLedger

NOW = datetime(2026, 3, 3, 3, 0, tzinfo=UTC)
BEFORE = NOW - timedelta(days=1)
ADA, BOB, EVE = ("a" * 26, "b" * 26, "e" * 26)


def account(user_id: str, auth_data: str | None = None, **fields: Any) -> Account:
    name = {ADA: "ada", BOB: "bob", EVE: "eve"}.get(user_id, f"u{user_id[:4]}")
    one = Account(user_id, name, f"{name}@corp.test", SAML, auth_data, frozenset({"system_user"}))
    return replace(one, **fields)


def said(
    name: str, auth_data: str, source: Source = Source.CSV, at: datetime = NOW, key: Key = Key.EMAIL
) -> Said:
    return Said(key, name, Binding(auth_data, source, at))


def row(user_id: str, auth_data: str | None, source: Source = Source.API) -> InventoryRow:
    binding = None if auth_data is None else Binding(auth_data, source, BEFORE)
    one = account(user_id)
    return InventoryRow(
        user_id, one.username, one.email, binding, one.roles, active=True, is_bot=False,
        mfa_active=False, seen_at=BEFORE,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """What a merge tells, and the rows it gives."""

    told: Prepared
    rows: tuple[InventoryRow, ...]


def merge(
    accounts: Iterable[Account],
    former: Iterable[InventoryRow],
    said: Iterable[Said],
    now: datetime,
    *,
    makeshift: bool = False,
) -> Found:
    kept = sorted(former, key=lambda one: one.user_id)
    made = Merge(Roll(accounts), lambda: iter(kept), said, now, makeshift=makeshift)
    return Found(made.prepared(), tuple(made.rows()))


def bindings(found: Found) -> dict[str, tuple[str, Source] | None]:
    return {
        one.username: (one.binding.auth_data, one.binding.source) if one.binding else None
        for one in found.rows
    }


def test_the_api_alone_suffices_where_it_shows_auth_data() -> None:
    prepared = merge([account(ADA, "X1"), account(BOB, "X2")], [], [], NOW)
    assert bindings(prepared) == {"ada": ("X1", Source.API), "bob": ("X2", Source.API)}
    assert prepared.told.unknown == ()
    assert prepared.told.conflicts == ()


def test_only_accounts_on_saml_are_in_it() -> None:
    local = account(EVE, auth_service=EMAIL)
    prepared = merge([account(ADA, "X1"), local], [], [said("eve@corp.test", "X9")], NOW)
    assert set(bindings(prepared)) == {"ada"}
    assert prepared.told.strangers == 1


def test_sources_fill_what_the_api_hides_and_the_rest_is_told() -> None:
    spoken = [
        said(ADA, "X1", Source.SQL, key=Key.USER_ID),
        said("BOB@corp.test", "X2"),
        said("nobody@corp.test", "X7"),
    ]
    prepared = merge([account(ADA), account(BOB), account(EVE)], [], spoken, NOW)
    assert bindings(prepared) == {"ada": ("X1", Source.SQL), "bob": ("X2", Source.CSV), "eve": None}
    assert prepared.told.unknown == ("eve",)
    assert prepared.told.strangers == 1


def test_a_known_binding_is_never_replaced_by_an_unknown_one() -> None:
    prepared = merge([account(ADA)], [row(ADA, "X1", Source.EXPORT)], [], NOW)
    assert bindings(prepared) == {"ada": ("X1", Source.EXPORT)}


@pytest.mark.parametrize(
    ("new", "believed"),
    [
        (said("ada@corp.test", "NEW", Source.CSV, NOW), "OLD"),
        (said("ada@corp.test", "NEW", Source.SQL, NOW), "NEW"),
        (said("ada@corp.test", "NEW", Source.EXPORT, NOW), "NEW"),
        (said("ada@corp.test", "NEW", Source.SQL, BEFORE - timedelta(days=9)), "OLD"),
    ],
)
def test_the_servers_newest_word_wins_and_the_conflict_is_told(new: Said, believed: str) -> None:
    prepared = merge([account(ADA)], [row(ADA, "OLD")], [new], NOW)
    assert bindings(prepared)["ada"] == (
        believed, new.binding.source if believed == "NEW" else Source.API,
    )  # fmt: skip
    (conflict,) = prepared.told.conflicts
    assert conflict.username == "ada"
    assert "which is believed" in conflict.says
    assert "NEW" not in conflict.says
    assert "OLD" not in conflict.says


def test_an_email_stands_in_only_for_whom_nothing_is_known_of_and_only_when_asked() -> None:
    people = [account(ADA), account(BOB, email="nobody"), account(EVE)]
    former = [row(EVE, "X3", Source.CSV)]
    assert bindings(merge(people, former, [], NOW))["ada"] is None
    found = merge(people, former, [], NOW, makeshift=True)
    assert bindings(found) == {
        "ada": ("ada@corp.test", Source.EMAIL_FALLBACK),
        "bob": None,
        "eve": ("X3", Source.CSV),
    }
    assert found.told.unknown == ("bob",)
    # Somebody else's Id may read like an address: then it is nobody's makeshift.
    taken = merge([account(ADA), account(EVE, "ada@corp.test")], [], [], NOW, makeshift=True)
    assert bindings(taken) == {"ada": None, "eve": ("ada@corp.test", Source.API)}


def test_an_email_that_stood_in_gives_way_without_a_word() -> None:
    former = row(ADA, "ada@corp.test", Source.EMAIL_FALLBACK)
    prepared = merge([account(ADA, "X1")], [former], [], NOW)
    assert bindings(prepared) == {"ada": ("X1", Source.API)}
    assert prepared.told.conflicts == ()


def test_two_people_never_get_the_same_way_back() -> None:
    claims = [said("ada@corp.test", "X1"), said("bob", "X1", key=Key.USERNAME)]
    prepared = merge([account(ADA), account(BOB)], [], claims, NOW)
    assert bindings(prepared) == {"ada": None, "bob": None}
    assert [one.says for one in prepared.told.conflicts] == [
        "would have the same auth_data as bob: not used",
        "would have the same auth_data as ada: not used",
    ]


def test_of_two_with_the_same_way_back_the_server_decides() -> None:
    prepared = merge([account(ADA, "X1"), account(BOB)], [], [said("bob@corp.test", "X1")], NOW)
    assert bindings(prepared) == {"ada": ("X1", Source.API), "bob": None}
    # The value went from bob to ada since the last run: a later word of the server counts.
    moved = merge([account(ADA, "X1"), account(BOB)], [row(BOB, "X1")], [], NOW)
    assert bindings(moved) == {"ada": ("X1", Source.API), "bob": None}


def test_values_that_differ_only_in_case_are_two_values() -> None:
    prepared = merge([account(ADA, "x1"), account(BOB, "X1")], [], [], NOW)
    assert bindings(prepared) == {"ada": ("x1", Source.API), "bob": ("X1", Source.API)}


def test_who_left_sso_and_who_is_gone_is_told() -> None:
    former = [row(ADA, "X1"), row(BOB, "X2")]
    prepared = merge([account(ADA, auth_service=EMAIL)], former, [], NOW)
    assert prepared.told.left_sso == ("ada",)
    assert prepared.told.gone == ("bob",)
    assert prepared.rows == ()


VALUES = st.sampled_from(["X1", "X2", "X3"])
PEOPLE = st.sampled_from([ADA, BOB, EVE])


@given(
    shown=st.dictionaries(PEOPLE, st.none() | VALUES),
    former=st.dictionaries(PEOPLE, VALUES),
    spoken=st.lists(
        st.builds(
            said,
            PEOPLE,
            VALUES,
            st.sampled_from([Source.SQL, Source.CSV]),
            st.sampled_from([NOW, BEFORE]),
            st.just(Key.USER_ID),
        )
    ),
)
def test_whatever_is_said_nothing_is_invented_shared_or_quietly_changed(
    shown: dict[str, str | None], former: dict[str, str], spoken: list[Said]
) -> None:
    accounts = [account(user_id, value) for user_id, value in shown.items()]
    prepared = merge(accounts, [row(*known) for known in former.items()], spoken, NOW)
    assert {one.user_id for one in prepared.rows} == set(shown)
    used = [one.binding.auth_data for one in prepared.rows if one.binding]
    assert len(used) == len(set(used))
    troubled = {conflict.user_id for conflict in prepared.told.conflicts}
    for one in prepared.rows:
        offered = {claim.binding.auth_data for claim in spoken if claim.name == one.user_id}
        offered |= {value for value in (shown[one.user_id], former.get(one.user_id)) if value}
        if one.binding is not None:
            assert one.binding.auth_data in offered
        if len(offered) > 1 or (offered and one.binding is None):
            assert one.user_id in troubled


# CSV


def csv_of(tmp_path: Path, content: str) -> Path:
    path = tmp_path / "people.csv"
    path.write_bytes(content.encode())
    return path


@pytest.mark.parametrize("key", list(Key))
def test_a_csv_file_may_name_people_in_three_ways(tmp_path: Path, key: Key) -> None:
    path = csv_of(tmp_path, f'\ufeff{key.value},auth_data\r\nada,"X,1"\r\n\r\nbob,uid=b\r\n')
    first, second = read_csv(path, NOW + timedelta(days=3650))
    assert (first.key, first.name, first.binding.auth_data) == (key, "ada", "X,1")
    assert second.binding.auth_data == "uid=b"
    assert first.binding.learnt_at == datetime.fromtimestamp(path.stat().st_mtime, UTC)


def test_a_file_of_tomorrow_is_dated_today(tmp_path: Path) -> None:
    (only,) = read_csv(csv_of(tmp_path, "email,auth_data\na@b.c,1\n"), NOW - timedelta(days=9000))
    assert only.binding.learnt_at == NOW - timedelta(days=9000)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "line 1: the header must be one of: user_id,auth_data; username,auth_data; email"),
        ("auth_data,email\n1,a\n", "line 1: the header must be one of"),
        ("email,auth_data\n", "nobody is named in it"),
        ("email,auth_data\na@b.c\n", "line 2: 1 columns instead of 2"),
        ("email,auth_data\na@b.c,1,2\n", "line 2: 3 columns instead of 2"),
        ("email,auth_data\n,1\n", "line 2: the first column is empty"),
        ("email,auth_data\na b,1\n", "line 2: the first column is empty, or has blanks"),
        ("email,auth_data\na@b.c,\n", "line 2: auth_data is empty"),
        ("email,auth_data\na@b.c, 1\n", "line 2: auth_data is empty, or has blanks around it"),
        ("email,auth_data\na@b.c,1\x00\n", "line 2: auth_data has control characters"),
        ("email,auth_data\na@b.c," + "x" * 129 + "\n", "129 characters; Mattermost keeps 128"),
        ("email,auth_data\na@b.c,1\nA@b.c,2\n", "line 3: the same email as in line 2"),
        ("email,auth_data\na@b.c,1\nb@b.c,1\n", "line 3: the same auth_data as in line 2"),
        ('email,auth_data\na@b.c,"1\n', "no CSV"),
        ("email;auth_data\na;1\n", "line 1: the header must be one of"),
    ],
)
def test_a_wrong_line_refuses_the_file_and_is_named(
    tmp_path: Path, content: str, told: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read_csv(csv_of(tmp_path, content), NOW)
    assert any(told in problem for problem in caught.value.problems), caught.value.problems


def test_a_thousand_wrong_lines_are_told_shortly_without_their_values(tmp_path: Path) -> None:
    lines = "".join("hidden value,1\n" for _ in range(1000))
    with pytest.raises(ConfigError) as caught:
        read_csv(csv_of(tmp_path, f"email,auth_data\n{lines}"), NOW)
    assert len(caught.value.problems) == 21
    assert caught.value.problems[-1].endswith("and 980 more")
    assert "hidden" not in str(caught.value)


def test_files_that_are_none_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_csv(tmp_path / "none.csv", NOW)
    with pytest.raises(ConfigError, match="not a regular file"):
        read_csv(tmp_path, NOW)
    latin = tmp_path / "latin.csv"
    latin.write_bytes("email,auth_data\nj\xf6rg@b.c,1\n".encode("latin-1"))
    with pytest.raises(ConfigError, match="not UTF-8 text at octet 17"):
        read_csv(latin, NOW)


# SQL and export


def test_the_users_table_gives_bindings_by_id(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/mm.db"
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("create table users (id, authservice, authdata)"))
        for one in ((ADA, "saml", "X1"), (BOB, "", None), (EVE, "saml", "")):
            connection.exec_driver_sql("insert into users values (?, ?, ?)", one)
    engine.dispose()
    assert read_sql(url, NOW) == (Said(Key.USER_ID, ADA, Binding("X1", Source.SQL, NOW)),)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("secretword", "no database URL"),
        ("nosuch+driver://u:secretword@h/d", "no driver"),
        ("mysql+nodriver://u:secretword@h/d", "no driver"),
        ("oracle+oracledb://u:secretword@h/d", "none of|no driver"),
        ("sqlite://", "no such table"),
        ("postgresql://u:secretword@db.corp.test/mm", "another machine: add .sslmode=verify-full"),
        ("postgresql:///mm?host=db.corp.test&password=secretword", "another machine"),
        ("mysql://u:secretword@db.corp.test/mm", "another machine: use mysql.pymysql"),
        (
            "mariadb://u:secretword@db.corp.test/mm?ssl_ca=/ca&ssl_check_hostname=false",
            "another machine: use mysql.pymysql",
        ),
    ],
)
def test_a_database_that_cannot_be_used_is_told_without_its_password(url: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        read_sql(url, NOW)
    assert "secretword" not in str(caught.value)


def test_the_export_counts_only_people_on_saml() -> None:
    users = [
        ExportedUser("ada", "ada@corp.test", SAML, "X1", None),
        ExportedUser("bob", "bob@corp.test", "", None, None),
        ExportedUser("eve", "eve@corp.test", "ldap", "cn=eve", None),
    ]
    assert from_export(users, NOW) == (
        Said(Key.USERNAME, "ada", Binding("X1", Source.EXPORT, NOW)),
    )


# The whole run


class Listed:
    def __init__(self, *accounts: Account) -> None:
        self.accounts = Roll(accounts)

    def all_accounts(self) -> Roll:
        return self.accounts


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    opened = open_ledger(tmp_path / "l" / "c.db", tmp_path / "m" / "m.jsonl", host="h")
    yield opened
    opened.close()


def test_somebody_converted_by_hand_stays_in_the_inventory(ledger: SqlLedger) -> None:
    prepare(Listed(account(ADA, "X1"), account(BOB, "X2")), ledger, [], BEFORE)
    found = prepare(
        Listed(account(ADA, "X1"), account(BOB, auth_service=EMAIL)), ledger, [], NOW
    )  # fmt: skip
    assert found.left_sso == ("bob",)
    kept = {one.username: one.binding for one in ledger.inventory()}
    assert kept["bob"] == Binding("X2", Source.API, BEFORE)
    assert Ways(ledger.inventory()).last == NOW


def test_an_empty_list_never_costs_the_inventory(ledger: SqlLedger) -> None:
    prepare(Listed(account(ADA, "X1")), ledger, [], BEFORE)
    with pytest.raises(Unreachable, match="lists nobody"):
        prepare(Listed(), ledger, [], NOW)
    assert len(list(ledger.inventory())) == 1
    assert Ways(ledger.inventory()).last == NOW - timedelta(days=1)
    assert Ways([]).last is None
