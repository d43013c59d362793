"""Unfinished uploads to one key of S3: the living show that they live, and what the dead left is aborted.

A killed writer leaves a multipart upload that no reader sees and that the store keeps, and bills, for ever. When it was
begun tells nothing of its writer's life. So whoever writes sends, at first and then all the time, one byte as the part
of the highest number, which no completion names. An upload whose last part is older than ``DEAD`` seconds, by the
store's own clock, is a dead one's; one that was killed before its first sign is as old as it is.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
import weakref
from email.utils import parsedate_to_datetime
from typing import Any

log = logging.getLogger(__name__)

SHOW = 300.0
"""Seconds between two signs of life."""
DEAD = 3600.0
"""Seconds without one after which an upload is aborted, so that no commit can complete it any more."""

_SIGN = 10_000
"""The highest number that S3 gives a part."""


class Upload:
    """That the upload which an S3 file has begun is written by somebody who lives; it shows so from now on."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._ended = False
        self._showing = threading.Lock()
        self.id: str = file.mpu["UploadId"]
        self._show()
        _LIVING.add(self)

    def end(self) -> None:
        """Show it no more; none is under way after the call."""
        _LIVING.remove(self)
        with self._showing:
            self._ended = True

    def show(self) -> None:
        """Send one more sign; a failure is only logged, as there are many more to come."""
        with self._showing:
            if self._ended:
                return
            try:
                self._show()
            except Exception as error:  # whatever a store that is gone may raise
                log.debug("The upload to %s could not be kept alive: %s", self._file.path, error)

    def abort_dead(self) -> None:
        """Abort the uploads of dead writers to the same key; whoever may not leaves them to the store's rules."""
        file = self._file
        try:
            # In the order of keys: those of this very one come first.
            answer = file._call_s3("list_multipart_uploads", Bucket=file.bucket, Prefix=file.key)
            for other in answer.get("Uploads", []):
                if other["Key"] == file.key and other["UploadId"] != self.id and _is_dead(file, other):
                    file.fs.call_s3(
                        "abort_multipart_upload", Bucket=file.bucket, Key=file.key, UploadId=other["UploadId"]
                    )
                    log.info("%s: the unfinished upload of a dead attempt was removed", file.path)
        except Exception as error:  # whatever a store may answer
            log.debug("%s: unfinished uploads of dead attempts could not be removed: %s", file.path, error)

    def _show(self) -> None:
        file = self._file
        file._call_s3("upload_part", Bucket=file.bucket, Key=file.key, UploadId=self.id, PartNumber=_SIGN, Body=b"-")


def _is_dead(file: Any, upload: dict[str, Any]) -> bool:
    times: list[dt.datetime] = []
    answer: dict[str, Any] = {"IsTruncated": True, "NextPartNumberMarker": 0}
    while answer["IsTruncated"]:
        answer = file._call_s3(
            "list_parts",
            Bucket=file.bucket,
            Key=file.key,
            UploadId=upload["UploadId"],
            PartNumberMarker=answer["NextPartNumberMarker"],
        )
        times += [part["LastModified"] for part in answer.get("Parts", [])]
    now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    return (now - max(times, default=upload["Initiated"])).total_seconds() > DEAD


class _Living:
    """The uploads of this process, which one thread shows."""

    def __init__(self) -> None:
        self._uploads: weakref.WeakSet[Upload] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, upload: Upload) -> None:
        with self._lock:
            self._uploads.add(upload)
            if self._thread is None or not self._thread.is_alive():  # never begun, or left behind by a fork
                self._thread = threading.Thread(target=self._keep_showing, name="altcraft-uploads", daemon=True)
                self._thread.start()

    def remove(self, upload: Upload) -> None:
        with self._lock:
            self._uploads.discard(upload)

    def _keep_showing(self) -> None:
        while True:
            time.sleep(SHOW)
            with self._lock:
                uploads = list(self._uploads)
            for upload in uploads:
                upload.show()


_LIVING = _Living()
