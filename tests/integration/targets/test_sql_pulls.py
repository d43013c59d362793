"""What a pull has written in a table stays, where a pull of the same that began earlier commits later."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections import Counter

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath  # noqa: F401 - Airflow sets up its logging now

from airflow_provider.altcraft.targets import Scope, SqlTarget
from airflow_provider.altcraft.targets.sql import target as sql
from airflow_provider.altcraft.targets.sql.dialects.generic import OtherSession
from airflow_provider.altcraft.window import Window
from tests.batches import make_batch
from tests.integration.databases import Database
from tests.integration.targets.sql_pulls import ANN, BOB, DAYS, begin, end, held, notes, write

SAYS = "a pull of the same that began later"


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
    assert f"{target.table}_pulls was not made by this package" in caplog.text
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
