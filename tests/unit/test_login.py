"""The journey without HTTP: what may change between its two halves, and what is kept for how long.

The flows show the rest, with real messages.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from idp_proxy import errors
from idp_proxy.converted import NobodyConverted
from idp_proxy.decision.assurance import AssurancePolicy
from idp_proxy.decision.canary import CanaryAccounts
from idp_proxy.decision.roster import RosterPolicy
from idp_proxy.decision.subject import Evidence, Identity, Subject
from idp_proxy.decision.switching import Grace, first_state
from idp_proxy.drill_pass import DrillPasses
from idp_proxy.login import Issued, Login
from idp_proxy.login_record import LoginRecord
from idp_proxy.saml.authn_request import MAX_AGE, ServiceProvider
from idp_proxy.saml.bindings import RequestMessage, ResponseMessage
from idp_proxy.seal import KeyRing
from idp_proxy.seen_contexts import ContextMeter
from idp_proxy.store.memory import MemoryStore
from idp_proxy.store.switch_view import SwitchView
from idp_proxy.traffic import TrafficMeter
from idp_proxy.transaction import CLOCK_SKEW, unseal
from idp_proxy.upstream.base import Proof, Redirect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from idp_proxy.store.base import Spool, Store, Transaction, UsedId
    from idp_proxy.upstream.base import Ask, Pending, SentOn

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
ACS = "https://chat.example.org/login/sso/saml"
PROVIDER = ServiceProvider(ACS, ACS, "https://sso.example.org/saml/sso")
RING = KeyRing([b"k" * 32], "login")
ANSWER_WITHIN = timedelta(seconds=280)


@dataclass(slots=True)
class Known:
    """An upstream that says of everybody that it is alice."""

    name: str
    entity: str = "https://okta.example.com"
    asked: list[Ask] = field(default_factory=list)
    expires_in: timedelta = timedelta(minutes=5)

    def entity_id(self, now: datetime) -> str:
        return f"{self.entity}?{now.year}"

    def begin(self, ask: Ask) -> Redirect:
        self.asked.append(ask)
        return Redirect("https://okta.example.com/sso")

    def finish(self, message: str, pending: Pending) -> Proof:
        values = {"id": "e-1", "email": "Alice@example.org", "username": "alice"}
        evidence = Evidence(pending.now, "urn:password", (pending.entity_id,))
        return Proof(
            Subject(self.name, "e-1", values, evidence),
            message,
            pending.entity_id,
            pending.now + self.expires_in,
        )

    def why_unusable(self, now: datetime) -> str | None:
        return None if now else "never"


class Plain:
    """Writes whom it is about, unsigned."""

    def issue(
        self, identity: Identity, evidence: Evidence, in_response_to: str, now: datetime
    ) -> str:
        return f"{identity.attributes['email']} {in_response_to} {evidence.authn_context} {now}"

    def no_passive(self, in_response_to: str, now: datetime) -> str:
        return f"no passive {in_response_to} {now}"


class Recorded(MemoryStore):
    """A store that remembers until when each id counts."""

    def __init__(self) -> None:
        super().__init__("host")
        self.until: dict[str, datetime] = {}

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        with super()._transaction() as transaction:
            consume = transaction.consume

            def noted(*used: UsedId) -> None:
                consume(*used)
                self.until.update({one.kind: one.expires_at for one in used})

            transaction.consume = noted  # type: ignore[method-assign] # a spy
            yield transaction


@dataclass(slots=True)
class Memory:
    """A spool that remembers what it was told; `error` is what it answers instead."""

    told: list[UsedId] = field(default_factory=list)
    error: errors.ProxyError | None = None

    def remember(self, used: Sequence[UsedId]) -> None:
        if self.error is not None:
            raise self.error
        self.told += used

    def transaction(self) -> AbstractContextManager[Transaction]:
        raise errors.StoreError("the spool is not to be used")

    def pending(self) -> int:
        return 0

    def merge(self, store: Store) -> int:
        return 0 if store else 1

    def prune(self, now: datetime) -> int:
        return 0 if now else 1

    def close(self) -> None: ...


def journey(store: Store | None = None, **changes: Any) -> Login:
    kept = store or MemoryStore("host")
    if kept.switch_state() is None:
        with kept.transaction() as transaction:
            transaction.swap(0, first_state(["okta", "entra"], NOW))
    ids = (f"{number:022}" for number in range(1000))
    kept_as: dict[str, Any] = {
        "store": kept,
        "spool": None,
        "switch": SwitchView(kept, lambda: 0.0, lambda: NOW, kept=None),
        "active": "okta",
        "issued_to": PROVIDER.entity_id,
        "converted": NobodyConverted(),
        "canaries": CanaryAccounts(),
        "withheld_from_standby": frozenset(),
        "answer_within": ANSWER_WITHIN,
        "roster_policy": RosterPolicy(),
        "assurance": AssurancePolicy("okta"),
        "contexts": ContextMeter(),
        "new_id": lambda: next(ids),
    }
    for name in kept_as.keys() & changes.keys() - {"answer_within"}:
        kept_as[name] = changes.pop(name)
    usual: dict[str, Any] = {
        "provider": PROVIDER,
        "upstreams": {"okta": Known("okta"), "entra": Known("entra")},
        "switch": SwitchView(kept, lambda: 0.0, lambda: NOW, kept=None),
        "record": LoginRecord(**kept_as),
        "responses": Plain(),
        "drills": DrillPasses(kept, KeyRing([b"k" * 32], "drill")),
        "meter": TrafficMeter(),
        "ring": RING,
        "now": lambda: NOW,
        "new_id": lambda: next(ids),
        "answer_within": ANSWER_WITHIN,
        "standby_session": timedelta(hours=8),
        "grace": Grace(),
    }
    return Login(**usual | changes)


def request(relay_state: str | None = "state") -> RequestMessage:
    xml = (
        '<p:AuthnRequest xmlns:p="urn:oasis:names:tc:SAML:2.0:protocol"'
        ' xmlns:a="urn:oasis:names:tc:SAML:2.0:assertion" ID="_mm" Version="2.0"'
        f' IssueInstant="2026-03-01T12:00:00Z"><a:Issuer>{ACS}</a:Issuer></p:AuthnRequest>'
    )
    return RequestMessage(xml.encode(), relay_state)


def finish(login: Login, begun: SentOn, assertion: str = "_a") -> Issued:
    return login.complete("okta", ResponseMessage(assertion, begun.tid), lambda _: begun.sealed)


def test_what_was_sealed_is_what_was_asked() -> None:
    login = journey()
    begun = login.begin(request())
    transaction = unseal(begun.sealed, begun.tid, RING)
    assert transaction is not None
    assert (transaction.sp_request_id, transaction.relay_state) == ("_mm", "state")
    assert (transaction.upstream, transaction.epoch) == ("okta", 1)
    okta = login.upstreams["okta"]
    assert isinstance(okta, Known)
    (ask,) = okta.asked
    assert ask.request_id == transaction.request_id
    assert ask.relay_state == begun.tid == transaction.tid


def test_the_response_is_for_the_request_of_mattermost() -> None:
    login = journey()
    issued = finish(login, login.begin(request()))
    assert issued == Issued(
        ACS, f"alice@example.org _mm urn:password {NOW}", "state", "okta", "logged_in"
    )


def test_each_id_is_kept_for_as_long_as_it_could_count_again() -> None:
    store = Recorded()
    login = journey(store)
    finish(login, login.begin(request()))
    until = NOW + ANSWER_WITHIN + CLOCK_SKEW
    assert store.until == {
        "transaction": until,
        "request": until + MAX_AGE + CLOCK_SKEW,
        "assertion": until,
    }


def test_an_assertion_that_lives_longer_is_kept_longer() -> None:
    store = Recorded()
    login = journey(store, upstreams={"okta": Known("okta", expires_in=timedelta(hours=1))})
    finish(login, login.begin(request()))
    assert store.until["assertion"] == NOW + timedelta(hours=1)


# --- what may change in mid-login ----------------------------------------------------------------


def test_an_upstream_that_was_removed_is_no_longer_answered() -> None:
    store = MemoryStore("host")
    begun = journey(store).begin(request())
    login = journey(store, upstreams={"entra": Known("entra")}, active="entra")
    with pytest.raises(errors.LoginNotAsked, match="FO-01"):
        finish(login, begun)


def test_where_the_serving_upstream_was_removed_nobody_begins() -> None:
    login = journey(upstreams={"entra": Known("entra")}, active="entra")
    with pytest.raises(errors.UpstreamUnavailable, match="okta takes no logins"):
        login.begin(request())


def test_an_answer_does_not_go_to_an_address_that_is_no_longer_registered() -> None:
    store = MemoryStore("host")
    begun = journey(store).begin(request())
    moved = replace(PROVIDER, acs_url="https://chat.example.org/new")
    with pytest.raises(errors.LoginExpired, match="address"):
        finish(journey(store, provider=moved), begun)


def test_another_host_with_the_same_keys_can_finish() -> None:
    store = MemoryStore("host")
    begun = journey(store).begin(request())
    new_first = KeyRing([b"n" * 32, b"k" * 32], "login")
    assert finish(journey(store, ring=new_first), begun).outcome == "logged_in"


def test_a_host_without_the_key_cannot() -> None:
    store = MemoryStore("host")
    begun = journey(store).begin(request())
    with pytest.raises(errors.LoginUnknown):
        finish(journey(store, ring=KeyRing([b"n" * 32], "login")), begun)


# --- the store and the spool ---------------------------------------------------------------------


def test_the_spool_is_told_of_every_login_that_counted() -> None:
    spool = Memory()
    told: Spool = spool
    login = journey(spool=told)
    begun = login.begin(request())
    finish(login, begun)
    assert {(one.kind, one.value) for one in spool.told} == {
        ("request", "_mm"),
        ("transaction", begun.tid),
        ("assertion", "_a"),
    }


@pytest.mark.parametrize("error", [errors.StoreError("disk full"), errors.ReplayDetected("known")])
def test_a_spool_that_cannot_remember_stops_the_login(error: errors.ProxyError) -> None:
    login = journey(spool=Memory(error=error))
    begun = login.begin(request())
    with pytest.raises(type(error)):
        finish(login, begun)


def test_what_the_store_refuses_is_not_taken_to_the_spool() -> None:
    """A replay and a conflict are answers of the store, not its absence."""
    spool = Memory()
    login = journey(spool=spool)
    begun = login.begin(request())
    finish(login, begun)
    with pytest.raises(errors.ReplayDetected):
        finish(login, begun)

    class Contested(MemoryStore):
        def transaction(self) -> Any:
            raise errors.StoreConflict("somebody was faster")

    kept = Contested("host")
    kept._contents.state = first_state(["okta", "entra"], NOW)
    login = journey(kept, spool=spool)
    begun = login.begin(request())
    with pytest.raises(errors.StoreConflict):
        finish(login, begun)
    assert len(spool.told) == 3
