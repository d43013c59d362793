"""MariaDB and MySQL: multi-row inserts, under a named lock."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time
import pyarrow.compute as pc  # noqa: TID253 - the same
import sqlalchemy as sa  # noqa: TID253 - the same

from airflow_provider.altcraft.schema import COLUMNS, SCHEMA
from airflow_provider.altcraft.targets import _sql_table
from airflow_provider.altcraft.targets._sql_alchemy import AlchemySession
from airflow_provider.altcraft.targets._sql_names import Disposition, Name
from airflow_provider.altcraft.targets._sql_session import NEWS, slices
from airflow_provider.altcraft.targets._sql_table import Shape

if TYPE_CHECKING:
    import datetime as dt

log = logging.getLogger(__name__)

_BYTES = 1 << 20
"""Of one statement, as long as no row is larger."""


class MySqlSession(AlchemySession):
    """A transaction of MariaDB or MySQL, by mysqlclient or mysql-connector-python."""

    kind = "mysql"
    same = "{0} <=> {1}"
    # Texts of the table may compare by a collation that takes different ones for equal.
    equal = "({0} = {1} AND BINARY {0} = BINARY {1})"
    longest = 64

    def __init__(self, hook: Any, name: Name, disposition: Disposition) -> None:
        for part in filter(None, (name.schema, name.table)):
            if max(part) > "\uffff":
                raise ValueError(f"table: {part!r} has a character beyond U+FFFF, which a name may not have")
        super().__init__(hook, name, disposition)

    def _url(self) -> str:
        if type(self.raw).__module__.startswith("MySQLdb"):
            from MySQLdb.cursors import Cursor

            self.raw.cursorclass = Cursor
            self.raw.set_character_set("utf8mb4")
            return "mysql+mysqldb://"
        return "mysql+mysqlconnector://"

    def _begin(self) -> None:
        # Without it what is too long would be cut off with but a warning.
        self.execute("SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'")
        ((charset, self._packet),) = self.execute("SELECT @@character_set_client, @@max_allowed_packet")
        if charset != "utf8mb4":
            self.execute("SET NAMES utf8mb4")

    def _define(self) -> sa.Table:
        dialect: Any = self.dialect
        collation = "utf8mb4_nopad_bin" if dialect.is_mariadb else "utf8mb4_0900_bin"
        return _sql_table.define(self.name, self.kind, self.disposition, collation=collation, longest=self.longest)

    def shape(self) -> Shape | None:
        """The table as it is there."""
        shape = super().shape()
        if shape is not None and shape.columns:
            shape.problems += self._problems()
        return shape

    def _problems(self) -> Iterator[tuple[str, str | None]]:
        place = "table_schema = coalesce(?, database()) AND table_name = ?"
        at = (self.name.schema, self.name.table)
        for (engine,) in self.execute(f"SELECT engine FROM information_schema.tables WHERE {place}", *at):
            if engine != "InnoDB":
                yield f"its engine {engine} has no transactions", f"ALTER TABLE {self.target} ENGINE = InnoDB"
        collation = self.table.kwargs["mysql_collate"]
        names = ", ".join(f"'{each.name}'" for each in SCHEMA if _sql_table.role(each) in {"text", "json"})
        for name, charset in self.execute(
            f"SELECT column_name, character_set_name FROM information_schema.columns WHERE {place}"
            f" AND column_name IN ({names}) AND character_set_name <> 'utf8mb4'",
            *at,
        ):
            yield (
                f"column {name} is of the character set {charset}, which lacks characters",
                f"ALTER TABLE {self.target} CONVERT TO CHARACTER SET utf8mb4 COLLATE {collation}",
            )

    def check_place(self, exists: bool) -> None:
        """Refuse a user who may not make the temporary tables of a replacement."""
        if self.disposition == "replace":
            # Where nobody named another, temporary tables are in the connection's database.
            make = "CREATE TEMPORARY TABLE altcraft_proof (id INT)"
            self.prove([make], "make temporary tables: GRANT CREATE TEMPORARY TABLES ON … TO …")

    def lock(self) -> None:
        """Wait until no other task writes the table, and keep others out to the end."""
        ((schema,),) = self.execute("SELECT coalesce(?, database())", self.name.schema)
        digest = blake2b(f"{schema}.{self.name.table}".encode(), digest_size=16).hexdigest()
        while self.execute("SELECT GET_LOCK(?, 5)", f"altcraft {digest}")[0][0] != 1:
            log.info("%s: another task writes it; waiting", self.name)

    def settle(self) -> None:
        """Go on from the table's making to the transaction, where the making was none."""
        self.commit()

    def instant(self, value: dt.datetime) -> Any:
        """An instant in UTC as the driver takes it for a value."""
        return value.replace(tzinfo=None).isoformat(" ", "microseconds")

    def load(self, into: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch]) -> None:
        """Insert columns of batches."""
        self._insert(into, columns, batches, "")

    def upsert(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Insert rows by ``event_key``, the last of each replacing all before it."""
        settings = ", ".join(f"{self.quote(name)} = VALUES({self.quote(name)})" for name in NEWS)
        self._insert(self.target, COLUMNS, batches, f" ON DUPLICATE KEY UPDATE {settings}")

    def _insert(self, into: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch], end: str) -> None:
        begin = f"INSERT INTO {into} ({self.columns(columns)}) VALUES ".encode()
        most = int(self._packet) - len(begin) - len(end) - 100
        with self.raw.cursor() as cursor:
            for batch in slices(batches):
                for values in _chunks(_literals(batch.select(list(columns))), min(_BYTES, most)):
                    cursor.execute(begin + values + end.encode())

    def _indexed(self, table: str, columns: Sequence[str]) -> str:
        return f"{table} ({self.quote(columns[-1])}(180))"


def _literals(batch: pa.RecordBatch) -> pa.Array[Any]:
    """Each row as it stands in SQL. Drivers would escape value by value, at five times the cost.

    Sound because the session has set the SQL mode, in which a backslash escapes, and a character set whose characters
    hold no byte of ASCII within.
    """
    compute: Any = pc
    columns: list[Any] = []
    for column in batch.columns:
        text: Any = column.cast(pa.timestamp("us")) if pa.types.is_timestamp(column.type) else column
        text = text.cast(pa.string())
        if not pa.types.is_integer(column.type):
            text = compute.replace_substring(compute.replace_substring(text, "\\", "\\\\"), "'", "\\'")
            text = compute.binary_join_element_wise("'", text, "'", "")
        columns.append(compute.fill_null(text, "NULL"))
    lines = compute.binary_join_element_wise(*columns, ",")
    return cast("pa.Array[Any]", compute.binary_join_element_wise("(", lines, ")", ""))


def _chunks(lines: pa.Array[Any], most: int) -> Iterator[bytes]:
    """Rows joined by commas, as many as a packet takes."""
    held: list[bytes] = []
    size = 0
    found: list[Any] = lines.cast(pa.binary()).to_pylist()
    for line in found:
        if held and size + len(line) >= most:
            yield b",".join(held)
            held, size = [], 0
        held.append(line)
        size += len(line) + 1
    if held:
        yield b",".join(held)
