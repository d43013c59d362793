"""What the tests of ``open`` of SQL tables share: writes, refusals and the statements that these propose."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from airflow_provider.altcraft.targets import Scope, SqlTarget
from tests.integration.databases import Database, define

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


def user_of(database: Database) -> str:
    from airflow.providers.common.compat.sdk import BaseHook

    return str(BaseHook.get_connection(database.conn_id).login)
