"""The second way to end a login: by what somebody proved on a page of ours."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from idp_proxy import errors
from idp_proxy.decision.subject import Evidence, Subject
from idp_proxy.saml.names import PASSWORD_PROTECTED_TRANSPORT
from idp_proxy.store.memory import MemoryStore
from tests.unit.test_login import ACS, ANSWER_WITHIN, NOW, PROVIDER, Recorded, journey, request

if TYPE_CHECKING:
    from idp_proxy.login import Issued, Login
    from idp_proxy.upstream.base import SentOn

ALICE = Subject(
    "okta",
    "e-1",
    {"id": "e-1", "email": "alice@example.org", "username": "alice"},
    Evidence(
        NOW, PASSWORD_PROTECTED_TRANSPORT, ("https://sso.example.org/upstream/okta/directory",)
    ),
)


def prove(login: Login, begun: SentOn, subject: Subject = ALICE, at: str = "okta") -> Issued:
    return login.prove(at, begun.tid, subject, lambda _: begun.sealed)


def test_what_was_proven_here_ends_a_login_as_an_answer_does() -> None:
    store = Recorded()
    login = journey(store)
    issued = prove(login, login.begin(request()))
    assert issued.saml_response == f"alice@example.org _mm {PASSWORD_PROTECTED_TRANSPORT} {NOW}"
    assert (issued.acs_url, issued.relay_state, issued.outcome) == (ACS, "state", "logged_in")
    assert set(store.until) == {"request", "transaction", "assertion"}
    (row,) = store.audit_rows()
    assert (row.kind, row.facts["issuer"]) == ("login", "https://okta.example.com?2026")


def test_it_counts_once() -> None:
    login = journey()
    begun = login.begin(request())
    login.asked_here("okta", begun.tid, lambda _: begun.sealed)
    prove(login, begun)
    with pytest.raises(errors.ReplayDetected):
        prove(login, begun)
    with pytest.raises(errors.ReplayDetected, match="came to its end"):
        login.asked_here("okta", begun.tid, lambda _: begun.sealed)


@pytest.mark.parametrize(
    ("subject", "at", "rule"),
    [
        (ALICE, "entra", "FO-01: asked okta, answered to entra"),
        (replace(ALICE, upstream="entra"), "okta", "FO-01: asked okta, proven at entra"),
    ],
    ids=["at another page", "by another directory"],
)
def test_only_the_upstream_that_was_asked_proves_it(subject: Subject, at: str, rule: str) -> None:
    store = MemoryStore("host")
    login = journey(store)
    with pytest.raises(errors.LoginNotAsked, match=rule):
        prove(login, login.begin(request()), subject, at)
    assert not list(store.audit_rows())


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"now": lambda: NOW + ANSWER_WITHIN + timedelta(seconds=1)}, errors.LoginExpired),
        ({"provider": replace(PROVIDER, acs_url=f"{ACS}/new")}, errors.LoginExpired),
    ],
    ids=["too late", "another address"],
)
def test_a_login_that_is_over_is_neither_shown_nor_ended(
    changes: dict[str, Any], error: type[errors.LoginError]
) -> None:
    store = MemoryStore("host")
    begun = journey(store).begin(request())
    later = journey(store, **changes)
    with pytest.raises(error):
        later.asked_here("okta", begun.tid, lambda _: begun.sealed)
    with pytest.raises(error):
        prove(later, begun)


def test_another_browser_cannot_end_it() -> None:
    login = journey()
    begun, other = login.begin(request()), login.begin(request())
    with pytest.raises(errors.LoginUnknown):
        login.prove("okta", begun.tid, ALICE, lambda _: other.sealed)
    with pytest.raises(errors.LoginUnknown):
        login.asked_here("okta", begun.tid, lambda _: None)


def test_where_no_page_may_be_shown_the_login_ends_without_one() -> None:
    login = journey()
    begun = login.begin(request())
    issued = login.not_passive("okta", begun.tid, lambda _: begun.sealed)
    assert (issued.saml_response, issued.outcome) == (f"no passive _mm {NOW}", "no_passive")
