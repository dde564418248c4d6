"""The operators' own tables. Whoever has operators keeps them in its database, by its migrations.

Counters of failed sign-ins lie apart from the operators: there a name that nobody has is counted
like one that somebody has, so that neither the answer nor its time tells them apart.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

from idp_proxy.audit.tables import UtcDateTime

metadata = MetaData()

operator = Table(
    "operator",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("roles", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("factor", LargeBinary, nullable=False),
    # The time step of the last code that counted (RFC 6238): no step counts twice.
    Column("last_step", BigInteger, nullable=False),
    # The proposal on which a pending operator waits: another one does not enable it.
    Column("proposal", String(16), nullable=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("last_login", UtcDateTime, nullable=True),
)

sign_in_attempt = Table(
    "sign_in_attempt",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("failed_at", UtcDateTime, nullable=False),
    Column("locked_until", UtcDateTime, nullable=True),
)

proposal = Table(
    "proposal",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("act", String(32), nullable=False),
    Column("target", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("epoch", BigInteger, nullable=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("people", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("version", Integer, nullable=False),
)

override = Table(
    "override",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("act", String(32), nullable=False),
    Column("target", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("people", JSON, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reviewed_at", UtcDateTime, nullable=True),
    Column("reviewed_by", Text, nullable=True),
    Column("review", Text, nullable=True),
)
