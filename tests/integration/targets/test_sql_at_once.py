"""Two tasks that write the same table at the same moment, with scopes that overlap, on each database."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from databases import define
from tasks import at_once

from airflow_provider.altcraft.targets import Scope, SqlTarget
from airflow_provider.altcraft.targets.sql import target as sql
from airflow_provider.altcraft.testing.conformance import as_table
from airflow_provider.altcraft.testing.conformance.pulls import Pull, draw_events, pull_of
from airflow_provider.altcraft.testing.conformance.writing import put, same
from airflow_provider.altcraft.window import Window

WINDOW = Window.of("2026-01-01", "2026-01-02")
ANN, BOB, EVE = "ann@example.com", "bob@example.com", "eve@example.com"
ROWS = 300
ROUNDS = 2
"""Of each, the first with no table there yet."""


EVENTS = draw_events(ROWS, days=2, profiles=[ANN, BOB, EVE])


def both(number: int) -> tuple[Pull, Pull]:
    """Two pulls that share Bob and his events, which each counts in its own way and gives in its own order."""
    return tuple(
        pull_of(
            [event | {"count": 2 * number + by} for event in EVENTS[::step]],
            Scope(1, [("email", name) for name in names], WINDOW),
        )
        for by, step, names in ((0, 1, (ANN, BOB)), (1, -1, (EVE, BOB)))
    )  # type: ignore[return-value]


def after(disposition: str, held: list[dict[str, Any]], *pulls: Pull) -> list[dict[str, Any]]:
    """What the table holds when these have been written one after another."""
    for each in pulls:
        rows = each.table.to_pylist()
        if disposition == "merge":
            held = list({row["event_key"]: row for row in held + rows}.values())
        elif disposition == "replace":
            held = [row for row in held if (row["matching"], row["lookup"]) not in each.scope.lookups] + rows
        else:
            held = held + rows
    return held


def hold_one_of(place: Any, table: str, disposition: str, held: list[Any], pulls: tuple[Pull, ...]) -> list[Any]:
    """Fail unless the table holds what the pulls leave in one order or the other; returns which."""
    state = as_table(place.rows(table))
    orders = [after(disposition, held, *pulls), after(disposition, held, *pulls[::-1])]
    for rows in orders:
        if state.equals(as_table(rows)):
            return rows
    same(state, as_table(orders[0]), "Two commits at once leave what they leave in one order or the other.")
    raise AssertionError("unreachable")


@pytest.mark.parametrize("disposition", ["merge", "replace", "append"])
def test_two_at_once(database: Any, disposition: str) -> None:
    """Neither fails: they wait for one another. The result is that of one after the other."""
    table, held = database.new_table(), []
    for number in range(ROUNDS):
        pulls = both(number)
        said = at_once([(database.target(table, disposition), each) for each in pulls])
        assert said == [[], []]
        held = hold_one_of(database, table, disposition, held, pulls)


def test_a_writer_of_another_kind_is_in_the_way(postgres: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes no part in the lock: the commit is tried again, and says at last what was in its way."""
    table, (first, second) = postgres.new_table(), both(0)
    put(postgres.target(table), first)
    host, database = postgres.arguments["host"], postgres.arguments["dbname"]
    impatient = define(
        "altcraft_impatient",
        conn_type="postgres",
        host=host,
        port=postgres.arguments["port"],
        login="postgres",
        schema=database,
        extra={"options": "-c lock_timeout=100"},
    )
    monkeypatch.setattr(sql, "time", SimpleNamespace(sleep=lambda pause: waits.pop()(), monotonic=time.monotonic))
    target = SqlTarget(impatient, table)
    with postgres.connect() as connection:
        connection.autocommit = False
        connection.cursor().execute(f"UPDATE {table} SET count = 7")
        waits = [lambda: None] * 3
        with pytest.raises(OSError, match="another writer of the table was in the way, and nothing was written"):
            put(target, second)
        assert not waits
        assert as_table(postgres.rows(table)).equals(as_table(first.table.to_pylist()))
        waits = [connection.rollback, lambda: None]
        put(target, second)
    assert not waits
    assert as_table(postgres.rows(table)).equals(as_table(after("merge", [], first, second)))


@pytest.mark.parametrize("disposition", ["merge", "replace"])
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_two_at_once_by_the_way_of_other_databases(kind: str, disposition: str, request: pytest.FixtureRequest) -> None:
    """There is no lock that every database has, so one may fail; its retry ends right."""
    database = request.getfixturevalue(kind)
    table, held = database.new_table(), []
    for number in range(ROUNDS):
        pulls = both(number)
        said = at_once([(database.target(table, disposition), each) for each in pulls], tries=4, other=True)
        assert not any("gave up" in each for each in said), said
        held = hold_one_of(database, table, disposition, held, pulls)
