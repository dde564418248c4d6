"""The store's tables. The audit's own are in `idp_proxy.audit.tables`, in the same database.

A host's spool is a database of the same shape: there `spool_period` and `spool_entry` are in use,
and of the store's tables `used_id`. The shape changes by migrations only.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

from idp_proxy.audit.tables import UtcDateTime

metadata = MetaData()

switch_state = Table(
    "switch_state",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("serving", Text, nullable=False),
    Column("mode", String(16), nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("cause", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("disabled", JSON, nullable=False),
    Column("left_at", JSON, nullable=False),
    Column("hold_until", UtcDateTime, nullable=True),
    Column("held_since", UtcDateTime, nullable=True),
    Column("recent_switches", JSON, nullable=False),
    CheckConstraint("id = 1", name="switch_state_is_one_row"),
)

used_id = Table(
    "used_id",
    metadata,
    # A digest: an id may be of any length, and nobody needs to read it here.
    Column("digest", LargeBinary(32), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
    # Null where it has no name: then it is nobody's to use again.
    Column("attempt", String(32), nullable=True),
    sqlite_with_rowid=False,
)

roster = Table(
    "roster",
    metadata,
    Column("id", Text, primary_key=True),
    Column("link_key", Text, nullable=False),
    Column("lookup_key", Text, nullable=True, unique=True),
    Column("email", Text, nullable=False),
    Column("username", Text, nullable=False),
    Column("attributes", JSON, nullable=False),
    Column("source", Text, nullable=False),
    Column("confirmed_at", UtcDateTime, nullable=True),
    Column("imported_at", UtcDateTime, nullable=True),
    Column("conflict", Boolean, nullable=False),
    Column("blocks", JSON, nullable=False),
    Column("roles", JSON, nullable=False),
)

roster_admission = Table(
    "roster_admission",
    metadata,
    Column("person", Text, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("privileged", Boolean, nullable=False),
)

roster_import = Table(
    "roster_import",
    metadata,
    Column("source", String(32), primary_key=True),
    Column("run", String(32), nullable=False),
    Column("host", String(64), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    # Moved on with every part that is written: an import that stands still was given up.
    Column("beat_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime, nullable=True),
    Column("completed_at", UtcDateTime, nullable=True),
    Column("people", Integer, nullable=False),
)

roster_forecast = Table(
    "roster_forecast",
    metadata,
    Column("row", Integer, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, nullable=False),
    Column("upstream", Text, nullable=False),
    Column("people", Integer, nullable=False),
    Column("get_in", Integer, nullable=False),
    Column("refused", JSON, nullable=False),
    CheckConstraint("row = 1", name="roster_forecast_is_one_row"),
)

factor = Table(
    "factor",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("person", Text, nullable=False, index=True),
    Column("method", String(16), nullable=False),
    Column("added_at", UtcDateTime, nullable=False),
    Column("used_at", UtcDateTime, nullable=True),
    # What keeps it from counting twice (`decision.second_factor.Factor.mark`).
    Column("mark", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)

factor_try = Table(
    "factor_try",
    metadata,
    Column("person", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("locks", Integer, nullable=False),
    Column("failed_at", UtcDateTime, nullable=True),
    Column("locked_until", UtcDateTime, nullable=True),
)

standby_login = Table(
    "standby_login",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("person", Text, nullable=False),
    Column("upstream", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Index("ix_standby_login_at", "at"),
)

proof = Table(
    "proof",
    metadata,
    Column("upstream", Text, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
)

spool_period = Table(
    "spool_period",
    metadata,
    Column("chain", String(255), primary_key=True),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("sealed", Boolean, nullable=False),
    Column("merged_seq", BigInteger, nullable=False),
)

spool_entry = Table(
    "spool_entry",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column(
        "chain", String(255), ForeignKey("spool_period.chain", ondelete="CASCADE"), nullable=False
    ),
    # The audit row with which this write is merged.
    Column("seq", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("body", Text, nullable=False),
    Index("ix_spool_entry_chain_seq", "chain", "seq"),
)

host = Table(
    "host",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("report", JSON, nullable=False),
)

canary = Table(
    "canary",
    metadata,
    Column("upstream", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("track", JSON, nullable=False),
    Column("host", String(64), nullable=True),
    Column("lease_host", String(64), nullable=True),
    Column("lease_until", UtcDateTime, nullable=True),
)

evidence = Table(
    "evidence",
    metadata,
    Column("kind", String(16), primary_key=True),
    Column("upstream", Text, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
)

drill = Table(
    "drill",
    metadata,
    Column("row", Integer, primary_key=True, autoincrement=False),
    Column("id", String(64), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("upstream", Text, nullable=False),
    Column("serving", Text, nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("until", UtcDateTime, nullable=False),
    Column("people", JSON, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("ended_at", UtcDateTime, nullable=True),
    Column("ended_how", String(16), nullable=True),
    Column("why_ended", Text, nullable=False),
    CheckConstraint("row = 1", name="drill_is_one_row"),
)

traffic = Table(
    "traffic",
    metadata,
    Column("host", String(64), primary_key=True),
    Column("upstream", Text, primary_key=True),
    Column("minute", UtcDateTime, primary_key=True),
    Column("begun", Integer, nullable=False),
    Column("answered", Integer, nullable=False),
)

#: By which context class an upstream authenticated people, and what that counted for.
seen_context = Table(
    "seen_context",
    metadata,
    Column("upstream", Text, primary_key=True),
    Column("context", Text, primary_key=True),
    Column("level", Text, primary_key=True),
    Column("count", BigInteger, nullable=False),
    Column("last", UtcDateTime, nullable=False),
)

review_signature = Table(
    "review_signature",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False, index=True),
    # Every field by its path: what was signed can be held against what runs.
    Column("policy", JSON, nullable=False),
    Column("open_findings", Integer, nullable=False),
    # None: kept by a release that made no marks.
    Column("mark", LargeBinary(32), nullable=True),
)

review_waiver = Table(
    "review_waiver",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("rule", String(16), nullable=False),
    Column("subject", Text, nullable=False),
    Column("checks", JSON, nullable=False),
    Column("people", JSON, nullable=False),
    Column("reason", Text, nullable=False),
    Column("given_at", UtcDateTime, nullable=False),
    Column("ends_at", UtcDateTime, nullable=False),
    Column("mark", LargeBinary(32), nullable=True),
)

password_try = Table(
    "password_try",
    metadata,
    # A keyed digest: who reads the store learns no names and no addresses.
    Column("key", LargeBinary(32), primary_key=True),
    Column("failures", Float, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
)
