"""A commit of a pull that is killed, tried again, or made at once with another of the same."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import os
import threading
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath  # noqa: F401 - Airflow sets up its logging now

from airflow_provider.altcraft.targets import SqlTarget, TargetWriter
from airflow_provider.altcraft.targets.sql import target as sql
from airflow_provider.altcraft.targets.sql.dialects.mysql import MySqlSession
from airflow_provider.altcraft.targets.sql.pulls import Pulls
from airflow_provider.altcraft.targets.sql.session import Session
from tests.integration.databases import Database
from tests.integration.targets.sql_pulls import begin, end, held, notes, write


def _commit_and_die(target: SqlTarget, step: str) -> None:
    def die(*of: Any) -> None:
        os._exit(9)

    writer: Any = begin(target, 0, 1)
    write(writer, "killed", 0, 1)
    setattr(*((Pulls, "note", die) if step == "note" else (writer._place._session_class, "commit", die)))
    MySqlSession.begin_after_ddl = lambda session: None  # type: ignore[method-assign]
    writer.commit()


@pytest.mark.parametrize("step", ["note", "commit"])
def test_a_killed_commit_leaves_both_tables_as_they_were(database: Database, step: str) -> None:
    for disposition in ("merge", "replace"):
        target = database.target(database.new_table(), disposition)
        end(begin(target, 0, 1), "before", 0, 1)
        noted = notes(database, target)
        process = multiprocessing.get_context("fork").Process(target=_commit_and_die, args=(target, step))
        process.start()
        process.join(60)
        assert process.exitcode == 9
        assert held(database, target) == [(0, "before"), (1, "before")]
        assert notes(database, target) == noted
        end(begin(target, 0, 1), "again", 0, 1)
        assert held(database, target) == [(0, "again"), (1, "again")]


@pytest.mark.parametrize("disposition", ["merge", "replace"])
def test_two_commits_at_once(database: Database, disposition: str) -> None:
    """The first time with no table there yet."""
    target = database.target(database.new_table(), disposition)
    for number in range(6):
        writers = [begin(target, 0, 2), begin(target, 1, 3)]
        write(writers[0], f"earlier {number}", 0, 1, 2)
        write(writers[1], f"later {number}", 1, 2, 3)
        errors: list[BaseException] = []

        def commit(writer: TargetWriter, errors: list[BaseException] = errors) -> None:
            try:
                writer.commit()
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=commit, args=(writer,)) for writer in writers[:: (-1) ** number]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert errors == []
        assert held(database, target) == [(0, f"earlier {number}"), *((day, f"later {number}") for day in (1, 2, 3))]


class Error(Exception):
    """As drivers have it, by PEP 249."""

    sqlstate = "40P01"


def test_a_commit_that_is_tried_again(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """After another writer was in the way, the notes are read again."""
    target = database.target(database.new_table(), "replace")
    earlier, later = begin(target, 0, 1), begin(target, 0, 1)
    real, failed = Session.write, []

    def write_once_more(session: Session, *of: Any) -> int:
        if not failed:
            failed.append(True)
            raise Error("deadlock detected")
        return real(session, *of)

    def sleep(pause: float) -> None:
        end(later, "later", 0, 1)

    monkeypatch.setattr(Session, "write", write_once_more)
    monkeypatch.setattr(sql.time, "sleep", sleep)
    assert end(earlier, "earlier", 0, 1) == 0
    assert held(database, target) == [(0, "later"), (1, "later")]


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_the_clock_is_the_servers(kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker whose clock is slow is not taken for an earlier pull."""
    database = request.getfixturevalue(kind)
    target = database.target(database.new_table())

    class Slow(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Slow:
            return cls(2020, 1, 1, tzinfo=tz)

    end(begin(target, 0, 1), "before", 0, 1)
    monkeypatch.setattr(dt, "datetime", Slow)
    assert end(begin(target, 0, 1), "again", 0, 1) == 2
    monkeypatch.undo()
    ((_, _, began),) = notes(database, target)
    noted = dt.datetime.fromisoformat(began).replace(tzinfo=dt.UTC)
    assert abs(dt.datetime.now(dt.UTC) - noted) < dt.timedelta(minutes=5)
