"""Names that would do harm if any were taken for SQL: rows end in just that table, and nothing else changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider.altcraft.targets import Scope, SqlTarget
from airflow_provider.altcraft.targets.sql.names import Name

NAMES = [
    "select",
    "CamelCase",
    "a.b",
    "it's",
    """x"; DROP TABLE bystander; --""",
    "x`; DROP TABLE bystander; --",
    "/* x */ bystander",
    "back\\slash {0} :name $1",
    "Größe_таблица",
    "n" * 63,
]
SCHEMA = 'od"d`; DROP TABLE bystander; --'


def quoted(database: Any, *parts: str) -> str:
    mark = "`" if database.kind == "mariadb" else '"'
    return ".".join(mark + part.replace(mark, mark * 2) + mark for part in parts)


def tables(database: Any) -> dict[tuple[str, str], int]:
    """Every table of the database's own, by schema and name, with its rows."""
    sql = {
        "postgres": "SELECT schemaname, tablename FROM pg_tables"
        " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
        "mariadb": "SELECT table_schema, table_name FROM information_schema.tables"
        f" WHERE table_schema IN (database(), {SCHEMA!r})",
        "sqlite": "SELECT 'main', name FROM sqlite_master WHERE type = 'table'",
        "duckdb": "SELECT schema_name, table_name FROM duckdb_tables()",
    }[database.kind]
    found = [tuple(row) for row in database.execute(sql)]
    # By one statement: DuckDB's file is opened for each.
    counts = database.execute(
        " UNION ALL ".join(f"SELECT {number}, count(*) FROM {quoted(database, *at)}" for number, at in enumerate(found))
    )
    return {found[number]: count for number, count in counts}


@pytest.fixture
def bystander(database: Any) -> Iterator[None]:
    """A table that some names would drop, and a schema of an odd name."""
    database.execute("CREATE TABLE bystander (id INT)")
    database.execute("INSERT INTO bystander VALUES (1)")
    if database.kind != "sqlite":
        # MariaDB's are the server's, so a run that was cut off may have left it.
        database.execute(f"DROP SCHEMA IF EXISTS {quoted(database, SCHEMA)}")
        database.execute(f"CREATE SCHEMA {quoted(database, SCHEMA)}")
    yield
    database.execute("DROP TABLE bystander")
    if database.kind != "sqlite":
        database.execute(f"DROP SCHEMA {quoted(database, SCHEMA)}" + " CASCADE" * (database.kind != "mariadb"))


@pytest.mark.usefixtures("bystander")
@pytest.mark.parametrize("disposition", ["merge", "replace"])
def test_rows_end_in_just_that_table(database: Any, batch: Any, disposition: str) -> None:
    """Also where a table of the same name stands in another schema."""
    before = others = tables(database)
    places = [(name, None) for name in NAMES] + [(name, SCHEMA) for name in NAMES[:5:4] if database.kind != "sqlite"]
    for name, schema in places:
        writer = database.target(str(Name(name, schema)), disposition).open(Scope(1, [("email", "ann@example.com")]))
        for list_id in (1, 2):  # since the rows of another list go their own way
            writer.write(batch(4, 10 * list_id, list_id=list_id, matching="email", lookup="ann@example.com"))
        writer.commit()
        now = tables(database)
        # And the pulls next to it: in its schema, by its name where that leaves room.
        companion, new = sorted(now.keys() - before.keys(), key=lambda at: at[1] == name)
        assert (new[1], companion[0]) == (name, new[0])
        assert companion[1] == f"{name}_pulls" or (len(name) == 63 and companion[1].startswith("altcraft_pulls_"))
        assert schema in {None, new[0]}
        assert now == before | {new: 8, companion: 1}, name
        before = now
    for at in before.keys() - others.keys():
        database.execute(f"DROP TABLE {quoted(database, *at)}")


@pytest.mark.parametrize("name", ["n" * 64, "ж" * 32, "n" * 65, "ж" * 33, "n" * 1025, "odd 😀"])
def test_what_cannot_be_a_name_is_refused_by_name(database: Any, name: str) -> None:
    """The longest name is as the database has it: none is cut off, to be another table's."""
    most = {"postgres": 63, "mariadb": 64}.get(database.kind, 1024)
    target = SqlTarget(database.conn_id, str(Name(name)))
    if len(name.encode()) > most:
        with pytest.raises(ValueError, match=f"table: '{name}' is longer than the {most} bytes that a name may have"):
            target.open(Scope(1, None))
    elif database.kind == "mariadb" and "😀" in name:
        with pytest.raises(ValueError, match=f"table: '{name}' has a character beyond U\\+FFFF, which"):
            target.open(Scope(1, None))
    else:
        target.open(Scope(1, None)).abort()
