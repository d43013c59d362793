"""What ``open`` proves is what ``commit`` does: a refusal comes before any request, names what to do, and does it."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from databases import Database, define, of_duckdb, of_mariadb, of_postgres, of_sqlite
from servers import own_server

from airflow_provider.altcraft.targets import Scope, SqlTarget
from airflow_provider.altcraft.targets.sql import target as sql
from airflow_provider.altcraft.targets.sql.dialects.generic import OtherSession
from airflow_provider.altcraft.targets.sql.dialects.mysql import MySqlSession
from airflow_provider.altcraft.window import Window
from tests.integration.targets.proofs import (
    DATABASE,
    DISPOSITIONS,
    OF_ANN,
    SCOPE,
    make,
    refused,
    run,
    same,
    user_of,
    write,
)

# Without a trace


@pytest.mark.parametrize("disposition", DISPOSITIONS)
def test_open_leaves_nothing(database: Database, batch: Any, disposition: str) -> None:
    table = database.new_table()
    target = database.target(table, disposition)
    target.open(SCOPE).abort()
    assert not database.exists(table)
    expected = write(target, batch)
    target.open(SCOPE).abort()
    target.open(dataclasses.replace(SCOPE, window=Window.of("2024-01-01", "2024-01-02"))).abort()
    same(database, table, expected)


def test_a_failed_replacement_with_rows_of_another_list(
    database: Database, batch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All its statements are of one transaction, whatever temporary tables they make."""
    table = database.new_table()
    target = database.target(table, "replace")
    expected = write(target, batch)
    writer = target.open(SCOPE)
    writer.write(batch(3, list_id=2, **OF_ANN))

    def fail(session: Any) -> None:
        raise OSError("no commit")

    with monkeypatch.context() as patch:
        patch.setattr(writer._place._session_class, "commit", fail)
        if database.kind == "mariadb":
            patch.setattr(MySqlSession, "begin_after_ddl", lambda session: None)
        with pytest.raises(OSError, match="no commit"):
            writer.commit()
    same(database, table, expected)


# A place that is not there


@pytest.mark.parametrize("kind", ["postgres", "mariadb", "sqlite", "duckdb"])
def test_a_database_that_is_not_there(request: pytest.FixtureRequest, tmp_path: Path, kind: str) -> None:
    """No retry makes it, so the operator wastes none on it."""
    database: Database = request.getfixturevalue(kind)
    if kind in {"postgres", "mariadb"}:
        make_place = of_postgres if kind == "postgres" else of_mariadb
        elsewhere = make_place("altcraft_elsewhere", database.arguments["port"], "no_such_database")
    else:
        make_file = of_sqlite if kind == "sqlite" else of_duckdb
        elsewhere = make_file("altcraft_elsewhere", tmp_path / "no_such_folder" / "a.db")
    with pytest.raises(
        FileNotFoundError, match=r"^sql://altcraft_elsewhere/.*the connection names a database that is not there"
    ):
        elsewhere.target("history", "merge").open(SCOPE)
    assert not (tmp_path / "no_such_folder").exists()


# Rows of the other kind


@pytest.mark.parametrize("first", [SCOPE, DATABASE], ids=["profiles first", "database first"])
@pytest.mark.parametrize("kind", ["postgres", "mariadb", "sqlite", "duckdb", "other"])
def test_a_table_with_rows_of_the_other_kind(
    request: Any, batch: Any, first: Scope, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "other":
        kind = "sqlite"
        monkeypatch.setattr(sql, "_session_class", lambda hook: OtherSession)
    database = request.getfixturevalue(kind)
    table = database.new_table()
    target, second = database.target(table, "replace"), DATABASE if first is SCOPE else SCOPE
    held = write(target, batch, scope=first)
    elsewhere = dataclasses.replace(second, window=Window.of("2030-01-01", "2030-01-02"))
    target.open(elsewhere).abort()
    target.open(dataclasses.replace(second, list_id=2)).abort()
    said, proposed = refused(target, second)
    ours, theirs = ("profiles", "a whole database") if second is SCOPE else ("a whole database", "profiles")
    assert f"the table holds 5 rows that a pull of {theirs} wrote for list 1 and this window" in said
    assert f"this is a pull of {ours}" in said
    same(database, table, held)
    run(database, proposed)
    same(database, table, write(target, batch, 7, scope=second))


def test_rows_of_the_other_kind_that_came_during_the_pull(database: Database, batch: Any) -> None:
    table = database.new_table()
    target = database.target(table, "replace")
    writer = target.open(SCOPE)
    held = write(target, batch, scope=DATABASE)
    writer.write(batch(5, **OF_ANN))
    with pytest.raises(ValueError, match="the table holds 5 rows that a pull of a whole database wrote"):
        writer.commit()
    same(database, table, held)


# What has the name, and what its keys are


@pytest.mark.parametrize("disposition", DISPOSITIONS)
@pytest.mark.parametrize("what", ["VIEW", "MATERIALIZED VIEW"])
def test_a_view(database: Database, batch: Any, disposition: str, what: str) -> None:
    if what == "MATERIALIZED VIEW" and database.kind != "postgres":
        what = "VIEW"  # the only kind that there is
    table, view = database.new_table(), database.new_table()
    write(database.target(table, disposition), batch)
    database.execute(f"CREATE {what} {view} AS SELECT * FROM {table}")
    said, proposed = refused(database.target(view, disposition))
    assert f"a {what.lower()} has this name, and only a table can be written" in said
    assert "ALTER" not in said
    run(database, proposed)
    same(database, f"{view}_table", write(database.target(f"{view}_table", disposition), batch))


NUMBER = {
    "postgres": "id BIGSERIAL PRIMARY KEY",
    "mariadb": "id BIGINT AUTO_INCREMENT PRIMARY KEY",
    "sqlite": "id INTEGER PRIMARY KEY",
    "duckdb": "id BIGINT DEFAULT (random() * 1e15)::BIGINT PRIMARY KEY",
}


@pytest.fixture
def like(database: Database, batch: Any) -> str:
    table = database.new_table()
    write(database.target(table, "append"), batch)
    return table


@pytest.mark.parametrize("disposition", DISPOSITIONS)
def test_a_primary_key_of_the_users_own(database: Database, like: str, batch: Any, disposition: str) -> None:
    table = make(database, like, NUMBER[database.kind])
    target = database.target(table, disposition)
    if disposition == "merge":
        said, proposed = refused(target)
        assert "event_key is not the primary key" in said
        run(database, proposed)
        write(target, batch)
    same(database, table, write(target, batch))


@pytest.mark.parametrize(
    ("more", "types"),
    [
        ("PRIMARY KEY (list_id, lookup)", {"lookup": "VARCHAR(300)"}),
        ("UNIQUE (smid)", {"smid": "VARCHAR(20)"}),
        ("must VARCHAR(9) NOT NULL, PRIMARY KEY (must)", {}),
        ("own INTEGER DEFAULT 1, UNIQUE (own, smid)", {"smid": "VARCHAR(20)", "count": "INTEGER"}),
        ("UNIQUE (event_key, matching)", {"matching": "VARCHAR(300)"}),
    ],
)
@pytest.mark.parametrize("disposition", DISPOSITIONS)
def test_columns_of_a_key(
    database: Database, like: str, batch: Any, more: str, types: dict[str, str], disposition: str
) -> None:
    own = {"event_key": "VARCHAR(64)"} if database.kind == "mariadb" else {}
    table = make(database, like, more, **{**own, **types})
    target = database.target(table, disposition)
    try:
        same(database, table, write(target, batch))
    except ValueError:
        assert database.count(table) == 0
        _, proposed = refused(target)
        run(database, proposed)
        same(database, table, write(target, batch))


@pytest.mark.parametrize("disposition", DISPOSITIONS)
@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
@pytest.mark.parametrize("by", ["event_key", "datetime", "expression"])
def test_a_partitioned_table(request: Any, batch: Any, kind: str, by: str, disposition: str) -> None:
    database = request.getfixturevalue(kind)
    like = database.new_table()
    write(database.target(like, "append"), batch)
    if kind == "postgres":
        how = {"event_key": "HASH (event_key)", "datetime": "RANGE (datetime)", "expression": "RANGE (lower(action))"}
        end, own = f" PARTITION BY {how[by]}", {}
    else:
        how = {
            "event_key": "KEY (event_key)",
            "datetime": "RANGE COLUMNS (datetime)",
            "expression": "HASH (year(datetime))",
        }
        end, own = f" PARTITION BY {how[by]}", {"event_key": "VARCHAR(64)"}
        end += " (PARTITION a VALUES LESS THAN ('2025-01-01'))" if by == "datetime" else ""
    table = make(database, like, "note TEXT", end, **own)
    if kind == "postgres":
        values = {
            "event_key": "WITH (MODULUS 1, REMAINDER 0)",
            "datetime": "FROM ('2024-01-01') TO ('2025-01-01')",
            "expression": "FROM (MINVALUE) TO (MAXVALUE)",
        }
        database.execute(f"CREATE TABLE {table}_p PARTITION OF {table} FOR VALUES {values[by]}")
    target = database.target(table, disposition)
    if disposition == "merge":
        said, proposed = refused(target)
        assert ("so event_key alone cannot be a key" in said) == (by != "event_key")
        run(database, proposed)
    same(database, table, write(target, batch))


# PostgreSQL


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_an_encoding_that_lacks_characters(postgres: Database, encoding: str) -> None:
    name = f"altcraft_{uuid.uuid4().hex[:12]}"
    postgres.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'")
    try:
        conn_id = define(
            "altcraft_ascii", conn_type="postgres", host="127.0.0.1", port=5432, login="postgres", schema=name
        )
        said, _ = refused(SqlTarget(conn_id, "history"))
        assert f"the database's encoding is {encoding}; only UTF8 holds every character" in said
    finally:
        postgres.execute(f"DROP DATABASE {name}")


def test_a_client_of_another_encoding(poor: Database, postgres: Database, batch: Any) -> None:
    table, user = postgres.new_table(), user_of(poor)
    write(postgres.target(table), batch)
    postgres.execute(f"GRANT SELECT, INSERT, UPDATE ON {table} TO {user}")
    postgres.execute(f"ALTER ROLE {user} SET client_encoding TO 'SQL_ASCII'")
    writer = poor.target(table).open(SCOPE)
    found = batch(5, email="änn@example.com", **OF_ANN)
    writer.write(found)
    writer.commit()
    same(postgres, table, found.to_pylist())


def test_a_server_that_only_speaks_like_postgresql(postgres: Database, poor: Database) -> None:
    user, schema = user_of(poor), f"s_{uuid.uuid4().hex[:12]}"
    postgres.execute(f"CREATE SCHEMA {schema} AUTHORIZATION {user}")
    postgres.execute(
        f"CREATE FUNCTION {schema}.version() RETURNS text LANGUAGE sql AS"
        " $$ SELECT 'PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC, Redshift 1.0.38698'::text $$"
    )
    postgres.execute(f"GRANT USAGE ON SCHEMA {schema} TO {user}")
    postgres.execute(f"ALTER ROLE {user} SET search_path = {schema}, pg_catalog")
    try:
        said, _ = refused(poor.target("history"))
        assert "the server is not PostgreSQL but 'PostgreSQL 8.0.2 on" in said
    finally:
        postgres.execute(f"DROP SCHEMA {schema} CASCADE")


# MariaDB


@pytest.fixture(scope="module")
def own() -> Iterator[Database]:
    """A MariaDB whose settings a test may change."""
    with own_server("mariadb") as server:
        yield server.database


@pytest.mark.parametrize("mode", ["ANSI_QUOTES", "ANSI", "ORACLE", "NO_BACKSLASH_ESCAPES", ""])
def test_a_mode_of_the_server(own: Database, batch: Any, mode: str) -> None:
    own.execute(f"SET GLOBAL sql_mode = '{mode}'")
    try:
        for disposition in DISPOSITIONS:
            table = own.new_table()
            target = own.target(f'"{table} of `mine`"', disposition)
            found = batch(5, message_name="it's \\ \" `", **OF_ANN)
            for _ in range(2):
                writer = target.open(SCOPE)
                writer.write(found)
                writer.commit()
            own.execute("SET GLOBAL sql_mode = ''")
            own.execute(f"RENAME TABLE `{table} of ``mine``` TO {table}")
            own.execute(f"SET GLOBAL sql_mode = '{mode}'")
            assert own.execute(f"SELECT count(*) FROM {table}") == [(10 if disposition == "append" else 5,)]
            assert own.execute(f"SELECT DISTINCT message_name FROM {table}") == [("it's \\ \" `",)]
    finally:
        own.execute("SET GLOBAL sql_mode = DEFAULT")


@pytest.mark.parametrize("disposition", DISPOSITIONS)
def test_a_server_that_wants_a_key_of_each_table(own: Database, batch: Any, disposition: str) -> None:
    table = own.new_table()
    target = own.target(table, disposition)
    own.execute("SET GLOBAL innodb_force_primary_key = ON")
    try:
        if disposition != "merge":
            said, proposed = refused(target)
            assert "the server requires a primary key in each table" in said
            run(own, proposed)
        write(target, batch)
        writer = target.open(SCOPE)
        rows = [*batch(5, **OF_ANN).to_pylist(), *batch(3, start=9, list_id=2, **OF_ANN).to_pylist()]
        for found in (batch(5, **OF_ANN), batch(3, start=9, list_id=2, **OF_ANN)):
            writer.write(found)
        writer.commit()
    finally:
        own.execute("SET GLOBAL innodb_force_primary_key = OFF")
    same(own, table, rows if disposition != "append" else [*batch(5, **OF_ANN).to_pylist(), *rows])


@pytest.mark.parametrize("disposition", DISPOSITIONS)
def test_a_lock_that_is_refused(mariadb: Database, disposition: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a cluster in its strict mode, which cannot be run here."""
    import mysql.connector

    real = MySqlSession.execute

    def execute(session: MySqlSession, statement: str, *values: Any) -> list[Any]:
        if "GET_LOCK" in statement:
            raise mysql.connector.errors.DatabaseError("This version of MariaDB doesn't yet support 'GET_LOCK'", 1235)
        return real(session, statement, *values)

    monkeypatch.setattr(MySqlSession, "execute", execute)
    said, _ = refused(mariadb.target(mariadb.new_table(), disposition))
    assert "GET_LOCK" in said


def test_a_lock_that_fails(mariadb: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    real = MySqlSession.execute
    monkeypatch.setattr(
        MySqlSession, "execute", lambda self, sql, *of: [(None,)] if "GET_LOCK" in sql else real(self, sql, *of)
    )
    with pytest.raises(OSError, match="GET_LOCK failed"):
        mariadb.target(mariadb.new_table()).open(SCOPE)


def test_no_right_to_make_a_table(mariadb: Database) -> None:
    user = f"poor_{uuid.uuid4().hex[:12]}"
    mariadb.execute(f"CREATE USER {user}")
    mariadb.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE, CREATE TEMPORARY TABLES ON * TO {user}")
    try:
        define(
            "altcraft_poor",
            conn_type="mysql",
            host="127.0.0.1",
            port=3306,
            login=user,
            schema=mariadb.arguments["database"],
            extra={"client": "mysql-connector-python"},
        )
        for disposition in DISPOSITIONS:
            said, _ = refused(SqlTarget("altcraft_poor", mariadb.new_table(), disposition))  # type: ignore[arg-type]
            assert "make the table: GRANT CREATE ON" in said
    finally:
        mariadb.execute(f"DROP USER {user}")
