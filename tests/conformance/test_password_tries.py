"""What counts of wrong passwords may rely on, held against every kind of store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from idp_proxy.decision.password_limits import Count
from idp_proxy.errors import StoreError
from idp_proxy.store.local import LocalSpool
from tests.conformance.rooms import NOW, SOON

if TYPE_CHECKING:
    from pathlib import Path

    from idp_proxy.store.memory import MemoryStore
    from idp_proxy.store.sql import SqlStore

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
