"""What second factors may rely on, held against every kind of store."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier
from typing import TYPE_CHECKING

import pyotp
import pytest

from idp_proxy.decision.second_factor import COPIED, FAILURES, Factor, Method, Tries, Why
from idp_proxy.errors import StoreError
from idp_proxy.factors.proving import Proving
from idp_proxy.factors.sealing import key_ring, sealed
from idp_proxy.store.local import LocalSpool
from tests.conformance.rooms import NOW, SOON

if TYPE_CHECKING:
    from pathlib import Path

    from idp_proxy.store.memory import MemoryStore
    from idp_proxy.store.sql import SqlStore
    from tests.conformance.rooms import Room

    AnyStore = MemoryStore | SqlStore

TOTP = Factor("f-1", "p-1", Method.TOTP, NOW, 58_000_000, b"sealed")
KEY = Factor("f-2", "p-1", Method.PASSKEY, NOW + timedelta(seconds=1), 0, b"\0key")
OTHERS = Factor("f-3", "p-2", Method.RECOVERY, NOW, 0, b"other")
LOCKED = Tries("p-1", 2, 3, NOW, SOON)


def keep(store: AnyStore, *factors: Factor) -> None:
    with store.transaction() as tx:
        tx.add_factors(factors)


def test_factors_come_back_as_they_were_each_person_s_own(store: AnyStore) -> None:
    assert store.factors_of("p-1") == ()
    assert store.factor_holders() == frozenset()
    keep(store, KEY, TOTP, OTHERS)
    keep(store)
    assert store.factors_of("p-1") == (TOTP, KEY)
    assert store.factors_of("p-2") == (OTHERS,)
    with store.transaction() as tx:
        assert tx.factors("p-1") == (TOTP, KEY)
    assert store.factor_holders() == {"p-1", "p-2"}
    assert store.factors_after("", 2) == (TOTP, KEY)
    assert store.factors_after("f-2", 2) == (OTHERS,)
    assert store.factors_after("f-3", 2) == ()


def test_who_has_only_what_is_used_up_counts_as_having_none(store: AnyStore) -> None:
    keep(store, replace(KEY, mark=COPIED), replace(OTHERS, mark=1))
    assert store.factor_holders() == frozenset()


def test_a_mark_moves_once_from_what_was_read(store: AnyStore) -> None:
    keep(store, TOTP)
    with store.transaction() as tx:
        assert tx.use_factor(TOTP, 58_000_001, b"anew", SOON)
        assert not tx.use_factor(TOTP, 58_000_002, b"late", SOON)
    (known,) = store.factors_of("p-1")
    assert known == replace(TOTP, mark=58_000_001, sealed=b"anew", used_at=SOON)
    with store.transaction() as tx:
        assert not tx.use_factor(replace(known, person="p-2"), 1, b"stolen", SOON)
        assert not tx.use_factor(replace(known, id="gone"), 1, b"gone", SOON)
    assert store.factors_of("p-1") == (known,)


def test_nobody_removes_what_is_another_person_s(store: AnyStore) -> None:
    keep(store, TOTP, KEY, OTHERS)
    with store.transaction() as tx:
        assert tx.remove_factors("p-1", ["f-2", "f-3", "x"]) == 1
    assert store.factors_of("p-1") == (TOTP,)
    assert store.factors_of("p-2") == (OTHERS,)


def test_wrong_codes_are_kept_by_person(store: AnyStore) -> None:
    with store.transaction() as tx:
        assert tx.factor_tries("p-1") == Tries("p-1")
        tx.save_factor_tries(LOCKED)
        assert tx.factor_tries("p-1") == LOCKED
    assert store.factor_tries_of("p-1") == LOCKED
    assert store.factor_tries_of("p-2") == Tries("p-2")


def test_what_is_rolled_back_was_never_there(store: AnyStore) -> None:
    keep(store, TOTP)

    def interrupted() -> None:
        with store.transaction() as tx:
            tx.factor_tries("p-1")
            tx.save_factor_tries(LOCKED)
            tx.use_factor(TOTP, 60_000_000, b"", SOON)
            tx.add_factors([KEY])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    assert store.factors_of("p-1") == (TOTP,)
    assert store.factor_tries_of("p-1") == Tries("p-1")


def test_two_hosts_that_use_one_code_at_once_count_it_once(room: Room) -> None:
    """Each reads the mark, and then both write: the store lets one of them."""
    keep(room.open(), TOTP)
    here, there, together = room.open("host"), room.open("other"), Barrier(2)

    def attempt(store: AnyStore) -> bool:
        together.wait()
        with store.transaction() as tx:
            tries = tx.factor_tries("p-1")
            (known,) = tx.factors("p-1")
            tx.save_factor_tries(replace(tries, failures=tries.failures + 1))
            return known.mark == TOTP.mark and tx.use_factor(known, 60_000_000, b"", SOON)

    with ThreadPoolExecutor(2) as pool:
        counted = list(pool.map(attempt, (here, there)))
    assert sorted(counted) == [False, True]
    assert here.factor_tries_of("p-1").failures == 2


def test_one_code_shown_to_two_hosts_many_times_counts_once(room: Room) -> None:
    """As somebody would who saw it over a shoulder: the others are told that it was used."""
    secret, ring = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", key_ring([b"k" * 32])
    shut = sealed(ring, "p-1", Method.TOTP, secret.encode())
    keep(room.open("host"), replace(TOTP, mark=0, sealed=shut))
    hosts = [Proving(store=room.open(name), ring=ring, party=None) for name in ("host", "other")]
    together = Barrier(8)

    def show(number: int) -> Method | Why:
        together.wait()
        return hosts[number % 2].code("p-1", pyotp.TOTP(secret).at(NOW), NOW)

    with ThreadPoolExecutor(8) as pool:
        told = Counter(pool.map(show, range(8)))
    # Each that came too late is one more wrong code, at whichever host: the fifth of them locks.
    assert told == {Method.TOTP: 1, Why.REPEATED: FAILURES, Why.LOCKED: 7 - FAILURES}


def test_the_spool_knows_no_factor(tmp_path: Path, store: AnyStore) -> None:
    spool = LocalSpool(tmp_path / "spool.db", "host", known_head=store.known_head, now=lambda: NOW)
    with spool.transaction() as tx:
        for asked in (
            lambda: tx.factors("p-1"),
            lambda: tx.add_factors([TOTP]),
            lambda: tx.remove_factors("p-1", ["f-1"]),
            lambda: tx.use_factor(TOTP, 1, b"", NOW),
            lambda: tx.factor_tries("p-1"),
            lambda: tx.save_factor_tries(LOCKED),
        ):
            with pytest.raises(StoreError, match="away"):
                asked()
    spool.close()
