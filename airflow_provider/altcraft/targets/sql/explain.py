"""Returns the statements that a pull would send to a database, without one.

It runs the sessions themselves over a driver that only records statements. The recorded database is empty: the session
makes the table and writes a sample row.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from collections.abc import Iterator
from typing import Any, Final, Self

import sqlalchemy as sa  # noqa: TID253 - imported where it is called

from airflow_provider.altcraft._extras import not_installed
from airflow_provider.altcraft.targets._protocols import Scope
from airflow_provider.altcraft.targets.sql import table
from airflow_provider.altcraft.targets.sql.dialects import session_class
from airflow_provider.altcraft.targets.sql.dialects.generic import OtherSession
from airflow_provider.altcraft.targets.sql.names import Disposition, Name, refuse_without_transactions
from airflow_provider.altcraft.targets.sql.pulls import Pull
from airflow_provider.altcraft.targets.sql.rows import samples
from airflow_provider.altcraft.window import UTC, Window

PROVED: Final = ("postgres", "mysql", "sqlite", "duckdb", "clickhouse")
"""Types of connections whose databases this project runs the conformance suite on."""

_DIALECTS: Final = {"postgres": "postgresql"}
"""SQLAlchemy's names of databases, where they are not the type of the connection."""

_ROWS: Final = re.compile(r"(\bVALUES )\(.*\)(?=$| ON DUPLICATE)", re.DOTALL)

_LOOKUP: Final = ("email", "ann@example.com")

_ANSWERS: Final = (
    ("GET_LOCK", [(1,)]),
    ("@@max_allowed_packet", [("utf8mb4", 1 << 24)]),
    ("row_security_active", [(False,)]),
    ("count(*)", [(0,)]),
    ("SELECT DISTINCT matching", [_LOOKUP]),
    ("coalesce(?, database())", [(None,)]),
)
"""The answers of an empty database, by a part of the query."""


def explain(conn_type: str, name: Name, disposition: Disposition) -> str:
    """Return the statements that make the table and write a pull of a day and one profile, with their comments.

    Raises:
        ValueError: databases of this type are refused.
    """
    notes: list[str] = []
    if conn_type == "clickhouse":
        statements = _of_clickhouse(name, disposition)
    else:
        refuse_without_transactions(conn_type)
        statements, notes = _of_session(conn_type, name, disposition)
    proof = "proved here" if conn_type in PROVED else "unproved: no database of this type is part of the tests"
    head = [f"-- {conn_type}, write_disposition={disposition!r}, {proof}", *(f"-- {note}" for note in notes)]
    return "\n".join([*head, *(each if each.startswith("--") else f"{each.strip()};" for each in statements)])


def _of_session(conn_type: str, name: Name, disposition: Disposition) -> tuple[list[str], list[str]]:
    of_type, (dialect, notes) = session_class(conn_type), _dialect(conn_type)
    kinds: tuple[type, ...] = (_NotingOther if issubclass(of_type, OtherSession) else _Noting, of_type)
    driver = _Driver()
    noting: Any = type(f"Noting{of_type.__name__}", kinds, {"driver": driver, "dialect": dialect})
    began = dt.datetime(2026, 1, 1, tzinfo=UTC)
    scope = Scope(1, [_LOOKUP], Window.of("2026-01-01", "2026-01-01"))
    with noting(None, name, disposition) as session:
        driver.comment("where the table is missing")
        session.ensure()
        driver.comment("a pull of one day and one profile")
        pull = None if disposition == "append" else Pull.of(scope, began)
        session.write(scope, pull, [samples(scope)[1]], [])
        session.commit()
    return driver.statements, notes


def _dialect(conn_type: str) -> tuple[Any, list[str]]:
    name = _DIALECTS.get(conn_type, conn_type)
    if conn_type == "duckdb":
        name = "postgresql"  # the DDL is the same
    try:
        make: Any = sa.dialects.registry.load(name)
        # SQL Server's dialect sets this itself when connected to a version from 2012 on.
        return make(**({"deprecate_large_types": True} if name == "mssql" else {})), []
    except sa.exc.NoSuchModuleError:
        from sqlalchemy.engine.default import DefaultDialect

        note = f"types as plain SQL has them: SQLAlchemy's dialect {name!r} is not installed, which may write others"
        return DefaultDialect(), [note]


def _of_clickhouse(name: Name, disposition: Disposition) -> list[str]:
    try:
        from airflow_provider.altcraft.targets.sql.clickhouse.notes import DEFINITION
        from airflow_provider.altcraft.targets.sql.clickhouse.server import quote
        from airflow_provider.altcraft.targets.sql.clickhouse.table import definition, refuse_append
    except ImportError as error:
        raise ValueError(not_installed("clickhouse", error)) from error
    refuse_append(disposition)
    before = f"{quote(name.schema)}." if name.schema else ""
    ends = ("", "_altcraft_<hash>", "_altcraft_<other hash>", "_pulls", "_altcraft_lock")
    full, staged, asked, pulls, lock = (f"{before}{quote(name.table + end)}" for end in ends)
    statements = [
        "-- a pull of one day; what is made IF NOT EXISTS stays",
        f"CREATE TABLE {lock} (owner String) ENGINE = Memory COMMENT '<owner> 0'",
        f"CREATE TABLE IF NOT EXISTS {full} {definition(disposition)}",
    ]
    if disposition == "merge":
        statements += [
            f"CREATE TABLE {staged} AS {full}",
            f"INSERT INTO {staged} (…) FORMAT ArrowStream",
            f"ALTER TABLE {full} ATTACH PARTITION '2026-01-01' FROM {staged}",
        ]
    else:
        others = f"SELECT … FROM {full} WHERE toDate(datetime) = '2026-01-01' AND NOT <the pull's scope>"
        statements += [
            f"CREATE TABLE IF NOT EXISTS {pulls} {DEFINITION}",
            f"CREATE TABLE {staged} AS {full}",
            f"CREATE TABLE {asked} (…) ENGINE = MergeTree ORDER BY tuple()",
            f"INSERT INTO {asked} (…) FORMAT ArrowStream",
            f"INSERT INTO {staged} (…) FORMAT ArrowStream",
            f"INSERT INTO {staged} (…) {others}",
            f"ALTER TABLE {full} REPLACE PARTITION '2026-01-01' FROM {staged}",
            f"INSERT INTO {pulls} (…) VALUES (…)",
        ]
    made = [staged] if disposition == "merge" else [staged, asked]
    return [*statements, *(f"DROP TABLE IF EXISTS {each} SYNC" for each in (*made, lock))]


class _Driver:
    """A connection, cursor and SQLAlchemy connection in one, which records statements."""

    description = None

    def __init__(self) -> None:
        self.statements: list[str] = []

    def note(self, sql: str | bytes) -> None:
        text = sql.decode() if isinstance(sql, bytes) else sql
        self.statements.append(_ROWS.sub(r"\1(…), …", text))

    def comment(self, text: str) -> None:
        self.statements.append(f"-- {text}")

    def cursor(self) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def close(self) -> None:
        pass

    def commit(self) -> None:
        self.note("COMMIT")

    def execute(self, sql: Any, *_: Any) -> None:
        self.note(sql)

    def executemany(self, sql: Any, *_: Any) -> None:
        self.note(sql)

    def copy_expert(self, sql: str, *_: Any) -> None:
        self.note(sql)

    @contextlib.contextmanager
    def begin_nested(self) -> Iterator[None]:
        self.note("SAVEPOINT altcraft")
        yield
        self.note("RELEASE SAVEPOINT altcraft")


class _Noting:
    """A mix-in for a session that replaces the methods that need a database."""

    driver: _Driver
    dialect: Any
    table: sa.Table
    name: Name

    def _connect(self) -> None:
        self.raw = self._raw = self._sa = self.driver

    def close(self) -> None:
        pass

    def commit(self) -> None:
        self.driver.commit()

    def execute(self, sql: str, *values: Any) -> list[Any]:
        self.driver.note(sql)
        return next((list(rows) for part, rows in _ANSWERS if part in sql), [])

    def shape(self) -> None:
        return None

    def make(self) -> None:
        for ddl in table.create(self.table, self.dialect):
            self.driver.note(ddl)

    def columns_of(self, name: Name) -> set[str]:
        return set()

    def schema_of_table(self) -> str | None:
        return self.name.schema

    def _read(self, batch: Any, sql: str) -> None:
        """Record how DuckDB reads a batch."""
        self.driver.note(sql)


class _NotingOther(_Noting):
    """The same for ``OtherSession``."""

    placeholder = "%s"
    prepare_pulls: Any
    _binders: dict[str, Any]

    def _begin(self) -> None:
        self._binders, self._column_sql = {}, self

    def generate_insert_sql(self, into: str, values: Any, columns: list[str], **_: Any) -> str:
        return f"INSERT INTO {into} ({', '.join(columns)}) VALUES ({', '.join('%s' for _ in columns)})"

    def ensure(self) -> None:
        self.make()
        self.prepare_pulls(make=True, say=True)

    def try_ddl(self, sql: str) -> None:
        self.driver.note(sql)
