"""What ``open`` proves is what ``commit`` does: a refusal comes before any request, names what to do, and does it."""

from __future__ import annotations

import dataclasses
import re
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

ANN = ("email", "ann@example.com")
SCOPE = Scope(1, [ANN])
DATABASE = Scope(1, None)
DISPOSITIONS = ("merge", "replace", "append")
OF_ANN = dict(zip(("matching", "lookup"), ANN, strict=True))


def write(target: SqlTarget, batch: Any, rows: int = 5, scope: Scope = SCOPE) -> list[dict[str, Any]]:
    found = batch(rows, **(OF_ANN if scope.lookups else {"matching": None, "lookup": None}))
    writer = target.open(scope)
    writer.write(found)
    writer.commit()
    return found.to_pylist()


def refused(target: SqlTarget, scope: Scope = SCOPE) -> tuple[str, list[str]]:
    """The refusal and the statements that it proposes."""
    with pytest.raises(ValueError, match=r"^sql://") as caught:
        target.open(scope)
    return str(caught.value), re.findall(r": ((?:[A-Z]{4,} )[^;]*(?:; [A-Z]{4,} [^;]*)*);", str(caught.value))


def run(database: Database, proposed: list[str]) -> None:
    assert proposed
    for each in dict.fromkeys(proposed):
        for one in each.split("; "):
            database.execute(one)


def same(database: Database, table: str, expected: list[dict[str, Any]]) -> None:
    assert sorted(database.rows(table), key=repr) == sorted(expected, key=repr)


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
    with pytest.raises(FileNotFoundError, match=r"^sql://altcraft_elsewhere/.*the connection leads to no database"):
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


def make(database: Database, like: str, more: str, end: str = "", **types: str) -> str:
    """A table with the columns of another, of which some have other types, and with more in it."""
    columns = {
        "postgres": "SELECT column_name, CASE WHEN column_name = 'datetime' THEN 'TIMESTAMPTZ' ELSE data_type END"
        f" FROM information_schema.columns WHERE table_name = '{like}' ORDER BY ordinal_position",
        "mariadb": "SELECT column_name, column_type FROM information_schema.columns"
        f" WHERE table_name = '{like}' ORDER BY ordinal_position",
        "sqlite": f"SELECT name, type FROM pragma_table_info('{like}')",
        "duckdb": f"SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = '{like}'",
    }[database.kind]
    all_types = dict(database.execute(columns)) | types
    table = database.new_table()
    said = ", ".join(f"{name} {type_}" for name, type_ in all_types.items())
    database.execute(f"CREATE TABLE {table} ({said}, {more}){end}")
    return table


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
        assert "event_key is no primary key" in said
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


def as_user(database: Database, user: str) -> Database:
    """The database, by a user who has no rights yet."""
    database.execute(f"CREATE USER {user}")
    conn_id = define(
        "altcraft_poor",
        conn_type="postgres",
        host="127.0.0.1",
        port=database.arguments["port"],
        login=user,
        schema=database.arguments["dbname"],
    )
    return dataclasses.replace(database, conn_id=conn_id)


@pytest.fixture
def poor(postgres: Database) -> Iterator[Database]:
    user = f"poor_{uuid.uuid4().hex[:12]}"
    try:
        yield as_user(postgres, user)
    finally:
        postgres.execute(f"DROP OWNED BY {user}")
        postgres.execute(f"DROP USER {user}")


def user_of(database: Database) -> str:
    from airflow.providers.common.compat.sdk import BaseHook

    return str(BaseHook.get_connection(database.conn_id).login)


@pytest.mark.parametrize("disposition", DISPOSITIONS)
def test_row_security(postgres: Database, poor: Database, batch: Any, disposition: str) -> None:
    """A user whom a policy lets do everything writes; one whose rows a policy refuses is refused by ``open``."""
    table, user = postgres.new_table(), user_of(poor)
    write(postgres.target(table, disposition), batch)
    postgres.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {user}")
    postgres.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    postgres.execute(f"CREATE POLICY list_1 ON {table} TO {user} USING (list_id = 1)")
    target = poor.target(table, disposition)
    write(target, batch)
    assert postgres.count(table) == (10 if disposition == "append" else 5)
    said, _ = refused(target, Scope(2, [ANN]))
    assert "row-level security policy" in said


@pytest.mark.parametrize("disposition", DISPOSITIONS)
@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_a_foreign_key_without_the_list(
    request: pytest.FixtureRequest, batch: Any, kind: str, disposition: str
) -> None:
    """The list is known when the target opens; other values are the rows' own, and a key of theirs may hold."""
    database: Database = request.getfixturevalue(kind)
    table, lists = database.new_table(), database.new_table()
    write(database.target(table, disposition), batch)
    database.execute(f"CREATE TABLE {lists} (id BIGINT PRIMARY KEY)")
    database.execute(f"INSERT INTO {lists} VALUES (1)")
    database.execute(f"ALTER TABLE {table} ADD FOREIGN KEY (list_id) REFERENCES {lists} (id)")
    write(database.target(table, disposition), batch)
    said, _ = refused(database.target(table, disposition), Scope(2, [ANN]))
    assert "foreign key" in said
    database.execute(f"DROP TABLE {table}")


SWALLOWS = {
    "postgres": (
        "CREATE FUNCTION {0}_none() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER none BEFORE INSERT ON {0} FOR EACH ROW EXECUTE FUNCTION {0}_none()",
    ),
    "sqlite": ("CREATE TRIGGER {0}_none BEFORE INSERT ON {0} BEGIN SELECT RAISE(IGNORE); END",),
}


@pytest.mark.parametrize("disposition", DISPOSITIONS)
@pytest.mark.parametrize("kind", SWALLOWS)
def test_a_trigger_that_swallows_rows(request: pytest.FixtureRequest, batch: Any, kind: str, disposition: str) -> None:
    database: Database = request.getfixturevalue(kind)
    table = database.new_table()
    write(database.target(table, disposition), batch)
    for statement in SWALLOWS[kind]:
        database.execute(statement.format(table))
    said, _ = refused(database.target(table, disposition))
    assert "the table took a row and does not hold it" in said
    assert database.count(table) == 5


# What undoes the replacement of a row: a function of PostgreSQL, and what stands before a change of the table.
KEPT_BACK = {
    ("postgres", "merge", "none"): ("RETURN NULL", "TRIGGER {0}_t BEFORE UPDATE ON {0} FOR EACH ROW EXECUTE"),
    ("postgres", "merge", "old"): ("RETURN OLD", "TRIGGER {0}_t BEFORE UPDATE ON {0} FOR EACH ROW EXECUTE"),
    ("postgres", "replace", "none"): ("RETURN NULL", "TRIGGER {0}_t BEFORE DELETE ON {0} FOR EACH ROW EXECUTE"),
    ("postgres", "replace", "rule"): ("", "RULE {0}_r AS ON DELETE TO {0} DO INSTEAD NOTHING"),
    ("sqlite", "merge", "none"): ("", "TRIGGER {0}_t BEFORE UPDATE ON {0} BEGIN SELECT RAISE(IGNORE); END"),
    ("sqlite", "replace", "none"): ("", "TRIGGER {0}_t BEFORE DELETE ON {0} BEGIN SELECT RAISE(IGNORE); END"),
    ("mariadb", "merge", "old"): ("", "TRIGGER {0}_t BEFORE UPDATE ON {0} FOR EACH ROW SET NEW.count = OLD.count"),
}


def guard(database: Database, table: str, body: str, statement: str) -> None:
    if body:
        database.execute(f"CREATE FUNCTION {table}_f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {body}; END$$")
        statement += f" FUNCTION {table}_f()"
    database.execute("CREATE " + statement.format(table))


@pytest.mark.parametrize(("kind", "disposition", "how"), KEPT_BACK)
def test_a_table_that_keeps_the_rows_to_replace(
    request: pytest.FixtureRequest, batch: Any, kind: str, disposition: str, how: str
) -> None:
    """It would double them, or keep their old values, in success."""
    database: Database = request.getfixturevalue(kind)
    table = database.new_table()
    expected = write(database.target(table, disposition), batch)
    guard(database, table, *KEPT_BACK[kind, disposition, how])
    for scope in [SCOPE, DATABASE] if disposition == "merge" else [SCOPE]:
        said, _ = refused(database.target(table, disposition), scope)
        assert "the table holds a row that a statement has" in said
    same(database, table, expected)


REFUSES = {
    "postgres": ("RAISE EXCEPTION 'no changes'", "TRIGGER {{0}}_t BEFORE {0} ON {{0}} FOR EACH ROW EXECUTE"),
    "mariadb": (
        "",
        "TRIGGER {{0}}_t BEFORE {0} ON {{0}} FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no changes'",
    ),
    "sqlite": ("", "TRIGGER {{0}}_t BEFORE {0} ON {{0}} BEGIN SELECT RAISE(ABORT, 'no changes'); END"),
}


@pytest.mark.parametrize("disposition", ["merge", "replace"])
@pytest.mark.parametrize("kind", REFUSES)
def test_a_table_that_refuses_to_replace_rows(
    request: pytest.FixtureRequest, batch: Any, kind: str, disposition: str
) -> None:
    """As one to which rows may only be added; the first pull into it would pass, and the second not."""
    database: Database = request.getfixturevalue(kind)
    table = database.new_table()
    expected = write(database.target(table, disposition), batch)
    body, statement = REFUSES[kind]
    guard(database, table, body, statement.format("UPDATE" if disposition == "merge" else "DELETE"))
    said, _ = refused(database.target(table, disposition))
    assert "no changes" in said
    same(database, table, expected)


@pytest.mark.parametrize("disposition", ["merge", "replace"])
def test_row_security_without_a_policy_to_replace(
    postgres: Database, poor: Database, batch: Any, disposition: str
) -> None:
    table, user = postgres.new_table(), user_of(poor)
    expected = write(postgres.target(table, disposition), batch)
    postgres.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {user}")
    postgres.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    postgres.execute(f"CREATE POLICY seen ON {table} FOR SELECT TO {user} USING (true)")
    postgres.execute(f"CREATE POLICY added ON {table} FOR INSERT TO {user} WITH CHECK (true)")
    said, _ = refused(poor.target(table, disposition))
    assert ("row-level security policy" if disposition == "merge" else "a statement has deleted") in said
    same(postgres, table, expected)


@pytest.mark.parametrize("disposition", DISPOSITIONS)
def test_what_is_checked_at_the_end_of_the_transaction(postgres: Database, batch: Any, disposition: str) -> None:
    table, lists = postgres.new_table(), postgres.new_table()
    write(postgres.target(table, disposition), batch)
    postgres.execute(f"CREATE TABLE {lists} (id BIGINT PRIMARY KEY)")
    postgres.execute(f"INSERT INTO {lists} VALUES (1)")
    key = f"ADD FOREIGN KEY (list_id) REFERENCES {lists} (id) DEFERRABLE INITIALLY DEFERRED"
    postgres.execute(f"ALTER TABLE {table} {key}")
    write(postgres.target(table, disposition), batch)
    said, _ = refused(postgres.target(table, disposition), Scope(2, [ANN]))
    assert "foreign key" in said
    postgres.execute(f"DROP TABLE {table}")


def test_a_key_that_is_checked_late(postgres: Database, batch: Any) -> None:
    """No merge goes by it: a refusal, not an outage for which a retry could be worth it."""
    table = postgres.new_table()
    write(postgres.target(table, "merge"), batch)
    postgres.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey, ADD UNIQUE (event_key) DEFERRABLE")
    said, _ = refused(postgres.target(table, "merge"))
    assert "deferrable" in said


@pytest.mark.parametrize("disposition", DISPOSITIONS)
def test_a_number_of_a_sequence_without_a_right_to_it(
    postgres: Database, poor: Database, batch: Any, disposition: str
) -> None:
    like, user = postgres.new_table(), user_of(poor)
    write(postgres.target(like, "append"), batch)
    table = make(postgres, like, "id BIGSERIAL, UNIQUE (event_key)" if disposition == "merge" else "id BIGSERIAL")
    postgres.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {user}")
    said, _ = refused(poor.target(table, disposition))
    assert f"permission denied for sequence {table}_id_seq" in said


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
        assert "the server is no PostgreSQL but 'PostgreSQL 8.0.2 on" in said
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
            assert "the server wants a primary key of each table" in said
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
