"""An object in S3 is seen old or new, never half, whatever becomes of its writers."""

from __future__ import annotations

import logging
import threading

import pytest

from airflow_provider.altcraft.targets import ObjectStorageTarget, Scope, _store

SCOPE = Scope(1, None)


@pytest.fixture
def key(request, monkeypatch):
    monkeypatch.setattr(_store, "_PART", 5 << 20)
    return f"{request.node.name}/a.jsonl".replace(" ", "-")


@pytest.fixture
def target(s3, key):
    return ObjectStorageTarget(s3.uri(key))


def fill(target, batch, rows, **columns):
    writer = target.open(SCOPE)
    writer.write(batch(rows, **columns))
    return writer.commit()


def lines(s3, key):
    return s3.read(key).splitlines()


def test_only_a_commit_is_seen(s3, target, key, batch):
    writer, sent = target.open(SCOPE), batch(50_000)
    writer.write(sent)
    assert s3.keys(key) == []
    assert s3.unfinished(key) == [key]
    written = writer.commit()
    assert (written.uris, written.rows, written.bytes) == ((s3.uri(key),), 50_000, len(s3.read(key)))
    assert len(set(lines(s3, key))) == 50_000
    assert s3.unfinished(key) == []


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".csv.gz", ".ndjson.zst"])
def test_no_rows_make_an_object_too(s3, key, suffix):
    uri = s3.uri(key + suffix)
    assert ObjectStorageTarget(uri).open(SCOPE).commit().bytes == len(s3.read(key + suffix))
    assert s3.unfinished(key) == []


def test_a_key_is_taken_as_it_is_written(s3, batch):
    for key in ("odd/#a?b%20 c+ж=.jsonl", "odd/a@b:c.jsonl"):
        fill(ObjectStorageTarget(s3.uri(key)), batch, 2)
        assert len(lines(s3, key)) == 2


def test_a_reader_sees_old_or_new_and_nothing_else(s3, target, key, batch):
    fill(target, batch, 5, email="old")
    seen, stop = set(), threading.Event()

    def read():
        while not stop.is_set():
            data = s3.read(key)
            seen.add((len(data.splitlines()), b"old" in data, data.endswith(b"}\n")))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(3):
            fill(target, batch, 30_000, email="new")
            fill(target, batch, 5, email="old")
    finally:
        stop.set()
        reader.join()
    assert seen <= {(5, True, True), (30_000, False, True)}


def test_an_abort_leaves_the_old_object_and_no_parts(s3, target, key, batch):
    fill(target, batch, 5)
    old = s3.read(key)
    for rows in (1, 50_000):
        writer = target.open(SCOPE)
        writer.write(batch(rows))
        writer.abort()
        writer.abort()
        del writer
        assert s3.read(key) == old
        assert s3.unfinished(key) == []


def test_an_error_before_the_commit_leaves_the_old_object(s3, target, key, batch):
    fill(target, batch, 5)
    writer = target.open(SCOPE)
    writer.write(batch(50_000))
    with pytest.raises(ValueError, match="schema"):
        writer.write(batch(1).drop_columns(["extra"]))
    assert len(lines(s3, key)) == 5
    assert s3.unfinished(key) == []


@pytest.mark.parametrize("first", [0, 1])
def test_of_two_writers_the_later_commit_wins_whole(s3, target, key, batch, first):
    writers = [target.open(SCOPE), target.open(SCOPE)]
    for at in range(4):
        for number, writer in enumerate(writers):
            writer.write(batch(10_000, start=at * 10_000, email=f"writer {number}"))
    writers[first].commit()
    writers[1 - first].commit()
    data = lines(s3, key)
    assert len(data) == 40_000
    assert all(f"writer {1 - first}".encode() in line for line in data)
    assert s3.unfinished(key) == []


@pytest.mark.parametrize(
    ("point", "rows"), [("opened", 5), ("wrote 2", 5), ("before replace", 5), ("after replace", 60_000)]
)
def test_killed_it_leaves_old_or_new(s3, target, key, batch, stepper, point, rows):
    fill(target, batch, 5)
    writer = stepper(s3.uri(key), 3, 20_000)
    writer.until(point)
    writer.kill()
    assert len(lines(s3, key)) == rows
    assert s3.keys(key) == [key]
    assert s3.unfinished(key) == ([key] if rows == 5 else [])
    fill(target, batch, 60_000)
    assert len(lines(s3, key)) == len(set(lines(s3, key))) == 60_000
    assert s3.keys(key) == [key]


def test_a_missing_bucket_is_told(s3):
    with pytest.raises(FileNotFoundError, match=r"nowhere/a\.csv: the bucket does not exist"):
        ObjectStorageTarget(f"s3://{s3.conn_id}@nowhere/a.csv").open(SCOPE)


def test_a_missing_connection_is_told(s3):
    with pytest.raises(ValueError, match="there is no Airflow connection 'nobody'"):
        ObjectStorageTarget(f"s3://nobody@{s3.bucket}/a.csv").open(SCOPE)


def test_a_missing_right_is_told(s3, target):
    s3.guard(True)
    try:
        with pytest.raises(PermissionError, match="the connection has no right to write there") as refused:
            target.open(SCOPE)
    finally:
        s3.guard(False)
    assert "s3cr3t" not in str(refused.value)


def test_without_a_connection_the_surroundings_credentials_are_used(s3, key, monkeypatch, batch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "other")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    fill(ObjectStorageTarget(f"s3://{s3.bucket}/{key}"), batch, 2)
    assert len(lines(s3, key)) == 2


def test_a_package_that_is_missing_is_told(target, monkeypatch):
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    def no_fs(self):
        raise ModuleNotFoundError("No module named 's3fs'")

    monkeypatch.setattr(ObjectStoragePath, "fs", property(no_fs))
    with pytest.raises(ValueError, match=r"a package that this store needs cannot be imported: .*s3fs"):
        target.open(SCOPE)


def test_a_right_lost_half_way_leaves_the_old_object(s3, target, key, batch, caplog):
    fill(target, batch, 5)
    writer, some = target.open(SCOPE), batch(50_000)
    s3.guard(True)
    try:
        with caplog.at_level(logging.WARNING), pytest.raises(PermissionError):
            writer.write(some)
    finally:
        s3.guard(False)
    assert "what was staged could not be removed" in caplog.text
    assert len(lines(s3, key)) == 5


def test_a_store_that_dies_fails_the_commit_and_not_the_abort(start_s3, batch, caplog):
    with start_s3("altcraft_test_dying") as dying:
        uri = dying.uri("a.jsonl")
        writers = [ObjectStorageTarget(uri).open(SCOPE) for _ in range(2)]
        for writer in writers:
            writer.write(batch(10))
    with pytest.raises(Exception, match="onnect"):
        writers[0].commit()
    with caplog.at_level(logging.WARNING):
        writers[1].abort()
    assert f"{uri}: what was staged could not be removed" in caplog.text
    with pytest.raises(OSError, match=r"a\.jsonl: cannot be opened for writing: EndpointConnectionError"):
        ObjectStorageTarget(uri).open(SCOPE)


def test_airflow_reads_back_what_the_uri_names(target, batch):
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    (uri,) = fill(target, batch, 4).uris
    assert len(ObjectStoragePath(uri).read_bytes().splitlines()) == 4
