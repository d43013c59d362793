"""Databases without a path of their own: the table by SQLAlchemy, the rows by the common SQL hook's dialect."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time
import sqlalchemy as sa  # noqa: TID253 - the same

from airflow_provider.altcraft.schema import COLUMNS, SCHEMA
from airflow_provider.altcraft.targets._base import Scope
from airflow_provider.altcraft.targets._sql_alchemy import reflect
from airflow_provider.altcraft.targets._sql_session import IDENTITY, LOOKUP, Session, slices
from airflow_provider.altcraft.targets._sql_table import Shape

log = logging.getLogger(__name__)

_LISTED = 500
"""Values in one ``IN``; some databases take no more than 1000."""


class OtherSession(Session):
    """Plain statements that every database has: a merge deletes by key and inserts.

    The table is made before the transaction, since not every database can make it within.
    """

    kind = "other"
    longest = 128

    def _connect(self) -> None:
        try:
            self._engine = self.hook.get_sqlalchemy_engine(
                {"poolclass": sa.pool.NullPool, "hide_parameters": True},
            )
        except (ImportError, sa.exc.ArgumentError, sa.exc.NoSuchModuleError, NotImplementedError) as error:
            raise ValueError(f"SQLAlchemy has no dialect for the connection's database: {error}") from error
        with self._engine.connect():  # only now does the dialect know its server
            self.dialect = self._engine.dialect
        self._raw = self.hook.get_conn()
        self._column_sql = self.hook.dialect
        self.mark = self.hook.placeholder

    def _begin(self) -> None:
        if self.hook.supports_autocommit:
            self.hook.set_autocommit(self._raw, False)
        if self.disposition == "replace":
            # Two that replace the same scope would each not see, and so not delete, what the other inserts.
            with suppress(NotImplementedError):  # of a database that has no levels, or none that SQLAlchemy knows
                self.dialect.set_isolation_level(self._raw, "SERIALIZABLE")
        binders = {name: self._binder(name) for name in COLUMNS}
        self._binders = {name: bind for name, bind in binders.items() if bind}

    def _binder(self, name: str) -> Any:
        type_: Any = self.table.c[name].type
        return type_.dialect_impl(self.dialect).bind_processor(self.dialect)

    def execute(self, sql: str, *values: Any) -> list[Any]:
        """Run a statement with ``?`` for its values, and return its rows."""
        cursor = self._raw.cursor()
        try:
            if values:
                cursor.execute(sql.replace("?", self.mark), values)
            else:
                cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []
        finally:
            cursor.close()

    def commit(self) -> None:
        """Commit."""
        self._raw.commit()

    def close(self) -> None:
        """Roll back and close; does not fail."""
        for step in (self._raw.rollback, self._raw.close):
            with suppress(Exception):  # of a connection that is gone
                step()

    def schemas(self) -> list[str]:
        """The schemas that are there."""
        return list(sa.inspect(self._engine).get_schema_names())

    def shape(self) -> Shape | None:
        """The table as it is there."""
        return reflect(sa.inspect(self._engine), self.name)

    def ensure(self) -> None:
        """Make the table, or its index, where missing.

        Raises:
            ValueError: the table has come to be one that does not fit.
        """
        shape = self.shape()
        if shape is None:
            try:
                with self._engine.begin() as connection:
                    self.table.create(connection, checkfirst=True)
            except sa.exc.DBAPIError:
                if self.shape() is None:  # else another task was faster
                    raise
        else:
            self._refuse(shape)
            if not shape.has_index():
                self._add_index()

    def attempt(self, ddl: str) -> None:
        """Run DDL that may fail without an end to the transaction."""
        with self._engine.begin() as connection:
            connection.execute(sa.text(ddl))

    def instant(self, value: dt.datetime) -> Any:
        """An instant in UTC as the driver takes it for a value."""
        bind = self._binders.get("datetime")
        return bind(value) if bind else value

    def upsert(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Insert rows by ``event_key``, the last of each replacing all before it."""
        for batch in slices(batches):
            latest = {row[COLUMNS.index("event_key")]: row for row in self._rows(batch, COLUMNS)}
            self._delete_listed("event_key", list(latest))
            self._insert(self.target, COLUMNS, list(latest.values()))

    def load(self, into: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch]) -> None:
        """Insert columns of batches."""
        for batch in slices(batches):
            self._insert(into, columns, list(self._rows(batch, columns)))

    def replace(self, scope: Scope, batches: Iterable[pa.RecordBatch], foreign: Iterable[pa.RecordBatch]) -> None:
        """Put rows in place of all that the scope holds."""
        # Begins the transaction where a database, such as SQLite, does so only at a change.
        self.execute(f"DELETE FROM {self.target} WHERE 1 = 0")
        where = f"{self.quote('list_id')} = ?"
        values: list[Any] = [scope.list_id]
        for border, compare in ((scope.window.start, ">="), (scope.window.end, "<")):
            if border is not None:
                where += f" AND {self.quote('datetime')} {compare} ?"
                values.append(self.instant(border))
        if scope.lookups is None:
            self.execute(f"DELETE FROM {self.target} WHERE {where}", *values)
        else:
            # No statement can name millions, so only those are named that the table holds.
            held = {tuple(row) for row in self._distinct(where, values)} & set(scope.lookups)
            for matching in sorted({mode for mode, _ in held}):
                listed = sorted(value for mode, value in held if mode == matching)
                self._delete_listed("lookup", listed, f"{where} AND {self.quote('matching')} = ?", (*values, matching))
        for batch in foreign:
            for row in self._rows(batch, IDENTITY):
                like = " AND ".join(
                    f"{self.quote(name)} {'IS NULL' if value is None else '= ?'}"
                    for name, value in zip(IDENTITY, row, strict=True)
                )
                self.execute(f"DELETE FROM {self.target} WHERE {like}", *(value for value in row if value is not None))
        self.append(batches)

    def _distinct(self, where: str, values: Sequence[Any]) -> list[Any]:
        return self.execute(f"SELECT DISTINCT {self.columns(LOOKUP)} FROM {self.target} WHERE {where}", *values)

    def _delete_listed(
        self, name: str, listed: Sequence[str], where: str = "1 = 1", values: Sequence[Any] = ()
    ) -> None:
        left = iter(listed)
        while chunk := list(islice(left, _LISTED)):
            marks = ", ".join("?" * len(chunk))
            sql = f"DELETE FROM {self.target} WHERE {where} AND {self.quote(name)} IN ({marks})"
            self.execute(sql, *values, *chunk)

    def _insert(self, into: str, columns: Sequence[str], found: list[tuple[Any, ...]]) -> None:
        if not found:
            return
        sql = self._column_sql.generate_insert_sql(into, found[0], list(columns))
        cursor = self._raw.cursor()
        try:
            cursor.executemany(sql, found)
        finally:
            cursor.close()

    def _rows(self, batch: pa.RecordBatch, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        found = []
        for name in columns:
            column = batch.column(name)
            values = _instants(column) if pa.types.is_timestamp(SCHEMA.field(name).type) else column.to_pylist()
            bind = self._binders.get(name)
            found.append([bind(value) for value in values] if bind else values)
        return zip(*found, strict=True)


def _instants(column: Any) -> list[dt.datetime | None]:
    first = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return [first + dt.timedelta(microseconds=each) for each in column.cast(pa.int64()).to_pylist()]
