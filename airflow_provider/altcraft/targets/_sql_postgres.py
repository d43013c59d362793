"""PostgreSQL: COPY, for a merge into a temporary table and from there with one upsert."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time
import pyarrow.csv  # noqa: TID253 - the same
import sqlalchemy as sa  # noqa: TID253 - the same

from airflow_provider.altcraft.schema import COLUMNS
from airflow_provider.altcraft.targets import _sql_table
from airflow_provider.altcraft.targets._sql_alchemy import AlchemySession
from airflow_provider.altcraft.targets._sql_session import NEWS, numbered, slices

_PIECE = 1_000
"""Rows that are spelled at once."""


class PostgresSession(AlchemySession):
    """A transaction of PostgreSQL, by psycopg or psycopg2."""

    kind = "postgresql"
    temporary = "pg_temp."
    holds_nul = False
    _bare = False
    """Whether the table was made by this session, and lacks its key and index."""

    def _url(self) -> str:
        # A connection may ask for rows of another kind, which SQLAlchemy would not understand.
        if type(self.raw).__module__.startswith("psycopg2"):
            self.raw.cursor_factory = None
            return "postgresql+psycopg2://"
        from psycopg.rows import tuple_row

        self.raw.row_factory = tuple_row
        return "postgresql+psycopg://"

    def _begin(self) -> None:
        # Any stricter level would see the table as it was before the lock was waited for.
        self.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        self.execute("SET LOCAL client_encoding TO 'UTF8'")

    def check_place(self, exists: bool) -> None:
        """Refuse a place where nothing can be written or, where there is no table yet, made."""
        ((encoding, read_only, temporary, schema),) = self.execute(
            "SELECT current_setting('server_encoding'), current_setting('transaction_read_only'),"
            " has_database_privilege(current_database(), 'TEMP'), coalesce(?, current_schema())",
            self.name.schema,
        )
        if encoding != "UTF8":
            raise ValueError(f"the database's encoding is {encoding}; only UTF8 holds every character")
        if read_only == "on":
            raise OSError("the server takes no writes; it may be a standby")
        if not temporary and self.disposition != "append":
            raise ValueError("the connection's user may make no temporary tables: GRANT TEMP ON DATABASE … TO …")
        if not exists:
            if schema is None:
                raise ValueError("none of the schemas of the connection's search_path is there; name one")
            ((may,),) = self.execute("SELECT has_schema_privilege(?, 'CREATE')", schema)
            if not may:
                raise ValueError(f"the connection's user may make no tables in {schema}: GRANT CREATE ON SCHEMA … TO …")

    def lock(self) -> None:
        """Wait until no other task writes the table, and keep others out to the end."""
        self.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('altcraft ' || coalesce("
            "(SELECT relnamespace::regnamespace::text FROM pg_catalog.pg_class WHERE oid = to_regclass(?)),"
            " quote_ident(coalesce(?, current_schema())))"
            " || ' ' || ?, 0))",
            self.target,
            self.name.schema,
            self.name.table,
        )

    def made(self, columns: Sequence[str]) -> str:
        """What a temporary table of these columns is made of."""
        return f"ON COMMIT DROP AS SELECT {self.columns(columns)} FROM {self.target} WHERE 1 = 0"

    def load(self, into: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch]) -> None:
        """Insert columns of batches."""
        sql = f"COPY {into} ({self.columns(columns)}) FROM STDIN WITH (FORMAT csv)"
        with self.raw.cursor() as cursor:
            if hasattr(cursor, "copy_expert"):  # it would tell what comes amid the making of pieces as its own failure
                for batch in slices(batches):
                    cursor.copy_expert(sql, io.BytesIO(self._csv(batch.select(list(columns)))))
                return
            # One statement for all, so that the server takes in one piece while the next is spelled.
            with cursor.copy(sql) as copy:
                for batch in slices(batches, _PIECE):
                    copy.write(self._csv(batch.select(list(columns))))

    def make(self) -> None:
        """Make the table; for a merge without key and index, which are made twice as fast once the rows are there."""
        if self.disposition != "merge":
            super().make()
            return
        bare = _sql_table.define(self.name, self.kind, "append")
        self.execute(_sql_table.create(bare, self.dialect)[0])
        self._bare = True

    def upsert(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Insert rows by ``event_key``, the last of each replacing all before it."""
        if not (self._bare and self._filled(batches)):
            if self._bare:
                self._finish()
            self._upsert(batches)

    def _filled(self, batches: Iterable[pa.RecordBatch]) -> bool:
        """Copy rows into the new table; not where an event is there twice, as when two lookups asked it."""
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
        for ddl in _sql_table.create_index(self.table, self.dialect):
            self.execute(ddl)

    def _upsert(self, batches: Iterable[pa.RecordBatch]) -> None:
        staged = f"{self.temporary}altcraft_staged"
        key, number = self.quote("event_key"), "altcraft_number"
        columns = self.columns(COLUMNS)
        self.execute(
            f"CREATE TEMPORARY TABLE {staged} ON COMMIT DROP AS"
            f" SELECT {columns}, 0::bigint AS {number} FROM {self.target} WHERE 1 = 0"
        )
        self.load(staged, (*COLUMNS, number), numbered(batches, number))
        settings = ", ".join(f"{self.quote(name)} = excluded.{self.quote(name)}" for name in NEWS)
        old, new = self._values("held."), self._values("excluded.")
        self.execute(
            f"INSERT INTO {self.target} AS held ({columns}) SELECT DISTINCT ON ({key}) {columns} FROM {staged}"
            f" ORDER BY {key}, {number} DESC"
            # A row that is the same already is not written anew: most are, where days are pulled again.
            f" ON CONFLICT ({key}) DO UPDATE SET {settings} WHERE ({old}) IS DISTINCT FROM ({new})"
        )

    def _values(self, before: str) -> str:
        # JSON has no equality.
        return ", ".join(f"{before}{self.quote(name)}{'::text' if name == 'extra' else ''}" for name in NEWS)

    def attempt(self, ddl: str) -> None:
        """Run DDL that may fail without an end to the transaction."""
        with self._sa.begin_nested():
            self.execute(ddl)

    @staticmethod
    def _csv(batch: pa.RecordBatch) -> bytes:
        buffer = io.BytesIO()
        # A quoted nothing is an empty text, a bare one a null.
        options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="all_valid")
        pyarrow.csv.write_csv(batch, buffer, options)
        return buffer.getvalue()
