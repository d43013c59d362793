"""What the target of Apache Iceberg keeps in addition to the promise, and what it refuses before any request."""

from __future__ import annotations

import datetime as dt
import http.server
import json
import threading
from pathlib import Path

import pyarrow as pa
import pytest

from airflow_provider.altcraft.schema import SCHEMA
from airflow_provider.altcraft.targets import IcebergTarget, Scope
from airflow_provider.altcraft.targets.iceberg import table as module
from airflow_provider.altcraft.testing.conformance import draw_events, pull_of
from airflow_provider.altcraft.testing.conformance.base import scope
from airflow_provider.altcraft.testing.conformance.pulls import large_pull
from airflow_provider.altcraft.testing.conformance.writing import put
from tests.integration.databases import define
from tests.integration.iceberg_rest import serving
from tests.integration.targets.lakehouse_cases import (
    DAYS,
    DISPOSITIONS,
    LakehouseCases,
    Table,
    functions_of_the_docs,
    read_as_the_docs_say,
)
from tests.integration.targets.places import Catalog, Folder

TABLE = "lake.history"


class IcebergLake(Table):
    """A table of a catalog in a database, with its files in a folder."""

    def __init__(self, catalog):
        self.catalog = catalog
        self.conn_id = catalog.conn_id
        catalog.connect().create_namespace("lake")

    def target(self, *args, **kwargs):
        return IcebergTarget(self.conn_id, TABLE, *args, **kwargs)

    def table(self):
        return self.catalog.connect().load_table(TABLE)

    def put_while(self, older, newer):
        commit = module._commit

        def then(transaction):
            module._commit = commit
            put(self.target("replace"), newer)
            commit(transaction)

        module._commit = then
        return put(self.target("replace"), older).rows

    def rows(self):
        return self.table().scan().to_arrow().to_pylist()

    def files(self):
        return set(self.table().inspect.files()["file_path"].to_pylist())

    def summary(self):
        return dict(self.table().current_snapshot().summary.additional_properties)

    def drop(self):
        self.catalog.connect().drop_table(TABLE)

    def counts(self, name):
        return read_as_the_docs_say(name, self.conn_id, "Apache Iceberg")

    def make(self, schema=SCHEMA, partitions=(), **properties):
        """Make the table as somebody else would."""
        from pyiceberg.transforms import parse_transform

        made = self.catalog.connect().create_table(TABLE, schema, properties=properties)
        with made.update_spec() as spec:
            for column, transform in partitions:
                spec.add_field(column, parse_transform(transform))


@pytest.fixture
def lake(tmp_path):
    return IcebergLake(Catalog(f"sqlite:///{tmp_path}/catalog.db", Folder(tmp_path / "lake")))


@pytest.fixture
def by_rest(tmp_path):
    place = Folder(tmp_path / "lake")
    with serving(place.address) as address:
        yield IcebergLake(Catalog(address, place, type="rest"))


class TestAsEachLakehouse(LakehouseCases):
    """What Delta Lake keeps too."""

    @pytest.fixture(params=["sqlite", "postgres", "rest"])
    def raced(self, request, tmp_path):
        if request.param in ("sqlite", "rest"):
            return request.getfixturevalue({"sqlite": "lake", "rest": "by_rest"}[request.param])
        database = request.getfixturevalue("postgres").arguments["dbname"]
        address = f"postgresql+psycopg2://postgres@127.0.0.1/{database}"
        return IcebergLake(Catalog(address, Folder(tmp_path / "lake")))

    @pytest.fixture(params=[[], [("action", "identity")]], ids=["none", "action"])
    def partitioned_otherwise(self, request, lake):
        lake.make(partitions=request.param)
        return lake


def test_a_commit_is_one_of_the_catalog(lake):
    """Also where it makes the table, replaces files and adds others."""
    for number in range(3):
        put(lake.target(), pull_of(draw_events(20, seed=number), scope(*DAYS)))
        assert len(lake.table().metadata.metadata_log) == number


@DISPOSITIONS
def test_a_rest_catalog(by_rest, disposition):
    """It needs no SQLAlchemy 2, which Airflow 2.11 does not have."""
    pulls = [pull_of(draw_events(20, seed=seed), scope(*DAYS)) for seed in range(2)]
    for pull in pulls:
        put(by_rest.target(disposition), pull)
    keys = [{*pull.table["event_key"].to_pylist()} for pull in pulls]
    expected = keys[1] if disposition == "replace" else keys[0] | keys[1]
    assert sorted(row["event_key"] for row in by_rest.rows()) == sorted(expected)
    assert len(by_rest.table().metadata.snapshots) == 3  # the second removes, then adds, in one commit


def test_the_table_is_by_day_and_keeps_its_own_settings(lake):
    put(lake.target(), pull_of(draw_events(9), scope(*DAYS)))
    before = lake.table()
    assert [str(field.transform) for field in before.spec().fields] == ["day"]
    with before.transaction() as transaction:
        transaction.set_properties({"commit.retry.num-retries": "3"})
    put(lake.target(), pull_of(draw_events(9, seed=1), scope(*DAYS)))
    assert lake.table().properties["commit.retry.num-retries"] == "3"


def test_a_file_has_at_most_so_many_rows(lake):
    put(lake.target(), large_pull(scope(*DAYS)))
    assert sorted(lake.table().inspect.files()["record_count"].to_pylist()) == [50_000] * 6


@DISPOSITIONS
def test_other_days_are_not_written_again(lake, disposition):
    put(lake.target(disposition), pull_of(draw_events(60, days=3), scope(*DAYS)))
    before = lake.files()
    one = scope("2026-01-02", "2026-01-02")
    put(lake.target(disposition), pull_of([each | {"count": 9} for each in draw_events(60, days=3)], one))
    assert len(before) == 3
    assert len(before - lake.files()) == 1
    assert all("datetime_day=2026-01-02" in path for path in before ^ lake.files())
    assert {row["datetime"].day for row in lake.rows() if row["count"] == 9} == {2}


@DISPOSITIONS
def test_a_commit_that_the_catalog_made_and_then_refused(lake, disposition, monkeypatch):
    """As Glue does where its client has lost the first answer and asks again: the files are the table's."""
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.exceptions import CommitFailedException

    made = SqlCatalog.commit_table
    refusals = []

    def commit(*args):
        answer = made(*args)
        if refusals:
            raise refusals.pop()
        return answer

    monkeypatch.setattr(SqlCatalog, "commit_table", commit)
    monkeypatch.setattr("airflow_provider.altcraft.targets._day_writer._PAUSES", (0.0,))
    put(lake.target(disposition), pull_of(draw_events(9), scope(*DAYS)))
    refusals.append(CommitFailedException("the table has changed"))
    pull = pull_of(draw_events(9, seed=1) if disposition == "replace" else draw_events(20), scope(*DAYS))
    assert put(lake.target(disposition), pull).rows == pull.table.num_rows
    assert sorted(row["event_key"] for row in lake.rows()) == sorted(pull.table["event_key"].to_pylist())


@pytest.mark.parametrize(
    ("schema", "how", "said"),
    [
        (SCHEMA.remove(1), {}, "there is no column xxh (string)"),
        (SCHEMA.set(6, pa.field("count", pa.int32())), {}, "column count is int; expected long"),
        (SCHEMA.set(1, pa.field("xxh", pa.string(), nullable=False)), {}, "column xxh is required"),
        (SCHEMA.append(pa.field("mine", pa.string())), {}, "column mine is not a column of schema.SCHEMA"),
        (SCHEMA, {"partitions": [("event_key", "bucket[4]")]}, "partitioned by bucket[4]"),
    ],
    ids=["no column", "type", "not null", "column", "bucket"],
)
def test_a_table_that_does_not_fit_is_refused(lake, schema, how, said):
    lake.make(schema, **how)
    with pytest.raises(ValueError, match=r"^iceberg://.* is there but does not fit: ") as refused:
        lake.target().open(Scope(1, None))
    assert said in str(refused.value)


def test_a_table_of_a_newer_format_is_refused(lake):
    """The library reads it, and fails only where it writes."""
    lake.make()
    file = Path(lake.table().metadata_location.removeprefix("file://"))
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format-version": 3, "next-row-id": 0}))
    with pytest.raises(ValueError, match="it is of format version 3, the newest that is written is 2"):
        lake.target().open(Scope(1, None))


def test_the_tables_of_a_catalog_of_another_name(lake):
    """A catalog in a database keeps its tables under its name, which otherwise is the connection's id."""
    pulls = [pull_of(draw_events(9, seed=seed), scope(*DAYS)) for seed in range(2)]
    put(lake.target(), pulls[0])
    other = define("iceberg_other", conn_type="iceberg", extra=lake.catalog.properties)
    put(IcebergTarget(other, TABLE, catalog=lake.conn_id), pulls[1])
    expected = {key for pull in pulls for key in pull.table["event_key"].to_pylist()}
    assert {row["event_key"] for row in lake.rows()} == expected
    with pytest.raises(ValueError, match=r"^iceberg://iceberg_other/lake.history: the catalog has no namespace 'lake'"):
        IcebergTarget(other, TABLE).open(Scope(1, None))


def test_a_connection_that_is_not_there():
    with pytest.raises(ValueError, match="there is no Airflow connection 'none'"):
        IcebergTarget("none", TABLE).open(Scope(1, None))


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    lake = IcebergLake(Catalog(f"sqlite:///{tmp_path}/catalog.db", Folder(tmp_path / "file" / "lake")))
    with pytest.raises(OSError, match=r"^iceberg://.*/lake.history: cannot be read or written: "):
        lake.target().open(Scope(1, None))


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
    uri = "http://127.0.0.1:1" if kind == "rest" else "postgresql+psycopg2://me:secret@127.0.0.1:1/lake"
    conn_id = define("iceberg_away", conn_type="iceberg", extra={"type": kind, "uri": uri})
    with pytest.raises(OSError, match=r"^iceberg://iceberg_away/lake.history: ") as refused:
        IcebergTarget(conn_id, TABLE).open(Scope(1, None))
    assert "secret" not in str(refused.value)


def test_old_versions_are_removed_as_the_docs_say(lake):
    for seed in range(2):
        put(lake.target(), pull_of(draw_events(20, seed=seed), scope(*DAYS)))
    before = lake.rows()
    functions_of_the_docs("Apache Iceberg")["forget"](lake.conn_id, dt.timedelta(0))
    assert len(lake.table().snapshots()) == 1
    assert lake.rows() == before
