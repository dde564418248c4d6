"""Alembic migrations of the store: each is frozen once released and imports no table of ours."""
