"""A prepared statement does what SQLAlchemy's own execution does, and fails with its errors."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    bindparam,
    create_engine,
    insert,
    select,
    update,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, StatementError
from sqlalchemy.pool import StaticPool

from idp_proxy.audit.prepared import Prepared
from idp_proxy.audit.tables import UtcDateTime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
SECRET = "somebody@example.org"

metadata = MetaData()
thing = Table(
    "thing",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=True, unique=True),
    Column("facts", JSON, nullable=False),
    Column("at", UtcDateTime, nullable=True),
    Column("good", Boolean, nullable=False),
    Column("octets", LargeBinary, nullable=False),
)
SELECT = select(thing).where(thing.c.id == bindparam("of_id"))
INSERT = Prepared(insert(thing))
FIND = Prepared(SELECT)
RENAME = Prepared(
    update(thing).where(thing.c.good == bindparam("of_good")).values(name=bindparam("to_name"))
)


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    metadata.create_all(engine)
    with engine.connect() as opened:
        yield opened
    engine.dispose()


@pytest.fixture(autouse=True)
def _clean(connection: Connection) -> Iterator[None]:
    yield
    connection.rollback()


def row(**changes: Any) -> dict[str, Any]:
    usual = {
        "id": 1,
        "name": "a",
        "facts": {"k": [1]},
        "at": NOW,
        "good": True,
        "octets": b"\0\xff",
    }
    return usual | changes


ROWS = st.fixed_dictionaries(
    {
        "id": st.integers(-(2**62), 2**62),
        "name": st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0")),
        "facts": st.dictionaries(st.text(st.characters(codec="utf-8")), st.integers()),
        "at": st.none() | st.datetimes(timezones=st.just(timezone(timedelta(hours=5)))),
        "good": st.booleans(),
        "octets": st.binary(),
    }
)


@given(written=ROWS)
def test_what_was_written_is_read_as_sqlalchemy_reads_it(
    connection: Connection, written: dict[str, Any]
) -> None:
    try:
        assert INSERT.run(connection, written) == 1
        found = FIND.first(connection, {"of_id": written["id"]})
        by_sqlalchemy = connection.execute(SELECT, {"of_id": written["id"]}).one()._asdict()
        assert found == by_sqlalchemy == written
    finally:
        connection.rollback()


def test_none_where_there_is_no_row(connection: Connection) -> None:
    assert FIND.first(connection, {"of_id": 7}) is None


def test_many_at_once_are_counted_together(connection: Connection) -> None:
    rows = [row(id=number, name=None, good=number > 1) for number in range(5)]
    assert INSERT.run(connection, *rows) == 5
    assert RENAME.run(connection, {"of_good": False, "to_name": None}) == 2
    assert RENAME.run(connection, {"of_good": True, "to_name": None}) == 3


def test_it_is_part_of_the_transaction_which_it_begins(connection: Connection) -> None:
    assert not connection.in_transaction()
    INSERT.run(connection, row())
    connection.rollback()
    assert FIND.first(connection, {"of_id": 1}) is None


@pytest.mark.parametrize("rows", [[row(name=SECRET)], [row(id=2), row(id=3, name=SECRET)]])
def test_a_conflict_is_sqlalchemys_and_tells_no_value(
    connection: Connection, rows: list[dict[str, Any]]
) -> None:
    INSERT.run(connection, row(id=0, name=SECRET))
    with pytest.raises(IntegrityError) as refused:
        INSERT.run(connection, *rows)
    assert SECRET not in str(refused.value)


def test_a_select_that_fails_raises_sqlalchemys_error(connection: Connection) -> None:
    missing = Table("missing", MetaData(), Column("id", Integer))
    with pytest.raises(OperationalError, match="no such table"):
        Prepared(select(missing)).first(connection, {})


@pytest.mark.parametrize(
    "given", [row(at=NOW.replace(tzinfo=None)), row(facts={"x": b""}), {"id": 1}]
)
def test_what_a_type_does_not_take_is_refused_before_the_driver(
    connection: Connection, given: dict[str, Any]
) -> None:
    with pytest.raises(StatementError) as refused:
        INSERT.run(connection, given)
    assert not isinstance(refused.value, DBAPIError)


def test_in_another_dialect_it_is_another_text() -> None:
    dialect = make_url("postgresql+psycopg://").get_dialect()()
    form = Prepared(SELECT.with_for_update())._form(dialect)
    assert "%(of_id)s" in form.text
    assert form.text.rstrip().endswith("FOR UPDATE")
    assert form.values({"of_id": 1}) == {"of_id": 1}
