"""The real databases that tests write to, each seen through its driver alone and so without anything under test.

A test that takes the fixture ``database`` runs on each of them. Give tables new names: ``database.new_table()``.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airflow_provider.altcraft.schema import COLUMNS, SCHEMA
from airflow_provider.altcraft.targets.sql import SqlTarget

UTC = dt.UTC
_INSTANT = SCHEMA.field("datetime").type


@dataclass(frozen=True)
class Database:
    """A database behind an Airflow connection, which subprocesses see as well."""

    kind: str
    conn_id: str
    arguments: dict[str, Any]

    def target(self, table: str, write_disposition: str = "merge") -> SqlTarget:
        """Give a target for a table of this database."""
        return SqlTarget(self.conn_id, table, write_disposition)  # type: ignore[arg-type]

    def new_table(self) -> str:
        """Give the name of a table that is not there."""
        return f"events_{uuid.uuid4().hex[:12]}"

    def quote(self, name: str) -> str:
        """Give a name, or a schema and a name, as the database quotes it."""
        mark = "`" if self.kind == "mariadb" else '"'
        return ".".join(mark + part.replace(mark, mark * 2) + mark for part in name.split("."))

    @contextlib.contextmanager
    def connect(self) -> Iterator[Any]:
        """Connect by the driver; what runs in it commits by itself."""
        connection = _CONNECT[self.kind](self.arguments)
        try:
            yield connection
        finally:
            connection.close()

    def execute(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Run one statement, and give its rows."""
        with self.connect() as connection:
            cursor = connection.cursor()
            cursor.execute(sql, values) if values else cursor.execute(sql)
            found = cursor.fetchall() if cursor.description else []
            cursor.close()
            return [tuple(row) for row in found]

    def exists(self, table: str) -> bool:
        """Whether a reader finds the table."""
        try:
            self.execute(f"SELECT 1 FROM {self.quote(table)} WHERE 1 = 0")
        except Exception as error:
            if not any(word in str(error) for word in ("does not exist", "doesn't exist", "no such table")):
                raise
            return False
        return True

    def tables(self) -> set[str]:
        """Names of the tables that any connection finds."""
        found = "information_schema.tables WHERE table_schema = current_schema()"
        if self.kind == "mariadb":
            found = "information_schema.tables WHERE table_schema = database()"
        name = "table_name"
        if self.kind == "sqlite":
            name, found = "name", "sqlite_master WHERE type = 'table'"
        return {row[0] for row in self.execute(f"SELECT {name} FROM {found}")}

    def count(self, table: str) -> int:
        """How many rows a reader sees."""
        return self.execute(f"SELECT count(*) FROM {self.quote(table)}")[0][0]

    def rows(self, table: str) -> list[dict[str, Any]]:
        """What a reader sees: the rows as ``RecordBatch.to_pylist`` gives them, in no order."""
        rows = [dict(zip(COLUMNS, row, strict=True)) for row in self._select(table)]
        for row in rows:
            row["datetime"] = _instant(row["datetime"])
        return rows

    def arrow(self, table: str) -> pa.Table:
        """The same as an Arrow table, which costs half."""
        columns = list(zip(*self._select(table), strict=True)) or [()] * len(COLUMNS)
        arrays = [
            _instants(values) if field.name == "datetime" else pa.array(values, field.type)
            for field, values in zip(SCHEMA, columns, strict=True)
        ]
        return pa.Table.from_arrays(arrays, schema=SCHEMA)

    def _select(self, table: str) -> list[tuple[Any, ...]]:
        columns = []
        for name in COLUMNS:
            quoted = self.quote(name)
            if name == "extra" and self.kind == "postgres":
                quoted += "::text"
            if name == "datetime" and self.kind == "duckdb":
                quoted = f"epoch_us({quoted})"
            columns.append(quoted)
        return self.execute(f"SELECT {', '.join(columns)} FROM {self.quote(table)}")


def _instant(value: Any) -> dt.datetime | None:
    if isinstance(value, int):
        return dt.datetime(1970, 1, 1, tzinfo=UTC) + dt.timedelta(microseconds=value)
    if isinstance(value, str):
        assert len(value) == 26, value  # else it would not sort
        value = dt.datetime.fromisoformat(value)
    if value is None:
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _instants(values: Sequence[Any]) -> pa.Array[Any]:
    """As ``_instant``, of a column in which none is missing."""
    if isinstance(values[0] if values else None, str):
        assert {len(value) for value in values} == {26}  # else they would not sort
        return pa.array(values).cast(pa.timestamp("us")).cast(_INSTANT)
    if isinstance(values[0] if values else None, int):
        return pa.array(values, pa.int64()).cast(_INSTANT)
    return pa.array(values, _INSTANT)


def _postgres(arguments: dict[str, Any]) -> Any:
    import psycopg2

    connection = psycopg2.connect(**arguments)
    connection.autocommit = True
    return connection


def _mariadb(arguments: dict[str, Any]) -> Any:
    import mysql.connector

    return mysql.connector.connect(**arguments, autocommit=True)


def _sqlite(arguments: dict[str, Any]) -> Any:
    import sqlite3

    return sqlite3.connect(arguments["path"], isolation_level=None, timeout=60)


def _duckdb(arguments: dict[str, Any]) -> Any:
    import duckdb

    until = time.monotonic() + 60
    while True:  # DuckDB lets in one process at a time
        try:
            return duckdb.connect(arguments["path"])
        except duckdb.Error as error:
            busy = any(
                each in str(error) for each in ("Could not set lock", "already attached", "different configuration")
            )
            if not busy or time.monotonic() > until:
                raise
            time.sleep(0.02)


_CONNECT = {"postgres": _postgres, "mariadb": _mariadb, "sqlite": _sqlite, "duckdb": _duckdb}


def define(conn_id: str, **connection: Any) -> str:
    """Define an Airflow connection for this process and those it starts."""
    os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(connection)
    return conn_id


def of_postgres(conn_id: str, port: int, database: str) -> Database:
    """Give the database of a server that is up, behind a connection."""
    define(conn_id, conn_type="postgres", host="127.0.0.1", port=port, login="postgres", schema=database)
    return Database("postgres", conn_id, {"host": "127.0.0.1", "port": port, "user": "postgres", "dbname": database})


def of_mariadb(conn_id: str, port: int, database: str) -> Database:
    """Give the database of a server that is up, behind a connection."""
    extra = {"client": "mysql-connector-python"}
    define(conn_id, conn_type="mysql", host="127.0.0.1", port=port, login="root", schema=database, extra=extra)
    return Database("mariadb", conn_id, {"host": "127.0.0.1", "port": port, "user": "root", "database": database})


def of_sqlite(conn_id: str, path: Path) -> Database:
    """Give a file's database behind a connection."""
    define(conn_id, conn_type="sqlite", host=str(path))
    return Database("sqlite", conn_id, {"path": str(path)})


DUCKDB_HOOKS = {
    "official": "airflow.providers.duckdb.hooks.duckdb.DuckDBHook",
    "community": "duckdb_provider.hooks.duckdb_hook.DuckDBHook",
}


def serve_duckdb_by(provider: str) -> None:
    """Let one of the two providers have the connection type in this process, as where the other is not installed."""
    hooks = _manager().hooks
    hooks["duckdb"] = hooks["duckdb"]._replace(hook_class_name=DUCKDB_HOOKS[provider])


def _manager() -> Any:
    try:
        from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime as Manager
    except ImportError:  # Airflow 2
        from airflow.providers_manager import ProvidersManager as Manager
    return Manager()


def of_duckdb(conn_id: str, path: Path, provider: str = "official") -> Database:
    """Give a file's database behind a connection."""
    define(conn_id, conn_type="duckdb", host=str(path))
    serve_duckdb_by(provider)
    return Database("duckdb", conn_id, {"path": str(path)})


@contextlib.contextmanager
def _own_database(server: Database) -> Iterator[str]:
    name = f"altcraft_{uuid.uuid4().hex[:12]}"
    try:
        server.execute(f"CREATE DATABASE {name}")
    except Exception as error:
        pytest.skip(f"no {server.kind} server at {server.arguments['host']}:{server.arguments['port']}: {error}")
    try:
        yield name
    finally:
        server.execute(f"DROP DATABASE {name}" + (" WITH (FORCE)" if server.kind == "postgres" else ""))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Database]:
    """An empty database of the PostgreSQL on this machine."""
    with _own_database(of_postgres("altcraft_test_postgres", 5432, "postgres")) as name:
        yield of_postgres("altcraft_test_postgres", 5432, name)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Database]:
    """An empty database of the MariaDB on this machine."""
    with _own_database(of_mariadb("altcraft_test_mariadb", 3306, "mysql")) as name:
        yield of_mariadb("altcraft_test_mariadb", 3306, name)


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A database of SQLite."""
    return of_sqlite("altcraft_test_sqlite", tmp_path_factory.mktemp("sqlite") / "events.db")


@pytest.fixture(scope="session")
def duckdb(tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A database of DuckDB."""
    return of_duckdb("altcraft_test_duckdb", tmp_path_factory.mktemp("duckdb") / "events.duckdb")


@pytest.fixture
def duckdb_by_community(tmp_path: Path) -> Iterator[Database]:
    """A database of DuckDB, by the provider that Airflow's own has taken the place of."""
    yield of_duckdb("altcraft_test_duckdb_community", tmp_path / "events.duckdb", "community")
    serve_duckdb_by("official")


@pytest.fixture(params=["postgres", "mariadb", "sqlite", "duckdb"])
def database(request: pytest.FixtureRequest) -> Database:
    """Each database in turn."""
    return request.getfixturevalue(request.param)
