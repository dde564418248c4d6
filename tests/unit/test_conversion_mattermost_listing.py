"""The walk through all accounts: nobody missed, nobody twice, and an end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversion.decision.account import Account
from conversion.errors import Unreachable
from conversion.mattermost.listing import MOST_PASSES, shows_auth_data, walk


def account(number: int, **fields: object) -> Account:
    values: dict[str, object] = {
        "id": f"{number:026d}",
        "username": f"user{number:04d}",
        "email": f"user{number}@corp.test",
        "auth_service": "saml",
        "auth_data": None,
        "roles": frozenset({"system_user"}),
        **fields,
    }
    return Account(**values)  # type: ignore[arg-type] # a table of fields


def paged(accounts: list[Account], page: int, size: int = 3) -> list[Account]:
    return accounts[page * size : (page + 1) * size]


def test_a_list_that_holds_still_is_read_twice() -> None:
    people = [account(number) for number in range(10)]

    found = walk(lambda page: paged(people, page), lambda: 10)

    assert list(found.accounts) == people
    assert found.passes == 2
    assert found.missing == 0


def test_a_server_that_gives_shorter_pages_than_asked_is_read_to_the_end() -> None:
    people = [account(number) for number in range(500)]

    found = walk(lambda page: paged(people, page, 7), lambda: 500)

    assert len(found.accounts) == 500


def test_a_row_that_a_rename_hid_is_found_by_the_next_pass() -> None:
    people = [account(number) for number in range(9)]
    calls: list[int] = []

    def page(number: int) -> list[Account]:
        rows = paged(people, number)
        calls.append(number)
        if len(calls) == 1:
            # The first becomes the last: the fourth slips onto the page that was read already.
            people.append(people.pop(0))
        return rows

    found = walk(page, lambda: 9)

    assert {one.id for one in found.accounts} == {account(number).id for number in range(9)}
    assert found.passes == 3


def test_an_insertion_lists_nobody_twice() -> None:
    people = [account(number) for number in range(1, 10)]
    calls: list[int] = []

    def page(number: int) -> list[Account]:
        rows = paged(people, number)
        calls.append(number)
        if len(calls) == 1:
            people.insert(0, account(0))
        return rows

    found = walk(page, lambda: len(people))

    ids = [one.id for one in found.accounts]
    assert len(ids) == len(set(ids)) == 10


def test_a_list_that_never_holds_still_is_an_error_not_a_guess() -> None:
    people = [account(0)]
    passes = 0

    def page(number: int) -> list[Account]:
        nonlocal passes
        if number == 0:
            passes += 1
            people.append(account(passes))
        return paged(people, number, 200)

    with pytest.raises(Unreachable, match="during each of 6 passes"):
        walk(page, lambda: len(people))
    assert passes == MOST_PASSES


def test_what_the_server_counts_and_never_lists_is_told() -> None:
    people = [account(number) for number in range(4)]

    found = walk(lambda page: paged(people, page), lambda: 6)

    assert found.missing == 2
    assert found.passes == 3


def test_something_that_answers_every_page_alike_is_noticed() -> None:
    people = [account(number) for number in range(3)]

    with pytest.raises(Unreachable, match="answers without it"):
        walk(lambda _page: people, lambda: 3)


@given(st.lists(st.integers(0, 200), unique=True, max_size=40), st.integers(1, 9))
def test_any_quiet_list_is_read_whole_at_any_page_size(numbers: list[int], size: int) -> None:
    people = sorted((account(n) for n in numbers), key=lambda one: one.username)

    found = walk(lambda page: paged(people, page, size), lambda: len(people))

    assert list(found.accounts) == people


@pytest.mark.parametrize(
    ("accounts", "expected"),
    [
        ([], False),
        ([account(1)], False),
        ([account(1, auth_service="", auth_data="x")], False),
        ([account(1, auth_service="ldap", auth_data="x")], False),
        ([account(1), account(2, auth_data="x")], True),
    ],
)
def test_one_saml_account_with_a_value_proves_that_bindings_are_shown(
    accounts: list[Account], expected: bool
) -> None:
    assert shows_auth_data(accounts) is expected
