"""The roster learns from imports: what they vouch for, who blocked whom, who was admitted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0007"
down_revision = "r0006"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Who was blocked stays so, by an operator: until now nobody else could."""
    op.add_column("roster", sa.Column("imported_at", _TIME, nullable=True))
    for name in ("blocks", "roles"):
        op.add_column("roster", sa.Column(name, sa.JSON, nullable=False, server_default="[]"))
    op.execute("UPDATE roster SET blocks = '[\"operator\"]' WHERE blocked")
    with op.batch_alter_table("roster") as roster:
        roster.alter_column("confirmed_at", existing_type=_TIME, nullable=True)
        roster.drop_column("blocked")
        for name in ("blocks", "roles"):
            roster.alter_column(name, existing_type=sa.JSON(), server_default=None)
    op.create_table(
        "roster_admission",
        sa.Column("person", sa.Text, primary_key=True),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("privileged", sa.Boolean, nullable=False),
    )
    op.create_table(
        "roster_import",
        sa.Column("source", sa.String(32), primary_key=True),
        sa.Column("run", sa.String(32), nullable=False),
        sa.Column("host", sa.String(64), nullable=False),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("beat_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.Column("completed_at", _TIME, nullable=True),
        sa.Column("people", sa.Integer, nullable=False),
    )
    op.create_table(
        "roster_forecast",
        sa.Column("row", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("upstream", sa.Text, nullable=False),
        sa.Column("people", sa.Integer, nullable=False),
        sa.Column("get_in", sa.Integer, nullable=False),
        sa.Column("refused", sa.JSON, nullable=False),
        sa.CheckConstraint("row = 1", name="roster_forecast_is_one_row"),
    )
