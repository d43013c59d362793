"""The notes of pulls next to a table whose user has few rights, or which another schema has."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Iterator

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath  # noqa: F401 - Airflow sets up its logging now

from airflow_provider.altcraft.targets import SqlTarget
from tests.integration.databases import Database, define
from tests.integration.targets.sql_pulls import begin, end, held

UNPROTECTED = "so nothing keeps an earlier pull that commits later from replacing what a later one has written"


@pytest.fixture(params=["postgres", "mariadb"])
def poor(request: pytest.FixtureRequest) -> Iterator[tuple[Database, str, str]]:
    """A database, a user who may nothing yet, and the user's connection."""
    database = request.getfixturevalue(request.param)
    user = f"poor_{uuid.uuid4().hex[:12]}"
    database.execute(f"CREATE USER {user}")
    conn_id = define(
        "altcraft_poor_pulls",
        conn_type="mysql" if database.kind == "mariadb" else "postgres",
        host="127.0.0.1",
        port=database.arguments["port"],
        login=user,
        schema=database.arguments.get("dbname") or database.arguments["database"],
        extra={"client": "mysql-connector-python"} if database.kind == "mariadb" else {},
    )
    if database.kind == "mariadb":
        database.execute(f"GRANT CREATE TEMPORARY TABLES ON * TO {user}")
    yield database, user, conn_id
    if database.kind == "postgres":
        database.execute(f"DROP OWNED BY {user}")
    database.execute(f"DROP USER {user}")


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("disposition", ["merge", "replace"])
def test_no_right_to_the_notes(
    poor: tuple[Database, str, str], disposition: str, there: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The pull goes on without, and says once what to run; then it has them."""
    database, user, conn_id = poor
    owner = database.target(database.new_table(), disposition)
    end(begin(owner, 0, 1), "before", 0, 1)
    if not there:
        database.execute(f"DROP TABLE {owner.table}_pulls")
    database.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {owner.table} TO {user}")
    caplog.set_level(logging.INFO)
    target = SqlTarget(conn_id, owner.table, owner.write_disposition)
    earlier, later = begin(target, 0, 1), begin(target, 0, 1)
    assert UNPROTECTED not in caplog.text
    end(later, "later", 0, 1)
    assert caplog.text.count(UNPROTECTED) == 1
    assert end(earlier, "earlier", 0, 1) == 2
    assert held(database, owner) == [(0, "earlier"), (1, "earlier")]
    said = next(record.getMessage() for record in caplog.records if UNPROTECTED in record.getMessage())
    assert {record.levelname for record in caplog.records if UNPROTECTED in record.getMessage()} == {"INFO"}
    for statement in re.findall(r"(CREATE TABLE [^;]*); (GRANT .*)", said)[0]:
        if not (there and statement.startswith("CREATE")):
            database.execute(statement.replace("…", user))
    earlier, later = begin(target, 0, 1), begin(target, 0, 1)
    end(later, "later", 0, 1)
    assert end(earlier, "earlier", 0, 1) == 0
    assert held(database, owner) == [(0, "later"), (1, "later")]


def test_a_right_to_make_the_notes_and_none_to_write_them(mariadb: Database, caplog: pytest.LogCaptureFixture) -> None:
    table, user = mariadb.new_table(), f"poor_{uuid.uuid4().hex[:12]}"
    end(begin(mariadb.target(table), 0, 1), "before", 0, 1)
    mariadb.execute(f"DROP TABLE {table}_pulls")
    mariadb.execute(f"CREATE USER {user}")
    try:
        mariadb.execute(f"GRANT CREATE ON * TO {user}")
        mariadb.execute(f"GRANT SELECT, INSERT, UPDATE ON {table} TO {user}")
        database, client = mariadb.arguments["database"], {"client": "mysql-connector-python"}
        conn_id = define(
            "altcraft_maker", conn_type="mysql", host="127.0.0.1", port=3306, login=user, schema=database, extra=client
        )
        caplog.set_level(logging.INFO)
        for who in ("first", "second"):
            assert end(begin(SqlTarget(conn_id, table), 0, 1), who, 0, 1) == 2
            assert UNPROTECTED in caplog.text
            caplog.clear()
    finally:
        mariadb.execute(f"DROP USER {user}")


def test_the_notes_are_in_the_schema_of_the_table(postgres: Database) -> None:
    """Also where the search path finds the table in a schema that is not its first."""
    schema, table = f"s_{uuid.uuid4().hex[:12]}", postgres.new_table()
    user = f"seeker_{uuid.uuid4().hex[:12]}"
    postgres.execute(f"CREATE SCHEMA {schema}")
    postgres.execute(f"CREATE USER {user} SUPERUSER")
    try:
        end(begin(postgres.target(f"{schema}.{table}", "merge"), 0, 1), "before", 0, 1)
        postgres.execute(f"DROP TABLE {schema}.{table}_pulls")
        postgres.execute(f"ALTER ROLE {user} SET search_path = public, {schema}")
        database = postgres.arguments["dbname"]
        conn_id = define(
            "altcraft_seeker", conn_type="postgres", host="127.0.0.1", port=5432, login=user, schema=database
        )
        end(begin(SqlTarget(conn_id, table), 0, 1), "again", 0, 1)
        found = postgres.execute("SELECT schemaname FROM pg_tables WHERE tablename = %s", (f"{table}_pulls",))
        assert found == [(schema,)]
    finally:
        postgres.execute(f"DROP SCHEMA {schema} CASCADE")
        postgres.execute(f"DROP USER {user}")
