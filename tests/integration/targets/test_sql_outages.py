"""A database's server that dies during a commit, and a task that does, statement by statement."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from servers import Server, own_server

from airflow_provider.altcraft.targets import Scope
from airflow_provider.altcraft.targets.sql.dialects.duckdb import DuckDbSession
from airflow_provider.altcraft.targets.sql.dialects.mysql import MySqlSession
from airflow_provider.altcraft.targets.sql.dialects.postgres import PostgresSession
from airflow_provider.altcraft.targets.sql.dialects.sqlite import SqliteSession
from airflow_provider.altcraft.targets.sql.errors import UnreachableError
from airflow_provider.altcraft.testing.conformance import as_table
from airflow_provider.altcraft.testing.conformance.killing import Forked
from airflow_provider.altcraft.testing.conformance.pulls import Pull, draw_events, pull_of
from airflow_provider.altcraft.testing.conformance.writing import put, same
from airflow_provider.altcraft.window import Window

SCOPE = Scope(1, [("email", "ann@example.com")], Window.of("2026-01-01", "2026-01-02"))
EVENTS = draw_events(100, days=2, profiles=["ann@example.com"])
POINTS = 4
ONE_PULL = "A table holds one whole pull: the last that committed."
SESSIONS = {"postgres": PostgresSession, "mariadb": MySqlSession, "sqlite": SqliteSession, "duckdb": DuckDbSession}


def pull(number: int) -> Pull:
    """The same events, counted again."""
    return pull_of([event | {"count": number} for event in EVENTS], SCOPE)


def table_of(each: Pull) -> Any:
    return as_table(each.table.to_pylist())


@pytest.fixture(scope="module", params=["postgres", "mariadb"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with own_server(request.param) as found:
        yield found


@pytest.mark.parametrize(
    ("disposition", "moments"),
    [
        ("merge", ["before commit"]),
        ("replace", ["before append", "before commit", "after commit"]),
    ],
)
def test_the_server_dies(server: Server, disposition: str, moments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The task says so, the table is as it was or as it was to be, and the task run again ends right."""
    database = server.database
    name = database.new_table()
    target = database.target(name, disposition)
    put(target, pull(0))
    for number, moment in enumerate(moments, 1):
        new = pull(number)
        with monkeypatch.context() as patch:
            _kill_server(patch, server, moment)
            if moment == "after commit":
                put(target, new)
            else:
                with pytest.raises(OSError, match=f"^sql://{database.conn_id}/{name}: .*Error: ") as caught:
                    put(target, new)
                assert "example.com" not in str(caught.value)
        with pytest.raises(OSError, match=f"^sql://{database.conn_id}/{name}: .*Error: "):
            put(target, new)  # while it is down
        server.start()
        held = new if moment == "after commit" else pull(number - 1)
        same(as_table(database.rows(name)), table_of(held), ONE_PULL)
        put(target, new)
        same(as_table(database.rows(name)), table_of(new), ONE_PULL)


@pytest.mark.parametrize("disposition", ["merge", "replace", "append"])
def test_a_commit_waits_for_a_server_that_is_restarted(server: Server, disposition: str) -> None:
    name = server.database.new_table()
    writer = server.database.target(name, disposition).open(SCOPE)
    for batch in pull(1).batches:
        writer.write(batch)
    server.stop()
    back = threading.Timer(2, server.start)
    back.start()
    writer.commit()
    back.join()
    same(as_table(server.database.rows(name)), table_of(pull(1)), ONE_PULL)


def test_a_commit_gives_up_at_last(server: Server) -> None:
    writer = server.database.target(server.database.new_table(), "merge").open(SCOPE)
    writer.reconnects_for = 1.0
    server.stop()
    started = time.monotonic()
    with pytest.raises(UnreachableError, match=r"^sql://.*Error: "):
        writer.commit()
    assert 1 <= time.monotonic() - started < 10
    server.start()


def _kill_server(patch: pytest.MonkeyPatch, server: Server, moment: str) -> None:
    when, name = moment.split()
    session = SESSIONS[server.database.kind]
    real = getattr(session, name)

    def dying(self: Any, *args: Any) -> None:
        if when == "before":
            server.stop()
        real(self, *args)
        if when == "after":
            server.stop()

    # MariaDB ends the table's making by a commit, which is not the one that is meant.
    patch.setattr(MySqlSession, "begin_after_ddl", lambda self: self.raw.commit())
    patch.setattr(session, name, dying)


@pytest.mark.parametrize("disposition", ["merge", "replace"])
def test_the_task_dies_between_two_statements(database: Any, disposition: str) -> None:
    """Killed before and after any statement of a commit, the last included, and run again."""
    name = database.new_table()
    target = database.target(name, disposition)
    session = SESSIONS[database.kind]
    put(target, pull(0))
    opening, steps = Forked(lambda: _stepping(target, pull(1), session)).value
    held = []
    points = [opening + (steps - opening) * each // (POINTS - 1) for each in range(POINTS)]
    for number, point in enumerate(points, 2):
        old, new = pull(number - 1), pull(number)
        assert Forked(lambda: _stepping(target, new, session, point)).killed  # noqa: B023 - called at once
        state = as_table(database.rows(name))
        held.append("new" if state.equals(table_of(new)) else "old")
        same(state, table_of(new if held[-1] == "new" else old), ONE_PULL)
        put(target, new)
        same(as_table(database.rows(name)), table_of(new), ONE_PULL)
    assert held == ["old"] * (POINTS - 1) + ["new"]


def _stepping(target: Any, what: Pull, session: Any, at: int | None = None) -> tuple[int, int]:
    """Write, with a step before and after each statement; kill it at one of them.

    Returns:
        The steps of its opening, and all.
    """
    count = 0

    def step() -> None:
        nonlocal count
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.MonkeyPatch.context() as patch:
        for name in ("execute", "load", "upsert", "commit"):
            owner = next(each for each in session.__mro__ if name in vars(each))
            real = getattr(owner, name)

            def stepping(self: Any, *args: Any, real: Any = real) -> Any:
                step()
                found = real(self, *args)
                step()
                return found

            patch.setattr(owner, name, stepping)
        writer = target.open(what.scope)
        opening = count
        for batch in what.batches:
            writer.write(batch)
        writer.commit()
    return opening, count
