"""What only S3 has: rights and credentials that are lost, and a server that dies. The rest is in ``test_stores``."""

from __future__ import annotations

import logging

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
