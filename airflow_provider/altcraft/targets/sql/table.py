"""The table of a target: its definition for a dialect, and what an existing table lacks, with the DDL to repair it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time
import sqlalchemy as sa  # noqa: TID253 - the same
from sqlalchemy.schema import CreateColumn, CreateIndex, CreateTable, DropIndex  # noqa: TID253 - the same

from airflow_provider.altcraft.schema import COLUMNS, SCHEMA
from airflow_provider.altcraft.targets.sql.names import Disposition, Name
from airflow_provider.altcraft.targets.sql.rules import Shape, TableRules


def define(
    name: Name,
    rules: TableRules,
    disposition: Disposition,
    *,
    collation: str | None = None,
    max_identifier_bytes: int = 63,
) -> sa.Table:
    """Return the table's definition.

    Args:
        name: the table.
        rules: of the database.
        disposition: decides the key. An event is one row on ``merge``, and a row for each lookup that asked for it on
            the others, in which a whole database's events have none.
        collation: by which the texts of MariaDB and MySQL compare.
        max_identifier_bytes: how many characters an index's name may have.
    """
    types = rules.types(collation)
    options: dict[str, Any] = {}
    if collation:
        options = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": collation}
    key = disposition == "merge"
    columns: list[Any] = [
        sa.Column(each.name, types[role(each)], nullable=each.nullable, primary_key=key and each.name == "event_key")
        for each in SCHEMA
    ]
    table: sa.Table = sa.Table(name.table, sa.MetaData(), *columns, schema=name.schema, **options)
    sa.Index(_index_name(name.table, "list_id_datetime", max_identifier_bytes), table.c.list_id, table.c.datetime)
    return table


def role(column: pa.Field[Any]) -> str:
    """Return the kind of a column: ``key``, ``text``, ``integer``, ``instant`` or ``json``."""
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


def differences(
    table: sa.Table, shape: Shape, rules: TableRules, disposition: Disposition, dialect: sa.Dialect
) -> list[tuple[str, str | None]]:
    """Return what an existing table lacks, each with the DDL that repairs it, where there is such DDL."""
    repair = _Repair(table, shape, rules, dialect)
    found = [
        *shape.problems,
        *_of_columns(table, shape, rules, repair),
        *_of_keys(shape, disposition, repair),
    ]
    if any(ddl == repair.move_away for _, ddl in found):  # which removes every difference
        return [(what, None) for what, _ in found[:-1]] + [(found[-1][0], repair.move_away)]
    return found


def _of_columns(table: sa.Table, shape: Shape, rules: TableRules, repair: _Repair) -> Iterator[tuple[str, str | None]]:
    for each in SCHEMA:
        column, found = table.c[each.name], shape.columns.get(each.name)
        if found is None:
            yield f"there is no column {each.name}", repair.add(column)
            continue
        if not _fits(found.type, each, rules):
            expected = repair.type(column)
            yield f"column {each.name} is {repair.text(found.type)}; expected {expected}", repair.retype(column)
        elif each.nullable and not found.nullable:
            yield f"column {each.name} is NOT NULL, but events may lack it", repair.relax(each.name, found.type)
    for name, found in shape.columns.items():
        if name not in COLUMNS and not found.nullable and not found.filled:
            yield f"column {name} is NOT NULL without a default, and events have none", repair.relax(name, found.type)


def _of_keys(shape: Shape, disposition: Disposition, repair: _Repair) -> Iterator[tuple[str, str | None]]:
    if disposition == "merge" and ("event_key",) not in shape.unique:
        if set(shape.partitioned) <= {"event_key"}:
            yield "event_key is not the primary key, by which a merge finds rows", repair.key()
        else:
            by = ", ".join(name or "an expression" for name in shape.partitioned)
            yield (
                (
                    f"the table is partitioned by {by}, so event_key alone cannot be a key, by which to merge "
                    f"(write_disposition='replace' needs none)"
                ),
                repair.move_away,
            )
    for columns in shape.unique:
        if not set(columns) <= set(COLUMNS):
            continue  # a column of the user's own, such as a serial number, keeps rows apart
        if disposition == "merge":
            fits = "event_key" in columns
        else:
            fits = disposition == "replace" and {"event_key", "matching", "lookup"} <= set(columns)
        if not fits:
            alike = f"({', '.join(columns)}) is unique, but {disposition} writes rows alike in it"
            yield alike, repair.unkey(columns)


def _fits(found: Any, each: pa.Field[Any], rules: TableRules) -> bool:
    """Return whether a column's type takes the values and gives them back unaltered."""
    fits: bool = getattr(rules, f"fits_{role(each)}")(found)
    return fits


class _Repair:
    """DDL that makes a table fit."""

    def __init__(self, table: sa.Table, shape: Shape, rules: TableRules, dialect: sa.Dialect) -> None:
        self._rules = rules
        self._shape = shape
        self._dialect = dialect
        self._quote = dialect.identifier_preparer.quote
        self._alter = f"ALTER TABLE {dialect.identifier_preparer.format_table(table)}"
        self._table = table
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
        if self._is_fixed(column.name):
            return self.move_away
        type_ = self._rules.indexed_type(column) if self._is_of_a_key(column.name) else column.type
        return f"{self._alter} {self._rules.change_type(column, self._quote(column.name), self.text(type_))}"

    def relax(self, name: str, type_: Any) -> str:
        if self._is_fixed(name) or name in self._shape.primary:
            return self.move_away
        return f"{self._alter} {self._rules.drop_not_null(self._quote(name), self.text(type_))}"

    def _is_fixed(self, name: str) -> bool:
        return self._rules.is_fixed(self._shape, name)

    def _is_of_a_key(self, name: str) -> bool:
        return any(name in columns for columns in (*self._shape.unique, *self._shape.indexes))

    def key(self) -> str:
        if self._rules.key_by_index:
            table = self._table.to_metadata(sa.MetaData())
            unique = sa.Index(_index_name(self._table.name, "event_key"), table.c.event_key, unique=True)
            return _text(CreateIndex(unique), self._dialect)
        kind = "UNIQUE" if self._shape.primary else "PRIMARY KEY"
        return f"{self._alter} ADD {kind} ({self._quote('event_key')})"

    def unkey(self, columns: Sequence[str]) -> str | None:
        return self.move_away

    @property
    def move_away(self) -> str:
        """DDL that renames the table and frees the name of its index: the next pull makes both again."""
        rename = f"{self._alter} RENAME TO {self._quote(self._table.name + '_before')}"
        if self._rules.indexes_follow_table:
            return rename
        bound = (f"DROP INDEX {self._quote(name)}" for name in self._shape.binding if name != self._index.name)
        return "; ".join([_text(DropIndex(self._index, if_exists=True), self._dialect), *bound, rename])


def _index_name(table: str, columns: str, max_identifier_bytes: int = 63) -> str:
    name = f"ix_{table}_{columns}"
    if len(name.encode()) <= min(max_identifier_bytes, 63):  # more than that SQLAlchemy refuses for DuckDB
        return name
    return f"ix_{blake2b(table.encode(), digest_size=8).hexdigest()}_{columns}"


def _text(element: Any, dialect: sa.Dialect) -> str:
    return str(element.compile(dialect=dialect)).strip()
