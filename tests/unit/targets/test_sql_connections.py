"""Connections that lead to no table, refused in words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider.altcraft.targets import Scope, SqlTarget


def refused(monkeypatch: pytest.MonkeyPatch, kind: type[Exception], **connection: Any) -> str:
    if connection:
        monkeypatch.setenv("AIRFLOW_CONN_PLACE", json.dumps(connection))
    with pytest.raises(kind) as said:
        SqlTarget("place", "history").open(Scope(1, None))
    assert str(said.value).startswith("sql://place/history: ")
    assert "s3cr3t" not in str(said.value)
    return str(said.value)


def test_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "there is no Airflow connection 'place'" in refused(monkeypatch, ValueError)


def test_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    said = refused(monkeypatch, ValueError, conn_type="altcraft", host="https://example.com", password="s3cr3t")
    assert "of type 'altcraft', which is not a SQL database" in said


def test_a_type_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no installed package knows 'nothing'" in refused(monkeypatch, ValueError, conn_type="nothing")


@pytest.mark.parametrize(("conn_type", "port"), [("postgres", 9), ("mysql", 9)])
def test_nobody_answers(monkeypatch: pytest.MonkeyPatch, conn_type: str, port: int) -> None:
    extra = {"client": "mysql-connector-python"} if conn_type == "mysql" else {}
    place = {"host": "127.0.0.1", "port": port, "login": "u", "password": "s3cr3t", "schema": "d", "extra": extra}
    refused(monkeypatch, OSError, conn_type=conn_type, **place)


@pytest.mark.parametrize(
    ("conn_type", "host", "why"), [("sqlite", ":memory:", "in memory"), ("duckdb", "", "names no DuckDB file")]
)
def test_a_database_in_memory(monkeypatch: pytest.MonkeyPatch, conn_type: str, host: str, why: str) -> None:
    assert why in refused(monkeypatch, ValueError, conn_type=conn_type, host=host)


@pytest.mark.parametrize(
    ("conn_type", "name"), [("clickhousedb", "ClickHouse"), ("trino", "Trino"), ("gcpbigquery", "BigQuery")]
)
def test_a_database_without_transactions(monkeypatch: pytest.MonkeyPatch, conn_type: str, name: str) -> None:
    """By what it is, before its server is asked and without its provider."""
    said = refused(monkeypatch, ValueError, conn_type=conn_type, host="127.0.0.1", port=9, password="s3cr3t")
    assert f"{name} has no transaction in which a pull could be written whole or not at all" in said
    assert "write to object storage" in said


def test_a_dialect_without_transactions(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """A connection of a type that says nothing of the database."""
    from airflow_provider.altcraft.targets.sql import target as sql
    from airflow_provider.altcraft.targets.sql.dialects.generic import OtherSession

    monkeypatch.setattr(sql, "_session_class", lambda hook: OtherSession)
    monkeypatch.setattr("sqlalchemy.dialects.sqlite.dialect.name", "clickhouse")
    said = refused(monkeypatch, ValueError, conn_type="sqlite", host=str(tmp_path / "a.db"))
    assert "ClickHouse has no transaction" in said


def test_a_dialect_that_cannot_make_the_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    import sqlalchemy as sa

    from airflow_provider.altcraft.targets.sql import target as sql
    from airflow_provider.altcraft.targets.sql.dialects.generic import OtherSession

    def cannot(*args: Any, **kwargs: Any) -> str:
        raise sa.exc.CompileError("No engine for the table")

    monkeypatch.setattr(sql, "_session_class", lambda hook: OtherSession)
    monkeypatch.setattr("sqlalchemy.dialects.sqlite.base.SQLiteDDLCompiler.visit_create_table", cannot)
    said = refused(monkeypatch, ValueError, conn_type="sqlite", host=str(tmp_path / "a.db"))
    assert "cannot make the table: No engine for the table" in said
