"""What counts of wrong passwords may rely on, held against every kind of store."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from idp_proxy.decision.password_limits import Count, PasswordLimits
from idp_proxy.decision.subject import Evidence, Subject
from idp_proxy.directory_login import DirectoryLogin, NotProven
from idp_proxy.errors import StoreError
from idp_proxy.store.local import LocalSpool
from idp_proxy.upstream.base import Found
from idp_proxy.upstream.ldap_account import AccountState
from tests.conformance.rooms import NOW, SOON

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from idp_proxy.store.memory import MemoryStore
    from idp_proxy.store.sql import SqlStore
    from tests.conformance.rooms import Room

    AnyStore = MemoryStore | SqlStore

ONE, TWO = b"1" * 32, b"2" * 32


def test_counts_come_back_and_are_forgotten(store: AnyStore) -> None:
    assert store.password_counts_of([ONE]) == {}
    with store.transaction() as tx:
        assert tx.password_counts([TWO, ONE], NOW) == {ONE: Count(0, NOW), TWO: Count(0, NOW)}
        tx.save_password_counts({ONE: Count(2.5, NOW)}, SOON)
    assert store.password_counts_of([ONE])[ONE] == Count(2.5, NOW)
    store.prune(SOON + timedelta(seconds=1))
    assert store.password_counts_of([ONE, TWO]) == {}


def test_of_many_at_once_each_sees_the_others(store: AnyStore) -> None:
    def one_more(number: int) -> None:
        keys = (ONE, TWO) if number % 2 else (TWO, ONE)
        with store.transaction() as tx:
            known = tx.password_counts(keys, NOW)
            new = {key: Count(count.failures + 1, NOW) for key, count in known.items()}
            tx.save_password_counts(new, SOON)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one_more, range(20)))
    assert {one.failures for one in store.password_counts_of([ONE, TWO]).values()} == {20}


@dataclass(slots=True)
class Corp:
    """A directory of one person, for every host; it counts what reaches it."""

    name: str = "corp"
    limits: PasswordLimits = field(default_factory=PasswordLimits)
    asked: list[str] = field(default_factory=list)

    def find(self, typed: str) -> Found:
        return Found("uid=ann", {}, 1) if typed == "ann" else Found(None, {}, 0)

    def prove(self, _name: str | None, password: str) -> AccountState:
        self.asked.append(password)
        return AccountState.RIGHT if password == "right" else AccountState.WRONG

    def subject(self, _found: Found, at: datetime) -> Subject:
        return Subject("corp", "e-1", {}, Evidence(at, "urn:password", ()))


def test_two_hosts_at_once_let_through_no_more_than_one(room: Room) -> None:
    """Sixteen guesses at the same moment, half of them at another host: what reaches the directory
    is the one half of a person's tries, and the right password from home still counts.
    """
    corp = Corp()
    hosts = [
        DirectoryLogin(
            directory=corp, networks=(), store=room.open(name), key=b"k" * 32, now=lambda: NOW
        )
        for name in ("host", "other")
    ]
    assert isinstance(hosts[0].attempt("ann", "right", "192.0.2.9"), Subject)
    corp.asked.clear()
    together = Barrier(16)

    def guess(number: int) -> Subject | NotProven:
        together.wait()
        return hosts[number % 2].attempt("ann", f"guess {number}", f"198.51.100.{number}")

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(guess, range(16)))
    assert len(corp.asked) == 4
    told = Counter(one.why for one in answers if isinstance(one, NotProven))
    assert told == {"wrong_password": 4, "too many failures: person_elsewhere": 12}
    assert isinstance(hosts[1].attempt("ann", "right", "192.0.2.9"), Subject)


def test_what_fails_counts_nothing(store: AnyStore) -> None:
    def fails() -> None:
        with store.transaction() as tx:
            tx.password_counts([ONE], NOW)
            tx.save_password_counts({ONE: Count(2, NOW)}, SOON)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert store.password_counts_of([ONE]) == {}


def test_a_spool_knows_none(store: AnyStore, tmp_path: Path) -> None:
    spool = LocalSpool(tmp_path / "spool.db", "host", known_head=store.known_head, now=lambda: NOW)
    with pytest.raises(StoreError), spool.transaction() as tx:
        tx.password_counts([ONE], NOW)
    with pytest.raises(StoreError), spool.transaction() as tx:
        tx.save_password_counts({}, SOON)
    spool.close()
