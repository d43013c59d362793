"""The ClickHouse table: its definition, and the check of an existing one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from airflow_provider.altcraft.schema import COLUMNS, INTEGERS, SCHEMA
from airflow_provider.altcraft.targets.sql.clickhouse.server import Server, quote, text
from airflow_provider.altcraft.targets.sql.names import Name

PULLED_AT: Final = "pulled_at"
"""The column that says when a row's pull began: of two rows of an event the latest stays."""

INSTANT: Final = "DateTime64(6, 'UTC')"

DAY: Final = "toDate(datetime)"
"""The expression by which the table is partitioned."""

KEYS: Final = {"merge": ("event_key",), "replace": ("event_key", "matching", "lookup")}
"""The columns that identify a row, by write disposition."""

_FEW_VALUES: Final = frozenset({"action", "channel", "message_name", "campaign_name", "matching"})

_LOW: Final = re.compile(r"LowCardinality\((.*)\)")


def full_name(name: Name) -> str:
    """Return a table's quoted name with its database."""
    return f"{quote(str(name.schema))}.{quote(name.table)}"


def type_of(name: str) -> str:
    """Return the type of a column."""
    if name in {"datetime", PULLED_AT}:
        return INSTANT
    found = "Int64" if name in INTEGERS else "String"
    if SCHEMA.field(name).nullable:
        found = f"Nullable({found})"
    return f"LowCardinality({found})" if name in _FEW_VALUES else found


def refuse_append(disposition: str) -> None:
    """Refuse the write disposition that ClickHouse cannot have.

    Raises:
        ValueError: it is ``append``.
    """
    if disposition == "append":
        raise ValueError(
            "write_disposition='append' is not supported on ClickHouse: its engine keeps one row of an event, and "
            "without transactions a part of a pull could be there twice; use 'merge' or 'replace'"
        )


def definition(disposition: str) -> str:
    """Return the part of ``CREATE TABLE`` after the name."""
    columns = ",\n".join(f"  {name} {type_of(name)}" for name in (*COLUMNS, PULLED_AT))
    settings = "min_age_to_force_merge_seconds = 600, min_age_to_force_merge_on_partition_only = 1"
    if disposition == "replace":
        settings += ", allow_nullable_key = 1"
    return (
        f"(\n{columns}\n) ENGINE = ReplacingMergeTree({PULLED_AT})"
        f" PARTITION BY {DAY} ORDER BY ({', '.join(KEYS[disposition])}) SETTINGS {settings}"
    )


@dataclass(slots=True)
class Shape:
    """An existing table."""

    engine: str
    full_engine: str
    partition: str
    order: str
    columns: dict[str, str] = field(default_factory=dict)
    computed: frozenset[str] = frozenset()
    """Columns that the database computes, and nobody inserts."""

    @property
    def stored(self) -> tuple[str, ...]:
        """The columns to copy with a row."""
        return tuple(name for name in self.columns if name not in self.computed)


def shape_of(server: Server, name: Name) -> Shape | None:
    """Return the existing table; ``None`` where there is none."""
    database, table = text(str(name.schema)), text(name.table)
    found = server.rows(
        f"SELECT engine, engine_full, partition_key, sorting_key FROM system.tables"
        f" WHERE database = {database} AND name = {table}"
    )
    if not found:
        return None
    columns = server.rows(
        f"SELECT name, type, default_kind FROM system.columns WHERE database = {database} AND table = {table}"
        f" ORDER BY position"
    )
    computed = frozenset(each for each, _, kind in columns if kind in {"ALIAS", "MATERIALIZED", "EPHEMERAL"})
    engine, full_engine, partition, order = found[0]
    return Shape(engine, full_engine, partition, order, {each: type_ for each, type_, _ in columns}, computed)


def check(name: Name, shape: Shape, disposition: str) -> None:
    """Refuse a table that a commit cannot write.

    Raises:
        ValueError: it does not fit; the message lists every reason, with the DDL that makes it fit.
    """
    full = full_name(name)
    found = [*_of_table(shape, disposition)]
    if found:
        away = f"RENAME TABLE {full} TO {full_name(Name(f'{name.table}_before', name.schema))}"
        found[-1] += f": {away};"
    found += [f"{what}: ALTER TABLE {full} {ddl};" for what, ddl in _of_columns(shape)]
    if found:
        reasons = "".join(f"\n- {what}" for what in found)
        raise ValueError(f"the table is there but does not fit write_disposition={disposition!r}:{reasons}")


def _of_table(shape: Shape, disposition: str) -> Iterator[str]:
    if shape.engine != "ReplacingMergeTree":
        yield f"its engine is {shape.engine}; expected ReplacingMergeTree({PULLED_AT})"
        return
    if not re.match(rf"ReplacingMergeTree\({PULLED_AT}\)", shape.full_engine.replace("`", "")):
        yield f"its engine is {shape.full_engine.partition(' ')[0]}; expected ReplacingMergeTree({PULLED_AT})"
    if shape.partition != DAY:
        yield f"it is partitioned by {shape.partition or 'nothing'}; expected {DAY}"
    expected, found = ", ".join(KEYS[disposition]), shape.order.strip("()")
    if found != expected:
        yield f"it is ordered by {found or 'nothing'}, as {disposition} does not write it; expected {expected}"


def _of_columns(shape: Shape) -> Iterator[tuple[str, str]]:
    for name in (*COLUMNS, PULLED_AT):
        expected, found = type_of(name), shape.columns.get(name)
        if found is None:
            yield f"there is no column {name}", f"ADD COLUMN {name} {expected}"
        elif _bare(found) not in {_bare(expected), f"Nullable({_bare(expected)})"}:
            yield f"column {name} is {found}; expected {expected}", f"MODIFY COLUMN {name} {expected}"


def _bare(type_: str) -> str:
    """Return the type without ``LowCardinality``, which only decides how values are stored."""
    found = _LOW.fullmatch(type_)
    return found[1] if found else type_
