"""What each store's class uses of its package that the package does not promise: these fail when one takes it away."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from adlfs import AzureBlobFileSystem
from adlfs.spec import AzureBlobFile
from gcsfs.core import GCSFile, GCSFileSystem
from gcsfs.extended_gcsfs import ExtendedGcsFileSystem
from gcsfs.retry import HttpError, validate_response
from gcsfs.zonal_file import ZonalFile
from s3fs import S3FileSystem

from airflow_provider.altcraft.targets.object_storage.order import Stamp
from airflow_provider.altcraft.targets.object_storage.stores import azure, gcs, s3
from airflow_provider.altcraft.targets.object_storage.stores.choice import store_class
from airflow_provider.altcraft.targets.object_storage.stores.fsspec import FsspecStore, statuses
from airflow_provider.altcraft.window import UTC

STAMP = Stamp(dt.datetime(2024, 1, 1, tzinfo=UTC), "scope")


class OwnS3(S3FileSystem):
    """As a company may have one."""

    protocol = "own"


class Other:
    """A file system without a line of its own."""


@pytest.mark.parametrize(
    ("kind", "store"),
    [
        (S3FileSystem, s3.S3Store),
        (OwnS3, s3.S3Store),
        (GCSFileSystem, gcs.GcsStore),
        (ExtendedGcsFileSystem, gcs.GcsStore),
        (AzureBlobFileSystem, azure.AzureStore),
        (Other, FsspecStore),
    ],
)
def test_a_file_system_has_its_store(kind: Any, store: type[FsspecStore]) -> None:
    assert store_class(object.__new__(kind)) is store


def test_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, dict[str, Any]]] = []

    def call(_fs: Any, method: str, *more: dict[str, Any], **kwargs: Any) -> dict[str, str]:
        calls.append((method, {name: value for each in (*more, kwargs) for name, value in each.items()}))
        return {"UploadId": "7"}

    monkeypatch.setattr(S3FileSystem, "call_s3", call)
    monkeypatch.setattr(S3FileSystem, "abort_mpu", lambda _fs, *args: calls.append(("abort_mpu", {"args": args})))
    fs = S3FileSystem(anon=True, skip_instance_cache=True)
    s3.S3Store("s3://b/", fs, "b/").stage("k", shared=True, stamp=STAMP).discard()
    (began, first), (looked, where), (ended, which) = calls
    assert (began, first["Bucket"], first["Key"]) == ("create_multipart_upload", "b", "k")
    assert first["Metadata"] == {"altcraft-pull": str(STAMP)}
    assert (looked, where["Bucket"], where["Prefix"]) == ("list_multipart_uploads", "b", "k")
    assert (ended, which["args"]) == ("abort_mpu", ("b", "k", "7"))


def test_google_says_what_is_refused() -> None:
    with (
        pytest.raises(PermissionError, match=r"storage\.objects\.delete: Forbidden"),
        gcs.GcsStore.translated_errors("gs://b/"),
    ):
        validate_response(403, b"", "address")
    with pytest.raises(FileExistsError) as unmet:
        validate_response(412, b"", "address")
    with pytest.raises(HttpError) as other:
        validate_response(409, b"", "address")
    assert 412 in statuses(unmet.value)
    assert 409 in statuses(other.value)


def test_google(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    fs = GCSFileSystem(token="anon", skip_instance_cache=True)
    assert fs._location == "http://127.0.0.1:9"
    staged = object.__new__(gcs.StagedResumable)
    assert staged._is_safe(GCSFile)
    assert not staged._is_safe(ZonalFile)
    assert callable(GCSFile._initiate_upload)
    assert callable(fs.call)


def test_azure() -> None:
    """Blocks of one blob have ids of one length, from whichever writer, adlfs's own included."""
    fs = AzureBlobFileSystem(account_name="account", account_key="a2V5", skip_instance_cache=True)
    blob = fs.service_client.get_blob_client("container", "key")
    for method in (
        "stage_block", "commit_block_list", "get_blob_properties", "upload_blob", "download_blob", "delete_blob"
    ):  # fmt: skip
        assert callable(getattr(blob, method))
    assert callable(fs.service_client.get_container_client("container").list_blobs)
    assert azure.account_of(fs) == "account"
    assert fs.loop.is_running()
    assert len(AzureBlobFile._get_block_id()) == len(azure._new_id())
