"""Connections that lead to no table, told in words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider.altcraft.targets import Scope, SqlTarget


def refused(monkeypatch: pytest.MonkeyPatch, kind: type[Exception], **connection: Any) -> str:
    if connection:
        monkeypatch.setenv("AIRFLOW_CONN_PLACE", json.dumps(connection))
    with pytest.raises(kind) as told:
        SqlTarget("place", "history").open(Scope(1, None))
    assert str(told.value).startswith("sql://place/history: ")
    assert "s3cr3t" not in str(told.value)
    return str(told.value)


def test_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "there is no Airflow connection 'place'" in refused(monkeypatch, ValueError)


def test_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    said = refused(monkeypatch, ValueError, conn_type="altcraft", host="https://example.com", password="s3cr3t")
    assert "of type 'altcraft', which is no SQL database" in said


def test_a_type_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "the connection's hook cannot be had" in refused(monkeypatch, ValueError, conn_type="nothing")


@pytest.mark.parametrize(("conn_type", "port"), [("postgres", 9), ("mysql", 9)])
def test_nobody_answers(monkeypatch: pytest.MonkeyPatch, conn_type: str, port: int) -> None:
    extra = {"client": "mysql-connector-python"} if conn_type == "mysql" else {}
    place = {"host": "127.0.0.1", "port": port, "login": "u", "password": "s3cr3t", "schema": "d", "extra": extra}
    refused(monkeypatch, OSError, conn_type=conn_type, **place)


@pytest.mark.parametrize(
    ("conn_type", "host", "why"), [("sqlite", ":memory:", "in memory"), ("duckdb", "", "names no file")]
)
def test_a_database_in_memory(monkeypatch: pytest.MonkeyPatch, conn_type: str, host: str, why: str) -> None:
    assert why in refused(monkeypatch, ValueError, conn_type=conn_type, host=host)
