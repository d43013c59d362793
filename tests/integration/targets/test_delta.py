"""What the target of Delta Lake keeps in addition to the promise, and what it refuses before any request.

All that uses the library runs in forks: its threads do not outlive one, so the tests' own process never starts them.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import threading
import traceback
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from airflow_provider.altcraft.schema import SCHEMA
from airflow_provider.altcraft.targets import DeltaTarget, Scope
from airflow_provider.altcraft.targets.delta.place import Place
from airflow_provider.altcraft.testing.conformance import draw_events, pull_of
from airflow_provider.altcraft.testing.conformance.held import scope
from airflow_provider.altcraft.testing.conformance.killing import Forked
from airflow_provider.altcraft.testing.conformance.writing import put
from airflow_provider.altcraft.window import Window
from tests.integration.targets.places import Apart

DAYS = ("2026-01-01", "2026-01-03")


@pytest.fixture
def place(tmp_path):
    return str(tmp_path / "lake" / "history")


def apart(place, *args, **kwargs):
    return Apart(DeltaTarget(place, *args, **kwargs))


def table_of(place):
    """The rows, with ``date``, as the library reads them."""

    def read():
        from deltalake import DeltaTable

        return DeltaTable(place).to_pyarrow_table().to_pylist()

    return Forked(read).value


def commits(place):
    """The first line of each version of the log."""
    return [
        [json.loads(line) for line in file.read_text().splitlines()]
        for file in sorted(Path(place, "_delta_log").glob("*.json"))
    ]


def make(place, schema, **how):
    def work():
        from deltalake import DeltaTable

        DeltaTable.create(place, schema, **how)

    Forked(work)


OURS = pa.schema([*SCHEMA, pa.field("date", pa.date32(), nullable=False)])


def test_racing_writers_leave_each_row_once(place):
    """The library refuses each but one of those that write the same days at once, and never tries again."""
    pulls = [[pull_of(draw_events(40, seed=3 * n + m), scope(*DAYS)) for m in range(2)] for n in range(3)]
    errors = []

    def work(mine):
        try:
            for pull in mine:
                put(apart(place), pull)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(mine,)) for mine in pulls]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert errors == []
    expected = {key for mine in pulls for pull in mine for key in pull.table["event_key"].to_pylist()}
    found = [row["event_key"] for row in table_of(place)]
    assert len(found) == len(expected)
    assert set(found) == expected


def test_the_days_are_of_the_time_zone_and_last_among_the_columns(place):
    at = ["2026-01-01T22:30:00Z", "2026-01-01T23:30:00Z"]
    events = [event | {"datetime": each} for event, each in zip(draw_events(2, days=1), at, strict=True)]
    put(apart(place, timezone="Europe/Berlin"), pull_of(events, Scope(1, None)))
    rows = sorted(table_of(place), key=lambda row: row["datetime"])
    assert [row["date"] for row in rows] == [dt.date(2026, 1, 1), dt.date(2026, 1, 2)]
    assert list(rows[0])[-1] == "date"
    with pytest.raises(
        ValueError, match=r"delta\+file://.*days are of the time zone 'Europe/Berlin'.*timezone='Europe"
    ):
        apart(place).open(Scope(1, None))


def test_the_log_has_scope_and_window(place):
    put(apart(place, "replace"), pull_of(draw_events(3), scope(*DAYS, lookups=None, list_id=7)))
    (actions,) = commits(place)  # one transaction makes the table and fills it
    (info,) = [each["commitInfo"] for each in actions if "commitInfo" in each]
    assert dt.datetime.fromisoformat(info.pop("altcraft.began")).tzinfo
    assert {name: value for name, value in info.items() if name.startswith("altcraft.")} == {
        "altcraft.write_disposition": "replace",
        "altcraft.list_id": "7",
        "altcraft.lookups": "all",
        "altcraft.window_start": "2026-01-01T00:00:00+00:00",
        "altcraft.window_end": "2026-01-04T00:00:00+00:00",
    }


@pytest.mark.parametrize("disposition", ["merge", "replace"])
@pytest.mark.parametrize("later", [DAYS, ("2026-01-02", "2026-01-02"), ("2026-01-03", "2026-01-04")])
def test_what_a_pull_that_began_later_has_written_stays(place, disposition, later):
    """As of a slow backfill next to the scheduled run of the next day, with a lookback."""
    events = draw_events(60, days=3)
    slow = apart(place, disposition).open(scope(*DAYS))
    newer = pull_of([each | {"count": 9} for each in events], scope(*later))
    put(apart(place, disposition), newer)
    older = pull_of([each | {"count": 1} for each in events], scope(*DAYS))
    for batch in older.batches:
        slow.write(batch)
    written = slow.commit()
    window = scope(*later).window
    by_later = [row["datetime"] in window for row in older.table.to_pylist()]
    found = table_of(place)
    assert sorted(row["event_key"] for row in found) == sorted(
        {*older.table["event_key"].to_pylist(), *newer.table["event_key"].to_pylist()}
    )
    assert all(row["count"] == (9 if row["datetime"] in window else 1) for row in found)
    assert written.rows == by_later.count(False)


@pytest.mark.parametrize("disposition", ["merge", "replace"])
def test_other_days_are_not_written_again(place, disposition):
    put(apart(place, disposition), pull_of(draw_events(60, days=3), scope(*DAYS)))
    one = scope("2026-01-02", "2026-01-02")
    put(apart(place, disposition), pull_of([each | {"count": 9} for each in draw_events(60, days=3)], one))
    removed = [each["remove"]["path"] for each in commits(place)[-1] if "remove" in each]
    assert removed
    assert all(path.startswith("date=2026-01-02/") for path in removed)
    assert sum(row["count"] == 9 for row in table_of(place)) == sum(
        row["date"] == dt.date(2026, 1, 2) for row in table_of(place)
    )


def test_of_one_event_twice_in_a_pull_the_last_is_written(place):
    (event,) = draw_events(1, days=1)
    pull = pull_of([event], Scope(1, None))
    twice = [batch.set_column(6, "count", pa.array([n])) for n in (5, 6) for batch in pull.batches]
    writer = apart(place).open(Scope(1, None))
    for batch in twice:
        writer.write(batch.cast(SCHEMA))
    writer.commit()
    assert [row["count"] for row in table_of(place)] == [6]


def test_an_event_by_event_id_is_found_on_another_day(place):
    """Such a key does not hold the instant."""
    (event,) = draw_events(1, days=1)
    batches = pull_of([event], Scope(1, None)).batches
    for day in (1, 2):
        writer = apart(place).open(Scope(1, None, event_key_by="event_id"))
        for batch in batches:
            rows = [
                row | {"event_key": "i1", "event_id": "7", "datetime": dt.datetime(2026, 1, day, tzinfo=dt.UTC)}
                for row in batch.to_pylist()
            ]
            writer.write(pa.RecordBatch.from_pylist(rows, SCHEMA))
        writer.commit()
    assert [(row["event_key"], row["date"]) for row in table_of(place)] == [("i1", dt.date(2026, 1, 2))]
    with pytest.raises(ValueError, match="event_key_by: the table holds events"):
        apart(place).open(Scope(1, None))


@pytest.mark.parametrize("disposition", ["merge", "replace"])
def test_a_table_without_partitions(place, disposition):
    make(place, OURS)
    pulls = [pull_of(draw_events(50, seed=seed), scope(*DAYS)) for seed in range(2)]
    for pull in pulls:
        put(apart(place, disposition), pull)
    found = {row["event_key"] for row in table_of(place)}
    keys = [{*pull.table["event_key"].to_pylist()} for pull in pulls]
    assert found == (keys[1] if disposition == "replace" else keys[0] | keys[1])


@pytest.mark.parametrize(
    ("schema", "how", "said"),
    [
        (SCHEMA, {}, "there is no column date (date32[day])"),
        (OURS.set(6, pa.field("count", pa.int32())), {}, "column count is int32; expected int64"),
        (OURS.set(1, pa.field("xxh", pa.string(), nullable=False)), {}, "column xxh must not be null"),
        (OURS.append(pa.field("mine", pa.string())), {}, "column mine is none of a row's"),
        (OURS, {"configuration": {"delta.appendOnly": "true"}}, "(delta.appendOnly)"),
        (OURS, {"configuration": {"delta.enableDeletionVectors": "true"}}, "the feature deletionVectors"),
    ],
    ids=["no date", "type", "not null", "column", "append only", "feature"],
)
def test_a_table_that_does_not_fit_is_refused(place, schema, how, said):
    make(place, schema, **how)
    with pytest.raises(ValueError, match=r"^delta\+file://.* is there but does not fit: ") as refused:
        apart(place).open(Scope(1, None))
    assert said in str(refused.value)


def test_profiles_into_a_whole_database_are_refused(place):
    put(apart(place, "replace"), pull_of(draw_events(9), scope(*DAYS, lookups=None)))
    with pytest.raises(ValueError, match="holds rows of a whole database"):
        apart(place, "replace").open(scope(*DAYS))
    apart(place, "replace").open(scope(*DAYS, list_id=2)).abort()
    apart(place, "replace").open(scope("2026-02-01", "2026-02-01")).abort()


def test_errors_show_no_row(place):
    """As the library's own do."""

    def constrain():
        from deltalake import DeltaTable

        DeltaTable(place).alter.add_constraint({"few": "count < 5"})

    put(apart(place), pull_of([each | {"count": 1} for each in draw_events(3)], Scope(1, None)))
    Forked(constrain)

    def work():
        try:
            put(DeltaTarget(place), pull_of([each | {"count": 9} for each in draw_events(3)], Scope(1, None)))
        except OSError as error:
            return str(error), "".join(traceback.format_exception(error))
        return None

    said, trace = Forked(work).value
    assert said.startswith(f"delta+file://{place}: the table cannot be read or written: DeltaError: ")
    assert "@example.com" not in trace


def test_vacuum_removes_what_those_in_the_way_have_left(place):
    """As the docs say it."""
    put(apart(place), pull_of(draw_events(9), scope(*DAYS)))
    left = Path(place, "date=2026-01-01", "part-00000-of-a-loser.zstd.parquet")
    left.write_bytes(b"")

    def work():
        from deltalake import DeltaTable

        assert functions_of_the_docs()["clean"](place) == []  # too young
        DeltaTable(place).vacuum(0, dry_run=False, enforce_retention_duration=False, full=True)

    before = table_of(place)
    Forked(work)
    assert not left.exists()
    assert table_of(place) == before


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"delta\+file://.*/file/history: cannot be written"):
        DeltaTarget(f"{tmp_path}/file/history").open(Scope(1, None))


def test_a_bucket_that_is_not_there(s3):
    with pytest.raises(OSError, match=r"delta\+s3://altcraft_test_s3@nowhere/table: "):
        DeltaTarget(f"s3://{s3.conn_id}@nowhere/table").open(Scope(1, None))


def test_a_connection_that_is_not_there():
    with pytest.raises(ValueError, match="there is no Airflow connection 'none'"):
        DeltaTarget("s3://none@lake/table").open(Scope(1, None))


def test_on_azure(azure):
    """On its emulator, in short: the conformance suite runs on S3 and on disks."""
    path = azure.uri("delta/history")
    Place(path).prove()  # imports what each fork needs
    window = Scope(1, None, Window.of(*DAYS))
    pulls = [pull_of(draw_events(20, seed=seed), window) for seed in range(2)]
    for pull in pulls:
        put(apart(path), pull)

    def read():
        from deltalake import DeltaTable

        there = Place(path)
        return DeltaTable(there.address, storage_options=there.options()).to_pyarrow_dataset().count_rows()

    assert Forked(read).value == sum(pull.table.num_rows for pull in pulls)


def functions_of_the_docs():
    page = (Path(__file__).parents[3] / "docs/lakehouse.md").read_text()
    names = {}
    for block in re.findall(r"```python\n(.*?)```", page.partition("# Apache Iceberg")[0], re.DOTALL):
        exec(block, names)
    return names


@pytest.mark.parametrize("name", ["by_duckdb", "by_polars"])
def test_it_is_read_as_the_docs_say(place, name):
    pull = pull_of(draw_events(50), scope(*DAYS))
    put(apart(place), pull)
    found = Forked(lambda: sorted(functions_of_the_docs()[name](place))).value
    assert found == sorted(Counter(pull.table["action"].to_pylist()).items())
