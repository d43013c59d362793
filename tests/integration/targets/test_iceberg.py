"""What the target of Apache Iceberg keeps in addition to the promise, and what it refuses before any request."""

from __future__ import annotations

import datetime as dt
import http.server
import json
import re
import socket
import threading
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from airflow_provider.altcraft.schema import SCHEMA
from airflow_provider.altcraft.targets import IcebergTarget, Scope
from airflow_provider.altcraft.testing.conformance import draw_events, pull_of
from airflow_provider.altcraft.testing.conformance.held import scope
from airflow_provider.altcraft.testing.conformance.writing import put
from tests.integration.databases import define
from tests.integration.targets.places import Catalog, Folder

DAYS = ("2026-01-01", "2026-01-03")
TABLE = "lake.history"


@pytest.fixture(params=["sqlite", "postgres"])
def catalog(request, tmp_path):
    address = f"sqlite:///{tmp_path}/catalog.db"
    if request.param == "postgres":
        database = request.getfixturevalue("postgres").arguments["dbname"]
        address = f"postgresql+psycopg2://postgres@127.0.0.1/{database}"
    catalog = Catalog(address, Folder(tmp_path / "lake"))
    catalog.connect().create_namespace("lake")
    return catalog


@pytest.fixture
def local(tmp_path):
    catalog = Catalog(f"sqlite:///{tmp_path}/catalog.db", Folder(tmp_path / "lake"))
    catalog.connect().create_namespace("lake")
    return catalog


def target(catalog, *args, **kwargs):
    return IcebergTarget(catalog.conn_id, TABLE, *args, **kwargs)


def table(catalog):
    return catalog.connect().load_table(TABLE)


def rows(catalog):
    return table(catalog).scan().to_arrow().to_pylist()


def files(catalog):
    return set(table(catalog).inspect.files()["file_path"].to_pylist())


def make(catalog, schema=SCHEMA, partitions=(), **properties):
    from pyiceberg.transforms import parse_transform

    made = catalog.connect().create_table(TABLE, schema, properties=properties)
    with made.update_spec() as spec:
        for column, transform in partitions:
            spec.add_field(column, parse_transform(transform))


def test_racing_writers_leave_each_row_once(catalog):
    """Of the library's own merges, two that add the same keys at once both go through."""
    pulls = [[pull_of(draw_events(40, seed=2 * n + m), scope(*DAYS)) for m in range(2)] for n in range(2)]
    pulls.append(pulls[0])
    errors = []

    def work(mine):
        try:
            for pull in mine:
                put(target(catalog), pull)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(mine,)) for mine in pulls]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert errors == []
    expected = {key for mine in pulls for pull in mine for key in pull.table["event_key"].to_pylist()}
    found = [row["event_key"] for row in rows(catalog)]
    assert len(found) == len(expected)
    assert set(found) == expected


def test_a_commit_is_one_of_the_catalog(local):
    """Also where it makes the table, replaces files and adds others."""
    for number in range(3):
        put(target(local), pull_of(draw_events(20, seed=number), scope(*DAYS)))
        assert len(table(local).metadata.metadata_log) == number


def test_the_table_is_by_day_and_keeps_its_own_settings(local):
    put(target(local), pull_of(draw_events(9), scope(*DAYS)))
    before = table(local)
    assert [str(field.transform) for field in before.spec().fields] == ["day"]
    with before.transaction() as transaction:
        transaction.set_properties({"commit.retry.num-retries": "3"})
    put(target(local), pull_of(draw_events(9, seed=1), scope(*DAYS)))
    assert table(local).properties["commit.retry.num-retries"] == "3"


def test_the_history_has_scope_and_window(local):
    put(target(local, "replace"), pull_of(draw_events(3), scope(*DAYS, lookups=None, list_id=7)))
    summary = dict(table(local).current_snapshot().summary.additional_properties)
    assert dt.datetime.fromisoformat(summary.pop("altcraft.began")).tzinfo
    assert {name: value for name, value in summary.items() if name.startswith("altcraft.")} == {
        "altcraft.write_disposition": "replace",
        "altcraft.list_id": "7",
        "altcraft.lookups": "all",
        "altcraft.window_start": "2026-01-01T00:00:00+00:00",
        "altcraft.window_end": "2026-01-04T00:00:00+00:00",
    }


@pytest.mark.parametrize("disposition", ["merge", "replace"])
@pytest.mark.parametrize("later", [DAYS, ("2026-01-02", "2026-01-02"), ("2026-01-03", "2026-01-04")])
def test_what_a_pull_that_began_later_has_written_stays(local, disposition, later):
    """As of a slow backfill next to the scheduled run of the next day, with a lookback."""
    events = draw_events(60, days=3)
    slow = target(local, disposition).open(scope(*DAYS))
    newer = pull_of([each | {"count": 9} for each in events], scope(*later))
    put(target(local, disposition), newer)
    older = pull_of([each | {"count": 1} for each in events], scope(*DAYS))
    for batch in older.batches:
        slow.write(batch)
    written = slow.commit()
    window = scope(*later).window
    by_later = [row["datetime"] in window for row in older.table.to_pylist()]
    found = rows(local)
    assert sorted(row["event_key"] for row in found) == sorted(
        {*older.table["event_key"].to_pylist(), *newer.table["event_key"].to_pylist()}
    )
    assert all(row["count"] == (9 if row["datetime"] in window else 1) for row in found)
    assert written.rows == by_later.count(False)


@pytest.mark.parametrize("disposition", ["merge", "replace"])
def test_other_days_are_not_written_again(local, disposition):
    put(target(local, disposition), pull_of(draw_events(60, days=3), scope(*DAYS)))
    before = files(local)
    one = scope("2026-01-02", "2026-01-02")
    put(target(local, disposition), pull_of([each | {"count": 9} for each in draw_events(60, days=3)], one))
    assert len(before) == 3
    assert len(before - files(local)) == 1
    assert all("datetime_day=2026-01-02" in path for path in before ^ files(local))
    assert {row["datetime"].day for row in rows(local) if row["count"] == 9} == {2}


def test_of_one_event_twice_in_a_pull_the_last_is_written(local):
    (event,) = draw_events(1, days=1)
    pull = pull_of([event], Scope(1, None))
    writer = target(local).open(Scope(1, None))
    for count in (5, 6):
        for batch in pull.batches:
            writer.write(batch.set_column(6, "count", pa.array([count])).cast(SCHEMA))
    writer.commit()
    assert [row["count"] for row in rows(local)] == [6]


def test_an_event_by_event_id_is_found_on_another_day(local):
    """Such a key does not hold the instant."""
    (event,) = draw_events(1, days=1)
    for day in (1, 2):
        writer = target(local).open(Scope(1, None, event_key_by="event_id"))
        for batch in pull_of([event], Scope(1, None)).batches:
            found = [
                row | {"event_key": "i1", "event_id": "7", "datetime": dt.datetime(2026, 1, day, tzinfo=dt.UTC)}
                for row in batch.to_pylist()
            ]
            writer.write(pa.RecordBatch.from_pylist(found, SCHEMA))
        writer.commit()
    assert [(row["event_key"], row["datetime"].day) for row in rows(local)] == [("i1", 2)]
    with pytest.raises(ValueError, match="event_key_by: the table holds events"):
        target(local).open(Scope(1, None))


@pytest.mark.parametrize("partitions", [[], [("action", "identity")]], ids=["none", "action"])
@pytest.mark.parametrize("disposition", ["merge", "replace"])
def test_a_table_of_other_partitions(local, disposition, partitions):
    make(local, partitions=partitions)
    pulls = [pull_of(draw_events(50, seed=seed), scope(*DAYS)) for seed in range(2)]
    for pull in pulls:
        put(target(local, disposition), pull)
    found = [row["event_key"] for row in rows(local)]
    keys = [{*pull.table["event_key"].to_pylist()} for pull in pulls]
    assert len(found) == len(set(found))
    assert set(found) == (keys[1] if disposition == "replace" else keys[0] | keys[1])


@pytest.mark.parametrize("days", [("2026-01-02", None), (None, "2026-01-02"), (None, None)])
def test_a_replacement_with_an_open_window(local, days):
    put(target(local, "replace"), pull_of(draw_events(60, days=3), scope(*DAYS)))
    newer = pull_of(draw_events(20, seed=1, days=3), scope(*days))
    put(target(local, "replace"), newer)
    window = scope(*days).window
    held = [row for row in rows(local) if row["datetime"] in window]
    assert sorted(row["event_key"] for row in held) == sorted(newer.table["event_key"].to_pylist())


@pytest.mark.parametrize(
    ("schema", "how", "said"),
    [
        (SCHEMA.remove(1), {}, "there is no column xxh (string)"),
        (SCHEMA.set(6, pa.field("count", pa.int32())), {}, "column count is int; expected long"),
        (SCHEMA.set(1, pa.field("xxh", pa.string(), nullable=False)), {}, "column xxh is required"),
        (SCHEMA.append(pa.field("mine", pa.string())), {}, "column mine is none of a row's"),
        (SCHEMA, {"partitions": [("event_key", "bucket[4]")]}, "partitioned by bucket[4]"),
    ],
    ids=["no column", "type", "not null", "column", "bucket"],
)
def test_a_table_that_does_not_fit_is_refused(local, schema, how, said):
    make(local, schema, **how)
    with pytest.raises(ValueError, match=r"^iceberg://.* is there but does not fit: ") as refused:
        target(local).open(Scope(1, None))
    assert said in str(refused.value)


def test_a_table_of_a_newer_format_is_refused(local):
    """The library reads it, and fails only where it writes."""
    make(local)
    file = Path(table(local).metadata_location.removeprefix("file://"))
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format-version": 3, "next-row-id": 0}))
    with pytest.raises(ValueError, match="it is of format version 3, the newest that is written is 2"):
        target(local).open(Scope(1, None))


def test_profiles_into_a_whole_database_are_refused(local):
    put(target(local, "replace"), pull_of(draw_events(9), scope(*DAYS, lookups=None)))
    with pytest.raises(ValueError, match="holds rows of a whole database"):
        target(local, "replace").open(scope(*DAYS))
    target(local, "replace").open(scope(*DAYS, list_id=2)).abort()
    target(local, "replace").open(scope("2026-02-01", "2026-02-01")).abort()


def test_the_tables_of_a_catalog_of_another_name(local):
    """A catalog in a database keeps its tables under its name, which otherwise is the connection's id."""
    pulls = [pull_of(draw_events(9, seed=seed), scope(*DAYS)) for seed in range(2)]
    put(target(local), pulls[0])
    other = define("iceberg_other", conn_type="iceberg", extra=local.properties)
    put(IcebergTarget(other, TABLE, catalog=local.conn_id), pulls[1])
    expected = {key for pull in pulls for key in pull.table["event_key"].to_pylist()}
    assert {row["event_key"] for row in rows(local)} == expected
    with pytest.raises(ValueError, match=r"^iceberg://iceberg_other/lake.history: the catalog has no namespace 'lake'"):
        IcebergTarget(other, TABLE).open(Scope(1, None))


def test_a_connection_that_is_not_there():
    with pytest.raises(ValueError, match="there is no Airflow connection 'none'"):
        IcebergTarget("none", TABLE).open(Scope(1, None))


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    catalog = Catalog(f"sqlite:///{tmp_path}/catalog.db", Folder(tmp_path / "file" / "lake"))
    catalog.connect().create_namespace("lake")
    with pytest.raises(OSError, match=r"^iceberg://.*/lake.history: cannot be read or written: "):
        target(catalog).open(Scope(1, None))


class Refusing(http.server.BaseHTTPRequestHandler):
    """A REST catalog that takes nobody's credentials."""

    def do_GET(self):
        if self.path.startswith("/v1/config"):
            status, body = 200, {"defaults": {}, "overrides": {}}
        else:
            status, body = 403, {"error": {"message": "not for you", "type": "ForbiddenException", "code": 403}}
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    do_HEAD = do_GET  # noqa: N815 - the name that the server calls

    def log_message(self, *_):
        pass


def test_a_catalog_that_refuses_the_credentials():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        extra = {"type": "rest", "token": "very-secret"}
        conn_id = define(
            "iceberg_rest", conn_type="iceberg", host=f"http://127.0.0.1:{server.server_port}", extra=extra
        )
        with pytest.raises(PermissionError, match="the catalog refuses the connection's credentials") as refused:
            IcebergTarget(conn_id, TABLE).open(Scope(1, None))
        server.shutdown()
    assert "very-secret" not in str(refused.value)


@pytest.mark.parametrize("kind", ["rest", "sql"])
def test_a_catalog_that_is_not_there(kind):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}" if kind == "rest" else f"postgresql+psycopg2://me:secret@127.0.0.1:{port}/lake"
    conn_id = define("iceberg_away", conn_type="iceberg", extra={"type": kind, "uri": uri})
    with pytest.raises(OSError, match=r"^iceberg://iceberg_away/lake.history: ") as refused:
        IcebergTarget(conn_id, TABLE).open(Scope(1, None))
    assert "secret" not in str(refused.value)


def functions_of_the_docs():
    page = (Path(__file__).parents[3] / "docs/lakehouse.md").read_text()
    names = {}
    for block in re.findall(r"```python\n(.*?)```", page.partition("# Apache Iceberg")[2], re.DOTALL):
        exec(block, names)
    return names


@pytest.mark.parametrize("name", ["by_duckdb", "by_polars"])
def test_it_is_read_as_the_docs_say(local, name):
    pull = pull_of(draw_events(50), scope(*DAYS))
    put(target(local), pull)
    found = sorted(functions_of_the_docs()[name](local.conn_id))
    assert found == sorted(Counter(pull.table["action"].to_pylist()).items())


def test_old_versions_are_removed_as_the_docs_say(local):
    for seed in range(2):
        put(target(local), pull_of(draw_events(20, seed=seed), scope(*DAYS)))
    before = rows(local)
    functions_of_the_docs()["forget"](local.conn_id, dt.timedelta(0))
    assert len(table(local).snapshots()) == 1
    assert rows(local) == before
