"""DuckDB: Arrow batches, which it reads as they are."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time
import sqlalchemy as sa  # noqa: TID253 - the same
from sqlalchemy.dialects import postgresql  # noqa: TID253 - the same

from airflow_provider.altcraft.schema import COLUMNS
from airflow_provider.altcraft.targets._sql_session import NEWS, PATIENCE, Session, numbered, slices
from airflow_provider.altcraft.targets._sql_table import Found, Shape

# The file is another process's, or this process is about to close it or has it open to read only.
_BUSY = ("Could not set lock", "already attached", "different configuration")


class DuckDbSession(Session):
    """A transaction of DuckDB."""

    kind = "duckdb"
    mark = "?"
    longest = 1 << 10
    _one = threading.Lock()
    """Held by a session: two of one process would share the file, and fail where they meet."""

    def _connect(self) -> None:
        if not (self.hook.is_local or self.hook.is_motherduck):
            raise ValueError("the connection names no file, so its database would be gone with it")
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
        """Run a statement with ``?`` for its values, and return its rows."""
        return list(self._raw.execute(sql, list(values)).fetchall())

    def commit(self) -> None:
        """Commit."""
        self._raw.execute("COMMIT")

    def close(self) -> None:
        """Roll back and close; does not fail."""
        try:
            self._raw.close()
        finally:
            self._one.release()

    def schemas(self) -> list[str]:
        """The schemas that are there."""
        found = self.execute("SELECT schema_name FROM duckdb_schemas() WHERE database_name = current_database()")
        return [name for (name,) in found]

    def shape(self) -> Shape | None:
        """The table as it is there."""
        place = "database_name = current_database() AND lower(schema_name) = lower(?) AND lower({}) = lower(?)"
        ((schema,),) = self.execute("SELECT coalesce(?, current_schema())", self.name.schema)
        table, view = place.format("table_name"), place.format("view_name")
        at = (schema, self.name.table)
        if self.execute(f"SELECT 1 FROM duckdb_views() WHERE {view}", *at):
            return Shape({}, [], [], [("it is a view", None)])
        columns = {
            name: Found(_of_duckdb(type_), bool(nullable), default is not None)
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
        indexes = self.execute(f"SELECT expressions, is_unique FROM duckdb_indexes() WHERE {table}", *at)
        named = [(tuple(part.strip(" \"'") for part in text.strip("[]").split(",")), one) for text, one in indexes]
        return Shape(columns, [*unique, *(names for names, one in named if one)], [names for names, _ in named])

    def load(self, into: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch]) -> None:
        """Insert columns of batches."""
        names = self.columns(columns)
        for batch in slices(batches):
            with self._seen(batch.select(list(columns))):
                self.execute(f"INSERT INTO {into} ({names}) SELECT {names} FROM altcraft_batch")

    def stage(self, name: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch]) -> str:
        """Load batches into a temporary table, and return its name."""
        # With more, DuckDB 2.0 finds none of over 122,880 rows (a row group) that the same transaction has added.
        self.execute("SET threads = 1")
        return super().stage(name, columns, batches)

    @contextmanager
    def _seen(self, batch: pa.RecordBatch) -> Iterator[None]:
        """Have DuckDB see a batch as ``altcraft_batch``."""
        # Not one stream of many: what came amid its making, a time-out say, would look like a failure of DuckDB.
        self._raw.register("altcraft_batch", pa.Table.from_batches([batch]))
        yield
        self._raw.unregister("altcraft_batch")  # after an error there is no transaction left to do it in

    def upsert(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Insert rows by ``event_key``, the last of each replacing all before it."""
        columns, key, number = self.columns(COLUMNS), self.quote("event_key"), "altcraft_number"
        settings = ", ".join(f"{self.quote(name)} = excluded.{self.quote(name)}" for name in NEWS)
        # A row that is the same already is not written anew: DuckDB deletes and inserts what has an index.
        differs = " OR ".join(
            f"{self.target}.{name} IS DISTINCT FROM excluded.{name}" for name in map(self.quote, NEWS)
        )
        # One statement for all would have them all in memory: DuckDB keeps what it ranks, and what it has yet to index.
        for batch in numbered(slices(batches), number):
            with self._seen(batch):
                self.execute(
                    f"INSERT INTO {self.target} ({columns}) SELECT {columns} FROM altcraft_batch"
                    f" QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {number} DESC) = 1"
                    f" ON CONFLICT ({key}) DO UPDATE SET {settings} WHERE {differs}"
                )


def _dialect() -> sa.Dialect:
    """PostgreSQL's: the DDL is the same."""
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
