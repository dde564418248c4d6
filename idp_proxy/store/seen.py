"""`store.seen_base` in a SQL database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from idp_proxy.store.seen_base import SeenContext, placed
from idp_proxy.store.tables import seen_context

if TYPE_CHECKING:
    from collections.abc import Sequence

    from idp_proxy.store.database import Database

_INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_KEY = (seen_context.c.upstream, seen_context.c.context, seen_context.c.level)
_KNOWN = select(*_KEY)
_ALL = select(seen_context).order_by(*_KEY)


class SqlSeenContexts:
    """`store.seen_base.SeenContexts`; mixed into a store that has a database."""

    _database: Database

    def add_contexts(self, seen: Sequence[SeenContext]) -> None:
        """See `store.seen_base.SeenContexts`."""
        with self._database.writing() as connection:
            known = {(row[0], row[1], row[2]) for row in connection.execute(_KNOWN)}
            for one in placed(seen, known):
                new = _INSERT[connection.dialect.name](seen_context).values(
                    upstream=one.upstream,
                    context=one.context,
                    level=one.level,
                    count=one.count,
                    last=one.last,
                )
                connection.execute(
                    new.on_conflict_do_update(
                        index_elements=list(_KEY),
                        set_={
                            "count": seen_context.c.count + new.excluded.count,
                            "last": new.excluded.last,
                        },
                    )
                )

    def contexts(self) -> tuple[SeenContext, ...]:
        """See `store.seen_base.SeenContexts`."""
        with self._database.reading() as connection:
            return tuple(SeenContext(**row) for row in connection.execute(_ALL).mappings())


class MemorySeenContexts:
    """The same in memory, for tests."""

    _seen: dict[tuple[str, str, str], SeenContext]

    def add_contexts(self, seen: Sequence[SeenContext]) -> None:
        """See `store.seen_base.SeenContexts`."""
        for one in placed(seen, set(self._seen)):
            key = (one.upstream, one.context, one.level)
            before = self._seen[key].count if key in self._seen else 0
            self._seen[key] = SeenContext(*key, before + one.count, one.last)

    def contexts(self) -> tuple[SeenContext, ...]:
        """See `store.seen_base.SeenContexts`."""
        return tuple(self._seen[key] for key in sorted(self._seen))
