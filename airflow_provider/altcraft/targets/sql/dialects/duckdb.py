"""DuckDB: Arrow batches, which it reads as they are."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time
import sqlalchemy as sa  # noqa: TID253 - the same
from sqlalchemy.dialects import postgresql  # noqa: TID253 - the same

from airflow_provider.altcraft._airflow.duckdb import database_of, refuse_newer, served_by
from airflow_provider.altcraft._threads import run_in_thread
from airflow_provider.altcraft.schema import COLUMNS
from airflow_provider.altcraft.targets.sql.names import Name
from airflow_provider.altcraft.targets.sql.rows import NEWS, numbered, slices
from airflow_provider.altcraft.targets.sql.rules import FoundColumn, Shape, TableRules
from airflow_provider.altcraft.targets.sql.session import PATIENCE, Session

log = logging.getLogger(__name__)

_BUSY = ("Could not set lock", "already attached", "different configuration")
"""Errors of a file that another process has open, or that this one is about to close or has open for reading."""


class DuckDbRules(TableRules):
    """Tables of DuckDB."""

    key_by_index = True

    def is_fixed(self, shape: Shape, name: str) -> bool:
        """Return whether the table has a key or an index, with which no column can be altered."""
        return bool(shape.unique or shape.indexes)


class DuckDbSession(Session):
    """A transaction of DuckDB."""

    rules: ClassVar[TableRules] = DuckDbRules()
    placeholder = "?"
    max_identifier_bytes = 1 << 10
    _one = threading.Lock()
    """Held by a session: two of one process would share the file, and fail where they meet."""

    @classmethod
    def check_hook(cls, hook: Any) -> None:
        """Say in the log which server holds the database, if one does."""
        if served := served_by(hook):
            log.info("%s", served)

    def _connect(self) -> None:
        database_of(self.hook)  # refuses one in memory
        self.dialect = _dialect()
        self._one.acquire()
        try:
            self._raw = self._open_file()
        except BaseException:
            self._one.release()
            raise

    def _open_file(self) -> Any:
        import duckdb

        until = time.monotonic() + PATIENCE
        while True:
            try:
                return self.hook.get_conn()
            except duckdb.Error as error:
                refuse_newer(error)
                if not any(each in str(error) for each in _BUSY):
                    raise
                if time.monotonic() > until:
                    raise OSError(
                        "another process has the file open, and DuckDB lets only one in at a time; a retry may find it "
                        "free"
                    ) from None
                time.sleep(0.2)

    def _begin(self) -> None:
        self._raw.execute("BEGIN TRANSACTION")

    def execute(self, sql: str, *values: Any) -> list[Any]:
        return list(self._raw.execute(sql, list(values)).fetchall())

    def commit(self) -> None:
        self._raw.execute("COMMIT")

    def close(self) -> None:
        try:
            self._raw.close()
        finally:
            self._one.release()

    def schemas(self) -> list[str]:
        found = self.execute("SELECT schema_name FROM duckdb_schemas() WHERE database_name = current_database()")
        return [name for (name,) in found]

    def shape(self) -> Shape | None:
        place = "database_name = current_database() AND lower(schema_name) = lower(?) AND lower({}) = lower(?)"
        ((schema,),) = self.execute("SELECT coalesce(?, current_schema())", self.name.schema)
        table, view = place.format("table_name"), place.format("view_name")
        at = (schema, self.name.table)
        if self.execute(f"SELECT 1 FROM duckdb_views() WHERE {view}", *at):
            return Shape({}, instead="a view")
        columns = {
            name: FoundColumn(_of_duckdb(type_), bool(nullable), default is not None)
            for name, type_, nullable, default in self.execute(
                f"SELECT column_name, data_type, is_nullable, column_default FROM duckdb_columns() WHERE {table}", *at
            )
        }
        if not columns:
            return None
        unique = [
            tuple(names)
            for (names,) in self.execute(
                f"SELECT constraint_column_names FROM duckdb_constraints() WHERE {table}"
                " AND constraint_type IN ('PRIMARY KEY', 'UNIQUE')",
                *at,
            )
        ]
        indexes = self.execute(f"SELECT expressions, is_unique, index_name FROM duckdb_indexes() WHERE {table}", *at)
        named = [(tuple(part.strip(" \"'") for part in text.strip("[]").split(",")), one) for text, one, _ in indexes]
        unique += [names for names, one in named if one]
        return Shape(columns, unique, [names for names, _ in named], binding=tuple(name for *_, name in indexes))

    def columns_of(self, name: Name) -> set[str]:
        found = self.execute(
            "SELECT column_name FROM duckdb_columns() WHERE database_name = current_database()"
            " AND lower(schema_name) = lower(coalesce(?, current_schema())) AND lower(table_name) = lower(?)",
            name.schema,
            name.table,
        )
        return {column for (column,) in found}

    def load(self, into: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch]) -> None:
        names = self.columns(columns)
        for batch in slices(batches):
            self._read(batch.select(list(columns)), f"INSERT INTO {into} ({names}) SELECT {names} FROM altcraft_batch")

    def stage(self, name: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch]) -> str:
        # With more, DuckDB 2.0 finds none of over 122,880 rows (a row group) that the same transaction has added.
        self.execute("SET threads = 1")
        return super().stage(name, columns, batches)

    def _read(self, batch: pa.RecordBatch, sql: str) -> None:
        """Run a statement that reads a batch as ``altcraft_batch``.

        In another thread: DuckDB runs Python code while it reads, and reports an exception that a signal raises there,
        such as Airflow's time-out, as an error of its own. Signals reach the main thread only.
        """

        def run() -> None:
            self._raw.register("altcraft_batch", pa.Table.from_batches([batch]))
            self._raw.execute(sql)
            self._raw.unregister("altcraft_batch")  # after an error there is no transaction left to do it in

        run_in_thread(run, self._raw.interrupt)

    def upsert(self, batches: Iterable[pa.RecordBatch]) -> None:
        columns, key, number = self.columns(COLUMNS), self.quote("event_key"), "altcraft_number"
        settings = self.assignments("excluded.{}")
        # A row that is the same already is not written again: DuckDB deletes and inserts what has an index.
        differs = " OR ".join(
            f"{self.target}.{name} IS DISTINCT FROM excluded.{name}" for name in map(self.quote, NEWS)
        )
        # One statement for all would have them all in memory: DuckDB keeps what it ranks, and what it has yet to index.
        for batch in numbered(slices(batches), number):
            self._read(
                batch,
                f"INSERT INTO {self.target} ({columns}) SELECT {columns} FROM altcraft_batch"
                f" QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {number} DESC) = 1"
                f" ON CONFLICT ({key}) DO UPDATE SET {settings} WHERE {differs}",
            )


def _dialect() -> sa.Dialect:
    """Return PostgreSQL's dialect, whose DDL is the same."""
    make: Any = postgresql.dialect
    dialect: sa.Dialect = make()
    return dialect


def _of_duckdb(type_: str) -> sa.types.TypeEngine[Any]:
    known: dict[str, sa.types.TypeEngine[Any]] = {
        "VARCHAR": sa.Text(),
        "BIGINT": sa.BigInteger(),
        "INTEGER": sa.Integer(),
        "DOUBLE": sa.Double() if hasattr(sa, "Double") else sa.Float(),
        "DATE": sa.Date(),
        "TIMESTAMP": sa.TIMESTAMP(),
        "TIMESTAMP WITH TIME ZONE": sa.TIMESTAMP(timezone=True),
        "JSON": postgresql.JSON(),
    }
    return known.get(type_, sa.types.NullType())
