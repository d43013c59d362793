"""What the target of Delta Lake keeps in addition to the promise, and what it refuses before any request.

All that uses the library runs in forks: its threads do not outlive one, so the tests' own process never starts them.
"""

from __future__ import annotations

import datetime as dt
import http.client
import http.server
import json
import re
import shutil
import threading
import traceback
from pathlib import Path

import pyarrow as pa
import pytest

from airflow_provider.altcraft.schema import SCHEMA
from airflow_provider.altcraft.targets import DeltaTarget, Scope
from airflow_provider.altcraft.targets.delta.place import Place
from airflow_provider.altcraft.testing.conformance import draw_events, pull_of
from airflow_provider.altcraft.testing.conformance.base import scope
from airflow_provider.altcraft.testing.conformance.killing import Forked
from airflow_provider.altcraft.testing.conformance.writing import put
from airflow_provider.altcraft.window import Window
from tests.integration.databases import define
from tests.integration.targets.lakehouse_cases import (
    DAYS,
    DISPOSITIONS,
    LakehouseCases,
    Table,
    functions_of_the_docs,
    read_as_the_docs_say,
)
from tests.integration.targets.places import Apart


class DeltaLake(Table):
    """A table in a folder; what uses the library runs in forks."""

    def __init__(self, path):
        self.path = path

    def target(self, *args, **kwargs):
        return Apart(DeltaTarget(self.path, *args, **kwargs))

    def put_while(self, older, newer):
        def work():
            import airflow_provider.altcraft.targets.delta.table as module

            write = module.write_deltalake

            def then(*args, **how):
                module.write_deltalake = write
                put(DeltaTarget(self.path, "replace"), newer)
                return write(*args, **how)

            module.write_deltalake = then
            return put(DeltaTarget(self.path, "replace"), older).rows

        return Forked(work).value

    def rows(self):
        def read():
            from deltalake import DeltaTable

            return DeltaTable(self.path).to_pyarrow_table().to_pylist()

        return Forked(read).value

    def commits(self):
        """Read the lines of each version of the log."""
        files = sorted(Path(self.path, "_delta_log").glob("*.json"))
        return [[json.loads(line) for line in file.read_text().splitlines()] for file in files]

    def summary(self):
        (info,) = [each["commitInfo"] for each in self.commits()[-1] if "commitInfo" in each]
        return info

    def drop(self):
        shutil.rmtree(self.path)

    def counts(self, name):
        return read_as_the_docs_say(name, self.path, "Delta Lake", "Apache Iceberg")


@pytest.fixture
def lake(tmp_path):
    return DeltaLake(str(tmp_path / "lake" / "history"))


class TestAsEachLakehouse(LakehouseCases):
    """What Apache Iceberg keeps too."""

    @pytest.fixture
    def partitioned_otherwise(self, lake):
        make(lake.path, OURS)
        return lake


def make(place, schema, **how):
    def work():
        from deltalake import DeltaTable

        DeltaTable.create(place, schema, **how)

    Forked(work)


OURS = pa.schema([*SCHEMA, pa.field("date", pa.date32(), nullable=False)])


def test_one_transaction_makes_the_table_and_fills_it(lake):
    put(lake.target(), pull_of(draw_events(3), scope(*DAYS)))
    assert len(lake.commits()) == 1


@pytest.mark.parametrize("there", [False, True], ids=["no table", "a table"])
def test_what_another_writer_puts_there_while_the_library_writes_is_there_once(lake, there):
    """Where there was no table when the library looked, it would add its rows to those of the table made since."""
    if there:
        put(lake.target(), pull_of(draw_events(3), scope(*DAYS)))

    def work():
        import deltalake

        import airflow_provider.altcraft.targets.delta.table as module

        pull = pull_of(draw_events(9), scope(*DAYS))
        other = threading.Thread(target=put, args=(DeltaTarget(lake.path), pull))

        def write(where, data, **how):
            module.write_deltalake = deltalake.write_deltalake  # the next ones, the other's too, as it is

            def batches():  # are asked for when the library has looked for the table
                other.start()
                other.join()
                yield from data

            return deltalake.write_deltalake(where, pa.RecordBatchReader.from_batches(data.schema, batches()), **how)

        module.write_deltalake = write
        put(DeltaTarget(lake.path), pull)
        return pull.table["event_key"].to_pylist()

    keys = Forked(work).value
    assert sorted(row["event_key"] for row in lake.rows()) == sorted(keys)


def test_the_days_are_of_the_time_zone_and_last_among_the_columns(lake):
    at = ["2026-01-01T22:30:00Z", "2026-01-01T23:30:00Z"]
    events = [event | {"datetime": each} for event, each in zip(draw_events(2, days=1), at, strict=True)]
    put(lake.target(timezone="Europe/Berlin"), pull_of(events, Scope(1, None)))
    rows = sorted(lake.rows(), key=lambda row: row["datetime"])
    assert [row["date"] for row in rows] == [dt.date(2026, 1, 1), dt.date(2026, 1, 2)]
    assert list(rows[0])[-1] == "date"
    with pytest.raises(
        ValueError, match=r"delta\+file://.*days are of the time zone 'Europe/Berlin'.*timezone='Europe"
    ):
        lake.target().open(Scope(1, None))


def test_days_of_another_time_zone_that_is_not_noted_are_refused(lake):
    """An event would be looked for on another day, and be there twice."""
    make(lake.path, OURS)
    event = draw_events(1, days=1)[0] | {"datetime": "2026-01-01T23:30:00Z"}
    put(lake.target(), pull_of([event], Scope(1, None)))
    with pytest.raises(ValueError, match=r"timezone: the table has rows whose date is not the day of .*'Europe/Ber"):
        lake.target(timezone="Europe/Berlin").open(Scope(1, None))
    put(lake.target(), pull_of([event], Scope(1, None)))
    assert len(lake.rows()) == 1


@DISPOSITIONS
def test_other_days_are_not_written_again(lake, disposition):
    put(lake.target(disposition), pull_of(draw_events(60, days=3), scope(*DAYS)))
    one = scope("2026-01-02", "2026-01-02")
    put(lake.target(disposition), pull_of([each | {"count": 9} for each in draw_events(60, days=3)], one))
    removed = [each["remove"]["path"] for each in lake.commits()[-1] if "remove" in each]
    assert removed
    assert all(path.startswith("date=2026-01-02/") for path in removed)
    assert sum(row["count"] == 9 for row in lake.rows()) == sum(
        row["date"] == dt.date(2026, 1, 2) for row in lake.rows()
    )


@pytest.mark.parametrize(
    ("schema", "how", "said"),
    [
        (SCHEMA, {}, "there is no column date (date32[day])"),
        (OURS.set(6, pa.field("count", pa.int32())), {}, "column count is int32; expected int64"),
        (OURS.set(1, pa.field("xxh", pa.string(), nullable=False)), {}, "column xxh is not nullable"),
        (OURS.append(pa.field("mine", pa.string())), {}, "column mine is not a column of schema.SCHEMA"),
        (OURS, {"configuration": {"delta.appendOnly": "true"}}, "(delta.appendOnly)"),
        (OURS, {"configuration": {"delta.enableDeletionVectors": "true"}}, "the feature deletionVectors"),
    ],
    ids=["no date", "type", "not null", "column", "append only", "feature"],
)
def test_a_table_that_does_not_fit_is_refused(lake, schema, how, said):
    make(lake.path, schema, **how)
    with pytest.raises(ValueError, match=r"^delta\+file://.* is there but does not fit: ") as refused:
        lake.target().open(Scope(1, None))
    assert said in str(refused.value)


def test_errors_show_no_row(lake):
    """As the library's own do."""

    def constrain():
        from deltalake import DeltaTable

        DeltaTable(lake.path).alter.add_constraint({"few": "count < 5"})

    put(lake.target(), pull_of([each | {"count": 1} for each in draw_events(3)], Scope(1, None)))
    Forked(constrain)

    def work():
        try:
            put(DeltaTarget(lake.path), pull_of([each | {"count": 9} for each in draw_events(3)], Scope(1, None)))
        except OSError as error:
            return str(error), "".join(traceback.format_exception(error))
        return None

    said, trace = Forked(work).value
    assert said.startswith(f"delta+file://{lake.path}: the table cannot be read or written: DeltaError: ")
    assert "@example.com" not in trace


def test_vacuum_removes_what_those_in_the_way_have_left(lake):
    """As the docs say it."""
    put(lake.target(), pull_of(draw_events(9), scope(*DAYS)))
    left = Path(lake.path, "date=2026-01-01", "part-00000-of-a-loser.zstd.parquet")
    left.write_bytes(b"")

    def work():
        from deltalake import DeltaTable

        assert functions_of_the_docs("Delta Lake", "Apache Iceberg")["clean"](lake.path) == []  # too young
        DeltaTable(lake.path).vacuum(0, dry_run=False, enforce_retention_duration=False, full=True)

    before = lake.rows()
    Forked(work)
    assert not left.exists()
    assert lake.rows() == before


@pytest.mark.soak
def test_sixteen_days_are_replaced_at_once(lake):
    """They meet in the transaction that replacements of the same list and lookups name, and all end."""
    put(lake.target("replace"), pull_of(draw_events(4, days=1), scope("2026-01-01", "2026-01-01", list_id=2)))
    days = [(dt.date(2026, 1, 1) + dt.timedelta(days=number)).isoformat() for number in range(16)]
    pulls = [
        pull_of([each | {"datetime": f"{day}T12:00:00Z"} for each in draw_events(20, seed=n, days=1)], scope(day, day))
        for n, day in enumerate(days)
    ]
    ready, errors = threading.Barrier(16, timeout=120), []

    def work(pull):
        try:
            writer = lake.target("replace").open(pull.scope)
            for batch in pull.batches:
                writer.write(batch)
            ready.wait()
            writer.commit()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(pull,)) for pull in pulls]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert errors == []
    expected = sorted(key for pull in pulls for key in pull.table["event_key"].to_pylist())
    assert sorted(row["event_key"] for row in lake.rows() if row["list_id"] == 1) == expected


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"delta\+file://.*/file/history: cannot be written"):
        DeltaTarget(f"{tmp_path}/file/history").open(Scope(1, None))


def test_a_bucket_that_is_not_there(s3):
    with pytest.raises(OSError, match=r"delta\+s3://altcraft_test_s3@nowhere/table: "):
        DeltaTarget(f"s3://{s3.conn_id}@nowhere/table").open(Scope(1, None))


def test_a_store_that_ignores_conditions(s3, monkeypatch):
    """As some that only speak like S3."""
    from s3fs.core import S3FileSystem

    real = S3FileSystem._call_s3

    async def call(fs, method, *args, **kwargs):
        kwargs.pop("IfNoneMatch", None)
        return await real(fs, method, *args, **kwargs)

    target = DeltaTarget(s3.uri("conditions/table"))
    with monkeypatch.context() as patch:
        patch.setattr(S3FileSystem, "_call_s3", call)
        with pytest.raises(ValueError, match=r"delta\+s3://.*: the store does not put an object on the condition"):
            target.open(Scope(1, None))
    assert s3.keys("conditions/") == []


class LosingAnswers(http.server.BaseHTTPRequestHandler):
    """A proxy before a store, which does not answer who makes every other version of a table."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        there = http.client.HTTPConnection(self.server.store, timeout=30)
        there.request(self.command, self.path, body, dict(self.headers))
        answer = there.getresponse()
        said = answer.read()
        there.close()
        version = re.search(r"_delta_log/(\d{20})\.json", self.path)
        if self.command == "PUT" and version and not int(version[1]) % 2 and version[1] not in self.server.lost:
            self.server.lost[version[1]] = answer.status
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"transfer-encoding", "connection"} | ({"content-length"} if said else set()):
                self.send_header(name, value)
        if said:
            self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815 - the names that the server calls

    def log_message(self, *_):
        pass


@pytest.mark.soak
@DISPOSITIONS
def test_the_answer_to_a_commit_is_lost(s3, disposition):
    """The library asks again, and hears that the version is there, which may be its own or another writer's."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), LosingAnswers) as server:
        server.store, server.lost = s3.endpoint.removeprefix("http://"), {}
        threading.Thread(target=server.serve_forever, daemon=True).start()
        extra = {"endpoint_url": f"http://127.0.0.1:{server.server_port}", "region_name": "us-east-1"}
        conn_id = define(f"delta_losing_{disposition}", conn_type="aws", login="test", password="test", extra=extra)
        path = f"s3://{conn_id}@{s3.bucket}/lost-{disposition}/table"
        Place(path).prove()  # imports what each fork needs
        for count in (1, 2, 3):
            pull = pull_of([each | {"count": count} for each in draw_events(20)], scope(*DAYS))
            assert put(Apart(DeltaTarget(path, disposition)), pull).rows == pull.table.num_rows

        def read():
            from deltalake import DeltaTable

            there = Place(path)
            return DeltaTable(there.address, storage_options=there.options()).to_pyarrow_table().to_pylist()

        found = Forked(read).value
        server.shutdown()
    assert list(server.lost.values()) == [200, 200, 200]
    assert sorted(row["event_key"] for row in found) == sorted(pull.table["event_key"].to_pylist())
    assert {row["count"] for row in found} == {3}


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
        put(Apart(DeltaTarget(path)), pull)

    def read():
        from deltalake import DeltaTable

        there = Place(path)
        return DeltaTable(there.address, storage_options=there.options()).to_pyarrow_dataset().count_rows()

    assert Forked(read).value == sum(pull.table.num_rows for pull in pulls)
