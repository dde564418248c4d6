"""Who may be forgotten, and that nothing which is to stay says who it was."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from idp_proxy.decision.forgetting import Kept, names_whom, why_not_forgotten
from idp_proxy.decision.roster import BY_OPERATOR, RosterRow

ROW = RosterRow(
    id="e-4711",
    link_key="Ada.Key",
    lookup_key="ada.key",
    email="Ada@Example.org",
    username="ada",
    attributes={"id": "e-4711"},
    source="okta",
    confirmed_at=datetime(2026, 3, 1, tzinfo=UTC),
)


@pytest.mark.parametrize(
    ("kept", "why"),
    [
        (Kept(), None),
        (Kept(ROW, admissions=1, factors=3, tries=1, pseudonyms=2), None),
        # Whoever left is no longer named by a list: that is how most people get here.
        (Kept(replace(ROW, blocks=frozenset({"missing:csv"}))), None),
        (Kept(replace(ROW, blocks=frozenset({"missing:csv", BY_OPERATOR}))), "blocked no more"),
        (Kept(ROW, standby_logins=2), "2 of their logins by a standby are not settled"),
        (Kept(standby_logins=1), "standby-logins revoke comes first"),
    ],
)
def test_what_protects_others_is_not_erased(kept: Kept, why: str | None) -> None:
    found = why_not_forgotten(kept)
    assert found is None if why is None else why in str(found)


def test_somebody_of_whom_nothing_is_kept_is_unknown() -> None:
    assert Kept().is_nothing
    assert not Kept(pseudonyms=1).is_nothing
    assert not Kept(ROW).is_nothing


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a request of 2026-03-02, ticket 815", False),
        ("Ada asked", True),
        ("ADA@EXAMPLE.ORG asked", True),
        ("the key was ada.KEY", True),
        ("account e-4711", True),
        ("(ada)", True),
        ("no adaptation; Adair, canada", False),
        ("e-47112 is another one", False),
    ],
)
def test_a_reason_that_stays_names_nobody(text: str, says: bool) -> None:
    assert names_whom(text, "e-4711", ROW) is says


def test_of_somebody_without_a_row_only_the_id_is_known() -> None:
    assert names_whom("E-4711 left", "e-4711", None)
    assert not names_whom("ada left", "e-4711", None)
    assert not names_whom("anything", "e-4711", replace(ROW, link_key="", email="", username=""))
