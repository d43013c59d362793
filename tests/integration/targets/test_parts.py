"""Parts in a folder: what the manifest names is whole, a retry goes on, and what is not needed is removed."""

from __future__ import annotations

import hashlib
import io
import json
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider.altcraft import __version__
from airflow_provider.altcraft.schema import SCHEMA
from airflow_provider.altcraft.targets import (
    ObjectStorageTarget,
    Scope,
    SupportsFailureReport,
    SupportsResume,
    read_manifest,
)
from airflow_provider.altcraft.targets.object_storage.folder import LeaseTimes
from airflow_provider.altcraft.targets.object_storage.folder_store import StoreFolder
from airflow_provider.altcraft.targets.object_storage.parts import FRESH, PartsWriter
from airflow_provider.altcraft.targets.object_storage.path import check
from airflow_provider.altcraft.window import Window
from tests.integration.stores import S3, Azure

SCOPE = Scope(1, [("email", "ж@example.com")], Window.of("2024-01-01", "2024-01-02"))


@pytest.fixture(params=["disk", "s3", "azure", "gcs"])
def store(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def name(request):
    return request.node.name.replace("[", "-").replace("]", "-") + "/"


@pytest.fixture
def target(store, name):
    return ObjectStorageTarget(store.uri(name), part_rows=100)


def pull(writer, batch, *numbers, rows=60, **columns):
    """Write units of work, a checkpoint after each."""
    for number in numbers:
        writer.write(batch(rows, start=number * rows, **columns))
        writer.checkpoint({"done": number + 1})


def rows_of(store, name):
    """All rows that the manifest names, as a reader finds them; and nothing else is in the folder."""
    manifest = read_manifest(store.uri(name))
    tables = [pq.read_table(io.BytesIO(store.read(name + part.name))) for part in manifest.parts]
    assert [table.num_rows for table in tables] == [part.rows for part in manifest.parts]
    return pa.concat_tables(tables)


def visible(store, name):
    return [key.removeprefix(name) for key in store.keys(name) if not key.removeprefix(name).startswith("_")]


def hidden(store, name):
    return [key.removeprefix(name) for key in store.keys(name) if key.removeprefix(name).startswith("_")]


def test_what_is_to_be_kept_is_a_part_however_few_its_rows(disk, batch):
    target = ObjectStorageTarget(disk.uri("p/"), part_rows=100)
    dying, retry = target.open(SCOPE), target.open(SCOPE)
    assert dying.resume("a pull") is None
    dying.write(batch(30))
    dying.checkpoint({"done": 1}, keep=True)
    dying.write(batch(30, start=30))
    dying.checkpoint({"done": 2})
    assert retry.resume("a pull") == {"done": 1}
    retry.write(batch(70, start=30))
    assert retry.commit().rows == 100
    assert [part.rows for part in read_manifest(disk.uri("p/")).parts] == [30, 70]


def test_a_commit_leaves_parts_and_a_manifest_that_tells_of_them(store, target, name, batch):
    writer = target.open(SCOPE)
    assert isinstance(writer, SupportsResume)
    writer.write(batch(250))
    assert visible(store, name) == []
    with pytest.raises(FileNotFoundError, match=r"_manifest\.json: nothing was committed there yet"):
        read_manifest(store.uri(name))
    written = writer.commit()
    assert written.uris == (store.uri(name + "_manifest.json"),)
    manifest = read_manifest(store.uri(name))
    assert [part.rows for part in manifest.parts] == [100, 100, 50]
    assert [part.name for part in manifest.parts] == visible(store, name)
    assert hidden(store, name) == ["_manifest.json"]
    for part in manifest.parts:
        data = store.read(name + part.name)
        assert (part.bytes, part.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        assert part.uri == store.uri(name + part.name)
        assert pq.read_schema(io.BytesIO(data)).equals(SCHEMA)
    assert (manifest.rows, manifest.bytes) == (written.rows, written.bytes)
    assert written.rows == 250
    assert manifest.window == {"start": "2024-01-01T00:00:00+00:00", "end": "2024-01-03T00:00:00+00:00"}
    assert (manifest.list_id, manifest.format, manifest.package_version) == (1, "parquet", __version__)
    assert manifest.schema[7] == {"name": "datetime", "type": "timestamp[us, tz=UTC]", "nullable": False}
    assert rows_of(store, name).equals(pa.Table.from_batches([batch(250)]))
    assert "example.com" not in store.read(name + "_manifest.json").decode()  # who was asked is a digest


def test_no_rows_are_one_part_with_the_schema(store, target, name):
    assert target.open(SCOPE).commit().rows == 0
    assert rows_of(store, name).schema.equals(SCHEMA)
    assert len(visible(store, name)) == 1


def test_a_commit_removes_the_parts_of_earlier_pulls(store, target, name, batch):
    store.put(name + "part-00000-of-someone-else.parquet", b"-")
    for rows in (350, 20):
        writer = target.open(SCOPE)
        writer.write(batch(rows))
        writer.commit()
    assert rows_of(store, name).num_rows == 20
    assert len(visible(store, name)) == 2
    assert hidden(store, name) == ["_manifest.json"]


def test_a_retry_goes_on_from_what_is_complete(store, target, name, batch):
    writer = target.open(SCOPE)
    assert writer.resume("a pull") is None
    pull(writer, batch, 0, 1, 2, 3, 4)
    writer.abort()
    assert visible(store, name) == []

    writer = target.open(SCOPE)
    assert writer.resume("a pull") == {"done": 4}  # parts are closed after the second and the fourth
    writer.abort()
    writer = target.open(SCOPE)
    assert writer.resume("a pull") == {"done": 4}
    pull(writer, batch, 4, 5)
    assert writer.commit().rows == 360
    assert [part.rows for part in read_manifest(store.uri(name)).parts] == [120, 120, 120]
    assert rows_of(store, name).equals(pa.Table.from_batches([batch(360)]))
    assert hidden(store, name) == ["_manifest.json"]
    assert len(visible(store, name)) == 3


def test_another_pull_takes_nothing_over(store, target, name, batch):
    writer = target.open(SCOPE)
    writer.resume("a pull")
    pull(writer, batch, 0, 1)
    writer.abort()
    writer = target.open(SCOPE)
    assert writer.resume("another pull") is None
    pull(writer, batch, 7)
    assert writer.commit().rows == 60
    assert rows_of(store, name).equals(pa.Table.from_batches([batch(60, start=420)]))
    assert hidden(store, name) == ["_manifest.json"]


def test_without_a_pull_an_abort_leaves_nothing(store, target, name, batch):
    for rows in (0, 10, 250):
        writer = target.open(SCOPE)
        writer.write(batch(rows))
        writer.abort()
        writer.abort()
        assert store.keys(name) == []


def test_an_old_part_is_not_taken_over(disk, batch):
    target = ObjectStorageTarget(disk.uri("p/"), part_rows=100)
    writer = target.open(SCOPE)
    writer.resume("a pull")
    pull(writer, batch, 0, 1)
    writer.abort()
    for note in (disk.folder / "p").glob("_part-*.json"):
        content = json.loads(note.read_text())
        note.write_text(json.dumps(content | {"written": content["written"] - FRESH}))
    assert target.open(SCOPE).resume("a pull") is None


@pytest.mark.parametrize("harm", ["note", "part", "gone", "note gone"])
def test_what_is_not_whole_is_not_taken_over(disk, batch, harm):
    target = ObjectStorageTarget(disk.uri("p/"), part_rows=100)
    writer = target.open(SCOPE)
    writer.resume("a pull")
    pull(writer, batch, 0, 1, 2, 3)
    writer.abort()
    second = next(path for path in (disk.folder / "p").iterdir() if "-000001.parquet.staged" in path.name)
    note = second.with_name(second.name.replace("parquet.staged", "json"))
    if harm == "note":
        note.write_bytes(note.read_bytes()[:-5])
    elif harm == "part":
        second.write_bytes(second.read_bytes()[:-5])
    else:
        (second if harm == "gone" else note).unlink()
    writer = target.open(SCOPE)
    assert writer.resume("a pull") == {"done": 2}
    pull(writer, batch, 2)
    assert writer.commit().rows == 180
    assert hidden(disk, "p/") == ["_manifest.json"]


def test_rows_without_a_checkpoint_are_parted_too(disk, batch):
    """A unit of work larger than two parts is cut, and a retry goes on before it."""
    target = ObjectStorageTarget(disk.uri("p/"), part_rows=100)
    writer = target.open(SCOPE)
    writer.resume("a pull")
    pull(writer, batch, 0, 1)
    writer.write(batch(450))
    writer.abort()
    assert len(hidden(disk, "p/")) == 2
    writer = target.open(SCOPE)
    assert writer.resume("a pull") == {"done": 2}
    writer.write(batch(450, start=120))
    writer.checkpoint({"done": 3})
    writer.write(batch(10, start=570))
    writer.commit()
    assert [part.rows for part in read_manifest(disk.uri("p/")).parts] == [120, 200, 200, 60]
    assert rows_of(disk, "p/").equals(pa.Table.from_batches([batch(580)]))


@pytest.mark.parametrize("first", [0, 1])
def test_of_two_writers_of_parts_the_later_wins_whole(store, target, name, batch, first):
    """The one that began later, whichever commits last."""
    writers = [target.open(SCOPE), target.open(SCOPE)]
    for writer in writers:
        assert writer.resume("a pull") is None
    for unit in range(4):
        for number, writer in enumerate(writers):
            pull(writer, batch, unit, email=f"writer {number}")
    writers[first].commit()
    assert set(rows_of(store, name)["email"].to_pylist()) == {f"writer {first}"}
    writers[1 - first].commit()
    table = rows_of(store, name)
    assert table.num_rows == 240
    assert set(table["email"].to_pylist()) == {"writer 1"}
    assert len(visible(store, name)) == 2
    assert hidden(store, name) == ["_manifest.json"]


@pytest.mark.parametrize(
    ("point", "rows", "resumed"),
    [pytest.param("wrote 5", 10, 4, marks=pytest.mark.soak), ("before replace", 10, 6)],
)
def test_killed_it_leaves_what_was_there_and_a_retry_goes_on(
    store, target, name, batch, stepper, monkeypatch, point, rows, resumed
):
    writer = target.open(Scope(1, None))
    writer.write(batch(10))
    writer.commit()
    dying = stepper(target, 7, 60)
    dying.until(point)
    dying.kill()
    assert rows_of(store, name).num_rows == rows
    retry = stepper(target, 7, 60)
    assert [retry.next(), retry.next()] == ["opened", f"resumed {resumed}"]
    retry.until("committed")
    retry.kill()
    assert rows_of(store, name).equals(pa.Table.from_batches([batch(420)]))
    # In a store the dead one's lease is young yet, so what it left may only go later.
    monkeypatch.setattr(StoreFolder, "living", lambda self: set())
    target.open(Scope(1, None)).commit()
    assert hidden(store, name) == ["_manifest.json"]
    assert len(visible(store, name)) == 1
    if isinstance(store, S3 | Azure):  # Google lists none, and drops them by itself
        assert store.unfinished(name) == []


def test_failed_profiles_are_listed_in_the_folder(store, target, name, batch):
    for failed in ([{"lookup": {"email": "ж@example.com"}, "error": "no"}], []):
        writer = target.open(SCOPE)
        assert isinstance(writer, SupportsFailureReport)
        assert writer.keep_failures(failed) == (store.uri(name + "_failed.jsonl") if failed else None)
        writer.commit()
        assert hidden(store, name) == (["_failed.jsonl"] if failed else []) + ["_manifest.json"]


def test_a_lease_that_could_not_be_renewed_does_not_commit(s3, name, batch):
    place = check(s3.uri(name))
    writer = PartsWriter(place, StoreFolder(place.uri, LeaseTimes(valid=-1.0, dead=0.0)), SCOPE, 100)
    writer.write(batch(10))
    with pytest.raises(OSError, match="could not be renewed for 0 s, so another attempt may have taken it for dead"):
        writer.commit()
    assert s3.keys(name) == []


def test_a_lease_is_renewed_and_young_ones_are_living(s3, name):
    class Counting(StoreFolder):
        puts = 0

        def put(self, name, data):
            super().put(name, data)
            self.puts += 1

    folder = Counting(s3.uri(name), LeaseTimes(renew=0.01))
    lease = folder.hold("a" * 16)
    deadline = time.monotonic() + 30
    while folder.puts < 4 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert folder.puts >= 4
    assert folder.living() == {"a" * 16}
    assert StoreFolder(s3.uri(name), LeaseTimes(dead=0.0)).living() == set()
    lease.release()
    assert s3.keys(name) == []
    count = folder.puts
    time.sleep(0.1)
    assert folder.puts == count


def test_a_commit_whose_answer_was_lost_keeps_its_parts(s3, name, batch, monkeypatch):
    """The store took the manifest, but the writer was given an error: what the manifest names stays."""
    target = ObjectStorageTarget(s3.uri(name), part_rows=100)
    writer = target.open(SCOPE)
    writer.write(batch(150))
    real = StoreFolder.replace

    def lost(self, *args):
        real(self, *args)
        raise ConnectionError("lost")

    monkeypatch.setattr(StoreFolder, "replace", lost)
    with pytest.raises(ConnectionError):
        writer.commit()
    monkeypatch.undo()
    assert rows_of(s3, name).num_rows == 150


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[]", "not a manifest of this package"),
        (b"\xff", "not a manifest"),
        (b'{"version": 9}', "newer version"),
        (b"{}", "not a manifest"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_reported(disk, content, says):
    disk.put("p/_manifest.json", content)
    with pytest.raises(ValueError, match=says):
        read_manifest(disk.uri("p/"))


def test_a_manifest_whose_parts_are_missing_is_reported(disk, batch):
    writer = ObjectStorageTarget(disk.uri("p/"), part_rows=100).open(SCOPE)
    writer.write(batch(150))
    writer.commit()
    (disk.folder / "p" / visible(disk, "p/")[0]).write_bytes(b"half")
    with pytest.raises(OSError, match=r"missing or of a wrong size.*part-"):
        read_manifest(disk.uri("p/"))
    with pytest.raises(ValueError, match="is not a folder"):
        read_manifest(disk.uri("p/a.parquet"))


@pytest.mark.parametrize("kind", ["csv", "jsonl.gz"])
def test_a_format_by_argument(disk, batch, kind):
    writer = ObjectStorageTarget(disk.uri("p/"), format=kind).open(SCOPE)
    writer.write(batch(10))
    writer.commit()
    (part,) = read_manifest(disk.uri("p/")).parts
    assert part.name.endswith("-000000." + kind)
    assert json.loads(disk.read("p/_manifest.json"))["format"] == kind
