"""SQLite: batches by one prepared statement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time
import sqlalchemy as sa  # noqa: TID253 - the same

from airflow_provider.altcraft.targets.sql.dialects.alchemy import InsertSession
from airflow_provider.altcraft.targets.sql.rows import rows, slices
from airflow_provider.altcraft.targets.sql.rules import Shape, TableRules
from airflow_provider.altcraft.targets.sql.session import PATIENCE


class SqliteRules(TableRules):
    """Tables of SQLite, which alters no column."""

    key_by_index = True

    def types(self, collation: str | None) -> Mapping[str, sa.types.TypeEngine[Any]]:
        return {**super().types(collation), "instant": sa.DateTime(), "json": sa.Text()}

    def fits_integer(self, found: Any) -> bool:
        """Return whether it is a number that is not rounded."""
        return isinstance(found, sa.Integer | sa.Numeric) and not isinstance(found, sa.Float)

    def fits_instant(self, found: Any) -> bool:
        """Return whether it takes the text that an instant is."""
        return isinstance(found, sa.DateTime | sa.Text | sa.VARCHAR)

    def is_fixed(self, shape: Shape, name: str) -> bool:
        return True


class SqliteSession(InsertSession):
    """A transaction of SQLite."""

    rules: ClassVar[TableRules] = SqliteRules()
    placeholder = "?"
    null_safe_eq = "{0} IS {1}"
    temp_prefix = "temp."
    max_identifier_bytes = 1 << 10
    upsert_clause = "ON CONFLICT (event_key) DO UPDATE SET"
    new_value = "excluded.{}"

    def _url(self) -> str:
        return "sqlite://"

    def _begin(self) -> None:
        self.raw.isolation_level = None  # the driver begins nothing by itself
        self.execute(f"PRAGMA busy_timeout = {PATIENCE * 1000:.0f}")
        # Sorts and temporary tables may be large.
        self.execute("PRAGMA temp_store = FILE")
        self.execute("BEGIN IMMEDIATE")

    def check_place(self, exists: bool) -> None:
        schema = (self.name.schema or "main").casefold()
        for _, name, file in self.execute("PRAGMA database_list"):
            if name.casefold() == schema and not file:
                raise ValueError("the database is in memory, so it would end with the connection; name a file")

    def _insert(self, into: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch], end: str) -> None:
        marks = ", ".join("?" * len(columns))
        sql = f"INSERT INTO {into} ({self.columns(columns)}) VALUES ({marks}){end}"
        for batch in slices(batches):
            self.raw.executemany(sql, rows(batch, columns))

    def stage(self, name: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch]) -> str:
        table = f"altcraft_{name}"
        self.execute(f"CREATE TEMPORARY TABLE {table} {self.temp_table_ddl(columns)}")
        self.load(f"{self.temp_prefix}{table}", columns, batches)
        self.execute(f"CREATE INDEX {self.temp_prefix}{table}_ix ON {table} ({self.columns(reversed(columns))})")
        return f"{self.temp_prefix}{table}"
