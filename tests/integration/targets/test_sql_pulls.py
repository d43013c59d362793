"""What a pull has written in a table stays, where a pull of the same that began earlier commits later."""

from __future__ import annotations

import datetime as dt
import logging
import multiprocessing
import os
import re
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath  # noqa: F401 - Airflow sets up its logging now
from databases import Database, define

from airflow_provider.altcraft.targets import Scope, SqlTarget, TargetWriter
from airflow_provider.altcraft.targets.sql import target as sql
from airflow_provider.altcraft.targets.sql.dialects.generic import OtherSession
from airflow_provider.altcraft.targets.sql.dialects.mysql import MySqlSession
from airflow_provider.altcraft.targets.sql.pulls import Pulls
from airflow_provider.altcraft.targets.sql.session import Session
from airflow_provider.altcraft.window import Window
from tests.batches import make_batch

DAYS = [dt.date(2026, 1, number) for number in range(1, 6)]
ANN, BOB = [("email", "ann@example.com")], [("email", "bob@example.com")]
SAYS = "a pull of the same that began later"
UNPROTECTED = "so nothing keeps an earlier pull that commits later from replacing what a later one has written"


@pytest.fixture(params=["postgres", "mariadb", "sqlite", "duckdb", "other sqlite", "other postgres"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Each database, and two by the way of those that have none of their own."""
    other, _, kind = request.param.rpartition(" ")
    if other:
        monkeypatch.setattr(sql, "_session_class", lambda hook: OtherSession)
    return request.getfixturevalue(kind)


@pytest.fixture(params=["merge", "replace"])
def target(request: pytest.FixtureRequest, place: Database) -> SqlTarget:
    return place.target(place.new_table(), request.param)


def begin(target: SqlTarget, first: int, last: int, lookups: Any = ANN, list_id: int = 1) -> TargetWriter:
    return target.open(Scope(list_id, lookups, Window.of(DAYS[first], DAYS[last])))


def write(writer: TargetWriter, who: str, *days: int, lookups: Any = ANN, list_id: int = 1, at: int = 12) -> None:
    """Write one event of each of some days, which is the same for each pull, marked by who pulled it."""
    matching, lookup = lookups[0] if lookups else (None, None)
    for day in days:
        instant = dt.datetime.combine(DAYS[day], dt.time(at), dt.UTC)
        columns = {"matching": matching, "lookup": lookup, "list_id": list_id, "datetime": instant, "email": who}
        number = 1000 * list_id + 100 * at + 10 * day + (lookups == BOB)
        writer.write(make_batch(1, start=number, **columns))


def end(writer: TargetWriter, who: str, *days: int, **how: Any) -> int:
    write(writer, who, *days, **how)
    return writer.commit().rows


def held(database: Database, target: SqlTarget, **only: Any) -> list[tuple[int, str]]:
    """Of each row the day and who pulled it."""
    rows = [row for row in database.rows(target.table) if only.items() <= row.items()]
    return sorted((DAYS.index(row["datetime"].date()), row["email"]) for row in rows)


def notes(database: Database, target: SqlTarget) -> list[tuple[Any, ...]]:
    return sorted(database.execute(f"SELECT window_start, window_end, began FROM {target.table}_pulls"))


def test_a_backfill_and_the_run_of_the_next_day(
    place: Database, target: SqlTarget, caplog: pytest.LogCaptureFixture
) -> None:
    """The case seen: their windows overlap and differ."""
    end(begin(target, 0, 4), "before", 0, 1, 2, 3, 4)
    backfill, scheduled = begin(target, 0, 2), begin(target, 1, 3)
    assert end(scheduled, "later", 1, 2, 3) == 3
    assert SAYS not in caplog.text
    assert end(backfill, "earlier", 0, 1, 2) == 1
    assert held(place, target) == [(0, "earlier"), (1, "later"), (2, "later"), (3, "later"), (4, "before")]
    assert caplog.text.count(SAYS) == 1
    assert "2026-01-02T00:00:00.000000Z to 2026-01-04T00:00:00.000000Z" in caplog.text
    assert end(begin(target, 0, 2), "again", 0, 1, 2) == 3
    assert held(place, target) == [(0, "again"), (1, "again"), (2, "again"), (3, "later"), (4, "before")]


def test_an_event_that_the_later_pull_wrote_is_kept(place: Database, target: SqlTarget) -> None:
    backfill, scheduled = begin(target, 0, 1), begin(target, 0, 2)
    write(scheduled, "late event", 1, at=13)
    end(scheduled, "later", 0, 1, 2)
    end(backfill, "earlier", 0, 1)
    assert held(place, target) == [(0, "later"), (1, "late event"), (1, "later"), (2, "later")]


def test_what_only_the_earlier_pull_has(place: Database, target: SqlTarget) -> None:
    """A merge holds the events of all pulls, whichever commits last; a replacement those of the later."""
    earlier, later = begin(target, 0, 0), begin(target, 0, 0)
    write(earlier, "only earlier", 0, at=13)
    end(later, "later", 0)
    merges = target.write_disposition == "merge"
    assert end(earlier, "earlier", 0) == merges
    assert held(place, target) == [(0, "later")] + [(0, "only earlier")] * merges


def test_many_rows(place: Database, target: SqlTarget) -> None:
    """More than are looked up, and sent, at once; a third lies outside of what the later pull covers."""
    writers = [begin(target, 0, 1), begin(target, 0, 0)]
    noons = [dt.datetime.combine(day, dt.time(12), dt.UTC) for day in DAYS[:2]]
    for who, writer, step in (("earlier", writers[0], 1), ("later", writers[1], 2)):
        columns = {"matching": "email", "lookup": ANN[0][1], "email": who, "datetime": noons[0]}
        for start in range(0, 2_400, step * 800):
            writer.write(make_batch(800, start, **columns))
    writers[0].write(make_batch(1_200, 5_000, **columns | {"email": "earlier", "datetime": noons[1]}))
    later, earlier = (writer.commit().rows for writer in reversed(writers))
    added = 800 if target.write_disposition == "merge" else 0
    assert (later, earlier) == (1_600, 1_200 + added)
    assert Counter(held(place, target)) == Counter(
        {(0, "later"): 1_600, (1, "earlier"): 1_200} | ({(0, "earlier"): added} if added else {})
    )


def test_the_same_window(place: Database, target: SqlTarget, caplog: pytest.LogCaptureFixture) -> None:
    first, second, third = (begin(target, 0, 1) for _ in range(3))
    end(third, "third", 0, 1)
    assert end(second, "second", 0, 1) == 0
    assert end(first, "first", 0, 1) == 0
    assert held(place, target) == [(0, "third"), (1, "third")]
    assert caplog.text.count(SAYS) == 2
    end(begin(target, 0, 1), "fourth", 0, 1)
    assert held(place, target) == [(0, "fourth"), (1, "fourth")]
    assert len(notes(place, target)) == 1


def test_in_the_order_in_which_they_began(place: Database, target: SqlTarget, caplog: pytest.LogCaptureFixture) -> None:
    earlier, later = begin(target, 0, 2), begin(target, 1, 3)
    end(earlier, "earlier", 0, 1, 2)
    end(later, "later", 1, 2, 3)
    assert held(place, target) == [(0, "earlier"), (1, "later"), (2, "later"), (3, "later")]
    assert SAYS not in caplog.text


def test_open_windows(place: Database, target: SqlTarget) -> None:
    days = begin(target, 1, 2)
    since = target.open(Scope(1, ANN, Window.of(DAYS[2], None)))
    all_of_it = target.open(Scope(1, ANN))
    until = target.open(Scope(1, ANN, Window.of(None, DAYS[0])))
    end(since, "since", 2, 3)
    end(days, "days", 1, 2)
    assert held(place, target) == [(1, "days"), (2, "since"), (3, "since")]
    end(until, "until", 0)
    end(all_of_it, "all", 0, 1, 2, 3)
    assert held(place, target) == [(0, "until"), (1, "all"), (2, "all"), (3, "all")]


def test_windows_that_others_cover_between_them(place: Database, target: SqlTarget) -> None:
    earlier, first, second = begin(target, 0, 3), begin(target, 0, 1), begin(target, 2, 3)
    end(second, "second", 2, 3)
    end(first, "first", 0, 1)
    assert end(earlier, "earlier", 0, 1, 2, 3) == 0
    assert held(place, target) == [(0, "first"), (1, "first"), (2, "second"), (3, "second")]
    assert len(notes(place, target)) == 2


def test_other_scopes_are_written_as_ever(place: Database, target: SqlTarget, caplog: pytest.LogCaptureFixture) -> None:
    """Disjoint windows, other lookups, another list, another table."""
    days, bob, list_2 = begin(target, 0, 0), begin(target, 0, 4, BOB), begin(target, 0, 4, ANN, 2)
    table = SqlTarget(target.conn_id, f"{target.table}_2", target.write_disposition)
    another = begin(table, 0, 4)
    end(begin(target, 1, 4), "later", 1, 2, 3, 4)
    assert end(days, "days", 0) == 1
    assert end(bob, "bob", 0, 1, lookups=BOB) == 2
    assert end(list_2, "list 2", 0, 1, list_id=2) == 2
    assert end(another, "another", 0, 1) == 2
    assert SAYS not in caplog.text
    assert held(place, target, list_id=2) == [(0, "list 2"), (1, "list 2")]
    assert held(place, target, list_id=1, lookup=BOB[0][1]) == [(0, "bob"), (1, "bob")]
    ann = held(place, target, list_id=1, lookup=ANN[0][1])
    assert ann == [(0, "days"), (1, "later"), (2, "later"), (3, "later"), (4, "later")]
    assert held(place, table) == [(0, "another"), (1, "another")]


def test_whole_databases(place: Database, target: SqlTarget) -> None:
    earlier, later = begin(target, 0, 1, None), begin(target, 1, 2, None)
    end(later, "later", 1, 2, lookups=None)
    end(earlier, "earlier", 0, 1, lookups=None)
    assert held(place, target) == [(0, "earlier"), (1, "later"), (2, "later")]


def test_rows_of_another_list_than_was_asked_for(place: Database, target: SqlTarget) -> None:
    earlier, later = begin(target, 0, 1), begin(target, 1, 1)
    end(later, "later", 1, list_id=2)
    end(earlier, "earlier", 0, 1, list_id=2)
    assert held(place, target) == [(0, "earlier"), (1, "later")]


def test_appended_rows_stay_as_they_were(database: Database) -> None:
    target = database.target(database.new_table(), "append")
    earlier, later = begin(target, 0, 0), begin(target, 0, 0)
    assert end(later, "later", 0) == end(earlier, "earlier", 0) == 1
    assert held(database, target) == [(0, "earlier"), (0, "later")]
    assert not database.exists(f"{target.table}_pulls")


def test_notes_that_a_newer_one_covers_go_and_so_do_old_ones(place: Database, target: SqlTarget) -> None:
    for day in range(4):
        end(begin(target, day, day), "day", day)
    assert len(notes(place, target)) == 4
    end(begin(target, 1, 3), "days", 1)
    assert [each[:2] for each in notes(place, target)] == [
        ("2026-01-01T00:00:00.000000", "2026-01-02T00:00:00.000000"),
        ("2026-01-02T00:00:00.000000", "2026-01-05T00:00:00.000000"),
    ]
    place.execute(f"UPDATE {target.table}_pulls SET began = '2026-01-01T00:00:00.000000'")
    end(begin(target, 4, 4), "day", 4)
    assert [each[0] for each in notes(place, target)] == ["2026-01-05T00:00:00.000000"]


def test_a_table_from_before_gets_its_notes(database: Database) -> None:
    for disposition in ("merge", "replace"):
        target = database.target(database.new_table(), disposition)
        end(begin(target, 0, 1), "before", 0, 1)
        database.execute(f"DROP TABLE {target.table}_pulls")
        begin(target, 0, 1).abort()
        assert not database.exists(f"{target.table}_pulls")
        earlier, later = begin(target, 0, 1), begin(target, 0, 1)
        end(later, "later", 0, 1)
        assert end(earlier, "earlier", 0, 1) == 0
        assert held(database, target) == [(0, "later"), (1, "later")]


def test_a_table_that_was_moved_away_takes_its_pulls_with_it(database: Database) -> None:
    """What they wrote is not in the table that is made in its place."""
    target = database.target(database.new_table(), "replace")
    earlier, later = begin(target, 0, 1), begin(target, 0, 1)
    end(later, "later", 0, 1)
    database.execute(f"DROP TABLE {target.table}")
    assert end(earlier, "earlier", 0, 1) == 2
    assert held(database, target) == [(0, "earlier"), (1, "earlier")]


@pytest.mark.parametrize("disposition", ["merge", "replace"])
def test_a_users_own_table_of_that_name_is_left_alone(
    place: Database, disposition: str, caplog: pytest.LogCaptureFixture
) -> None:
    target = place.target(place.new_table(), disposition)
    place.execute(f"CREATE TABLE {target.table}_pulls (id INT)")
    earlier, later = begin(target, 0, 1), begin(target, 0, 1)
    end(later, "later", 0, 1)
    assert end(earlier, "earlier", 0, 1) == 2
    assert held(place, target) == [(0, "earlier"), (1, "earlier")]
    assert f"{target.table}_pulls is not of this package's making" in caplog.text
    assert place.count(f"{target.table}_pulls") == 0


def test_a_name_too_long_for_another_next_to_it(database: Database) -> None:
    for disposition in ("merge", "replace"):
        before = database.tables()
        target = database.target(uuid.uuid4().hex + "t" * 28, disposition)
        earlier, later = begin(target, 0, 1), begin(target, 0, 1)
        end(later, "later", 0, 1)
        assert end(earlier, "earlier", 0, 1) == 0
        (companion,) = database.tables() - before - {target.table}
        assert re.fullmatch("altcraft_pulls_[0-9a-f]{16}", companion) or database.kind == "sqlite"


# Cut off, and at once


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


# Rights


@pytest.fixture(params=["postgres", "mariadb"])
def poor(request: pytest.FixtureRequest) -> Iterator[tuple[Database, str, str]]:
    """A database, a user who may nothing yet, and the user's connection."""
    database = request.getfixturevalue(request.param)
    user = f"poor_{uuid.uuid4().hex[:12]}"
    database.execute(f"CREATE USER {user}")
    conn_id = define(
        "altcraft_poor_pulls",
        conn_type="mysql" if database.kind == "mariadb" else "postgres",
        host="127.0.0.1",
        port=database.arguments["port"],
        login=user,
        schema=database.arguments.get("dbname") or database.arguments["database"],
        extra={"client": "mysql-connector-python"} if database.kind == "mariadb" else {},
    )
    if database.kind == "mariadb":
        database.execute(f"GRANT CREATE TEMPORARY TABLES ON * TO {user}")
    yield database, user, conn_id
    if database.kind == "postgres":
        database.execute(f"DROP OWNED BY {user}")
    database.execute(f"DROP USER {user}")


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("disposition", ["merge", "replace"])
def test_no_right_to_the_notes(
    poor: tuple[Database, str, str], disposition: str, there: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The pull goes on without, and says once what to run; then it has them."""
    database, user, conn_id = poor
    owner = database.target(database.new_table(), disposition)
    end(begin(owner, 0, 1), "before", 0, 1)
    if not there:
        database.execute(f"DROP TABLE {owner.table}_pulls")
    database.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {owner.table} TO {user}")
    caplog.set_level(logging.INFO)
    target = SqlTarget(conn_id, owner.table, owner.write_disposition)
    earlier, later = begin(target, 0, 1), begin(target, 0, 1)
    assert UNPROTECTED not in caplog.text
    end(later, "later", 0, 1)
    assert caplog.text.count(UNPROTECTED) == 1
    assert end(earlier, "earlier", 0, 1) == 2
    assert held(database, owner) == [(0, "earlier"), (1, "earlier")]
    said = next(record.getMessage() for record in caplog.records if UNPROTECTED in record.getMessage())
    assert {record.levelname for record in caplog.records if UNPROTECTED in record.getMessage()} == {"INFO"}
    for statement in re.findall(r"(CREATE TABLE [^;]*); (GRANT .*)", said)[0]:
        if not (there and statement.startswith("CREATE")):
            database.execute(statement.replace("…", user))
    earlier, later = begin(target, 0, 1), begin(target, 0, 1)
    end(later, "later", 0, 1)
    assert end(earlier, "earlier", 0, 1) == 0
    assert held(database, owner) == [(0, "later"), (1, "later")]


def test_a_right_to_make_the_notes_and_none_to_write_them(mariadb: Database, caplog: pytest.LogCaptureFixture) -> None:
    table, user = mariadb.new_table(), f"poor_{uuid.uuid4().hex[:12]}"
    end(begin(mariadb.target(table), 0, 1), "before", 0, 1)
    mariadb.execute(f"DROP TABLE {table}_pulls")
    mariadb.execute(f"CREATE USER {user}")
    try:
        mariadb.execute(f"GRANT CREATE ON * TO {user}")
        mariadb.execute(f"GRANT SELECT, INSERT, UPDATE ON {table} TO {user}")
        database, client = mariadb.arguments["database"], {"client": "mysql-connector-python"}
        conn_id = define(
            "altcraft_maker", conn_type="mysql", host="127.0.0.1", port=3306, login=user, schema=database, extra=client
        )
        caplog.set_level(logging.INFO)
        for who in ("first", "second"):
            assert end(begin(SqlTarget(conn_id, table), 0, 1), who, 0, 1) == 2
            assert UNPROTECTED in caplog.text
            caplog.clear()
    finally:
        mariadb.execute(f"DROP USER {user}")


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


def test_the_notes_are_in_the_schema_of_the_table(postgres: Database) -> None:
    """Also where the search path finds the table in a schema that is not its first."""
    schema, table = f"s_{uuid.uuid4().hex[:12]}", postgres.new_table()
    user = f"seeker_{uuid.uuid4().hex[:12]}"
    postgres.execute(f"CREATE SCHEMA {schema}")
    postgres.execute(f"CREATE USER {user} SUPERUSER")
    try:
        end(begin(postgres.target(f"{schema}.{table}", "merge"), 0, 1), "before", 0, 1)
        postgres.execute(f"DROP TABLE {schema}.{table}_pulls")
        postgres.execute(f"ALTER ROLE {user} SET search_path = public, {schema}")
        database = postgres.arguments["dbname"]
        conn_id = define(
            "altcraft_seeker", conn_type="postgres", host="127.0.0.1", port=5432, login=user, schema=database
        )
        end(begin(SqlTarget(conn_id, table), 0, 1), "again", 0, 1)
        found = postgres.execute("SELECT schemaname FROM pg_tables WHERE tablename = %s", (f"{table}_pulls",))
        assert found == [(schema,)]
    finally:
        postgres.execute(f"DROP SCHEMA {schema} CASCADE")
        postgres.execute(f"DROP USER {user}")
