"""All other databases: the table is made by SQLAlchemy, the rows are written by the hook's SQL dialect."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, ClassVar

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time
import sqlalchemy as sa  # noqa: TID253 - the same

from airflow_provider.altcraft.schema import COLUMNS, SCHEMA
from airflow_provider.altcraft.targets._protocols import Scope
from airflow_provider.altcraft.targets.sql import table
from airflow_provider.altcraft.targets.sql.checks import refuse_unfit
from airflow_provider.altcraft.targets.sql.dialects.alchemy import columns_of, reflect
from airflow_provider.altcraft.targets.sql.names import Name, refuse_without_transactions
from airflow_provider.altcraft.targets.sql.rows import EPOCH, IDENTITY, LISTED, LOOKUP, nowhere, slices
from airflow_provider.altcraft.targets.sql.rules import Shape, TableRules, length_of
from airflow_provider.altcraft.targets.sql.session import Session

log = logging.getLogger(__name__)


class OtherRules(TableRules):
    """Tables of a database known only by its SQLAlchemy dialect."""

    indexes_follow_table = True

    def types(self, collation: str | None) -> Mapping[str, sa.types.TypeEngine[Any]]:
        # Types that any database can index and compare; Oracle's DateTime has no fractions of a second.
        instant = sa.DateTime(timezone=True).with_variant(sa.TIMESTAMP(timezone=True), "oracle")
        return {
            "key": sa.String(64),
            "text": sa.Unicode(1024),
            "integer": sa.BigInteger(),
            "instant": instant,
            "json": sa.UnicodeText(),
        }

    def fits_integer(self, found: Any) -> bool:
        """Return whether it is a number that is not rounded."""
        return isinstance(found, sa.Integer | sa.Numeric) and not isinstance(found, sa.Float)

    def fits_instant(self, found: Any) -> bool:
        """Return whether it is a date-time."""
        return isinstance(found, sa.DateTime)

    def fits_json(self, found: Any) -> bool:
        """Return whether it is a text, or JSON that keeps it."""
        return super().fits_json(found) or length_of(found) is not None

    def change_type(self, column: sa.Column[Any], name: str, type_: str) -> str:
        return f"ALTER COLUMN {name} TYPE {type_}"


class SqlServerRules(OtherRules):
    """Tables of SQL Server, some of whose types alter values."""

    def fits_text(self, found: Any) -> bool:
        """Return whether it has all characters: a ``VARCHAR`` in a code page stores a question mark for others."""
        return super().fits_text(found) and _is_unicode(found)

    def fits_json(self, found: Any) -> bool:
        return super().fits_json(found) and _is_unicode(found)

    def fits_instant(self, found: Any) -> bool:
        """Return whether it has microseconds: ``DATETIME`` rounds to 1/300 s, ``SMALLDATETIME`` to a minute."""
        exact = type(found).__name__ in {"DATETIMEOFFSET", "DATETIME2"}
        return super().fits_instant(found) and exact and getattr(found, "precision", None) in {None, 6, 7}

    def change_type(self, column: sa.Column[Any], name: str, type_: str) -> str:
        return f"ALTER COLUMN {name} {type_}{'' if column.nullable else ' NOT NULL'}"


def _is_unicode(found: Any) -> bool:
    collation = getattr(found, "collation", None) or ""
    return isinstance(found, sa.Unicode | sa.UnicodeText) or collation.upper().endswith("_UTF8")


class OtherSession(Session):
    """Statements that every database supports: a merge deletes by key and inserts.

    The table is made before the transaction, as not every database can make it within one.
    """

    rules: ClassVar[TableRules] = OtherRules()
    max_identifier_bytes = 128
    transactional_ddl = False

    def _connect(self) -> None:
        try:
            self._engine = self.hook.get_sqlalchemy_engine(
                {"poolclass": sa.pool.NullPool, "hide_parameters": True},
            )
        except (ImportError, sa.exc.ArgumentError, sa.exc.NoSuchModuleError, NotImplementedError) as error:
            raise ValueError(f"SQLAlchemy has no dialect for the connection's database: {error}") from error
        refuse_without_transactions(self._engine.dialect.name)
        with self._engine.connect():  # only now does the dialect know its server
            self.dialect = self._engine.dialect
        self._raw = self.hook.get_conn()
        self._column_sql = self.hook.dialect
        self.placeholder = self.hook.placeholder

    def _begin(self) -> None:
        if self.hook.supports_autocommit:
            self.hook.set_autocommit(self._raw, False)
        if self.disposition == "replace":
            # Two replacements of the same scope would not see, and so not delete, each other's rows.
            with suppress(NotImplementedError):  # of a database that has no levels, or none that SQLAlchemy knows
                self.dialect.set_isolation_level(self._raw, "SERIALIZABLE")
        binders = {name: self._binder(name) for name in COLUMNS}
        self._binders = {name: bind for name, bind in binders.items() if bind}

    def _binder(self, name: str) -> Any:
        type_: Any = self.table.c[name].type
        return type_.dialect_impl(self.dialect).bind_processor(self.dialect)

    def execute(self, sql: str, *values: Any) -> list[Any]:
        cursor = self._raw.cursor()
        try:
            if values:
                cursor.execute(sql.replace("?", self.placeholder), values)
            else:
                cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []
        finally:
            cursor.close()

    def commit(self) -> None:
        self._raw.commit()

    def close(self) -> None:
        for step in (self._raw.rollback, self._raw.close):
            with suppress(Exception):  # of a connection that was closed
                step()

    def schemas(self) -> list[str]:
        return list(sa.inspect(self._engine).get_schema_names())

    def shape(self) -> Shape | None:
        return reflect(sa.inspect(self._engine), self.name)

    def columns_of(self, name: Name) -> set[str]:
        return columns_of(sa.inspect(self._engine), name)

    def rehearse(self, scope: Scope, shape: Shape | None) -> None:
        """Do what a commit does, without a row, as not every database may roll it back."""
        if shape is not None:
            self.put(nowhere(scope), [], [])
            return
        try:
            table.create(self.table, self.dialect)
        except sa.exc.CompileError as error:
            raise ValueError(f"SQLAlchemy's dialect {self.dialect.name!r} cannot make the table: {error}") from None

    def ensure(self) -> None:
        shape = self.shape()
        if shape is None:
            try:
                with self._engine.begin() as connection:
                    self.table.create(connection, checkfirst=True)
            except sa.exc.DBAPIError:
                if self.shape() is None:  # else another task was faster
                    raise
        else:
            refuse_unfit(self, shape)
            if not shape.has_index():
                self._add_index()
        self.prepare_pulls(make=True, say=True)

    def try_ddl(self, sql: str) -> None:
        with self._engine.begin() as connection:
            connection.exec_driver_sql(sql)

    def instant(self, value: dt.datetime) -> Any:
        bind = self._binders.get("datetime")
        return bind(value) if bind else value

    def upsert(self, batches: Iterable[pa.RecordBatch]) -> None:
        for batch in slices(batches):
            latest = {row[COLUMNS.index("event_key")]: row for row in self._rows(batch, COLUMNS)}
            self._delete_listed("event_key", list(latest))
            self._insert(self.target, COLUMNS, list(latest.values()))

    def load(self, into: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch]) -> None:
        for batch in slices(batches):
            self._insert(into, columns, list(self._rows(batch, columns)))

    def replace(self, scope: Scope, batches: Iterable[pa.RecordBatch], foreign: Iterable[pa.RecordBatch]) -> None:
        # Begins the transaction in a database, such as SQLite, that does so only at a change.
        self.execute(f"DELETE FROM {self.target} WHERE 1 = 0")
        where, values = self.where(scope)
        if scope.lookups is None:
            self.execute(f"DELETE FROM {self.target} WHERE {where}", *values)
        else:
            # A statement cannot list millions of lookups, so only those in the table are listed.
            sql = f"SELECT DISTINCT {self.columns(LOOKUP)} FROM {self.target} WHERE {where}"
            held = {tuple(row) for row in self.execute(sql, *values)} & set(scope.lookups)
            for matching in sorted({mode for mode, _ in held}):
                listed = sorted(value for mode, value in held if mode == matching)
                self._delete_listed("lookup", listed, f"{where} AND {self.quote('matching')} = ?", (*values, matching))
        for batch in foreign:
            for row in self._rows(batch, IDENTITY):
                like = " AND ".join(
                    f"{self.quote(name)} {'IS NULL' if value is None else '= ?'}"
                    for name, value in zip(IDENTITY, row, strict=True)
                )
                self.execute(f"DELETE FROM {self.target} WHERE {like}", *(value for value in row if value is not None))
        self.append(batches)

    def _delete_listed(
        self, name: str, listed: Sequence[str], where: str = "1 = 1", values: Sequence[Any] = ()
    ) -> None:
        left = iter(listed)
        while chunk := list(islice(left, LISTED)):
            marks = ", ".join("?" * len(chunk))
            sql = f"DELETE FROM {self.target} WHERE {where} AND {self.quote(name)} IN ({marks})"
            self.execute(sql, *values, *chunk)

    def _insert(self, into: str, columns: Sequence[str], found: list[tuple[Any, ...]]) -> None:
        if not found:
            return
        sql = self._column_sql.generate_insert_sql(into, found[0], list(columns))
        cursor = self._raw.cursor()
        try:
            cursor.executemany(sql, found)
        finally:
            cursor.close()

    def _rows(self, batch: pa.RecordBatch, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        found = []
        for name in columns:
            column = batch.column(name)
            values = _instants(column) if pa.types.is_timestamp(SCHEMA.field(name).type) else column.to_pylist()
            bind = self._binders.get(name)
            found.append([bind(value) for value in values] if bind else values)
        return zip(*found, strict=True)


class SqlServerSession(OtherSession):
    """SQL Server, which nobody has tested."""

    rules: ClassVar[TableRules] = SqlServerRules()


def _instants(column: Any) -> list[dt.datetime | None]:
    return [EPOCH + dt.timedelta(microseconds=each) for each in column.cast(pa.int64()).to_pylist()]
