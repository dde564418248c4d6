"""A signed policy and a waiver bear a mark, by a key that the database does not know."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0014"
down_revision = "r0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """What was signed before has no mark: it is read and signed again."""
    for table in ("review_signature", "review_waiver"):
        op.add_column(table, sa.Column("mark", sa.LargeBinary(32), nullable=True))
