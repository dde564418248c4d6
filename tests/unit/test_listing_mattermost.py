"""Mattermost's own list: whose rows it confirms, who is deactivated, and what it does not know."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from idp_proxy.decision.roster import Listed
from idp_proxy.errors import ListRefused
from idp_proxy.listing.base import Demands
from idp_proxy.listing.mattermost import MattermostList

DEMANDS = Demands(
    frozenset({"id", "email", "username"}), ("id", "email", "username"), frozenset({"example.org"})
)


@dataclass(frozen=True, slots=True)
class Account:
    """An account as `idp_proxy.mattermost` reads one."""

    id: str = "m-1"
    email: str = "alice@example.org"
    username: str = "alice"
    auth_service: str = "saml"
    auth_data: str | None = "e-1"
    roles: tuple[str, ...] = ("system_user",)
    delete_at: int = 0


ALICE = Account()
SAID = {"id": "e-1", "email": "alice@example.org", "username": "alice"}


def read(*accounts: Account, link_is: str = "") -> list[Listed]:
    people = MattermostList(lambda: accounts, DEMANDS, link_is)
    assert (people.name, people.exhaustive) == ("mattermost", False)
    return [listed for _, listed in people.people()]


@pytest.mark.parametrize(
    ("account", "listed"),
    [
        (ALICE, Listed("e-1", None, SAID, frozenset())),
        (
            replace(ALICE, roles=("system_user", "system_admin", "team_admin")),
            Listed("e-1", None, SAID, frozenset({"system_admin"})),
        ),
        (replace(ALICE, delete_at=1), Listed("e-1", None, SAID, frozenset(), deactivated=True)),
        (
            replace(ALICE, email="alice@evil.example"),
            Listed("e-1", None, SAID | {"email": "alice@evil.example"}, frozenset(), whole=False),
        ),
    ],
    ids=["a person", "an administrator", "deactivated", "another domain"],
)
def test_an_account_is_a_person_of_the_list(account: Account, listed: Listed) -> None:
    assert read(account) == [listed]


@pytest.mark.parametrize(
    ("link_is", "key"), [("", None), ("id", "e-1"), ("username", "alice"), ("email", SAID["email"])]
)
def test_a_link_key_that_mattermost_knows_is_told(link_is: str, key: str | None) -> None:
    (one,) = read(ALICE, link_is=link_is)
    assert one.link_key == key


def test_who_logs_in_otherwise_is_nobody_s_matter() -> None:
    bot = Account("m-2", auth_service="", auth_data=None)
    other = Account("m-3", auth_service="ldap", auth_data="x")
    silent = Account("m-4", auth_data="")
    assert [one.id for one in read(bot, other, silent, ALICE)] == ["e-1"]
    assert read(bot, other) == []


def test_a_server_that_tells_no_auth_data_is_told_of() -> None:
    with pytest.raises(ListRefused, match=r"tells nobody's auth_data.*2 accounts by SAML"):
        read(replace(ALICE, auth_data=None), replace(ALICE, auth_data=""))
