"""Who is let in by their account alone: `decision.roster.by_hand`, and what its rows never do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from idp_proxy.decision.roster import (
    BY_HAND,
    BY_OPERATOR,
    Account,
    Comparison,
    Effect,
    Landed,
    Listed,
    RosterPolicy,
    RosterRow,
    Run,
    Tally,
    judge_standby,
    land,
    learn,
    row_of,
    unnamed,
    why_no_account,
    why_taken,
)
from idp_proxy.decision.subject import Evidence, Subject

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
EVIDENCE = Evidence(NOW, "urn:oasis:names:tc:SAML:2.0:ac:classes:Password", ("https://idp",))
ALICE = Account("alice@example.org", "alice", "saml", "e-1", frozenset({"system_user"}))
ROW = row_of(ALICE, "1001")
RUN = Run("csv", NOW)


def other(person: str, **changes: Any) -> RosterRow:
    said = {"id": person, "email": f"{person}@example.org", "username": person}
    usual: dict[str, Any] = {
        "link_key": f"k-{person}",
        "lookup_key": f"k-{person}",
        "email": said["email"],
        "username": person,
        "attributes": said,
        "source": "okta",
        "confirmed_at": NOW,
    }
    return RosterRow(person, **usual | changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"is_bot": True}, "a bot"),
        ({"deactivated": True}, "deactivated"),
        ({"auth_service": ""}, "a password of its own"),
        ({"auth_service": "ldap"}, "logs in by 'ldap'"),
        ({"auth_service": "SAML"}, "logs in by 'SAML'"),
        ({"auth_data": ""}, "does not tell its auth_data"),
        ({"roles": frozenset({"system_user", "system_admin"})}, "FO-11"),
        ({"roles": frozenset({"system_guest"})}, None),
    ],
)
def test_which_accounts_admit_nobody(changes: dict[str, Any], said: str | None) -> None:
    why = why_no_account(replace(ALICE, **changes), privileged=False)
    assert why == said or (said is not None and why is not None and said in why)


def test_an_administrator_s_account_takes_so_many_words() -> None:
    admin = replace(ALICE, roles=frozenset({"system_admin", "team_admin"}))
    assert why_no_account(admin, privileged=True) is None
    assert row_of(admin, "1001").roles == {"system_admin"}


@pytest.mark.parametrize(
    ("who", "called"),
    [
        ("e-1", True),
        ("E-1", False),
        ("ALICE", True),
        ("Alice@Example.org", True),
        ("\u0430lice", False),
        ("alic", False),
        ("", False),
    ],
)
def test_an_account_is_meant_by_its_id_to_the_letter_or_a_name(who: str, *, called: bool) -> None:
    assert ALICE.is_called(who) is called


def test_a_row_that_an_approver_s_word_made_is_confirmed_by_nothing() -> None:
    assert (ROW.source, ROW.confirmed_at, ROW.imported_at) == (BY_HAND, None, None)
    assert (ROW.id, ROW.lookup_key, ROW.is_by_login) == ("e-1", "1001", False)
    assert row_of(ALICE, " ").lookup_key is None
    subject = Subject("entra", "1001", {}, EVIDENCE)
    judged = judge_standby(subject, ROW, RosterPolicy(), NOW)
    assert "FO-08: no login at the active; no import" in getattr(judged, "reason", "")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"id": "e-1"}, None),
        ({"id": "E-1"}, "only case or form tells the ids apart"),
        ({"id": "\uff45-1"}, "only case or form tells the ids apart"),
        ({"lookup_key": "1001"}, "the link key is theirs"),
        ({"link_key": "\uff11001", "lookup_key": None}, "the link key is theirs"),
        ({"email": "Alice@Example.org"}, "the email address is theirs"),
        ({"username": "ALICE"}, "the user name is theirs"),
        ({"link_key": "l00l", "lookup_key": "l00l"}, "the link key looks like theirs"),
        ({"link_key": "1001", "lookup_key": None, "blocks": {"operator"}}, "is theirs"),
    ],
)
def test_nobody_is_admitted_who_could_be_taken_for_somebody_else(
    changes: dict[str, Any], said: str | None
) -> None:
    somebody = replace(other("bob"), **changes)
    why = why_taken(ROW, somebody)
    assert why == said or (said is not None and why is not None and said in why)


def test_a_letter_of_another_script_is_no_way_past_somebody() -> None:
    paul = other("paul", link_key="paul", lookup_key="paul")
    assert why_taken(row_of(ALICE, "p\u0430ul"), paul) == "the link key looks like theirs"


def test_the_active_s_word_takes_the_key_and_no_conflict_stays() -> None:
    bob = Subject("okta", "1001", dict(other("bob").attributes), EVIDENCE)
    former, row = learn(bob, None, ROW, NOW)
    assert former == replace(ROW, lookup_key=None)
    assert (row.id, row.lookup_key, row.conflict) == ("bob", "1001", False)
    blocked = replace(ROW, blocks=frozenset({BY_OPERATOR}))
    (hers,) = learn(replace(bob, attributes=dict(ROW.attributes)), blocked, blocked, NOW)
    assert (hers.source, hers.confirmed_at, hers.blocks) == ("okta", NOW, blocked.blocks)


@pytest.mark.parametrize(
    ("listed", "effect", "rows"),
    [
        pytest.param(
            Listed("e-1", None, ROW.attributes, frozenset({"system_guest"})),
            Effect.INCOMPLETE,
            (replace(ROW, roles=frozenset({"system_guest"})),),
            id="a list without keys vouches for the account, not for the key",
        ),
        pytest.param(
            Listed("e-1", "1001", ROW.attributes),
            Effect.CONFIRMED,
            (replace(ROW, source="import:csv", imported_at=NOW),),
            id="a list with the key takes the person over",
        ),
        pytest.param(
            Listed("e-1", "2", ROW.attributes),
            Effect.CHANGED,
            (replace(ROW, source="import:csv", imported_at=NOW, link_key="2", lookup_key="2"),),
            id="a list with another key is right",
        ),
        pytest.param(
            Listed("e-1", None, ROW.attributes, deactivated=True),
            Effect.DEACTIVATED,
            (replace(ROW, blocks=frozenset({"deactivated:csv"})),),
            id="deactivated",
        ),
    ],
)
def test_what_a_list_makes_of_somebody_admitted(
    listed: Listed, effect: Effect, rows: tuple[RosterRow, ...]
) -> None:
    assert land(listed, ROW, ROW, RUN, moves=False) == Landed(rows, effect)


def test_a_list_s_person_takes_the_key_of_somebody_admitted() -> None:
    bob = Listed("bob", "1001", other("bob").attributes)
    landed = land(bob, None, ROW, RUN, moves=False)
    assert landed.effect is Effect.NEW
    assert landed.rows[0] == replace(ROW, lookup_key=None)
    assert not landed.rows[1].conflict


def test_who_was_admitted_is_missing_from_no_list_and_hides_nobody_who_is() -> None:
    assert unnamed(ROW, RUN) is None
    tally = Tally()
    gone = Landed((replace(ROW, blocks=frozenset({"deactivated:csv"})),), Effect.DEACTIVATED)
    tally.count(ROW, gone, RUN)
    assert (tally.named, tally.blocked) == (1, 0)


def test_who_was_once_admitted_is_mistaken_for_nobody() -> None:
    comparison = Comparison(frozenset({"email", "first_name"}))
    twin = other("alice", attributes={"email": "x", "first_name": "A"})
    for row in (twin, ROW):
        comparison.first(row)
    for row in (twin, ROW):
        comparison.second(row)
    assert list(comparison.odd()) == []
