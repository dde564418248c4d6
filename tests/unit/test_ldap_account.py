"""What a directory's answer to a person's bind means."""

from __future__ import annotations

from typing import Any

import pytest

from idp_proxy.upstream.ldap_account import POLICY, AccountState, account_state, told


def answer(code: int, said: str = "", policy: bytes | None = None) -> dict[str, Any]:
    controls = {} if policy is None else {POLICY: {"value": policy}}
    return {"result": code, "description": "x", "message": said, "controls": controls}


def active_directory(data: str) -> str:
    return f"80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data {data}"


def octets(*values: int) -> bytes:
    return bytes(values)


@pytest.mark.parametrize(
    ("data", "state"),
    [
        ("525, v1db1", AccountState.WRONG),
        ("52e, v1db1", AccountState.WRONG),
        ("52f, v1db1", AccountState.REFUSED),
        ("530, v1db1", AccountState.NOT_NOW),
        ("531, v1db1", AccountState.NOT_HERE),
        ("532, v1db1", AccountState.EXPIRED),
        ("533, v1db1", AccountState.DISABLED),
        ("569, v1db1", AccountState.REFUSED),
        ("701, v1db1", AccountState.ACCOUNT_EXPIRED),
        ("773, v1db1", AccountState.MUST_CHANGE),
        ("775, v1db1", AccountState.LOCKED),
        ("52e", AccountState.WRONG),
        ("57, v1db1", AccountState.WRONG),
        ("80090346, v1db1", AccountState.WRONG),
        ("abc, v1db1", AccountState.WRONG),
    ],
)
def test_active_directory_tells_accounts_apart_in_its_text(data: str, state: AccountState) -> None:
    assert account_state(answer(49, active_directory(data))) is state
    assert not state.proves


@pytest.mark.parametrize(
    ("code", "policy", "state"),
    [
        (0, None, AccountState.RIGHT),
        (0, b"", AccountState.RIGHT),
        (0, octets(0x30, 0), AccountState.RIGHT),
        # A warning: it expires in 60 s; two grace logins are left, and none.
        (0, octets(0x30, 5, 0xA0, 3, 0x80, 1, 60), AccountState.RIGHT),
        (0, octets(0x30, 5, 0xA0, 3, 0x81, 1, 2), AccountState.GRACE),
        (0, octets(0x30, 5, 0xA0, 3, 0x81, 1, 0), AccountState.GRACE),
        # It was right, and must be changed; expired; locked; of an error that nobody knows.
        (0, octets(0x30, 3, 0x81, 1, 2), AccountState.MUST_CHANGE),
        (0, octets(0x30, 3, 0x81, 1, 0), AccountState.EXPIRED),
        (0, octets(0x30, 3, 0x81, 1, 1), AccountState.LOCKED),
        (0, octets(0x30, 3, 0x81, 1, 77), AccountState.REFUSED),
        # A grace login that must be changed all the same.
        (0, octets(0x30, 8, 0xA0, 3, 0x81, 1, 2, 0x81, 1, 2), AccountState.MUST_CHANGE),
        # What cannot be read, and what has more behind it.
        (0, octets(0x30, 9), AccountState.REFUSED),
        (0, octets(0x30, 0, 0), AccountState.REFUSED),
        (0, octets(0x04, 1, 65), AccountState.REFUSED),
        (49, octets(0x30, 3, 0x81, 1, 1), AccountState.LOCKED),
        (49, octets(0x30, 3, 0x81, 1, 0), AccountState.EXPIRED),
        (49, octets(0x30, 9), AccountState.WRONG),
        (19, None, AccountState.LOCKED),
        (32, None, AccountState.WRONG),
        (34, None, AccountState.WRONG),
        (48, None, AccountState.NO_PASSWORD),
        (50, None, AccountState.REFUSED),
        (53, None, AccountState.DISABLED),
        (1, None, None),
        (8, None, None),
        (10, None, None),
        (51, None, None),
        (52, None, None),
    ],
)
def test_other_directories_tell_them_apart_by_code_and_control(
    code: int, policy: bytes | None, state: AccountState | None
) -> None:
    assert account_state(answer(code, policy=policy)) is state


def test_nobody_gets_in_by_what_a_text_says() -> None:
    for state in AccountState:
        assert state.proves is (state in {AccountState.RIGHT, AccountState.GRACE})
    assert account_state(answer(49, "data 000, success")) is AccountState.WRONG
    assert account_state(answer(0, active_directory("533"))) is AccountState.RIGHT


def test_what_is_told_of_it_is_one_harmless_line() -> None:
    assert told(answer(49, active_directory("533"))) == (
        "refuses name or password (49): the account is disabled"
    )
    assert "\n" not in told(answer(80, "a\nb" * 400))
