"""Places that targets write to, and how they are read there with no code that is under test."""

from __future__ import annotations

import faulthandler
import gzip
import io
import json
import os
import pickle
import re
import uuid
from multiprocessing import Pipe
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from airflow_provider.altcraft.schema import SCHEMA
from airflow_provider.altcraft.targets import resolve_target
from airflow_provider.altcraft.targets.delta.place import Place as DeltaPlace
from airflow_provider.altcraft.testing.conformance import killing
from tests.integration.databases import define


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

    @property
    def address(self):
        """As libraries find it that know no Airflow."""
        return f"file://{self.path}"

    def uri(self, key):
        return f"file://{self.path}/{key}"

    def objects(self):
        found = {}
        for path in sorted(self.path.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                try:
                    found[path.name] = path.read_bytes()
                except FileNotFoundError:
                    continue
        return found

    def names(self):
        return [path.relative_to(self.path).as_posix() for path in self.path.rglob("*") if path.is_file()]

    def content(self, name):
        return (self.path / name).read_bytes()

    def unseen(self):
        names = [path.name for path in self.path.rglob("*") if path.is_file()]
        return [name for name in names if name.startswith(".")]


class Bucket:
    """A prefix of keys in a store."""

    def __init__(self, store):
        self.store, self.prefix = store, f"conformance/{uuid.uuid4().hex[:12]}/"

    @property
    def address(self):
        """As libraries find it that know no Airflow."""
        return f"s3://{self.store.bucket}/{self.prefix.rstrip('/')}"

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

    def names(self):
        return [key.removeprefix(self.prefix) for key in self.store.keys(self.prefix)]

    def content(self, name):
        return self.store.read(self.prefix + name)

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
        self.others = database.tables()
        return database.target(self.table, self.disposition)

    def read(self, target):
        return self.database.arrow(self.table) if self.database.exists(self.table) else []

    def leftovers(self, target):
        return sorted(self.database.tables() - self.others - {self.table, f"{self.table}_pulls"})


class DltTables(Tables):
    """The same databases by way of dlt."""

    @pytest.fixture
    def target(self, database):
        self.database, self.table = database, f"dlt_{uuid.uuid4().hex[:12]}.history"
        yield resolve_target(f"dlt://{database.conn_id}/{self.table}")
        schema = self.table.partition(".")[0]
        database.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")

    def leftovers(self, target):
        return ()  # dlt keeps tables of its own next to the history's, and uses them again


# A file of another name is about to become one.
_VERSION = re.compile(r"table/_delta_log/\d{20}\.json")


class Delta:
    """A Delta Lake table in a place of objects, read by its log alone.

    Its library starts threads that do not outlive a fork, so a process that forks must not have used it: what a test
    writes is written in processes of their own.
    """

    keeps = "union"
    disposition = "merge"

    @pytest.fixture
    def target(self, place):
        self.place, self.seen = place, {}
        # Whatever is imported once need not be in each fork.
        import airflow_provider.altcraft.targets.delta.table  # noqa: F401

        there = DeltaPlace(place.uri("table"))
        there.prove()
        there.options()
        return Apart(resolve_target(f"delta+{place.uri('table')}?write_disposition={self.disposition}"))

    def read(self, target):
        tables = [self.decoded(name) for name in sorted(self.named())]
        return pa.concat_tables(tables) if tables else []

    def named(self):
        """The files of the newest version."""
        named = set()
        for name in sorted(name for name in self.place.names() if _VERSION.fullmatch(name)):
            for line in self.content(name).splitlines():
                action = json.loads(line)
                if "add" in action:
                    named.add(unquote(action["add"]["path"]))
                if "remove" in action:
                    named.discard(unquote(action["remove"]["path"]))
        return named

    def content(self, name):
        if name not in self.seen:  # what is once there never changes
            self.seen[name] = self.place.content(name)
        return self.seen[name]

    def decoded(self, name):
        key = f"table/{name}"
        if not isinstance(self.seen.get(key), pa.Table):
            self.seen[key] = pq.read_table(io.BytesIO(self.place.content(key)), columns=SCHEMA.names)
        return self.seen[key]

    def leftovers(self, target):
        return [name for name in self.place.names() if "altcraft" in name]


class Iceberg:
    """An Iceberg table in a catalog of its own, read by the library alone."""

    keeps = "union"
    disposition = "merge"

    @pytest.fixture
    def target(self, catalog):
        self.catalog = catalog
        catalog.connect().create_namespace("lake")
        return resolve_target(f"iceberg://{catalog.conn_id}/lake.history?write_disposition={self.disposition}")

    def read(self, target):
        catalog = self.catalog.connect()
        if not catalog.table_exists("lake.history"):
            return []
        return catalog.load_table("lake.history").scan().to_arrow().cast(SCHEMA)

    def leftovers(self, target):
        return [name for name in self.catalog.place.names() if "altcraft" in name]


class Catalog:
    """A catalog in a database, with its tables' files in a place of objects, behind an Airflow connection."""

    def __init__(self, uri, place, **properties):
        self.place = place
        self.properties = {"type": "sql", "uri": uri, "warehouse": place.address, **properties}
        self.conn_id = define(f"iceberg_{uuid.uuid4().hex[:8]}", conn_type="iceberg", extra=self.properties)

    def connect(self):
        from pyiceberg.catalog import load_catalog

        return load_catalog(self.conn_id, **self.properties)


def s3_properties(s3):
    """What a catalog needs to know of a store; by s3fs, as the library's own way in does not outlive a fork."""
    return {
        "py-io-impl": "pyiceberg.io.fsspec.FsspecFileIO",
        "s3.endpoint": s3.endpoint,
        "s3.access-key-id": "test",
        "s3.secret-access-key": "test",
        "s3.region": "us-east-1",
    }


class Apart:
    """A target that is used in forked processes only."""

    def __init__(self, target):
        self._target, self._pid = target, os.getpid()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._target, name)

    def __repr__(self):
        return repr(self._target)

    def open(self, scope):
        return self._target.open(scope) if os.getpid() != self._pid else ApartWriter(self._target, scope)


_SECONDS = 240
"""After these a writer's process says where it is, and ends: a little before its test does."""


class ApartWriter:
    """A writer in a process of its own, which ends with it."""

    def __init__(self, target, scope):
        self._owner = os.getpid()
        self._pipe, there = Pipe()
        self._process = os.fork()
        if not self._process:
            _serve(there, target, scope)
        there.close()
        self._answer()

    def write(self, batch):
        return self._ask("write", batch)

    def commit(self):
        return self._ask("commit")

    def abort(self):
        return self._ask("abort")

    def _ask(self, *what):
        self._pipe.send(what)
        return self._answer()

    def _answer(self):
        error, value = self._pipe.recv()
        if error is not None:
            raise error
        return value

    def __del__(self):
        if os.getpid() != self._owner:  # a copy in another fork
            return
        self._pipe.send(["end"])
        os.waitpid(self._process, 0)


def _serve(pipe, target, scope):
    killing.forget_the_parent()
    faulthandler.dump_traceback_later(_SECONDS, exit=True)
    try:
        opened = False
        while True:
            try:
                if not opened:
                    opened = True
                    writer, value = target.open(scope), None
                else:
                    name, *values = pipe.recv()
                    if name == "end":
                        break
                    value = getattr(writer, name)(*values)
                answer = (None, value)
            except BaseException as error:
                answer = (error, None)
            try:
                pickle.dumps(answer)
            except Exception:
                answer = (RuntimeError(repr(answer[0])), None)
            pipe.send(answer)
    finally:
        os._exit(0)
