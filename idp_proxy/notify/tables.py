"""The table of matters people were told about. Whoever notifies has it in its own database, by its
own migrations.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, MetaData, String, Table, Text

from idp_proxy.audit.tables import UtcDateTime

#: A key that is longer is cut.
KEY_LENGTH = 255

metadata = MetaData()

notice = Table(
    "notice",
    metadata,
    Column("key", String(KEY_LENGTH), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("subject", Text, nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("sent_at", UtcDateTime, nullable=True),
    Column("over_at", UtcDateTime, nullable=True),
    Column("claimed_until", UtcDateTime, nullable=True),
    Column("version", BigInteger, nullable=False),
)
