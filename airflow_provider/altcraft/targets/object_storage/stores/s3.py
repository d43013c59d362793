"""S3 through s3fs: everything that the package uses of it beyond fsspec's interface.

A killed writer leaves an unfinished upload, which no reader sees, but whose parts the store keeps and bills until it is
aborted. Nothing in S3 shows whether the writer of an upload still lives, so the next writer of the key goes by age, as
a lifecycle rule does: it aborts an upload whose last part is older than ``ABANDONED`` by the store's clock. An upload
without parts costs nothing and stays.
"""

from __future__ import annotations

import datetime as dt
import logging
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from airflow_provider.altcraft._redact import redacted
from airflow_provider.altcraft.targets.object_storage.stores.fsspec import FsspecStore, StagedObject

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider.altcraft.targets.object_storage.order import Stamp

log = logging.getLogger(__name__)

ABANDONED = dt.timedelta(days=7)
"""The age after which an upload is aborted, so that no commit can complete it any longer."""

_STAMP = "altcraft-pull"
"""The key of an object's metadata with the stamp of its pull."""


class StagedUpload(StagedObject):
    """A multipart upload."""

    def _stamp_options(self, stamp: Stamp) -> dict[str, Any]:
        return {"Metadata": {_STAMP: str(stamp)}}

    def _remove_abandoned(self) -> None:
        abort_abandoned(self._file)

    def _stored_stamp(self) -> str | None:
        try:
            found = self._fs.call_s3("head_object", Bucket=self._file.bucket, Key=self._file.key)["Metadata"]
        except (FileNotFoundError, PermissionError):  # the right to write may come without the right to read
            return None
        stamp: str | None = found.get(_STAMP)
        return stamp


class S3Store(FsspecStore):
    """A bucket of S3 or of a compatible store."""

    staged = StagedUpload
    has_conditions = True

    def copy(self, source: str, name: str) -> None:
        """Copy within the store, which has finished when its call returns."""
        self._fs.cp_file(self._path + source, self._path + name)

    def drop_uploads(self, prefix: str, is_dead: Callable[[str], bool]) -> None:
        """Abort unfinished uploads to dead names with this prefix."""
        found = self._fs.call_s3("list_multipart_uploads", Bucket=self._bucket, Prefix=self._key + prefix)
        for upload in found.get("Uploads", []):
            key = upload["Key"]
            # The server of a test may ignore the prefix.
            if key.startswith(self._key) and is_dead(key.removeprefix(self._key)):
                self._fs.call_s3("abort_multipart_upload", Bucket=self._bucket, Key=key, UploadId=upload["UploadId"])

    def _put_if(self, name: str, data: bytes, version: object | None) -> None:
        match: dict[str, Any] = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
        self._fs.call_s3("put_object", Bucket=self._bucket, Key=self._key + name, Body=data, **match)


def abort_abandoned(file: Any) -> None:
    """Abort old uploads to the key of an S3 file that is being written, if the connection has the rights for it."""
    try:
        # Sorted by key, so those to this key come first.
        answer = file._call_s3("list_multipart_uploads", Bucket=file.bucket, Prefix=file.key)
        for other in answer.get("Uploads", []):
            same_key = other["Key"] == file.key and other["UploadId"] != file.mpu["UploadId"]
            if same_key and _is_abandoned(file, other["UploadId"]):
                file._call_s3("abort_multipart_upload", Bucket=file.bucket, Key=file.key, UploadId=other["UploadId"])
                log.info("%s: an abandoned upload was removed", file.path)
    except Exception as error:  # any error of a store
        log.debug("%s: abandoned uploads could not be removed: %s", file.path, redacted(error))


def _is_abandoned(file: Any, upload: str) -> bool:
    times: list[dt.datetime] = []
    answer: dict[str, Any] = {"IsTruncated": True, "NextPartNumberMarker": 0}
    while answer["IsTruncated"]:
        answer = file._call_s3(
            "list_parts",
            Bucket=file.bucket,
            Key=file.key,
            UploadId=upload,
            PartNumberMarker=answer["NextPartNumberMarker"],
        )
        times += [part["LastModified"] for part in answer.get("Parts", [])]
    now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    return bool(times) and now - max(times) > ABANDONED
