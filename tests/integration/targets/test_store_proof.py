"""What a store refuses of a commit: known when the target opens, as far as it can be tried, and said in words."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider.altcraft.targets import ObjectStorageTarget, Scope
from tests.integration.stores import S3, Gcs

SCOPE = Scope(1, None)


def write(target: ObjectStorageTarget, batch: Any, rows: int) -> None:
    writer = target.open(SCOPE)
    writer.write(batch(rows))
    writer.commit()


def test_no_right_to_replace_an_object_of_google(gcs: Gcs, batch: Any) -> None:
    """It cannot be tried without a trace, so the second commit fails, and names the right."""
    key = "undeletable/a.jsonl"
    target = ObjectStorageTarget(gcs.uri(key))
    write(target, batch, 3)
    with pytest.raises(PermissionError, match=r"replace the object: Google takes storage\.objects\.delete") as refused:
        write(target, batch, 5)
    assert str(refused.value).startswith(gcs.uri(key))
    assert "upload_id" not in str(refused.value)
    assert len(gcs.read(key).splitlines()) == 3


def test_no_right_to_replace_a_manifest_of_google(gcs: Gcs) -> None:
    target = ObjectStorageTarget(gcs.uri("undeletable/parts/"))
    with pytest.raises(PermissionError, match=r"to replace or remove what is there, storage\.objects\.delete"):
        target.open(SCOPE)


@pytest.mark.parametrize("does", ["never met", "refused", "ignored"])
def test_a_store_without_conditions(s3: S3, does: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As some that only speak like S3: they hold a condition never met, refuse it, or write whatever it says."""
    from botocore.exceptions import ClientError
    from s3fs.core import S3FileSystem

    real = S3FileSystem._call_s3

    async def call(fs: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        conditions = {name: kwargs.pop(name) for name in ("IfMatch", "IfNoneMatch") if name in kwargs}
        if method == "put_object" and conditions and does != "ignored":
            answer = {"HTTPStatusCode": 412 if does == "never met" else 501}
            raise ClientError({"Error": {"Code": "NotImplemented"}, "ResponseMetadata": answer}, "PutObject")
        return await real(fs, method, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(S3FileSystem, "_call_s3", call)
        patch.setattr(S3FileSystem, "call_s3", lambda fs, *args, **kwargs: _sync(fs, call, fs, *args, **kwargs))
        with pytest.raises(ValueError, match="on the condition that nobody else has done so"):
            ObjectStorageTarget(s3.uri(f"conditions {does}/")).open(SCOPE)
    assert s3.keys(f"conditions {does}/") == []
    assert s3.unfinished(f"conditions {does}/") == []


def _sync(fs: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
    from fsspec.asyn import sync

    return sync(fs.loop, function, *args, **kwargs)


@pytest.mark.parametrize("kind", ["s3", "azure", "gcs", "disk"])
def test_a_folder_that_opens_leaves_nothing(request: Any, kind: str) -> None:
    store = request.getfixturevalue(kind)
    ObjectStorageTarget(store.uri("opens/")).open(SCOPE).abort()
    assert store.keys("opens/") == []
    if hasattr(store, "unfinished"):
        assert store.unfinished("opens/") == []
