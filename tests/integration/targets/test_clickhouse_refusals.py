"""What a table of ClickHouse is refused for, and what a server's errors mean."""

from __future__ import annotations

import pytest

from airflow_provider.altcraft.targets import Scope
from airflow_provider.altcraft.targets._writer import InTheWayError
from airflow_provider.altcraft.targets.sql import SqlTarget
from airflow_provider.altcraft.targets.sql.clickhouse.server import translated_errors
from airflow_provider.altcraft.testing.conformance.pulls import PROFILES, Pull, far_events, pull_of
from airflow_provider.altcraft.testing.conformance.writing import put, same
from tests.integration.clickhouse import ClickHouse
from tests.integration.databases import define
from tests.integration.targets.test_clickhouse import EVENTS, WINDOW, impatient, of, pull, server, state

__all__ = ["impatient", "server"]


def refused(target: SqlTarget, what: Pull | None = None) -> str:
    with pytest.raises(ValueError, match=r"^sql://clickhouse_") as caught:
        put(target, what or pull(1))
    return str(caught.value)


def test_what_is_refused(server: ClickHouse) -> None:
    table = server.new_table()
    said = refused(server.target(table, "append"))
    assert "write_disposition='append' is not supported on ClickHouse" in said
    assert "the database 'default' is of the engine Overlay; expected Atomic" in refused(
        SqlTarget(server.conn_id, f"default.{table}")
    )
    assert "there is no database 'nowhere'; make it" in refused(SqlTarget(server.conn_id, f"nowhere.{table}"))
    assert "has the days from 1970-01-01 to before 2149-06-06, got an event of 1000-01-01" in refused(
        server.target(table), pull_of(far_events(), Scope(1, [("email", each) for each in PROFILES]))
    )
    assert table not in server.tables()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DROP COLUMN smid", "there is no column smid: ALTER TABLE `altcraft`.`{}` ADD COLUMN smid Nullable(String);"),
        (
            "MODIFY COLUMN message_id Nullable(Int32)",
            (
                "column message_id is Nullable(Int32); expected Nullable(Int64): ALTER TABLE `altcraft`.`{}` MODIFY "
                "COLUMN message_id Nullable(Int64);"
            ),
        ),
    ],
)
def test_a_table_that_does_not_fit(server: ClickHouse, change: str, said: str) -> None:
    """The DDL of the refusal makes it fit."""
    table = server.new_table()
    put(server.target(table), pull(1))
    server.execute(f"ALTER TABLE {table} {change}")
    found = refused(server.target(table))
    assert said.format(table) in found
    server.execute(found.partition(": ALTER")[2].join(["ALTER", ""]).rstrip(";"))
    put(server.target(table), pull(2))
    same(state(server, table), of(pull(2)), "it fits now")


@pytest.mark.parametrize(
    ("made_for", "definition", "said"),
    [
        ("replace", None, "it is ordered by event_key, matching, lookup, as merge does not write it"),
        (None, "(a Int64) ENGINE = Memory", "its engine is Memory; expected ReplacingMergeTree(pulled_at)"),
        (
            None,
            "(datetime DateTime) ENGINE = ReplacingMergeTree ORDER BY tuple() PARTITION BY toYYYYMM(datetime)",
            "it is partitioned by toYYYYMM(datetime); expected toDate(datetime)",
        ),
    ],
)
def test_a_table_of_another_kind(server: ClickHouse, made_for: str | None, definition: str | None, said: str) -> None:
    table = server.new_table()
    if made_for:
        put(server.target(table, made_for), pull(1))
    else:
        server.execute(f"CREATE TABLE {table} {definition}")
    found = refused(server.target(table))
    assert said in found
    ddl = f"RENAME TABLE `altcraft`.`{table}` TO `altcraft`.`{table}_before`"
    assert f": {ddl};" in found
    server.execute(ddl)
    put(server.target(table), pull(2))
    same(state(server, table), of(pull(2)), "the next pull makes it")


def test_rows_of_the_other_kind_of_pull(server: ClickHouse) -> None:
    table = server.new_table()
    put(server.target(table, "replace"), pull_of(EVENTS, Scope(1, None, WINDOW)))
    assert "the table holds rows of a whole database" in refused(server.target(table, "replace"))


def test_keys_of_another_kind(server: ClickHouse) -> None:
    table = server.new_table()
    put(server.target(table), pull(1))
    with pytest.raises(ValueError, match="event_key_by: the table holds events of this list and window by 'row'"):
        server.target(table).open(Scope(1, None, WINDOW, event_key_by="event_id"))


def test_a_server_that_does_not_answer() -> None:
    """It fails the task, to be retried, and shows neither password nor address of the request."""
    conn_id = define("clickhouse_away", conn_type="clickhouse", host="127.0.0.1", port=9, password="s3cr3t")
    with pytest.raises(OSError, match=r"^sql://clickhouse_away/t: the server does not answer") as caught:
        SqlTarget(conn_id, "t").open(pull(1).scope)
    assert "s3cr3t" not in str(caught.value)


def test_the_hook_of_another_package(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.providers.clickhousedb.hooks.clickhouse import ClickHouseHook

    monkeypatch.delattr(ClickHouseHook, "get_client")
    conn_id = define("clickhouse_of_another", conn_type="clickhouse", host="127.0.0.1", port=9)
    with pytest.raises(ValueError, match="expected the hook of apache-airflow-providers-clickhousedb"):
        SqlTarget(conn_id, "t").open(pull(1).scope)


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (497, ValueError, "the connection's user lacks a right"),
        (516, PermissionError, "does not let the connection's user in"),
        (60, InTheWayError, "took this one for dead"),
        (241, OSError, "DatabaseError: no"),
    ],
)
def test_what_a_servers_error_means(code: int, kind: type[Exception], said: str) -> None:
    """By the numbers of errors that the engine without users never gives."""
    from clickhouse_connect.driver.exceptions import DatabaseError

    with pytest.raises(kind, match=f"^sql://c/t: .*{said}"), translated_errors("sql://c/t"):
        raise DatabaseError("no (for url http://127.0.0.1)", code=code)
