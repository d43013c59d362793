"""What only S3 has: rights and credentials that are lost, a server that dies, and uploads that nobody finishes.

The rest is in ``test_stores``.
"""

from __future__ import annotations

import datetime as dt
import json
import logging

import pytest

from airflow_provider.altcraft.targets import ObjectStorageTarget, Scope
from airflow_provider.altcraft.targets.object_storage.stores import fsspec as _fsspec
from airflow_provider.altcraft.targets.object_storage.stores import s3 as _s3
from airflow_provider.altcraft.window import Window

SCOPE = Scope(1, None)


@pytest.fixture
def key(request, monkeypatch):
    monkeypatch.setattr(_fsspec, "_PART", 5 << 20)
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


def test_a_missing_right_is_reported(s3, target):
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


def test_a_package_that_is_missing_is_reported(target, monkeypatch):
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    def no_fs(self):
        raise ModuleNotFoundError("No module named 's3fs'")

    monkeypatch.setattr(ObjectStoragePath, "fs", property(no_fs))
    with pytest.raises(ValueError, match=r"what 's3' needs is not installed .*s3fs.*: pip install"):
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


def parts(s3, key):
    """When the last part of each unfinished upload to a key came, by the upload's id; ``None`` for one without."""
    found = s3.client.list_multipart_uploads(Bucket=s3.bucket, Prefix=key).get("Uploads", [])
    listed = {
        each["UploadId"]: s3.client.list_parts(Bucket=s3.bucket, Key=each["Key"], UploadId=each["UploadId"])
        for each in found
        if each["Key"].startswith(key)
    }
    return {
        name: max((part["LastModified"] for part in answer.get("Parts", [])), default=None)
        for name, answer in listed.items()
    }


def upload_of(writer):
    return writer._staged._file.mpu["UploadId"]


def test_what_is_abandoned_for_days_goes_with_the_next(s3, target, key, batch, stepper, monkeypatch):
    """What was killed, or abandoned in some other way; and nothing younger, no matter who writes it."""
    dying = stepper(s3.uri(key), 1, 50_000)
    dying.until("before replace")
    dying.kill()
    ((dead, died),) = parts(s3, key).items()
    others = {"Bucket": s3.bucket, "Key": f"{key}.of.another.jsonl"}
    other = s3.client.create_multipart_upload(**others)["UploadId"]
    s3.client.upload_part(**others, UploadId=other, PartNumber=1, Body=b"-")
    idle = target.open(SCOPE)
    assert set(parts(s3, key)) == {dead, other, upload_of(idle)}

    now = died + dt.timedelta(days=7)
    monkeypatch.setattr(_s3, "parsedate_to_datetime", lambda date: now)
    target.open(SCOPE).abort()
    assert set(parts(s3, key)) == {dead, other, upload_of(idle)}
    now += dt.timedelta(seconds=1)
    target.open(SCOPE).abort()
    assert set(parts(s3, key)) == {other, upload_of(idle)}
    idle.write(batch(3))
    idle.commit()
    assert len(lines(s3, key)) == 3
    assert set(parts(s3, key)) == {other}


def test_what_was_abandoned_of_days_goes_with_the_next(s3, request, batch, monkeypatch):
    folder = f"{request.node.name}/"
    target = ObjectStorageTarget(s3.uri(f"{folder}date={{date}}/a.jsonl"))
    days = Scope(1, None, Window.of("2024-01-01", "2024-01-03"))
    dying = target.open(days)
    dying.write(batch(3))
    for day in dying._days:
        dying._send(day)
    left = {name: died for name, died in parts(s3, folder).items() if died}
    assert left  # days without events have no part yet
    dying._spool.close()
    later = max(left.values()) + _s3.ABANDONED + dt.timedelta(seconds=1)
    monkeypatch.setattr(_s3, "parsedate_to_datetime", lambda date: later)
    writer = target.open(days)
    writer.write(batch(5))
    writer.commit()
    assert not set(parts(s3, folder)) & set(left)
    assert len(lines(s3, f"{folder}date=2024-01-01/a.jsonl")) == 5


def test_a_writer_slower_than_that_changes_nothing(s3, target, key, batch, monkeypatch):
    slow = target.open(SCOPE)
    slow.write(batch(50_000))
    later = max(parts(s3, key).values()) + _s3.ABANDONED + dt.timedelta(seconds=1)
    monkeypatch.setattr(_s3, "parsedate_to_datetime", lambda date: later)
    fill(target, batch, 5)
    with pytest.raises(OSError, match=r"a\.jsonl: cannot be written: "):
        slow.commit()
    assert len(lines(s3, key)) == 5


@pytest.mark.parametrize("shape", ["a.jsonl", "date={date}.jsonl"])
def test_the_parts_that_are_sent_are_those_that_are_named(s3, key, batch, monkeypatch, shape):
    """In sequence and without a gap: there are stores that refuse a completion otherwise."""
    from s3fs.core import S3File

    sent, named, real = [], [], S3File._call_s3

    def call(file, method, *args, **kwargs):
        if method == "upload_part":
            sent.append((kwargs["UploadId"], kwargs["PartNumber"]))
        if method == "complete_multipart_upload":
            named.extend((kwargs["UploadId"], part["PartNumber"]) for part in kwargs["MultipartUpload"]["Parts"])
        return real(file, method, *args, **kwargs)

    monkeypatch.setattr(S3File, "_call_s3", call)
    writer = ObjectStorageTarget(s3.uri(f"{key}/{shape}")).open(Scope(1, None, Window.of("2024-01-01", "2024-01-01")))
    writer.write(batch(50_000))
    writer.commit()
    assert sent == named
    assert [number for _, number in sent] == list(range(1, len(sent) + 1))
    assert len(sent) > 1


def test_who_may_not_look_for_abandoned_uploads_writes_all_the_same(s3, key, batch, monkeypatch, caplog):
    """A user whose rights, which the server checks, are to write and nothing else."""
    import boto3

    iam = boto3.client(
        "iam", endpoint_url=s3.endpoint, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    iam.create_user(UserName="writer")
    rights = {"Effect": "Allow", "Action": ["s3:PutObject", "s3:AbortMultipartUpload"], "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [rights]})
    iam.put_user_policy(UserName="writer", PolicyName="writes", PolicyDocument=policy)
    keys = iam.create_access_key(UserName="writer")["AccessKey"]
    extra = {"endpoint_url": s3.endpoint, "region_name": "us-east-1"}
    connection = {
        "conn_type": "aws", "login": keys["AccessKeyId"], "password": keys["SecretAccessKey"], "extra": extra
    }  # fmt: skip
    monkeypatch.setenv("AIRFLOW_CONN_ALTCRAFT_TEST_WRITER", json.dumps(connection))
    s3.guard(True)
    try:
        with caplog.at_level(logging.DEBUG, "airflow_provider"):
            assert fill(ObjectStorageTarget(f"s3://altcraft_test_writer@{s3.bucket}/{key}"), batch, 4).rows == 4
    finally:
        s3.guard(False)
    (record,) = [record for record in caplog.records if "abandoned uploads could not be removed" in record.message]
    assert record.levelno == logging.DEBUG
    assert "AccessDenied" in record.message or "Access Denied" in record.message
    assert len(lines(s3, key)) == 4
