"""The life of a writer: what may follow what."""

from __future__ import annotations

import concurrent.futures
import logging
import os
import threading

import pytest

from airflow_provider.altcraft.targets import ObjectStorageTarget, Scope, Target, TargetWriter
from airflow_provider.altcraft.targets.object_storage.format import Encoder
from airflow_provider.altcraft.targets.object_storage.path import check
from airflow_provider.altcraft.targets.object_storage.target import ObjectWriter

SCOPE = Scope(1, None)


@pytest.fixture
def target(tmp_path):
    return ObjectStorageTarget(f"file://{tmp_path}/deep/er/a.jsonl")


def test_it_follows_the_protocol(target):
    writer = target.open(SCOPE)
    assert isinstance(target, Target)
    assert isinstance(writer, TargetWriter)
    writer.abort()


def test_a_commit_says_what_it_left(target, tmp_path, batch):
    writer = target.open(SCOPE)
    writer.write(batch(3))
    writer.write(batch(2, start=3))
    written = writer.commit()
    file = tmp_path / "deep/er/a.jsonl"
    assert written.uris == (f"file://{file}",)
    assert written.rows == 5 == len(file.read_bytes().splitlines())
    assert written.bytes == file.stat().st_size


@pytest.mark.parametrize("end", ["commit", "abort"])
def test_an_ended_writer_takes_nothing_more(target, batch, end):
    writer = target.open(SCOPE)
    getattr(writer, end)()
    for again in (lambda: writer.write(batch(1)), writer.commit):
        with pytest.raises(RuntimeError, match=f"was {end}t?ed already; open the target again"):
            again()


def test_abort_twice_and_after_a_commit_does_nothing(target, tmp_path, batch):
    writer = target.open(SCOPE)
    writer.write(batch(1))
    writer.commit()
    writer.abort()
    assert len((tmp_path / "deep/er/a.jsonl").read_bytes().splitlines()) == 1
    writer = target.open(SCOPE)
    writer.abort()
    writer.abort()
    assert [path.name for path in (tmp_path / "deep/er").iterdir()] == ["a.jsonl"]


def test_a_failed_write_ends_the_writer_and_leaves_nothing(target, tmp_path, batch):
    writer = target.open(SCOPE)
    with pytest.raises(ValueError, match="schema"):
        writer.write(batch(1).drop_columns(["extra"]))
    assert list((tmp_path / "deep/er").iterdir()) == []
    with pytest.raises(RuntimeError, match="aborted already"):
        writer.commit()


def test_an_abort_waits_for_a_commit_under_way(target, tmp_path, batch, monkeypatch):
    real, syncing, go_on = os.fsync, threading.Event(), threading.Event()

    def fsync(descriptor):
        syncing.set()
        assert go_on.wait(10)
        real(descriptor)

    writer = target.open(SCOPE)
    writer.write(batch(30_000))
    monkeypatch.setattr(os, "fsync", fsync)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        committing = pool.submit(writer.commit)
        assert syncing.wait(10)
        aborting = pool.submit(writer.abort)
        with pytest.raises(TimeoutError):
            aborting.result(0.2)
        go_on.set()
        assert committing.result().rows == 30_000
        aborting.result()
    assert len((tmp_path / "deep/er/a.jsonl").read_bytes().splitlines()) == 30_000


class Broken:
    """A store that goes away."""

    uri = "s3://bucket/gone.csv"

    def write(self, data: bytes) -> None:
        raise KeyboardInterrupt

    def finish(self) -> None:
        raise AssertionError("never reached")

    def commit(self) -> None:
        raise AssertionError("never reached")

    def discard(self) -> None:
        raise ConnectionError("nobody there")


def test_abort_never_raises_for_a_store_that_is_gone(caplog, batch):
    staged = Broken()
    writer = ObjectWriter(check("s3://bucket/gone.jsonl"), staged, Encoder(".jsonl", staged.write))
    writer.write(batch(1))  # held, not yet sent
    with caplog.at_level(logging.WARNING), pytest.raises(KeyboardInterrupt):
        writer.commit()
    assert "s3://bucket/gone.csv: what was staged could not be removed: nobody there" in caplog.text
    writer.abort()
    assert len(caplog.records) == 1
