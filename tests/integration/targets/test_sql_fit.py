"""A table that is there and does not fit: refused before any request, and fixed by the DDL that the refusal gives."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from databases import define

from airflow_provider.altcraft.targets import Scope

SCOPE = Scope(1, [("email", "ann@example.com")])


def made_wrong(database: Any, table: str) -> list[str]:
    """Make a table that lacks columns, a key and an index, has a wrong type and a column that no event fills."""
    wrong = {
        "postgres": {"datetime": "TIMESTAMP NOT NULL", "count": "INTEGER", "extra": "JSONB"},
        "mariadb": {"datetime": "DATETIME NOT NULL", "count": "INTEGER", "email": "VARCHAR(9)"},
        "sqlite": {"email": "INTEGER"},
        "duckdb": {"datetime": "TIMESTAMP NOT NULL", "count": "INTEGER"},
    }[database.kind]
    database.target(table, "append").open(SCOPE).commit()  # one that fits, whose types are taken
    columns = {
        "postgres": "SELECT column_name, CASE WHEN column_name = 'datetime' THEN 'TIMESTAMPTZ' ELSE data_type END"
        f" FROM information_schema.columns WHERE table_name = '{table}'",
        "mariadb": f"SELECT column_name, column_type FROM information_schema.columns WHERE table_name = '{table}'",
        "sqlite": f"SELECT name, type FROM pragma_table_info('{table}')",
        "duckdb": f"SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = '{table}'",
    }[database.kind]
    types = dict(database.execute(columns)) | wrong
    del types["smid"], types["lookup"]
    database.execute(f"DROP TABLE {table}")
    said = ", ".join(f"{name} {type_}" for name, type_ in types.items())
    must = "" if database.kind == "duckdb" else ", must VARCHAR(9) NOT NULL"
    database.execute(f"CREATE TABLE {table} ({said}{must})")
    return [f"column {name} " for name in wrong] + ["column smid", "column lookup"] + ["column must"] * bool(must)


def refused(target: Any) -> tuple[str, list[str]]:
    """What is said, and the DDL in it."""
    with pytest.raises(ValueError, match="the table is there but does not fit") as caught:
        target.open(SCOPE)
    return str(caught.value), re.findall(r"^- .*?: ([A-Z].*);$", str(caught.value), re.MULTILINE)


def fixed(database: Any, ddl: list[str]) -> None:
    for each in dict.fromkeys(ddl):
        for one in each.split("; "):
            try:
                database.execute(one)
            except Exception as error:
                raise AssertionError(f"{one}: {error}") from None


def written(target: Any, batch: Any) -> list[dict[str, Any]]:
    found = batch(5, matching="email", lookup="ann@example.com")
    writer = target.open(SCOPE)
    writer.write(found)
    writer.commit()
    return found.to_pylist()


@pytest.mark.parametrize("disposition", ["merge", "append"])
def test_all_that_is_wrong_is_reported_and_fixed(database: Any, batch: Any, disposition: str) -> None:
    table = database.new_table()
    wrong = made_wrong(database, table)
    target = database.target(table, disposition)
    said, ddl = refused(target)
    for what in [*wrong, *["event_key is not the primary key"] * (disposition == "merge")]:
        assert what in said
    fixed(database, ddl)
    wanted = written(target, batch)
    assert sorted(database.rows(table), key=repr) == sorted(wanted, key=repr)


def test_a_table_of_another_disposition_is_moved_away(database: Any, batch: Any) -> None:
    """With its index, whose name the new table's has."""
    table = database.new_table()
    written(database.target(table, "merge"), batch)
    target = database.target(table, "append")
    said, ddl = refused(target)
    assert "(event_key) is unique, but append writes rows alike in it" in said
    fixed(database, ddl)
    wanted = written(target, batch)
    assert sorted(database.rows(table), key=repr) == sorted(wanted, key=repr)
    assert database.count(f"{table}_before") == 5


RIGHTS = {"merge": "SELECT, INSERT, UPDATE", "replace": "SELECT, INSERT, DELETE", "append": "SELECT, INSERT"}


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_missing_rights(kind: str, batch: Any, request: pytest.FixtureRequest) -> None:
    """The rights that are named are enough, and all of them are needed."""
    database = request.getfixturevalue(kind)
    user = database.new_table()
    poor = as_user(database, user)
    try:
        for disposition, rights in RIGHTS.items():
            table = database.new_table()
            written(database.target(table, disposition), batch)
            if kind == "mariadb":  # to whom a table is not there otherwise
                database.execute(f"GRANT SELECT ON {table} TO {user}")
            if kind == "mariadb" and disposition == "replace":
                with pytest.raises(ValueError, match="GRANT CREATE TEMPORARY TABLES ON … TO …"):
                    poor.target(table, disposition).open(SCOPE)
                database.execute(f"GRANT CREATE TEMPORARY TABLES ON * TO {user}")
            with pytest.raises(ValueError, match=f"GRANT {rights} ON {table} TO …") as caught:
                poor.target(table, disposition).open(SCOPE)
            assert "denied" in str(caught.value)
            database.execute(re.findall("GRANT .*", str(caught.value))[0].replace("…", user))
            written(poor.target(table, disposition), batch)
            assert database.count(table) == (10 if disposition == "append" else 5)
    finally:
        if kind == "postgres":
            database.execute(f"DROP OWNED BY {user}")
        database.execute(f"DROP USER {user}")


def as_user(database: Any, user: str) -> Any:
    """The database, by a user who may nothing yet."""
    database.execute(f"CREATE USER {user}")
    extra = {"client": "mysql-connector-python"} if database.kind == "mariadb" else {}
    conn_id = define(
        "altcraft_poor",
        conn_type="mysql" if database.kind == "mariadb" else "postgres",
        host="127.0.0.1",
        port=database.arguments["port"],
        login=user,
        schema=database.arguments.get("dbname") or database.arguments["database"],
        extra=extra,
    )
    return dataclasses.replace(database, conn_id=conn_id)
