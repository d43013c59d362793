"""MariaDB and MySQL: multi-row inserts, under a named lock."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from hashlib import blake2b
from typing import Any, ClassVar, cast

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time
import pyarrow.compute as pc  # noqa: TID253 - the same
import sqlalchemy as sa  # noqa: TID253 - the same
from sqlalchemy.dialects import mysql  # noqa: TID253 - the same

from airflow_provider.altcraft._arrow import text_scalar
from airflow_provider.altcraft.schema import SCHEMA
from airflow_provider.altcraft.targets.sql import table
from airflow_provider.altcraft.targets.sql.checks import proving_right
from airflow_provider.altcraft.targets.sql.dialects.alchemy import InsertSession
from airflow_provider.altcraft.targets.sql.names import Disposition, Name
from airflow_provider.altcraft.targets.sql.rows import EPOCH, slices
from airflow_provider.altcraft.targets.sql.rules import Shape, TableRules

log = logging.getLogger(__name__)

_NUMBER = "altcraft_number"
_BYTES = 1 << 20
"""Bytes of one statement, unless a single row is larger."""


class MySqlRules(TableRules):
    """Tables of MariaDB and MySQL."""

    indexes_follow_table = True

    def types(self, collation: str | None) -> Mapping[str, sa.types.TypeEngine[Any]]:
        # TEXT ends at 64 kB. MariaDB's JSON is that with a check that refuses deep nesting; MySQL's alters numbers.
        return {
            "key": mysql.VARCHAR(64, collation=collation),
            "text": mysql.LONGTEXT(collation=collation),
            "integer": sa.BigInteger(),
            "instant": mysql.DATETIME(fsp=6),
            "json": mysql.LONGTEXT(collation=collation),
        }

    def fits_instant(self, found: Any) -> bool:
        """Return whether it has microseconds, and no zone of the session's."""
        return isinstance(found, mysql.DATETIME) and found.fsp == 6

    def fits_json(self, found: Any) -> bool:
        """Return whether it is long enough, and no JSON, which alters numbers."""
        return isinstance(found, mysql.LONGTEXT | mysql.MEDIUMTEXT)

    def fits_key(self, found: Any) -> bool:
        """Return whether it can be a key."""
        return super().fits_key(found) and not isinstance(found, sa.Text)

    def indexed_type(self, column: sa.Column[Any]) -> Any:
        """Return a type that can be indexed, as a longer one cannot."""
        type_ = column.type
        return mysql.VARCHAR(255, collation=type_.collation) if isinstance(type_, mysql.LONGTEXT) else type_

    def change_type(self, column: sa.Column[Any], name: str, type_: str) -> str:
        return f"MODIFY COLUMN {name} {type_}{'' if column.nullable else ' NOT NULL'}"

    def drop_not_null(self, name: str, type_: str) -> str:
        return f"MODIFY COLUMN {name} {type_} NULL"


class MySqlSession(InsertSession):
    """A transaction of MariaDB or MySQL, by mysqlclient or mysql-connector-python."""

    rules: ClassVar[TableRules] = MySqlRules()
    null_safe_eq = "{0} <=> {1}"
    # The table may have a collation by which different texts are equal.
    eq = "({0} = {1} AND BINARY {0} = BINARY {1})"
    max_identifier_bytes = 64
    transactional_ddl = False
    upsert_clause = "ON DUPLICATE KEY UPDATE"
    new_value = "VALUES({})"

    def __init__(self, hook: Any, name: Name, disposition: Disposition) -> None:
        for part in filter(None, (name.schema, name.table)):
            if max(part) > "\uffff":
                raise ValueError(f"table: {part!r} has a character beyond U+FFFF, which a name may not have")
        super().__init__(hook, name, disposition)

    def _url(self) -> str:
        # Before SQLAlchemy reads the mode, by which it quotes names. Not in strict mode, long values are cut off.
        with closing(self.raw.cursor()) as cursor:
            cursor.execute("SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', autocommit = 0")
        if type(self.raw).__module__.startswith("MySQLdb"):
            from MySQLdb.cursors import Cursor

            self.raw.cursorclass = Cursor
            self.raw.set_character_set("utf8mb4")
            return "mysql+mysqldb://"
        return "mysql+mysqlconnector://"

    def _begin(self) -> None:
        ((charset, self._packet),) = self.execute("SELECT @@character_set_client, @@max_allowed_packet")
        if charset != "utf8mb4":
            self.execute("SET NAMES utf8mb4")

    def _define(self) -> sa.Table:
        dialect: Any = self.dialect
        collation = "utf8mb4_nopad_bin" if dialect.is_mariadb else "utf8mb4_0900_bin"
        return table.define(
            self.name, self.rules, self.disposition, collation=collation, max_identifier_bytes=self.max_identifier_bytes
        )

    def shape(self) -> Shape | None:
        shape = super().shape()
        if shape is not None and not shape.instead:
            shape.problems += self._problems()
            found = self.execute(
                "SELECT DISTINCT partition_expression FROM information_schema.partitions"
                " WHERE table_schema = coalesce(?, database()) AND table_name = ? AND partition_name IS NOT NULL",
                self.name.schema,
                self.name.table,
            )
            shape.partitioned = tuple(str(expression).replace("`", "") for (expression,) in found)
        return shape

    def _problems(self) -> Iterator[tuple[str, str | None]]:
        place = "table_schema = coalesce(?, database()) AND table_name = ?"
        at = (self.name.schema, self.name.table)
        for (engine,) in self.execute(f"SELECT engine FROM information_schema.tables WHERE {place}", *at):
            if engine != "InnoDB":
                yield f"its engine {engine} has no transactions", f"ALTER TABLE {self.target} ENGINE = InnoDB"
        collation = self.table.kwargs["mysql_collate"]
        names = ", ".join(f"'{each.name}'" for each in SCHEMA if table.role(each) in {"text", "json"})
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
            with proving_right("make temporary tables: GRANT CREATE TEMPORARY TABLES ON … TO …"):
                self.execute("CREATE TEMPORARY TABLE altcraft_proof (id INT PRIMARY KEY)")

    def lock(self) -> None:
        ((schema,),) = self.execute("SELECT coalesce(?, database())", self.name.schema)
        digest = blake2b(f"{schema}.{self.name.table}".encode(), digest_size=16).hexdigest()
        while (had := self.execute("SELECT GET_LOCK(?, 5)", f"altcraft {digest}")[0][0]) != 1:
            if had is None:
                raise OSError("GET_LOCK failed, so tasks that write the table at once could not wait for one another")
            log.info("%s: another task writes it; waiting", self.name)

    def now(self) -> dt.datetime:
        """Return the time by the server's clock."""
        ((microseconds,),) = self.execute("SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))")
        return EPOCH + dt.timedelta(microseconds=microseconds)

    def make(self) -> None:
        """Make the table, and its index if the user has the right to it."""
        self.execute(table.create(self.table, self.dialect)[0])
        self._add_index()

    def try_make(self) -> bool:
        """Prove that the table can be made, and make a temporary one instead: no transaction rolls back the making."""
        ddl = table.create(self.table, self.dialect)[0]
        if self.disposition != "merge" and self._needs_key():
            # Named as the key of the temporary tables is.
            keyed = ddl.replace("(", f"(\n\t{_NUMBER} BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,", 1)
            raise ValueError(
                f"the server requires a primary key in each table, and a table of "
                f"write_disposition={self.disposition!r} has none of its own; make it with one that numbers the rows: "
                f"{' '.join(keyed.split())};"
            )
        with proving_right(f"make the table: GRANT CREATE ON {self.target} TO …"):
            self.execute("PREPARE altcraft_proof FROM ?", ddl)
        if self.disposition != "replace":  # which alone has proved the right to temporary tables
            return False
        self.execute(ddl.replace("CREATE TABLE", "CREATE TEMPORARY TABLE", 1))
        return True

    def _needs_key(self) -> bool:
        names = "'innodb_force_primary_key', 'sql_require_primary_key'"
        found = self.execute(f"SHOW VARIABLES WHERE Variable_name IN ({names}) AND Value = 'ON'")
        return bool(found)

    def temp_table_ddl(self, columns: Sequence[str]) -> str:
        """Return the end of ``CREATE TEMPORARY TABLE``, with a key: a server may demand it, and an index commits."""
        own = f"{_NUMBER} BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, KEY ({self.quote(columns[-1])}(180))"
        return f"({own}) {super().temp_table_ddl(columns)}"

    def index(self, name: str, table: str, columns: Sequence[str]) -> None:
        """Do nothing: the index was made with the table."""

    def begin_after_ddl(self) -> None:
        self.commit()

    def _insert(self, into: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch], end: str) -> None:
        begin = f"INSERT INTO {into} ({self.columns(columns)}) VALUES ".encode()
        most = int(self._packet) - len(begin) - len(end) - 100
        with self.raw.cursor() as cursor:
            for batch in slices(batches):
                for values in _chunks(_literals(batch.select(list(columns))), min(_BYTES, most)):
                    cursor.execute(begin + values + end.encode())


def _literals(batch: pa.RecordBatch) -> pa.Array[Any]:
    """Return each row as an SQL literal. Drivers would escape value by value, at five times the cost.

    This is safe as the session has set an SQL mode in which a backslash escapes, and a character set in which no other
    character holds a byte of ASCII.
    """
    compute: Any = pc
    mark, nothing = text_scalar("'"), text_scalar("")
    columns: list[Any] = []
    for column in batch.columns:
        text: Any = column.cast(pa.timestamp("us")) if pa.types.is_timestamp(column.type) else column
        text = text.cast(pa.string())
        if not pa.types.is_integer(column.type):
            text = compute.replace_substring(compute.replace_substring(text, "\\", "\\\\"), "'", "\\'")
            text = compute.binary_join_element_wise(mark, text, mark, nothing)
        columns.append(compute.fill_null(text, text_scalar("NULL")))
    lines = compute.binary_join_element_wise(*columns, text_scalar(","))
    begin, end = text_scalar("("), text_scalar(")")
    return cast("pa.Array[Any]", compute.binary_join_element_wise(begin, lines, end, nothing))


def _chunks(lines: pa.Array[Any], most: int) -> Iterator[bytes]:
    """Join rows by commas, as many as a packet takes."""
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
