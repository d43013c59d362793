"""An object in a store is seen old or new, never half, whatever becomes of its writers."""

from __future__ import annotations

import logging
import threading
import traceback
from types import SimpleNamespace
from uuid import uuid4

import airflow  # noqa: F401 - it sets up logging when it is first imported, which would drop the handler of caplog
import pytest

from airflow_provider.altcraft.targets import ObjectStorageTarget, Scope
from airflow_provider.altcraft.targets.object_storage.stores import fsspec as _fsspec
from tests.integration.stores import S3, serve_azure, serve_gcs

SCOPE = Scope(1, None)


@pytest.fixture(params=["s3", "azure", "gcs"])
def store(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def key(request, store, monkeypatch):
    monkeypatch.setattr(_fsspec, "_PART", (5 if isinstance(store, S3) else 1) << 20)  # S3 has a least size
    return f"{request.node.name}/a.jsonl".replace(" ", "-").replace("[", "-").replace("]", "-")


@pytest.fixture
def part(store):
    """Rows that are a part of an upload and some more."""
    return 20_000 if isinstance(store, S3) else 8_000


@pytest.fixture
def target(store, key):
    return ObjectStorageTarget(store.uri(key))


def fill(target, batch, rows, **columns):
    writer = target.open(SCOPE)
    writer.write(batch(rows, **columns))
    return writer.commit()


def lines(store, key):
    return store.read(key).splitlines()


def unfinished(store, key):
    """Uploads that nobody has finished, where a store keeps them for good."""
    return store.unfinished(key) if isinstance(store, S3) else []


def test_only_a_commit_is_seen(store, target, key, part, batch):
    rows = part * 5 // 2
    writer, sent = target.open(SCOPE), batch(rows)
    writer.write(sent)
    assert store.keys(key) == []
    assert unfinished(store, key) == ([key] if isinstance(store, S3) else [])
    written = writer.commit()
    assert (written.uris, written.rows, written.bytes) == ((store.uri(key),), rows, len(store.read(key)))
    assert written.bytes > 2 * _fsspec._PART
    assert len(set(lines(store, key))) == rows
    assert unfinished(store, key) == []


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".csv.gz", ".ndjson.zst"])
def test_no_rows_make_an_object_too(store, key, suffix):
    assert ObjectStorageTarget(store.uri(key + suffix)).open(SCOPE).commit().bytes == len(store.read(key + suffix))
    assert unfinished(store, key) == []


def test_a_key_is_taken_as_it_is_written(store, batch):
    for key in ("odd/a b c+ж=.jsonl", "odd/a@b:c.jsonl", "odd/#a?b%20.jsonl"):
        fill(ObjectStorageTarget(store.uri(key)), batch, 2)
        assert len(lines(store, key)) == 2


def test_a_reader_sees_old_or_new_and_nothing_else(store, target, key, part, batch):
    fill(target, batch, 5, email="old")
    seen, stop = set(), threading.Event()

    def read():
        while not stop.is_set():
            data = store.read(key)
            seen.add((len(data.splitlines()), b"old" in data, data.endswith(b"}\n")))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(3):
            fill(target, batch, part, email="new")
            fill(target, batch, 5, email="old")
    finally:
        stop.set()
        reader.join()
    assert seen <= {(5, True, True), (part, False, True)}
    assert (5, True, True) in seen


def test_an_abort_leaves_the_old_object(store, target, key, part, batch):
    fill(target, batch, 5)
    old = store.read(key)
    for rows in (0, 1, part * 5 // 2):
        writer = target.open(SCOPE)
        writer.write(batch(rows))
        writer.abort()
        writer.abort()
        del writer
        assert store.read(key) == old
        assert unfinished(store, key) == []


def test_an_error_before_the_commit_leaves_the_old_object(store, target, key, part, batch):
    fill(target, batch, 5)
    writer = target.open(SCOPE)
    writer.write(batch(part))
    with pytest.raises(ValueError, match="schema"):
        writer.write(batch(1).drop_columns(["extra"]))
    assert len(lines(store, key)) == 5
    assert unfinished(store, key) == []


@pytest.mark.parametrize("first", [0, 1])
def test_of_two_writers_the_later_wins_whole(store, target, key, part, batch, first):
    """The one that began later, whichever commits last."""
    writers, rows = [target.open(SCOPE), target.open(SCOPE)], part // 2
    for at in range(4):
        for number, writer in enumerate(writers):
            writer.write(batch(rows, start=at * rows, email=f"writer {number}"))
    writers[first].commit()
    writers[1 - first].commit()
    data = lines(store, key)
    assert len(set(data)) == len(data) == 4 * rows
    assert all(b"writer 1" in line for line in data)
    assert unfinished(store, key) == []


@pytest.mark.parametrize("point", ["opened", "wrote 2", "before replace", "after replace"])
def test_killed_it_leaves_old_or_new(store, target, key, part, batch, stepper, point):
    fill(target, batch, 5)
    writer = stepper(store.uri(key), 3, part)
    writer.until(point)
    writer.kill()
    committed = point == "after replace"
    assert len(lines(store, key)) == (3 * part if committed else 5)
    assert store.keys(key) == [key]
    assert unfinished(store, key) == ([key] if isinstance(store, S3) and not committed else [])
    fill(target, batch, part)
    assert len(lines(store, key)) == len(set(lines(store, key))) == part
    assert store.keys(key) == [key]


def test_what_cannot_be_reached_is_reported(store, key):
    bucket = f"{store.conn_id}@{store.bucket}/"
    for wrong, kind, says in (
        (f"{store.conn_id}@nowhere/", FileNotFoundError, r"nowhere/a\.csv: the bucket does not exist"),
        (f"nobody@{store.bucket}/", ValueError, "there is no Airflow connection 'nobody'"),
    ):
        for path in ("a.csv", "parts/"):
            if kind is FileNotFoundError and path == "parts/":
                says = "nowhere/parts/: the bucket does not exist"  # noqa: PLW2901
            with pytest.raises(kind, match=says):
                ObjectStorageTarget(store.uri("").replace(bucket, wrong) + path).open(SCOPE)


def test_airflow_reads_back_what_the_uri_names(target, batch):
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    (uri,) = fill(target, batch, 4).uris
    assert len(ObjectStoragePath(uri).read_bytes().splitlines()) == 4


def test_blocks_that_another_commit_dropped_are_sent_again(azure, key, batch):
    """Three writers of one blob, each of which commits between two of another's tries."""
    target = ObjectStorageTarget(azure.uri(key))
    writers = [target.open(SCOPE) for _ in range(3)]
    for number, writer in enumerate(writers):
        writer.write(batch(10_000, email=f"writer {number}"))
    sent = writers[1]._staged._upload_again

    def and_another_commits():
        sent()
        writers[2].commit()
        writers[1]._staged._upload_again = sent

    writers[1]._staged._upload_again = and_another_commits
    writers[0].commit()
    writers[1].commit()
    data = lines(azure, key)
    assert len(set(data)) == 10_000
    assert all(b"writer 1" in line for line in data)
    assert azure.unfinished(key) == []


@pytest.mark.parametrize("serve", [serve_azure, serve_gcs])
def test_a_store_that_dies_fails_the_commit_and_not_the_abort(serve, batch, caplog, monkeypatch):
    with serve(f"altcraft_test_dying_{serve.__name__}") as dying:
        uri = dying.uri("a.jsonl")
        writers = [ObjectStorageTarget(uri).open(SCOPE) for _ in range(2)]
        for writer in writers:
            writer.write(batch(10))
    if serve is serve_azure:
        fs = writers[0]._staged._fs
        monkeypatch.setattr(fs.service_client._config.retry_policy, "total_retries", 0)
    else:
        monkeypatch.setattr("gcsfs.retry.random", SimpleNamespace(random=lambda: -40))  # its pauses are seconds
    with pytest.raises(Exception, match=r"(?i)connect"):
        writers[0].commit()
    with caplog.at_level(logging.WARNING):
        writers[1].abort()
    with pytest.raises(RuntimeError, match="aborted"):
        writers[1].commit()


@pytest.mark.parametrize("kind", [400, 403])
@pytest.mark.parametrize("shape", [".jsonl", "/"])
def test_the_address_of_an_upload_is_in_no_error_and_no_log(gcs, kind, shape, batch, caplog, monkeypatch):
    from gcsfs import GCSFileSystem

    monkeypatch.setattr(GCSFileSystem, "retries", 1)
    caplog.set_level(logging.INFO)

    def pull():
        writer = ObjectStorageTarget(gcs.uri(f"refused-{kind}-{uuid4().hex}{shape}")).open(SCOPE)
        writer.write(batch(5))
        writer.commit()

    with pytest.raises((OSError, ValueError)) as caught:
        pull()
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert "/upload/storage/v1/b/lake/o?…" in shown
    assert "upload_id=" not in shown
    assert "could not be removed" in caplog.text
