"""What a table by days keeps in addition to the promise, in each lakehouse format: cases that a class inherits."""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airflow_provider.altcraft.schema import SCHEMA
from airflow_provider.altcraft.targets import Scope, _day_writer, _days
from airflow_provider.altcraft.testing.conformance import draw_events, pull_of
from airflow_provider.altcraft.testing.conformance.base import scope
from airflow_provider.altcraft.testing.conformance.pulls import PROFILES
from airflow_provider.altcraft.testing.conformance.writing import put

DAYS = ("2026-01-01", "2026-01-03")
DISPOSITIONS = pytest.mark.parametrize("disposition", ["merge", "replace"])


class Table:
    """A table that is not there yet."""

    def target(self, *args, **kwargs):
        """Make a target of it that a test may use in its own process."""
        raise NotImplementedError

    def put_while(self, older, newer):
        """Put a pull into it by ``replace``, and another whole one between what its commit reads and what it writes.

        Returns:
            The number of the older's rows that were written.
        """
        raise NotImplementedError

    def rows(self):
        """Read its rows as the format's library does."""
        raise NotImplementedError

    def summary(self):
        """Read what the table's own history says of its last commit."""
        raise NotImplementedError

    def drop(self):
        """Remove it."""
        raise NotImplementedError

    def counts(self, name):
        """Count the events by action as a function of docs/lakehouse.md does."""
        raise NotImplementedError


class AnHourAhead:
    """The module ``datetime`` on a worker whose clock is ahead."""

    class datetime(dt.datetime):  # noqa: N801 - as it is called there
        @classmethod
        def now(cls, tz=None):
            return dt.datetime.now(tz) + dt.timedelta(hours=1)


class LakehouseCases:
    """The fixture ``lake``, a ``Table``, is of the module that inherits them."""

    @pytest.fixture
    def raced(self, lake):
        """Give the table that writers race for."""
        return lake

    @pytest.fixture
    def partitioned_otherwise(self, lake):
        """Give a table that somebody else has made, without days."""
        raise NotImplementedError

    @pytest.mark.parametrize("alike", [False, True], ids=["other events", "the same events"])
    def test_racing_writers_leave_each_row_once(self, raced, alike):
        """Each library refuses or repeats what two write at once; neither tries again as is needed here."""
        pulls = [[pull_of(draw_events(40, seed=2 * n + m), scope(*DAYS)) for m in range(2)] for n in range(3)]
        if alike:
            pulls[2] = pulls[0]
        errors = []

        def work(mine):
            try:
                for pull in mine:
                    put(raced.target(), pull)
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(mine,)) for mine in pulls]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert errors == []
        expected = {key for mine in pulls for pull in mine for key in pull.table["event_key"].to_pylist()}
        found = [row["event_key"] for row in raced.rows()]
        assert len(found) == len(expected)
        assert set(found) == expected

    @DISPOSITIONS
    @pytest.mark.parametrize("later", [DAYS, ("2026-01-02", "2026-01-02"), ("2026-01-03", "2026-01-04")])
    def test_what_a_pull_that_began_later_has_written_stays(self, lake, disposition, later):
        """As of a slow backfill next to the scheduled run of the next day, with a lookback."""
        events = draw_events(60, days=3)
        slow = lake.target(disposition).open(scope(*DAYS))
        newer = pull_of([each | {"count": 9} for each in events], scope(*later))
        put(lake.target(disposition), newer)
        older = pull_of([each | {"count": 1} for each in events], scope(*DAYS))
        for batch in older.batches:
            slow.write(batch)
        written = slow.commit()
        window = scope(*later).window
        by_later = [row["datetime"] in window for row in older.table.to_pylist()]
        found = lake.rows()
        assert sorted(row["event_key"] for row in found) == sorted(
            {*older.table["event_key"].to_pylist(), *newer.table["event_key"].to_pylist()}
        )
        assert all(row["count"] == (9 if row["datetime"] in window else 1) for row in found)
        assert written.rows == by_later.count(False)

    @pytest.mark.parametrize(("days", "newer"), [(DAYS, 0), (("2026-01-02", "2026-01-02"), 0), ((None, None), 4)])
    def test_a_later_pull_without_rows_on_the_same_days(self, lake, days, newer):
        """What it has ruled out does not come back, though no file of the two is of the same day."""
        put(lake.target("replace"), pull_of(draw_events(4, days=1), scope("2026-01-01", "2026-01-01", list_id=2)))
        found = pull_of(draw_events(newer, seed=1, days=1), scope(*days))
        of_second = [each | {"datetime": "2026-01-02T12:00:00Z"} for each in draw_events(8, seed=2, days=1)]
        older = pull_of(of_second, scope("2026-01-02", "2026-01-02"))
        assert lake.put_while(older, found) == 0
        held = [row["event_key"] for row in lake.rows() if row["list_id"] == 1]
        assert sorted(held) == sorted(found.table["event_key"].to_pylist())

    @DISPOSITIONS
    def test_what_was_there_before_is_older_whatever_its_clock_said(self, lake, disposition, monkeypatch):
        events = draw_events(9, days=1)
        with monkeypatch.context() as ahead:
            ahead.setattr(_day_writer, "dt", AnHourAhead)
            put(lake.target(disposition), pull_of([each | {"count": 1} for each in events], scope(*DAYS)))
        put(lake.target(disposition), pull_of([each | {"count": 2} for each in events], scope(*DAYS)))
        assert {row["count"] for row in lake.rows()} == {2}

    @DISPOSITIONS
    def test_a_table_that_was_made_again_during_a_pull(self, lake, disposition):
        """Its versions begin again, and what later pulls have written into it stays too."""
        events = draw_events(9, days=1)
        for _ in range(3):
            put(lake.target(disposition), pull_of(events, scope(*DAYS)))
        slow = lake.target(disposition).open(scope(*DAYS))
        lake.drop()
        put(lake.target(disposition), pull_of([each | {"count": 2} for each in events], scope(*DAYS)))
        for batch in pull_of([each | {"count": 1} for each in events], scope(*DAYS)).batches:
            slow.write(batch)
        assert slow.commit().rows == 0
        assert {row["count"] for row in lake.rows()} == {2}

    def test_of_one_event_twice_in_a_pull_the_last_is_written(self, lake):
        (event,) = draw_events(1, days=1)
        pull = pull_of([event], Scope(1, None))
        writer = lake.target().open(Scope(1, None))
        for count in (5, 6):
            for batch in pull.batches:
                writer.write(batch.set_column(6, "count", pa.array([count])).cast(SCHEMA))
        writer.commit()
        assert [row["count"] for row in lake.rows()] == [6]

    def test_an_event_by_event_id_is_found_on_another_day(self, lake):
        """Such a key does not hold the instant."""
        (event,) = draw_events(1, days=1)
        for day in (1, 2):
            writer = lake.target().open(Scope(1, None, event_key_by="event_id"))
            for batch in pull_of([event], Scope(1, None)).batches:
                moved = [
                    row | {"event_key": "i1", "event_id": "7", "datetime": dt.datetime(2026, 1, day, tzinfo=dt.UTC)}
                    for row in batch.to_pylist()
                ]
                writer.write(pa.RecordBatch.from_pylist(moved, SCHEMA))
            writer.commit()
        assert [(row["event_key"], row["datetime"].day) for row in lake.rows()] == [("i1", 2)]
        with pytest.raises(ValueError, match="event_key_by: the table holds events"):
            lake.target().open(Scope(1, None))

    @pytest.mark.parametrize("at_once", [False, True], ids=["in two batches", "in one batch"])
    def test_of_an_event_id_on_two_days_of_a_pull_the_last_is_written(self, lake, at_once):
        """The last to come, whichever day is later."""
        (event,) = draw_events(1, days=1)
        (row,) = pull_of([event], Scope(1, None)).table.to_pylist()
        rows = [
            row | {"event_key": key, "event_id": key[1:], "datetime": dt.datetime(2026, 1, day, tzinfo=dt.UTC)}
            for key, day in (("i1", 3), ("i2", 1), ("i1", 2), ("i2", 3))
        ]
        for _ in range(2):
            writer = lake.target().open(Scope(1, None, event_key_by="event_id"))
            for some in [rows] if at_once else [rows[:2], rows[2:]]:
                writer.write(pa.RecordBatch.from_pylist(some, SCHEMA))
            writer.commit()
            assert sorted((row["event_key"], row["datetime"].day) for row in lake.rows()) == [("i1", 2), ("i2", 3)]

    def test_a_merge_of_many_days_leaves_those_between(self, lake, monkeypatch):
        """More ranges of days than a predicate is to have become one in it, which holds other days too."""
        monkeypatch.setattr(_days, "_MOST", 2)
        events = draw_events(12, days=1)
        for number, event in enumerate(events):
            event |= {"datetime": f"2026-01-{number + 1:02}T12:00:00Z", "email": PROFILES[number % 2]}
        for email in PROFILES[:2]:
            put(lake.target(), pull_of(events, Scope(1, (("email", email),))))
        assert sorted(row["datetime"].day for row in lake.rows()) == [*range(1, 13)]

    def test_profiles_into_a_whole_database_are_refused(self, lake):
        put(lake.target("replace"), pull_of(draw_events(9), scope(*DAYS, lookups=None)))
        with pytest.raises(ValueError, match="holds rows of a whole database"):
            lake.target("replace").open(scope(*DAYS))
        lake.target("replace").open(scope(*DAYS, list_id=2)).abort()
        lake.target("replace").open(scope("2026-02-01", "2026-02-01")).abort()

    @pytest.mark.parametrize("days", [("2026-01-02", None), (None, "2026-01-02"), (None, None)])
    def test_a_replacement_with_an_open_window(self, lake, days):
        put(lake.target("replace"), pull_of(draw_events(60, days=3), scope(*DAYS)))
        newer = pull_of(draw_events(20, seed=1, days=3), scope(*days))
        put(lake.target("replace"), newer)
        window = scope(*days).window
        held = [row for row in lake.rows() if row["datetime"] in window]
        assert sorted(row["event_key"] for row in held) == sorted(newer.table["event_key"].to_pylist())

    def test_a_commit_says_scope_and_window(self, lake):
        put(lake.target("replace"), pull_of(draw_events(3), scope(*DAYS, lookups=None, list_id=7)))
        said = {name: value for name, value in lake.summary().items() if name.startswith("altcraft.")}
        assert dt.datetime.fromisoformat(said.pop("altcraft.began")).tzinfo
        assert said == {
            "altcraft.write_disposition": "replace",
            "altcraft.list_id": "7",
            "altcraft.lookups": "all",
            "altcraft.window_start": "2026-01-01T00:00:00+00:00",
            "altcraft.window_end": "2026-01-04T00:00:00+00:00",
        }

    @DISPOSITIONS
    def test_a_table_of_other_partitions(self, partitioned_otherwise, disposition):
        pulls = [pull_of(draw_events(50, seed=seed), scope(*DAYS)) for seed in range(2)]
        for pull in pulls:
            put(partitioned_otherwise.target(disposition), pull)
        found = [row["event_key"] for row in partitioned_otherwise.rows()]
        keys = [{*pull.table["event_key"].to_pylist()} for pull in pulls]
        assert len(found) == len(set(found))
        assert set(found) == (keys[1] if disposition == "replace" else keys[0] | keys[1])

    @pytest.mark.parametrize("name", ["by_duckdb", "by_polars"])
    def test_it_is_read_as_the_docs_say(self, lake, name):
        pull = pull_of(draw_events(50), scope(*DAYS))
        put(lake.target(), pull)
        assert sorted(lake.counts(name)) == sorted(Counter(pull.table["action"].to_pylist()).items())


def code_of_the_docs(first: str, last: str | None = None) -> str:
    """Return the Python blocks of docs/lakehouse.md between two headings."""
    page = (Path(__file__).parents[3] / "docs/lakehouse.md").read_text().partition(f"# {first}")[2]
    blocks = re.findall(r"```python\n(.*?)```", page.partition(f"# {last}")[0] if last else page, re.DOTALL)
    return "\n".join(blocks)


def functions_of_the_docs(first: str, last: str | None = None) -> dict[str, Any]:
    """Return what those blocks define."""
    names: dict[str, Any] = {}
    exec(code_of_the_docs(first, last), names)
    return names


def read_as_the_docs_say(name: str, place: str, first: str, last: str | None = None) -> list[tuple[str, int]]:
    """What one of those functions gives of a table, in a process of its own: Polars' threads do not survive a fork."""
    shown = f"import json\nprint(json.dumps([list(row) for row in {name}({place!r})]))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code_of_the_docs(first, last)}\n{shown}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [(action, count) for action, count in json.loads(done.stdout.splitlines()[-1])]
