"""The table of a target: its definition for a database's dialect, and what hinders one that is there already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time
import sqlalchemy as sa  # noqa: TID253 - the same
from sqlalchemy.dialects import mysql, postgresql  # noqa: TID253 - the same
from sqlalchemy.schema import CreateColumn, CreateIndex, CreateTable, DropIndex  # noqa: TID253 - the same

from airflow_provider.altcraft.schema import COLUMNS, SCHEMA
from airflow_provider.altcraft.targets._sql_names import Disposition, Name

Kind = Literal["postgresql", "mysql", "sqlite", "duckdb", "other"]

_MANY = 1 << 20


@dataclass(frozen=True, slots=True)
class Found:
    """A column that is there."""

    type: Any
    nullable: bool
    filled: bool = False
    """Whether the database has a value for it where a row gives none."""


@dataclass(slots=True)
class Shape:
    """A table that is there: columns by name, the columns of each unique key and of each index."""

    columns: dict[str, Found]
    unique: list[tuple[str, ...]]
    indexes: list[tuple[str, ...]]
    problems: list[tuple[str, str | None]] = field(default_factory=list)
    """What else hinders, with the DDL that mends it."""

    def has_index(self) -> bool:
        """Whether some index begins with the list and the time."""
        return any(columns[:2] == ("list_id", "datetime") for columns in (*self.indexes, *self.unique))


def define(
    name: Name, kind: Kind, disposition: Disposition, *, collation: str | None = None, longest: int = 63
) -> sa.Table:
    """Return the table's definition.

    Args:
        name: the table.
        kind: of which database.
        disposition: decides the key. An event is one row on ``merge``, and a row for each lookup that asked for it on
            the others, in which a whole database's events have none.
        collation: by which the texts of MariaDB and MySQL compare.
        longest: how many characters an index's name may have.
    """
    types = _types(kind, collation)
    options: dict[str, Any] = {}
    if collation:
        options = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": collation}
    key = disposition == "merge"
    columns: list[Any] = [
        sa.Column(each.name, types[role(each)], nullable=each.nullable, primary_key=key and each.name == "event_key")
        for each in SCHEMA
    ]
    table: sa.Table = sa.Table(name.table, sa.MetaData(), *columns, schema=name.schema, **options)
    sa.Index(_index_name(name.table, longest), table.c.list_id, table.c.datetime)
    return table


def role(column: pa.Field[Any]) -> str:
    """What a column holds, to a database: ``key``, ``text``, ``integer``, ``instant`` or ``json``."""
    if column.name in {"event_key", "extra"}:
        return "key" if column.name == "event_key" else "json"
    if pa.types.is_timestamp(column.type):
        return "instant"
    return "integer" if pa.types.is_integer(column.type) else "text"


def create(table: sa.Table, dialect: sa.Dialect) -> list[str]:
    """Return the DDL that makes the table and its index."""
    return [_text(CreateTable(table), dialect), *create_index(table, dialect)]


def create_index(table: sa.Table, dialect: sa.Dialect) -> list[str]:
    """Return the DDL that makes the index."""
    return [_text(CreateIndex(index), dialect) for index in table.indexes]


def _types(kind: Kind, collation: str | None) -> Mapping[str, sa.types.TypeEngine[Any]]:
    if kind == "mysql":
        # TEXT ends at 64 kB. MariaDB's JSON is that with a check that refuses deep nesting; MySQL's alters numbers.
        return {
            "key": mysql.VARCHAR(64, collation=collation),
            "text": mysql.LONGTEXT(collation=collation),
            "integer": sa.BigInteger(),
            "instant": mysql.DATETIME(fsp=6),
            "json": mysql.LONGTEXT(collation=collation),
        }
    if kind == "sqlite":
        return {
            "key": sa.Text(),
            "text": sa.Text(),
            "integer": sa.BigInteger(),
            "instant": sa.DateTime(),
            "json": sa.Text(),
        }
    if kind == "other":
        # What may stand in a key and be compared on any; Oracle's DateTime would have no fractions of a second.
        instant = sa.DateTime(timezone=True).with_variant(sa.TIMESTAMP(timezone=True), "oracle")
        return {
            "key": sa.String(64),
            "text": sa.Unicode(1024),
            "integer": sa.BigInteger(),
            "instant": instant,
            "json": sa.UnicodeText(),
        }
    # JSONB would alter numbers and refuse \u0000.
    return {
        "key": sa.Text(),
        "text": sa.Text(),
        "integer": sa.BigInteger(),
        "instant": sa.TIMESTAMP(timezone=True),
        "json": postgresql.JSON(),
    }


def differences(
    table: sa.Table, shape: Shape, kind: Kind, disposition: Disposition, dialect: sa.Dialect
) -> list[tuple[str, str | None]]:
    """Return what hinders a table that is there, each with the DDL that mends it, where there is such."""
    mend = _Mend(table, kind, dialect)
    found = [
        *shape.problems,
        *_of_columns(table, shape, kind, mend),
        *_of_keys(shape, disposition, mend),
    ]
    if any(ddl == mend.move_away for _, ddl in found):  # which mends all
        return [(what, None) for what, _ in found[:-1]] + [(found[-1][0], mend.move_away)]
    return found


def _of_columns(table: sa.Table, shape: Shape, kind: Kind, mend: _Mend) -> Iterator[tuple[str, str | None]]:
    for each in SCHEMA:
        column, found = table.c[each.name], shape.columns.get(each.name)
        if found is None:
            yield f"there is no column {each.name}", mend.add(column)
            continue
        if not _fits(found.type, role(each), kind):
            wanted = mend.type(column)
            yield f"column {each.name} is {mend.text(found.type)}; {wanted} is wanted", mend.retype(column)
        elif each.nullable and not found.nullable:
            yield f"column {each.name} is NOT NULL, but events may lack it", mend.relax(each.name, found.type)
    for name, found in shape.columns.items():
        if name not in COLUMNS and not found.nullable and not found.filled:
            yield f"column {name} is NOT NULL without a default, and events have none", mend.relax(name, found.type)


def _of_keys(shape: Shape, disposition: Disposition, mend: _Mend) -> Iterator[tuple[str, str | None]]:
    if disposition == "merge" and ("event_key",) not in shape.unique:
        yield "event_key is no primary key, by which to merge", mend.key()
    for columns in shape.unique:
        if not set(columns) <= set(COLUMNS):
            continue  # a column of the user's own, such as a serial number, keeps rows apart
        if disposition == "merge":
            fits = "event_key" in columns
        else:
            fits = disposition == "replace" and {"event_key", "matching", "lookup"} <= set(columns)
        if not fits:
            alike = f"({', '.join(columns)}) is unique, but {disposition} writes rows alike in it"
            yield alike, mend.unkey(columns)


def _fits(found: Any, wanted: str, kind: Kind) -> bool:
    """Whether a column's type takes the values and gives them back unaltered."""
    if wanted == "integer":
        if kind in {"sqlite", "other"}:
            return isinstance(found, sa.Integer | sa.Numeric) and not isinstance(found, sa.Float)
        return isinstance(found, sa.BigInteger)
    if wanted == "instant":
        if kind == "mysql":
            return isinstance(found, mysql.DATETIME) and found.fsp == 6
        if kind == "sqlite":
            return isinstance(found, sa.DateTime | sa.Text | sa.VARCHAR)
        if kind == "other":
            return isinstance(found, sa.DateTime)
        return isinstance(found, sa.TIMESTAMP) and found.timezone and getattr(found, "precision", None) in {None, 6}
    if wanted == "json":
        return _holds_json(found, kind)
    length = _length(found)
    return length is not None and length >= (32 if wanted == "key" else 255)


def _holds_json(found: Any, kind: Kind) -> bool:
    if kind == "mysql":
        return isinstance(found, mysql.LONGTEXT | mysql.MEDIUMTEXT)
    if isinstance(found, sa.JSON):
        return not isinstance(found, postgresql.JSONB)
    length = _length(found)
    return length is not None and (length >= _MANY or kind == "other")


def _length(found: Any) -> int | None:
    """How many characters a text column holds at least; ``None`` for one that is no text, or alters it."""
    if not isinstance(found, sa.String) or isinstance(found, sa.Enum | sa.CHAR | mysql.TINYTEXT):
        # Of a fixed length, but a key always has that.
        return found.length if isinstance(found, sa.CHAR) and found.length == 32 else None
    if type(found).__name__ == "CITEXT":
        return None
    return found.length or _MANY


class _Mend:
    """DDL that makes a table fit."""

    def __init__(self, table: sa.Table, kind: Kind, dialect: sa.Dialect) -> None:
        self._kind = kind
        self._dialect = dialect
        self._columns = table.c
        self._quote = dialect.identifier_preparer.quote
        self._alter = f"ALTER TABLE {dialect.identifier_preparer.format_table(table)}"
        self._name = table.name
        (self._index,) = table.indexes

    def text(self, type_: Any) -> str:
        return "of a type unknown here" if isinstance(type_, sa.types.NullType) else _text(type_, self._dialect)

    def type(self, column: sa.Column[Any]) -> str:
        return self.text(column.type)

    def add(self, column: sa.Column[Any]) -> str:
        # Rows that are there have no value, so it may be null.
        bare = sa.Column(column.name, column.type)
        return f"{self._alter} ADD COLUMN {_text(CreateColumn(bare), self._dialect)}"

    def retype(self, column: sa.Column[Any]) -> str:
        name, type_ = self._quote(column.name), self.type(column)
        if self._kind == "sqlite":
            return self.move_away
        if self._kind == "mysql":
            return f"{self._alter} MODIFY COLUMN {name} {type_}{'' if column.nullable else ' NOT NULL'}"
        using = f" USING {name} AT TIME ZONE 'UTC'" if column.name == "datetime" else f" USING {name}::{type_}"
        return f"{self._alter} ALTER COLUMN {name} TYPE {type_}{'' if self._kind == 'other' else using}"

    def relax(self, name: str, type_: Any) -> str:
        if self._kind == "sqlite":
            return self.move_away
        if self._kind == "mysql":
            return f"{self._alter} MODIFY COLUMN {self._quote(name)} {self.text(type_)} NULL"
        return f"{self._alter} ALTER COLUMN {self._quote(name)} DROP NOT NULL"

    def key(self) -> str:
        if self._kind == "sqlite":
            return self.move_away
        return f"{self._alter} ADD PRIMARY KEY ({self._quote('event_key')})"

    def unkey(self, columns: Sequence[str]) -> str | None:
        return self.move_away if columns == ("event_key",) else None

    @property
    def move_away(self) -> str:
        """The next pull makes the table anew, and its index: one name for both would be in the way."""
        rename = f"{self._alter} RENAME TO {self._quote(self._name + '_before')}"
        if self._kind in {"mysql", "other"}:  # whose indexes have names of their table's own, or nobody knows
            return rename
        return f"{_text(DropIndex(self._index, if_exists=True), self._dialect)}; {rename}"


def _index_name(table: str, longest: int) -> str:
    name = f"ix_{table}_list_id_datetime"
    if len(name.encode()) <= min(longest, 63):  # more than that SQLAlchemy refuses for DuckDB
        return name
    return f"ix_{blake2b(table.encode(), digest_size=8).hexdigest()}_list_id_datetime"


def _text(element: Any, dialect: sa.Dialect) -> str:
    return str(element.compile(dialect=dialect)).strip()
