"""Sessions by way of SQLAlchemy, for the databases that it has a dialect for."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time
import sqlalchemy as sa  # noqa: TID253 - the same

from airflow_provider.altcraft._airflow.databases import connect
from airflow_provider.altcraft.schema import COLUMNS
from airflow_provider.altcraft.targets.sql.names import Name
from airflow_provider.altcraft.targets.sql.rules import FoundColumn, Shape
from airflow_provider.altcraft.targets.sql.session import Session

log = logging.getLogger(__name__)


class AlchemySession(Session):
    """A session whose connection SQLAlchemy has a dialect for."""

    raw: Any
    _sa: sa.Connection

    def _connect(self) -> None:
        self.raw = raw = connect(self.hook)
        try:
            engine = sa.create_engine(
                self._url(),
                creator=lambda: raw,
                poolclass=sa.pool.NullPool,
                future=True,
                hide_parameters=True,
            )
            self._sa = engine.connect()
        except BaseException:
            raw.close()
            raise
        self.dialect = self._sa.dialect

    def _url(self) -> str:
        raise NotImplementedError

    def execute(self, sql: str, *values: Any) -> list[Any]:
        result = self._sa.exec_driver_sql(sql.replace("?", self.placeholder) if values else sql, values)
        return list(result.fetchall()) if result.returns_rows else []

    def commit(self) -> None:
        self.raw.commit()  # SQLAlchemy's own does nothing where it has not seen a statement

    def close(self) -> None:
        try:
            self._sa.close()
        except Exception as error:  # of a connection that was closed
            log.debug("%s: closing: %s", self.name, type(error).__name__)

    def schemas(self) -> list[str]:
        return list(sa.inspect(self._sa).get_schema_names())

    def shape(self) -> Shape | None:
        return reflect(sa.inspect(self._sa), self.name)

    def columns_of(self, name: Name) -> set[str]:
        return columns_of(sa.inspect(self._sa), name)


class InsertSession(AlchemySession):
    """A session that writes by ``INSERT``, and whose database keeps instants in UTC without a time zone."""

    upsert_clause: ClassVar[str]
    """The beginning of the clause that updates a row whose key is there; the assignments follow."""
    new_value: ClassVar[str]
    """The value that an upsert would insert into a column."""

    def instant(self, value: dt.datetime) -> Any:
        return value.replace(tzinfo=None).isoformat(" ", "microseconds")

    def load(self, into: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch]) -> None:
        self._insert(into, columns, batches, "")

    def upsert(self, batches: Iterable[pa.RecordBatch]) -> None:
        clause = f" {self.upsert_clause} {self.assignments(self.new_value)}"
        self._insert(self.target, COLUMNS, batches, clause)

    def _insert(self, into: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch], end: str) -> None:
        """Insert rows by statements that end with ``end``."""
        raise NotImplementedError


def columns_of(inspector: Any, name: Name) -> set[str]:
    """Return what SQLAlchemy finds of the columns of a table."""
    if not inspector.has_table(name.table, schema=name.schema):
        return set()
    return {each["name"] for each in inspector.get_columns(name.table, schema=name.schema)}


def reflect(inspector: Any, name: Name) -> Shape | None:
    """Return what SQLAlchemy finds of a table."""
    if name.table in inspector.get_view_names(schema=name.schema):
        return Shape({}, instead="a view")
    if not inspector.has_table(name.table, schema=name.schema):
        return None
    columns = {
        each["name"]: FoundColumn(
            each["type"],
            each["nullable"],
            each.get("default") is not None
            or each.get("autoincrement") is True
            or bool(each.get("identity") or each.get("computed")),
        )
        for each in inspector.get_columns(name.table, schema=name.schema)
    }
    key = inspector.get_pk_constraint(name.table, schema=name.schema).get("constrained_columns") or []
    indexes = inspector.get_indexes(name.table, schema=name.schema)
    unique = [key, *(each["column_names"] for each in inspector.get_unique_constraints(name.table, schema=name.schema))]
    unique += [each["column_names"] for each in indexes if each["unique"] and not _partial(each)]
    return Shape(
        columns,
        [tuple(names) for names in unique if names and None not in names],
        [tuple(each["column_names"]) for each in indexes if not _partial(each)],
        primary=tuple(key),
    )


def _partial(index: dict[str, Any]) -> bool:
    return any(
        name.endswith("_where") and value is not None for name, value in index.get("dialect_options", {}).items()
    )
