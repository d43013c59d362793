"""PostgreSQL: rows by COPY; a merge copies into a temporary table and upserts from there."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Iterable, Sequence

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time
import pyarrow.csv  # noqa: TID253 - the same
import sqlalchemy as sa  # noqa: TID253 - the same

from airflow_provider.altcraft.schema import COLUMNS
from airflow_provider.altcraft.targets._protocols import Scope
from airflow_provider.altcraft.targets.sql import table
from airflow_provider.altcraft.targets.sql.dialects.alchemy import AlchemySession
from airflow_provider.altcraft.targets.sql.rows import EPOCH, NEWS, numbered, slices
from airflow_provider.altcraft.targets.sql.rules import Shape

_PIECE = 1_000
"""Rows of a piece of CSV."""
_TABLES = {"r", "p", "f"}
_NO_TABLES = {"v": "a view", "m": "a materialized view", "S": "a sequence", "c": "a type", "i": "an index"}


class PostgresSession(AlchemySession):
    """A transaction of PostgreSQL, by psycopg or psycopg2."""

    temp_prefix = "pg_temp."
    holds_nul = False
    _bare = False
    """Whether the table was made by this session, and lacks its key and index."""

    def _url(self) -> str:
        encoding = self.raw.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise ValueError(f"the database's encoding is {encoding}; only UTF8 holds every character")
        self.raw.autocommit = False
        # The connection may set another class of rows, which SQLAlchemy does not understand.
        if type(self.raw).__module__.startswith("psycopg2"):
            self.raw.cursor_factory = None
            return "postgresql+psycopg2://"
        from psycopg.rows import tuple_row

        self.raw.row_factory = tuple_row
        self.raw.execute("SET client_encoding TO 'UTF8'")  # by another SQLAlchemy would see bytes for texts
        return "postgresql+psycopg://"

    def _begin(self) -> None:
        # A stricter level would see the table as it was before the wait for the lock.
        self.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        self.execute("SET LOCAL client_encoding TO 'UTF8'")

    def check_place(self, exists: bool) -> None:
        ((version, read_only, temporary, schema),) = self.execute(
            "SELECT version(), current_setting('transaction_read_only'),"
            " has_database_privilege(current_database(), 'TEMP'), coalesce(?, current_schema())",
            self.name.schema,
        )
        if not version.startswith(("PostgreSQL ", "EnterpriseDB ")) or "Redshift" in version:
            raise ValueError(
                f"the server is not PostgreSQL but {version.partition('(')[0].strip()!r}, whose locks, temporary "
                f"tables and keys are not the same; write to PostgreSQL"
            )
        if read_only == "on":
            raise OSError("the server takes no writes; it may be a standby")
        if not temporary and self.disposition != "append":
            raise ValueError("the connection's user may not create temporary tables: GRANT TEMP ON DATABASE … TO …")
        if not exists:
            if schema is None:
                raise ValueError("none of the schemas of the connection's search_path is there; name one")
            ((may,),) = self.execute("SELECT has_schema_privilege(?, 'CREATE')", schema)
            if not may:
                raise ValueError(
                    f"the connection's user may not create tables in {schema}: GRANT CREATE ON SCHEMA … TO …"
                )

    def shape(self) -> Shape | None:
        found = self.execute(
            "SELECT relkind::text, array(SELECT coalesce(attname, '')::text FROM unnest(partattrs::int2[]) number"
            " LEFT JOIN pg_catalog.pg_attribute ON attrelid = partrelid AND attnum = number AND number > 0)"
            " FROM pg_catalog.pg_class LEFT JOIN pg_catalog.pg_partitioned_table ON partrelid = pg_class.oid"
            " WHERE pg_class.oid = to_regclass(?)",
            self.target,
        )
        if found and found[0][0] not in _TABLES:
            return Shape({}, instead=_NO_TABLES.get(found[0][0], "something else"))
        shape = super().shape()
        if shape is not None and found:
            shape.partitioned = tuple(found[0][1])
        return shape

    def schema_of_table(self) -> str | None:
        """Return the schema in which the table is: for a name without one, the first of the search path that has it."""
        found = self.execute(
            "SELECT nspname::text FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace space"
            " ON space.oid = relnamespace WHERE pg_class.oid = to_regclass(?)",
            self.target,
        )
        return str(found[0][0]) if found else self.name.schema

    def lock(self) -> None:
        self.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('altcraft ' || coalesce("
            "(SELECT relnamespace::regnamespace::text FROM pg_catalog.pg_class WHERE oid = to_regclass(?)),"
            " quote_ident(coalesce(?, current_schema())))"
            " || ' ' || ?, 0))",
            self.target,
            self.name.schema,
            self.name.table,
        )

    def now(self) -> dt.datetime:
        """Return the time by the server's clock."""
        ((microseconds,),) = self.execute("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
        return EPOCH + dt.timedelta(microseconds=microseconds)

    def temp_table_ddl(self, columns: Sequence[str]) -> str:
        return f"ON COMMIT DROP AS SELECT {self.columns(columns)} FROM {self.target} WHERE 1 = 0"

    def load(self, into: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch]) -> None:
        sql = f"COPY {into} ({self.columns(columns)}) FROM STDIN WITH (FORMAT csv)"
        with self.raw.cursor() as cursor:
            if hasattr(cursor, "copy_expert"):  # it would report an error in making the pieces as its own
                for batch in slices(batches):
                    cursor.copy_expert(sql, io.BytesIO(self._csv(batch.select(list(columns)))))
                return
            # One statement for all, so that the server reads one piece while the next is made.
            with cursor.copy(sql) as copy:
                for batch in slices(batches, _PIECE):
                    copy.write(self._csv(batch.select(list(columns))))

    def append(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Add rows; by way of a temporary table where row security is active, with which COPY is refused."""
        ((secured,),) = self.execute("SELECT coalesce(row_security_active(to_regclass(?)), false)", self.target)
        if not secured:
            super().append(batches)
            return
        staged, columns = self.stage("rows", COLUMNS, batches), self.columns(COLUMNS)
        self.execute(f"INSERT INTO {self.target} ({columns}) SELECT {columns} FROM {staged}")
        self.execute(f"DROP TABLE {staged}")

    def rehearse(self, scope: Scope, shape: Shape | None) -> None:
        """Do what a commit does, including the check of deferred constraints."""
        super().rehearse(scope, shape)
        self.execute("SET CONSTRAINTS ALL IMMEDIATE")

    def make(self) -> None:
        """Make the table; for a merge without key and index, which are made twice as fast after the rows are copied."""
        if self.disposition != "merge":
            super().make()
            return
        bare = table.define(self.name, self.rules, "append")
        self.execute(table.create(bare, self.dialect)[0])
        self._bare = True

    def upsert(self, batches: Iterable[pa.RecordBatch]) -> None:
        if not (self._bare and self._filled(batches)):
            if self._bare:
                self._finish()
            self._upsert(batches)

    def _filled(self, batches: Iterable[pa.RecordBatch]) -> bool:
        """Copy rows into the new table, and return whether this was possible: not where an event comes twice."""
        try:
            with self._sa.begin_nested():
                self.load(self.target, COLUMNS, batches)
                self._finish()
        except sa.exc.IntegrityError as error:
            if "23505" not in {getattr(error.orig, name, None) for name in ("sqlstate", "pgcode")}:
                raise
            return False
        return True

    def _finish(self) -> None:
        self.execute(f"ALTER TABLE {self.target} ADD PRIMARY KEY ({self.quote('event_key')})")
        for ddl in table.create_index(self.table, self.dialect):
            self.execute(ddl)

    def _upsert(self, batches: Iterable[pa.RecordBatch]) -> None:
        staged = f"{self.temp_prefix}altcraft_staged"
        key, number = self.quote("event_key"), "altcraft_number"
        columns = self.columns(COLUMNS)
        self.execute(
            f"CREATE TEMPORARY TABLE {staged} ON COMMIT DROP AS"
            f" SELECT {columns}, 0::bigint AS {number} FROM {self.target} WHERE 1 = 0"
        )
        self.load(staged, (*COLUMNS, number), numbered(batches, number))
        settings = self.assignments("excluded.{}")
        old, new = self._values("held."), self._values("excluded.")
        self.execute(
            f"INSERT INTO {self.target} AS held ({columns}) SELECT DISTINCT ON ({key}) {columns} FROM {staged}"
            f" ORDER BY {key}, {number} DESC"
            # Equal rows, which most are where days are pulled again, are not written again.
            f" ON CONFLICT ({key}) DO UPDATE SET {settings} WHERE ({old}) IS DISTINCT FROM ({new})"
        )

    def _values(self, before: str) -> str:
        # JSON has no equality.
        return ", ".join(f"{before}{self.quote(name)}{'::text' if name == 'extra' else ''}" for name in NEWS)

    def try_ddl(self, sql: str) -> None:
        with self._sa.begin_nested():
            self.execute(sql)

    @staticmethod
    def _csv(batch: pa.RecordBatch) -> bytes:
        buffer = io.BytesIO()
        # A quoted empty field is an empty text, a bare one a null.
        options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="all_valid")
        pyarrow.csv.write_csv(batch, buffer, options)
        return buffer.getvalue()
