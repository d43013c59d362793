"""One connection to a database in one transaction, and what a commit does in it.

What differs from database to database is in a module of each, and in ``_sql_other`` for those without a path of their
own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time
import sqlalchemy as sa  # noqa: TID253 - the same

from airflow_provider.altcraft.schema import COLUMNS, SCHEMA
from airflow_provider.altcraft.targets import _sql_table
from airflow_provider.altcraft.targets._sql_errors import denied, told
from airflow_provider.altcraft.targets._sql_names import Disposition, Name
from airflow_provider.altcraft.targets._sql_table import Kind, Shape

if TYPE_CHECKING:
    import datetime as dt

    from airflow_provider.altcraft.targets._base import Scope

log = logging.getLogger(__name__)

ROWS = 10_000
"""Rows that are sent at once."""

PATIENCE = 60.0
"""Seconds to wait for a file that another process has locked."""

LOOKUP = ("matching", "lookup")
IDENTITY = ("event_key", *LOOKUP)
NEWS = tuple(name for name in COLUMNS if name != "event_key")
"""The columns that a merge sets anew."""


class Session:
    """A connection that is closed at the end; what was not committed by then is rolled back.

    Args:
        hook: a ``DbApiHook``, whose connection is used.
        name: the table.
        disposition: how it is written.
    """

    kind: ClassVar[Kind]
    mark: str = "%s"
    equal: ClassVar[str] = "{0} = {1}"
    same: ClassVar[str] = "{0} IS NOT DISTINCT FROM {1}"
    """``equal``, but that two nulls are the same."""
    temporary: ClassVar[str] = ""
    """Where temporary tables are."""
    holds_nul: ClassVar[bool] = True
    """Whether its texts can have the character U+0000."""
    longest: ClassVar[int] = 63
    """Bytes that a name may have."""

    table: sa.Table
    dialect: sa.Dialect

    def __init__(self, hook: Any, name: Name, disposition: Disposition) -> None:
        self.hook = hook
        self.name = name
        self.disposition = disposition
        for part in filter(None, (name.schema, name.table)):
            if len(part.encode()) > self.longest:
                raise ValueError(f"table: {part!r} is longer than the {self.longest} bytes that a name may have")
        self._connect()
        try:
            self.table = self._define()
            self._begin()
        except BaseException:
            self.close()
            raise
        self.target = self.dialect.identifier_preparer.format_table(self.table)

    # What each database does in its own way.

    def _connect(self) -> None:
        raise NotImplementedError

    def _begin(self) -> None:
        """Begin the transaction."""

    def _define(self) -> sa.Table:
        return _sql_table.define(self.name, self.kind, self.disposition, longest=self.longest)

    def execute(self, sql: str, *values: Any) -> list[Any]:
        """Run a statement with ``?`` for its values, and return its rows."""
        raise NotImplementedError

    def commit(self) -> None:
        """Commit."""
        raise NotImplementedError

    def close(self) -> None:
        """Roll back and close; does not fail."""
        raise NotImplementedError

    def shape(self) -> Shape | None:
        """The table as it is there."""
        raise NotImplementedError

    def schemas(self) -> list[str]:
        """The schemas that are there."""
        raise NotImplementedError

    def check_place(self, exists: bool) -> None:
        """Refuse a place where nothing can be written or, where there is no table yet, made."""

    def lock(self) -> None:
        """Wait until no other task writes the table, and keep others out to the end."""

    def settle(self) -> None:
        """Go on from the table's making to the transaction, where the making was none."""

    def attempt(self, ddl: str) -> None:
        """Run DDL that may fail without an end to the transaction."""
        self.execute(ddl)

    def load(self, into: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch]) -> None:
        """Insert columns of batches."""
        raise NotImplementedError

    def upsert(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Insert rows by ``event_key``, the last of each replacing all before it; ``batches`` can be read again."""
        raise NotImplementedError

    def instant(self, value: dt.datetime) -> Any:
        """An instant in UTC as the driver takes it for a value."""
        return value

    def made(self, columns: Sequence[str]) -> str:
        """What a temporary table of these columns is made of."""
        return f"AS SELECT {self.columns(columns)} FROM {self.target} WHERE 1 = 0"

    # What they have in common.

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def quote(self, name: str) -> str:
        """Return a column's name as it stands in SQL."""
        return self.dialect.identifier_preparer.quote(name)

    def columns(self, names: Iterable[str], before: str = "") -> str:
        """Return names of columns as they stand in SQL, with a table's name before each."""
        return ", ".join(before + self.quote(name) for name in names)

    def check(self) -> None:
        """Prove that the table can be written, or made.

        Raises:
            ValueError: it cannot; the message has all that hinders.
        """
        shape = self.shape()
        if shape is None:
            schema = self.name.schema
            if schema is not None and schema.casefold() not in {each.casefold() for each in self.schemas()}:
                raise ValueError(f"there is no schema {schema!r}; make it: CREATE SCHEMA {self.quote(schema)}")
        else:
            self._refuse(shape)
        self.check_place(shape is not None)
        if shape is not None:
            self._prove_rights()

    def ensure(self) -> None:
        """Make the table, or its index, where missing.

        Raises:
            ValueError: the table has come to be one that does not fit.
        """
        shape = self.shape()
        if self.disposition != "append" or shape is None or not shape.has_index():
            self.lock()
            shape = self.shape()
        if shape is None:
            self.make()
        else:
            self._refuse(shape)
            if not shape.has_index():
                self._add_index()
        self.settle()

    def make(self) -> None:
        """Make the table and its index."""
        for ddl in _sql_table.create(self.table, self.dialect):
            self.execute(ddl)

    def merge(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Put rows in place of those of the same events."""
        self.upsert(batches)

    def replace(self, scope: Scope, batches: Iterable[pa.RecordBatch], foreign: Iterable[pa.RecordBatch]) -> None:
        """Put rows in place of all that the scope holds.

        Args:
            scope: the list, the lookups and the window.
            batches: all rows.
            foreign: those of another list than was asked for. They are no part of the scope, but this or an earlier
                pull may have written them.
        """
        conditions = [f"{self.quote('list_id')} = ?"]
        values: list[Any] = [scope.list_id]
        for border, compare in ((scope.window.start, ">="), (scope.window.end, "<")):
            if border is not None:
                conditions.append(f"{self.quote('datetime')} {compare} ?")
                values.append(self.instant(border))
        if scope.lookups is not None:
            staged = self.stage("lookups", LOOKUP, _lookups(scope.lookups))
            conditions.append(self._among(staged, LOOKUP, self.equal))
        self.execute(f"DELETE FROM {self.target} WHERE {' AND '.join(conditions)}", *values)
        self._delete_again(foreign)
        self.append(batches)

    def append(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Add rows."""
        self.load(self.target, COLUMNS, batches)

    def stage(self, name: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch]) -> str:
        """Load batches into a temporary table, and return its name."""
        table = f"{self.temporary}altcraft_{name}"
        self.execute(f"CREATE TEMPORARY TABLE {table} {self.made(columns)}")
        self.load(table, columns, batches)
        self.execute(f"CREATE INDEX altcraft_{name}_ix ON {self._indexed(table, columns)}")
        return table

    def _indexed(self, table: str, columns: Sequence[str]) -> str:
        return f"{table} ({self.columns(columns[:1])})"

    def _delete_again(self, foreign: Iterable[pa.RecordBatch]) -> None:
        first = next(iter(foreign := iter(foreign)), None)
        if first is not None:
            staged = self.stage("foreign", IDENTITY, _chain(first, foreign))
            self.execute(f"DELETE FROM {self.target} WHERE {self._among(staged, IDENTITY, self.same)}")

    def _among(self, staged: str, columns: Sequence[str], how: str) -> str:
        """The condition that a row of the table has its like in a temporary one."""
        likeness = " AND ".join(
            how.format(f"staged.{self.quote(name)}", f"{self.target}.{self.quote(name)}") for name in columns
        )
        return f"EXISTS (SELECT 1 FROM {staged} staged WHERE {likeness})"

    def _refuse(self, shape: Shape) -> None:
        found = _sql_table.differences(self.table, shape, self.kind, self.disposition, self.dialect)
        if found:
            told = "".join(f"\n- {what}" + (f": {ddl};" if ddl else "") for what, ddl in found)
            raise ValueError(f"the table is there but does not fit write_disposition={self.disposition!r}:{told}")

    def _prove_rights(self) -> None:
        """Run without effect what the commit will run."""
        columns, key = self.columns(COLUMNS), self.quote("event_key")
        insert = f"INSERT INTO {self.target} ({columns}) SELECT {columns} FROM {self.target} WHERE 1 = 0"
        rights, more = {
            "merge": (", UPDATE", [f"UPDATE {self.target} SET {key} = {key} WHERE 1 = 0"]),
            "replace": (", DELETE", [f"DELETE FROM {self.target} WHERE 1 = 0"]),
            "append": ("", []),
        }[self.disposition]
        self.prove([insert, *more], f"write the table: GRANT SELECT, INSERT{rights} ON {self.target} TO …")

    def prove(self, statements: Iterable[str], what: str) -> None:
        """Run statements without effect; refuse, telling what the user may not and the DDL that mends it."""
        try:
            for each in statements:
                self.execute(each)
        except Exception as error:  # whatever a driver raises
            if not denied(error):
                raise
            raise ValueError(f"{told(error)}; the connection's user may not {what}") from None

    def _add_index(self) -> None:
        for ddl in _sql_table.create_index(self.table, self.dialect):
            try:
                self.attempt(ddl)
            except Exception as error:  # whatever a driver raises: the rows are worth more than their index
                log.warning("%s: the index could not be made: %s; the owner can: %s", self.name, told(error), ddl)


def rows(batch: pa.RecordBatch, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """A batch's rows, instants as text in UTC that sorts."""
    found = [batch.column(name) for name in columns]
    texts = [each.cast(pa.timestamp("us")).cast(pa.string()) if _is_instant(each) else each for each in found]
    return zip(*(each.to_pylist() for each in texts), strict=True)


def slices(batches: Iterable[pa.RecordBatch], most: int = ROWS) -> Iterator[pa.RecordBatch]:
    """The same rows, no more than so many at once."""
    for batch in batches:
        for at in range(0, batch.num_rows, most):
            yield batch.slice(at, most)


def numbered(batches: Iterable[pa.RecordBatch], name: str) -> Iterator[pa.RecordBatch]:
    """The same rows with their number."""
    at = 0
    for batch in batches:
        numbers = pa.array(range(at, at + batch.num_rows), pa.int64())
        at += batch.num_rows
        yield pa.RecordBatch.from_arrays([*batch.columns, numbers], names=[*batch.schema.names, name])


def _is_instant(column: pa.Array[Any]) -> bool:
    return pa.types.is_timestamp(column.type)


def _lookups(pairs: Iterable[tuple[str, str]]) -> Iterator[pa.RecordBatch]:
    schema = pa.schema([SCHEMA.field(name) for name in LOOKUP])
    each = iter(pairs)
    while some := list(islice(each, ROWS)):
        columns = zip(*some, strict=True)
        yield pa.RecordBatch.from_arrays([pa.array(column, pa.string()) for column in columns], schema=schema)


def _chain(first: pa.RecordBatch, rest: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    yield from rest
