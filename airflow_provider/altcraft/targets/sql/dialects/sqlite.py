"""SQLite: batches by one prepared statement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time
import sqlalchemy as sa  # noqa: TID253 - the same

from airflow_provider.altcraft.schema import COLUMNS
from airflow_provider.altcraft.targets.sql.dialects.alchemy import AlchemySession
from airflow_provider.altcraft.targets.sql.rows import rows, slices
from airflow_provider.altcraft.targets.sql.rules import Shape, TableRules
from airflow_provider.altcraft.targets.sql.session import PATIENCE

if TYPE_CHECKING:
    import datetime as dt


class SqliteRules(TableRules):
    """Tables of SQLite, which alters no column."""

    key_by_index = True

    def types(self, collation: str | None) -> Mapping[str, sa.types.TypeEngine[Any]]:
        """The type of each role."""
        return {**super().types(collation), "instant": sa.DateTime(), "json": sa.Text()}

    def fits_integer(self, found: Any) -> bool:
        """Whether it is a number that is not rounded."""
        return isinstance(found, sa.Integer | sa.Numeric) and not isinstance(found, sa.Float)

    def fits_instant(self, found: Any) -> bool:
        """Whether it takes the text that an instant is."""
        return isinstance(found, sa.DateTime | sa.Text | sa.VARCHAR)

    def is_fixed(self, shape: Shape, name: str) -> bool:
        """Whether the database cannot alter the column."""
        return True


class SqliteSession(AlchemySession):
    """A transaction of SQLite."""

    rules: ClassVar[TableRules] = SqliteRules()
    placeholder = "?"
    null_safe_eq = "{0} IS {1}"
    temp_prefix = "temp."
    max_identifier_bytes = 1 << 10

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
                raise ValueError("the database is in memory, so it would end with the connection; name a file")

    def instant(self, value: dt.datetime) -> Any:
        """An instant in UTC as the driver takes it for a value."""
        return value.replace(tzinfo=None).isoformat(" ", "microseconds")

    def load(self, into: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch]) -> None:
        """Insert columns of batches."""
        self._insert(into, columns, batches, "")

    def upsert(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Insert rows by ``event_key``, the last of each replacing all before it."""
        end = f" ON CONFLICT ({self.quote('event_key')}) DO UPDATE SET {self.assignments('excluded.{}')}"
        self._insert(self.target, COLUMNS, batches, end)

    def _insert(self, into: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch], end: str) -> None:
        marks = ", ".join("?" * len(columns))
        sql = f"INSERT INTO {into} ({self.columns(columns)}) VALUES ({marks}){end}"
        for batch in slices(batches):
            self.raw.executemany(sql, rows(batch, columns))

    def stage(self, name: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch]) -> str:
        """Load batches into a temporary table, and return its name."""
        table = f"altcraft_{name}"
        self.execute(f"CREATE TEMPORARY TABLE {table} {self.temp_table_ddl(columns)}")
        self.load(f"{self.temp_prefix}{table}", columns, batches)
        self.execute(f"CREATE INDEX {self.temp_prefix}{table}_ix ON {table} ({self.columns(reversed(columns))})")
        return f"{self.temp_prefix}{table}"
