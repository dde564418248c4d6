"""The packed list of accounts says what the accounts said, in order of user id."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversion.decision.account import Account
from conversion.mattermost.roll import Roll

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TEXT = st.text(max_size=12)
IDS = st.text("abcxyz019", min_size=1, max_size=6)
ACCOUNTS = st.builds(
    Account,
    id=IDS,
    username=TEXT,
    email=TEXT,
    auth_service=st.sampled_from(["", "saml", "ldap"]),
    auth_data=st.none() | TEXT,
    roles=st.sampled_from([frozenset({"a"}), frozenset({"a", "b"}), frozenset[str]()]),
    deleted_at=st.none()
    | st.integers(0, 4_000_000_000_000).map(lambda ms: EPOCH + timedelta(milliseconds=ms)),
    is_bot=st.booleans(),
    is_remote=st.booleans(),
    mfa_active=st.booleans(),
)


@given(st.lists(ACCOUNTS), IDS)
def test_every_account_comes_back_as_it_was_and_the_later_of_two_stays(
    accounts: list[Account], other: str
) -> None:
    expected = {one.id: one for one in accounts}
    roll = Roll(accounts)
    assert dict(roll) == expected
    assert list(roll) == sorted(expected)
    assert list(roll.values()) == [expected[user_id] for user_id in sorted(expected)]
    assert len(roll) == len(roll.values()) == len(expected)
    assert roll.get(other) == expected.get(other)


def test_an_id_that_is_longer_than_any_is_not_there() -> None:
    roll = Roll([Account("b", "n", "e", "saml", None, frozenset())])
    for missing in ("", "a", "c", "ba", "b" * 40, "\ud800"):
        assert missing not in roll
        with pytest.raises(KeyError):
            roll[missing]
    assert "b" in roll
    assert len(Roll()) == 0
    assert Roll().get("b") is None


def test_two_rolls_of_the_same_people_have_the_same_ids_in_any_order() -> None:
    one, two = (Account(name, "n", "e", "saml", None, frozenset()) for name in "ab")
    assert bytes(Roll([one, two]).people) == bytes(Roll([two, one, two]).people)
    assert bytes(Roll([one]).people) != bytes(Roll([two]).people)


def test_an_account_takes_at_most_two_hundred_octets() -> None:
    roll = Roll(
        Account(
            f"{number:026d}",
            f"firstname.lastname{number}",
            f"firstname.lastname{number}@corp.example.org",
            "saml",
            f"{number:032x}",
            frozenset({"system_user"}),
        )
        for number in range(1000)
    )
    taken = len(bytes(roll.people)) + sum(map(sys.getsizeof, (roll._offsets, roll._records)))
    assert taken / 1000 < 200
