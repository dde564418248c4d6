"""Statements that a login waits for: compiled once, then handed to the driver as they are.

To execute one, SQLAlchemy takes several times what the database takes. All that it knows stays in
force: the text is the one it compiles, its types convert on the way in and out, and what the driver
raises leaves as the error that it makes of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select
from sqlalchemy.exc import DBAPIError, StatementError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import ColumnElement, Connection, Dialect
    from sqlalchemy.sql.expression import ClauseElement

    Conversion = Callable[[Any], Any] | None


@dataclass(frozen=True, slots=True)
class _Form:
    """A statement in one dialect. `by_position` is whether its driver wants a sequence."""

    text: str
    by_position: bool
    parameters: tuple[tuple[str, Conversion], ...]
    columns: tuple[tuple[str, Conversion], ...]

    def values(self, given: Mapping[str, Any]) -> Any:
        """What the driver takes. Raises `StatementError` for what a type does not take."""
        try:
            values = [
                given[name] if way is None else way(given[name]) for name, way in self.parameters
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise StatementError(f"a parameter: {error}", None, None, error) from error
        if self.by_position:
            return values
        return {name: value for (name, _), value in zip(self.parameters, values, strict=True)}


class Prepared:
    """One statement. Its parameters are its named `bindparam`s, or the columns that it inserts."""

    def __init__(self, statement: ClauseElement) -> None:
        self._statement = statement
        self._forms: dict[str, _Form] = {}

    def first(self, connection: Connection, given: Mapping[str, Any]) -> dict[str, Any] | None:
        """The first row of a SELECT by the names of its columns. Raises SQLAlchemy's errors."""
        form = self._form(connection.dialect)
        try:
            cursor = _driver(connection).execute(form.text, form.values(given))
            row = cursor.fetchone()
            cursor.close()
        except _errors_of(connection) as error:
            raise _translated(error, connection) from error
        if row is None:
            return None
        columns = zip(form.columns, row, strict=True)
        return {name: value if way is None else way(value) for (name, way), value in columns}

    def run(self, connection: Connection, *given: Mapping[str, Any]) -> int:
        """Execute once for each of `given`; the rows touched in all. Raises SQLAlchemy's errors."""
        form = self._form(connection.dialect)
        cursor = _driver(connection).cursor()
        try:
            if len(given) == 1:
                cursor.execute(form.text, form.values(given[0]))
            else:
                cursor.executemany(form.text, [form.values(one) for one in given])
            touched: int = cursor.rowcount
        except _errors_of(connection) as error:
            raise _translated(error, connection) from error
        finally:
            cursor.close()
        return touched

    def _form(self, dialect: Dialect) -> _Form:
        known = self._forms.get(dialect.name)
        if known is None:
            known = self._forms[dialect.name] = _compiled(self._statement, dialect)
        return known


def _compiled(statement: ClauseElement, dialect: Dialect) -> _Form:
    compiled: Any = statement.compile(dialect=dialect)
    selected = statement.selected_columns if isinstance(statement, Select) else ()
    return _Form(
        text=compiled.string,
        by_position=compiled.positional,
        parameters=tuple(
            (name, compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect))
            for name in (compiled.positiontup if compiled.positional else compiled.binds)
        ),
        columns=tuple((str(column.key), _way_out(column, dialect)) for column in selected),
    )


def _way_out(column: ColumnElement[Any], dialect: Dialect) -> Conversion:
    return column.type.dialect_impl(dialect).result_processor(dialect, None)


def _driver(connection: Connection) -> Any:
    """The driver's own connection, in a transaction that SQLAlchemy knows of and can end."""
    if not connection.in_transaction():
        connection.begin()
    return connection.connection.driver_connection


def _errors_of(connection: Connection) -> type[Exception]:
    module: Any = connection.dialect.dbapi
    errors: type[Exception] = module.Error
    return errors


def _translated(error: Exception, connection: Connection) -> Exception:
    """As SQLAlchemy raises it, without the statement and its values."""
    made: Exception = DBAPIError.instance(
        None, None, error, _errors_of(connection), hide_parameters=True, dialect=connection.dialect
    )
    return made
