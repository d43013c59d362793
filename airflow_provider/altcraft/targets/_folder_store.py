"""A folder of parts in a store."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from airflow_provider.altcraft._reach import reach
from airflow_provider.altcraft.targets import _azure, _folder, _store

if TYPE_CHECKING:
    from airflow_provider.altcraft.targets._staged import Staged

log = logging.getLogger(__name__)

_PIECE = 16 << 20


class StoreFolder:
    """The folder at ``uri``, which ends in ``/``."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        with _store.saying(uri):
            self._fs, self._path = reach(uri)
        self._bucket, _, self._prefix = self._path.partition("/")
        kinds = {base.__name__ for base in type(self._fs).__mro__}
        self._is_s3 = "S3FileSystem" in kinds
        self._is_gcs = "GCSFileSystem" in kinds
        self._is_azure = _store.is_azure(self._fs)

    def hold(self, attempt: str) -> StoreLease:
        """Write a lease, and renew it from now on."""
        with _store.saying(self.uri):
            return StoreLease(self, f"_lease-{attempt}")

    def living(self) -> set[str]:
        """Attempts whose lease is young."""
        entries = {name: _modified(entry) for name, entry in self._list().items()}
        # By the store's clock, and never later than that: what was written last is at least as old as now.
        now = max(entries.values(), default=None)
        return {
            match[1]
            for name, modified in entries.items()
            if (match := _folder.LEASE.fullmatch(name))
            and now is not None
            and (now - modified).total_seconds() < _folder.DEAD
        }

    def sizes(self) -> dict[str, int]:
        """What is there now, and how large."""
        return {name: int(entry["size"] or 0) for name, entry in self._list().items()}

    def stage(self, name: str) -> Staged:
        """Begin an object that nobody else writes."""
        return _store.stage(self.uri + name, shared=False)

    def copy(self, source: str, name: str) -> None:
        """Have the store copy, where that is sure to be done when it returns; else by way of this machine."""
        if self._is_s3 or self._is_gcs:
            self._fs.cp_file(self._path + source, self._path + name)
            return
        size, at = self.sizes().get(source), 0
        if size is None:
            raise FileNotFoundError(f"{self.uri}{source} has gone")
        staged = self.stage(name)
        try:
            while at < size:
                piece = self._read_range(source, at, min(at + _PIECE, size))
                staged.write(piece)
                at += len(piece)
            staged.commit()
        except BaseException:
            staged.discard()
            raise

    def read(self, name: str) -> bytes | None:
        """A small object."""
        try:
            if self._is_azure:
                return bytes(self._read_range(name, 0, None))
            return bytes(self._fs.cat_file(self._path + name))
        except FileNotFoundError:
            return None

    def version(self, name: str) -> object | None:
        """The store's own mark: an ETag or a generation."""
        entry = self._list().get(name)
        marks = ("generation", "ETag", "etag")
        return None if entry is None else next((str(entry[mark]) for mark in marks if entry.get(mark)), "")

    def replace(self, name: str, data: bytes, version: object | None) -> bool:
        """Put it on the condition, which S3, Azure and Google know; elsewhere without."""
        try:
            if self._is_s3:
                match: dict[str, Any] = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
                self._fs.call_s3("put_object", Bucket=self._bucket, Key=self._prefix + name, Body=data, **match)
            elif self._is_azure:
                from azure.core import MatchConditions

                match = {"match_condition": MatchConditions.IfMissing}
                if version is not None:
                    match = {"match_condition": MatchConditions.IfNotModified, "etag": version}
                self._blob(name, "upload_blob", data, overwrite=True, **match)
            elif self._is_gcs:
                self._fs.call(
                    "POST",
                    f"{self._fs._location}/upload/storage/v1/b/{{}}/o",
                    self._bucket,
                    name=self._prefix + name,
                    uploadType="media",
                    ifGenerationMatch=version or "0",
                    headers={"Content-Type": "application/octet-stream"},
                    data=data,
                )
            else:
                self._put_staged(name, data)
        except Exception as error:
            if _is_conflict(error):
                return False
            raise
        finally:
            self._fs.invalidate_cache()
        return True

    def put(self, name: str, data: bytes) -> None:
        """Put a small object, whatever is there."""
        if self._is_azure:
            self._blob(name, "upload_blob", data, overwrite=True)
        else:
            self._fs.pipe_file(self._path + name, data)

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects, also those that have gone."""
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                if self._is_azure:
                    self._blob(name, "delete_blob")
                else:
                    self._fs.rm_file(self._path + name)
        self._fs.invalidate_cache()

    def drop_uploads(self, prefix: str, living: set[str]) -> None:
        """Drop unfinished uploads on S3 and Azure; Google drops its own after a week, and lists none."""
        start = self._prefix + prefix

        def dead(key: str) -> bool:
            # The server of a test may not look at the prefix.
            return key.startswith(start) and key.removeprefix(start).partition("-")[0] not in living

        if self._is_s3:
            found = self._fs.call_s3("list_multipart_uploads", Bucket=self._bucket, Prefix=start)
            for upload in found.get("Uploads", []):
                if dead(upload["Key"]):
                    self._fs.call_s3(
                        "abort_multipart_upload", Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                    )
        elif self._is_azure:
            # Blocks alone cannot be deleted, but a blob of none of them can.
            for key in filter(dead, _azure.uncommitted(self._fs, self._bucket, start)):
                _azure.run(self._fs, self._bucket, key, "commit_block_list", [])
                _azure.run(self._fs, self._bucket, key, "delete_blob")

    def _put_staged(self, name: str, data: bytes) -> None:
        staged = self.stage(name)
        try:
            staged.write(data)
            staged.commit()
        except BaseException:
            staged.discard()
            raise

    def _list(self) -> dict[str, dict[str, Any]]:
        self._fs.invalidate_cache()
        try:
            entries = self._fs.ls(self._path.rstrip("/"), detail=True)
        except FileNotFoundError:
            return {}
        return {each["name"].rpartition("/")[2]: each for each in entries if each["type"] == "file"}

    def _read_range(self, name: str, start: int, end: int | None) -> bytes:
        if not self._is_azure:
            return bytes(self._fs.cat_file(self._path + name, start=start, end=end))
        length = None if end is None else end - start
        return bytes(_azure.wait(self._fs, self._blob(name, "download_blob", offset=start, length=length).readall))

    def _blob(self, name: str, method: str, *args: Any, **kwargs: Any) -> Any:
        return _azure.run(self._fs, self._bucket, self._prefix + name, method, *args, **kwargs)


class StoreLease:
    """An object that a thread renews."""

    def __init__(self, folder: StoreFolder, name: str) -> None:
        self._folder = folder
        self._name = name
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._lost = False
        self._renewed = _now()
        self._renew()
        self._thread = threading.Thread(target=self._keep, name="altcraft-lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Make sure that nobody takes this attempt for dead; renews where the thread could not."""
        with self._lock:
            if _now() - self._renewed > _folder.VALID and not self._lost:
                self._renew()
            if self._lost:
                raise OSError(
                    f"{self._folder.uri}: the lease of this write could not be renewed for {_folder.DEAD:.0f} s, so "
                    f"another attempt may have taken it for dead and removed its parts; nothing was committed"
                )

    def release(self) -> None:
        """Remove the object."""
        self.leave()
        self._folder.remove([self._name])

    def leave(self) -> None:
        """Renew it no more."""
        self._end.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._end.wait(_folder.RENEW):
            try:
                with self._lock:
                    self._renew()
            except Exception as error:  # whatever a store that is gone may raise; `check` decides
                log.warning("%s%s could not be renewed: %s", self._folder.uri, self._name, error)

    def _renew(self) -> None:
        began = _now()
        self._folder.put(self._name, b"")
        if _now() - self._renewed > _folder.DEAD * 0.9:
            self._lost = True
        self._renewed = began


def _now() -> float:
    """Seconds that go on while the machine sleeps, where it tells them."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _modified(entry: dict[str, Any]) -> dt.datetime:
    for key in ("LastModified", "last_modified", "updated", "mtime", "created"):
        value = entry.get(key)
        if isinstance(value, str):
            value = dt.datetime.fromisoformat(value)
        if isinstance(value, dt.datetime):
            return value if value.tzinfo else value.replace(tzinfo=dt.UTC)
        if isinstance(value, int | float):
            return dt.datetime.fromtimestamp(value, dt.UTC)
    raise ValueError(
        f"{entry['name']}: the store does not tell when objects were written, by which parts of living attempts are "
        f"told from those of dead ones; write one object instead of a folder"
    )


def _is_conflict(error: BaseException | None) -> bool:
    """Whether a condition was not met, in the words of any of the stores."""
    while error is not None:
        status = getattr(error, "status_code", None) or getattr(error, "code", None)
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if isinstance(error, FileExistsError) or status in {409, 412}:
            return True
        error = error.__cause__
    return False
