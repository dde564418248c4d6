"""Fixtures that several unit tests share."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from idp_proxy.store import schema
from tests.unit.config_folder import Folder, make_folder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def audit_key() -> bytes:
    """An Ed25519 key in PEM form."""
    return Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )


@pytest.fixture
def folder(tmp_path: Path, audit_key: bytes) -> Folder:
    """A valid configuration, to be broken in one place."""
    return make_folder(tmp_path, audit_key)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The content of an SQLite store that was just made."""
    file = tmp_path_factory.mktemp("store") / "idp-proxy.db"
    schema.migrate(f"sqlite:///{file}")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return file.read_bytes()
