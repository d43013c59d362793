"""Places that targets write to, and how they are read there with no code that is under test."""

from __future__ import annotations

import gzip
import io
import json
import uuid

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from airflow_provider.altcraft.schema import SCHEMA
from airflow_provider.altcraft.targets import resolve_target


class Objects:
    """Files or objects of one prefix, in one of the three shapes."""

    shape = "/history.parquet"

    @pytest.fixture
    def target(self, place):
        self.place = place
        return resolve_target(place.uri(self.shape.removeprefix("/")))

    def read(self, target):
        objects = self.place.objects()
        if self.shape.endswith("/"):
            if "_manifest.json" not in objects:
                return []
            # A reader opens the parts after the manifest; those are removed that a newer one does not name.
            while True:
                named = [part["name"] for part in json.loads(objects["_manifest.json"])["parts"]]
                if set(named) <= set(objects):
                    break
                objects = self.place.objects()
            objects = {name: objects[name] for name in named}
        tables = [decode(name, data) for name, data in objects.items() if not name.startswith((".", "_"))]
        return pa.concat_tables(tables) if tables else []

    def leftovers(self, target):
        return self.place.unseen()


class Folder:
    """A place on the local disk."""

    def __init__(self, path):
        self.path = path

    def uri(self, key):
        return f"{self.path}/{key}"

    def objects(self):
        found = {}
        for path in sorted(self.path.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                try:
                    found[path.name] = path.read_bytes()
                except FileNotFoundError:
                    continue
        return found

    def unseen(self):
        names = [path.name for path in self.path.rglob("*") if path.is_file()]
        return [name for name in names if name.startswith(".")]


class Bucket:
    """A prefix of keys in a store."""

    def __init__(self, store):
        self.store, self.prefix = store, f"conformance/{uuid.uuid4().hex[:12]}/"

    def uri(self, key):
        return self.store.uri(self.prefix + key)

    def objects(self):
        found = {}
        for key in self.store.keys(self.prefix):
            try:
                found[key.rpartition("/")[2]] = self.store.read(key)
            except KeyError:
                continue
        return found

    def unseen(self):
        return [key for key in self.store.keys(self.prefix) if key.rpartition("/")[2].startswith(".")]


def decode(name, data):
    """Rows of an object, by its suffix, read with no code that is under test."""
    if name.endswith(".gz"):
        name, data = name.removesuffix(".gz"), gzip.decompress(data)
    if name.endswith(".parquet"):
        return pq.read_table(io.BytesIO(data))
    if name.endswith(".csv"):
        return pa_csv.read_csv(
            io.BytesIO(data),
            read_options=pa_csv.ReadOptions(block_size=64 << 20),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(
                column_types=SCHEMA, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
            ),
        )
    rows = [json.loads(line) for line in data.split(b"\n")[:-1]]
    columns = {
        field.name: pa.array([row[field.name] for row in rows], pa.string()).cast(field.type)
        if pa.types.is_timestamp(field.type)
        else pa.array([row[field.name] for row in rows], field.type)
        for field in SCHEMA
    }
    return pa.table(columns, SCHEMA)


class Days:
    shape = "/date={date}/history.parquet"
    keeps = "days"
    at_once = "day"

    @pytest.fixture
    def target(self, place):
        self.place = place
        return resolve_target(place.uri("history-{date}.parquet"))


class Tables:
    """Tables of a database, each new."""

    keeps = "union"
    disposition = "merge"

    @pytest.fixture
    def target(self, database):
        self.database, self.table = database, database.new_table()
        return database.target(self.table, self.disposition)

    def read(self, target):
        return self.database.rows(self.table) if self.database.exists(self.table) else []


class DltTables(Tables):
    """The same databases by way of dlt."""

    @pytest.fixture
    def target(self, database):
        self.database, self.table = database, f"dlt_{uuid.uuid4().hex[:12]}.history"
        yield resolve_target(f"dlt://{database.conn_id}/{self.table}")
        schema = self.table.partition(".")[0]
        database.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
