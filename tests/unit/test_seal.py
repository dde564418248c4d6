"""Sealing: opens for its purpose, its context and its keys, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idp_proxy.seal import KeyRing

OLD, NEW = b"o" * 32, b"n" * 32
RING = KeyRing([NEW], "login")


@settings(deadline=None)
@given(st.text(max_size=60), st.binary(max_size=300))
def test_what_was_sealed_comes_back(context: str, content: bytes) -> None:
    assert RING.open(context, RING.seal(context, content)) == content


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=60), st.data())
def test_one_changed_bit_anywhere_closes_it(content: bytes, data: st.DataObject) -> None:
    sealed = bytearray(RING.seal("tid", content))
    at = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[at // 8] ^= 1 << at % 8
    assert RING.open("tid", bytes(sealed)) is None


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_nothing_that_was_not_sealed_opens(junk: bytes) -> None:
    assert RING.open("tid", junk) is None


def test_another_context_purpose_or_key_does_not_open_it() -> None:
    sealed = RING.seal("tid", b"content")
    assert RING.open("tid2", sealed) is None
    assert KeyRing([NEW], "enroll").open("tid", sealed) is None
    assert KeyRing([OLD], "login").open("tid", sealed) is None


def test_purpose_and_context_do_not_run_into_each_other() -> None:
    assert KeyRing([NEW], "a\0b").open("c", KeyRing([NEW], "a").seal("b\0c", b"x")) is None


def test_a_key_is_replaced_in_three_steps_without_losing_a_login() -> None:
    begun = KeyRing([OLD], "login").seal("tid", b"begun before")
    announced = KeyRing([OLD, NEW], "login")
    assert announced.open("tid", begun) == b"begun before"
    promoted = KeyRing([NEW, OLD], "login")
    assert promoted.open("tid", begun) == b"begun before"
    assert announced.open("tid", promoted.seal("tid", b"begun after")) == b"begun after"
    assert KeyRing([NEW], "login").open("tid", begun) is None


def test_the_same_content_is_never_sealed_alike() -> None:
    assert len({RING.seal("tid", b"content") for _ in range(50)}) == 50


@pytest.mark.parametrize("keys", [[], [b""], [b"k" * 31], [b"k" * 33], [NEW, b"short"]])
def test_a_ring_of_other_keys_is_not_made(keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="32 octets"):
        KeyRing(keys, "login")
