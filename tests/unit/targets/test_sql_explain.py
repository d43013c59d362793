"""What ``SqlTarget.explain`` says of each type of connection is what docs/sql.md says, and what the code does."""

from __future__ import annotations

import json
import re
import sqlite3
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mssql

from airflow_provider.altcraft.schema import COLUMNS
from airflow_provider.altcraft.targets import Scope
from airflow_provider.altcraft.targets.sql import SqlTarget, table
from airflow_provider.altcraft.targets.sql.dialects import session_class
from airflow_provider.altcraft.targets.sql.dialects.generic import OtherSession, SqlServerRules
from airflow_provider.altcraft.targets.sql.explain import PROVED
from airflow_provider.altcraft.targets.sql.names import _WITHOUT_TRANSACTIONS, DISPOSITIONS, Name
from airflow_provider.altcraft.targets.sql.rules import FoundColumn, Shape
from airflow_provider.altcraft.window import Window

PAGE = (Path(__file__).parents[3] / "docs/sql.md").read_text()


def types(status: str) -> list[str]:
    """The types of connections of which the page says so."""
    lines = PAGE.partition("## Other databases")[2].splitlines()
    rows = [*takewhile(lambda line: line.startswith("|"), dropwhile(lambda line: not line.startswith("|"), lines))][2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert len(cells) > 10
    return [name for _, names, said, _ in cells if said == status for name in re.findall("`([^`]+)`", names)]


def explained(conn_type: str, disposition: Any = "merge") -> str:
    return SqlTarget("nowhere", "marketing.history", disposition).explain(conn_type)


def test_what_is_proved() -> None:
    assert sorted(types("proved")) == sorted(PROVED)


@pytest.mark.parametrize("conn_type", types("proved"))
def test_a_proved_type(conn_type: str) -> None:
    for disposition in DISPOSITIONS:
        if (conn_type, disposition) != ("clickhouse", "append"):
            assert explained(conn_type, disposition).startswith(
                f"-- {conn_type}, write_disposition='{disposition}', proved here\n"
            )


@pytest.mark.parametrize("conn_type", types("unproved"))
def test_an_unproved_type(conn_type: str) -> None:
    """It has no way of its own, and its statements say that nobody has tried them."""
    assert issubclass(session_class(conn_type), OtherSession)
    said = explained(conn_type)
    assert said.partition("\n")[0].endswith("unproved: no database of this type is part of the tests")
    assert "CREATE TABLE marketing.history (" in said
    assert "DELETE FROM marketing.history WHERE 1 = 1 AND event_key IN (?);\nINSERT INTO marketing.history (" in said
    assert said.endswith("\nCOMMIT;")


@pytest.mark.parametrize("conn_type", types("refused"))
def test_a_refused_type(conn_type: str) -> None:
    with pytest.raises(ValueError, match="has no transaction in which a pull could be written whole or not at all"):
        explained(conn_type)


def test_each_refused_database_is_on_the_page() -> None:
    page = PAGE.partition("## Other databases")[2].partition("\n## ")[0]
    others = {"Elasticsearch", "Databend", "ClickHouse"}  # rare, or written by the type of their connection
    for name in set(_WITHOUT_TRANSACTIONS.values()) - others:
        assert name.removeprefix("Apache ") in page, name


def test_a_table_of_clickhouse_cannot_be_appended_to() -> None:
    with pytest.raises(ValueError, match="write_disposition='append' is not supported on ClickHouse"):
        explained("clickhouse", "append")


def test_names_are_quoted() -> None:
    said = SqlTarget("nowhere", '"odd `name`"').explain("clickhouse")
    assert "ALTER TABLE `odd \\`name\\`` ATTACH PARTITION '2026-01-01' FROM `odd \\`name\\`_altcraft_<hash>`;" in said
    assert 'CREATE TABLE "odd `name`" (' in SqlTarget("nowhere", '"odd `name`"').explain("postgres")


def test_the_type_of_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked up where none is given; PostgreSQL's provider reaches Redshift as well."""
    for conn_type, extra, found in (("oracle", {}, "oracle"), ("postgres", {"redshift": True}, "redshift")):
        value = {"conn_type": conn_type, "host": "127.0.0.1", "port": 9, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_NOWHERE", json.dumps(value))
        assert SqlTarget("nowhere", "history").explain().startswith(f"-- {found}, ")


def test_a_dialect_that_is_not_installed_is_named() -> None:
    assert "-- types as plain SQL has them: SQLAlchemy's dialect 'vertica' is not installed" in explained("vertica")


def test_no_value_of_a_row_is_shown() -> None:
    for conn_type in (*PROVED, *types("unproved")):
        assert "ann@example.com" not in explained(conn_type, "replace")


def test_the_statements_are_those_of_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said to make the table makes one that a pull takes."""
    said = SqlTarget("there", "history").explain("sqlite")
    file = tmp_path / "a.db"
    making = said.partition("-- where the table is missing\n")[2].partition("-- a pull")[0]
    with sqlite3.connect(file) as connection:
        connection.executescript(making)
        made = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert made == {"history", "history_pulls"}
    monkeypatch.setenv("AIRFLOW_CONN_THERE", json.dumps({"conn_type": "sqlite", "host": str(file)}))
    SqlTarget("there", "history").open(Scope(1, None, Window())).abort()


@pytest.mark.parametrize(
    ("type_", "fits"),
    [
        (mssql.NVARCHAR(1024), True),
        (mssql.VARCHAR(1024, collation="Latin1_General_100_CI_AS_SC_UTF8"), True),
        (mssql.VARCHAR(1024, collation="Cyrillic_General_CI_AS"), False),
        (mssql.VARCHAR(1024), False),
    ],
    ids=str,
)
def test_a_text_of_sql_server(type_: Any, fits: bool) -> None:
    """One in a code page has a question mark for each character that lacks there."""
    rules: Any = SqlServerRules()
    name = Name("history")
    main = table.define(name, rules, "append")
    dialect: Any = mssql.dialect()  # type: ignore[no-untyped-call]
    shape = Shape({each: FoundColumn(main.c[each].type, main.c[each].nullable) for each in COLUMNS})
    shape.columns["datetime"] = FoundColumn(mssql.DATETIMEOFFSET(), nullable=False)
    shape.columns["email"] = FoundColumn(type_, nullable=True)
    found = table.differences(main, shape, rules, "append", dialect)
    assert found == [] if fits else "column email is VARCHAR(1024)" in found[0][0]


@pytest.mark.parametrize(
    ("type_", "fits"),
    [
        (mssql.DATETIMEOFFSET(), True),
        (mssql.DATETIME2(7), True),
        (mssql.DATETIME2(3), False),
        (mssql.DATETIME(), False),
        (sa.Text(), False),
    ],
    ids=repr,
)
def test_an_instant_of_sql_server(type_: Any, fits: bool) -> None:
    assert SqlServerRules().fits_instant(type_) is fits
