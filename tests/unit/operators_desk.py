"""Operators in a database of their own, each with a device: what their tests share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from argon2.profiles import CHEAPEST
from pyotp import TOTP
from sqlalchemy import select, update

from idp_proxy.audit.log import AuditLog, rows, verify_log
from idp_proxy.decision.approval import Role
from idp_proxy.operators import accounts
from idp_proxy.operators.accounts import PURPOSE, Enrolment, Operator, enrol
from idp_proxy.operators.factor import new_secret
from idp_proxy.operators.passwords import Passwords
from idp_proxy.operators.refusals import OperatorRefused, Why
from idp_proxy.operators.sign_in import Credential, SignIn
from idp_proxy.operators.tables import operator
from idp_proxy.seal import KeyRing
from idp_proxy.store.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from idp_proxy.audit.chain import Row

NOW = datetime(2026, 3, 1, 3, 0, 10, tzinfo=UTC)
STEP = timedelta(seconds=30)
SECRET = new_secret(lambda count: b"s" * count)
PASSWORD = "correct horse battery"
RING = KeyRing([b"k" * 32], PURPOSE)
LOG = AuditLog("host")
CHEAP = Passwords(CHEAPEST)


class Desk:
    """A database with operators, and what a test asks of it."""

    def __init__(self, url: str, ring: KeyRing = RING, hasher: Passwords = CHEAP) -> None:
        self.database = Database(url)
        self.ring, self.hasher = ring, hasher
        self.sign_in = SignIn(self.database.writing, ring, hasher, LOG.append)

    def add(self, name: str = "alice", *roles: Role, **changes: Any) -> Operator:
        facts: dict[str, Any] = {"by": "host:root", "now": NOW - timedelta(hours=1)} | changes
        new = enrolment(name, *(roles or (Role.OPERATOR, Role.APPROVER)), now=facts["now"])
        with self.database.writing() as connection:
            return accounts.add(connection, new, record=LOG.append, **facts)

    def enter(
        self,
        name: str = "alice",
        password: str = PASSWORD,
        code: str | None = None,
        at: datetime = NOW,
    ) -> Operator:
        return self.sign_in.authenticate(
            Credential(name, password, TOTP(SECRET).at(at) if code is None else code), at
        )

    def why(self, *words: Any, **facts: Any) -> Why:
        with pytest.raises(OperatorRefused) as caught:
            self.enter(*words, **facts)
        return caught.value.why

    def rows(self) -> list[Row]:
        with self.database.reading() as connection:
            assert verify_log(connection).ok
            return list(rows(connection))

    def kinds(self) -> list[str]:
        return [row.kind for row in self.rows()]

    def kept(self, name: str = "alice") -> Any:
        with self.database.reading() as connection:
            return connection.execute(select(operator).where(operator.c.name == name)).one()

    def change(self, **values: Any) -> None:
        with self.database.writing() as connection:
            connection.execute(update(operator).values(**values))

    def disable(self, name: str = "alice") -> None:
        with self.database.writing() as connection:
            accounts.disable(connection, name, "left", by="bob", now=NOW, record=LOG.append)


def enrolment(name: str, *roles: Role, now: datetime = NOW, **changes: Any) -> Enrolment:
    facts: dict[str, Any] = {
        "password": PASSWORD,
        "secret": SECRET,
        "code": TOTP(SECRET).at(now),
    } | changes
    return enrol(name, roles, passwords=CHEAP, ring=RING, now=now, **facts)


@pytest.fixture
def url(tmp_path: Path, empty_database: bytes) -> str:
    file = tmp_path / "store.db"
    file.touch(mode=0o600)
    file.write_bytes(empty_database)
    return f"sqlite:///{file}"


@pytest.fixture
def desk(url: str) -> Iterator[Desk]:
    made = Desk(url)
    yield made
    made.database.close()
