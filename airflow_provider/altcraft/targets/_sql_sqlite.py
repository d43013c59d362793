"""SQLite: batches by one prepared statement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time

from airflow_provider.altcraft.schema import COLUMNS
from airflow_provider.altcraft.targets._sql_alchemy import AlchemySession
from airflow_provider.altcraft.targets._sql_session import NEWS, PATIENCE, rows, slices

if TYPE_CHECKING:
    import datetime as dt


class SqliteSession(AlchemySession):
    """A transaction of SQLite."""

    kind = "sqlite"
    mark = "?"
    same = "{0} IS {1}"
    temporary = "temp."
    longest = 1 << 10

    def _url(self) -> str:
        return "sqlite://"

    def _begin(self) -> None:
        self.raw.isolation_level = None  # the driver begins nothing by itself
        self.execute(f"PRAGMA busy_timeout = {PATIENCE * 1000:.0f}")
        # Sorts and temporary tables may be large.
        self.execute("PRAGMA temp_store = FILE")
        self.execute("BEGIN IMMEDIATE")

    def check_place(self, exists: bool) -> None:
        """Refuse a place where nothing can be written or, where there is no table yet, made."""
        schema = (self.name.schema or "main").casefold()
        for _, name, file in self.execute("PRAGMA database_list"):
            if name.casefold() == schema and not file:
                raise ValueError("the database is in memory, so it would be gone with the connection; name a file")

    def instant(self, value: dt.datetime) -> Any:
        """An instant in UTC as the driver takes it for a value."""
        return value.replace(tzinfo=None).isoformat(" ", "microseconds")

    def load(self, into: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch]) -> None:
        """Insert columns of batches."""
        self._insert(into, columns, batches, "")

    def upsert(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Insert rows by ``event_key``, the last of each replacing all before it."""
        settings = ", ".join(f"{self.quote(name)} = excluded.{self.quote(name)}" for name in NEWS)
        end = f" ON CONFLICT ({self.quote('event_key')}) DO UPDATE SET {settings}"
        self._insert(self.target, COLUMNS, batches, end)

    def _insert(self, into: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch], end: str) -> None:
        marks = ", ".join("?" * len(columns))
        sql = f"INSERT INTO {into} ({self.columns(columns)}) VALUES ({marks}){end}"
        for batch in slices(batches):
            self.raw.executemany(sql, rows(batch, columns))

    def _indexed(self, table: str, columns: Sequence[str]) -> str:
        return f"{table.removeprefix(self.temporary)} ({self.columns(reversed(columns))})"

    def stage(self, name: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch]) -> str:
        """Load batches into a temporary table, and return its name."""
        table = f"{self.temporary}altcraft_{name}"
        self.execute(f"CREATE TEMPORARY TABLE altcraft_{name} {self.made(columns)}")
        self.load(table, columns, batches)
        self.execute(f"CREATE INDEX {self.temporary}altcraft_{name}_ix ON {self._indexed(table, columns)}")
        return table
