"""Azure's blobs through adlfs: everything that the package uses of it beyond fsspec's interface.

A blob is uploaded as blocks, which are invisible until a list of them is committed.

Uncommitted blocks belong to the blob, not to a writer: a commit drops those that are not in its list. So a writer keeps
a copy of its blocks on the local disk, and uploads them again where the commit of another writer has dropped them.
Blocks of a dead writer are dropped by the next commit, in a folder of parts by the next cleaning up, or after a week.
"""

from __future__ import annotations

import contextlib
import tempfile
import uuid
from typing import TYPE_CHECKING, Any

from airflow_provider.altcraft.targets.object_storage.stores import fsspec
from airflow_provider.altcraft.targets.object_storage.stores.fsspec import FsspecStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider.altcraft.targets.object_storage.order import Stamp

_TRIES = 10
_STAMP = "altcraft_pull"
"""The key of a blob's metadata with the stamp of its pull; Azure accepts no hyphen."""


class StagedBlob:
    """The blob at ``uri`` being written."""

    def __init__(self, uri: str, fs: Any, path: str, stamp: Stamp | None = None) -> None:
        self.uri = uri
        self._stamp = stamp
        self._fs = fs
        self._container, _, self._key = path.partition("/")
        self._buffer = bytearray()
        self._blocks: list[tuple[str, int]] = []
        self._spool: Any = tempfile.TemporaryFile(prefix="altcraft-")  # noqa: SIM115 - closed by commit and discard
        try:
            # A block that no list will name, so that a missing container or right is noticed now.
            self._upload(_new_id(), b"-")
        except BaseException:
            self._spool.close()
            raise

    def write(self, data: bytes) -> None:
        """Append data; send each full block."""
        self._buffer += data
        while len(self._buffer) >= fsspec._PART:
            self._add_block(bytes(self._buffer[: fsspec._PART]))
            del self._buffer[: fsspec._PART]

    def finish(self) -> None:
        """Send the last block."""
        if self._buffer:
            self._add_block(bytes(self._buffer))
            self._buffer.clear()

    def commit(self) -> bool:
        """Publish the blob; ``False`` where a later pull has written it, so that it stays."""
        from azure.core.exceptions import HttpResponseError
        from azure.storage.blob import BlobBlock

        self.finish()
        if self._stamp and self._stamp.overtaken_by(self._stored_stamp(), self.uri):
            self.discard()
            return False
        options = {} if self._stamp is None else {"metadata": {_STAMP: str(self._stamp)}}
        for tries_left in reversed(range(_TRIES)):
            try:
                self._call("commit_block_list", [BlobBlock(name) for name, _ in self._blocks], **options)
                break
            except HttpResponseError as error:
                if getattr(error, "error_code", None) != "InvalidBlockList" or not tries_left:
                    raise
                self._upload_again()
        self._spool.close()
        return True

    def discard(self) -> None:
        """Leave the invisible blocks to the next commit, or to the store."""
        self._buffer.clear()
        self._spool.close()

    def _stored_stamp(self) -> str | None:
        try:
            return dict(self._call("get_blob_properties").metadata or {}).get(_STAMP)
        except (FileNotFoundError, PermissionError):  # the right to write may come without the right to read
            return None

    def _add_block(self, data: bytes) -> None:
        name = _new_id()
        self._spool.seek(0, 2)
        self._spool.write(data)
        self._blocks.append((name, len(data)))
        self._upload(name, data)

    def _upload_again(self) -> None:
        self._spool.seek(0)
        for name, size in self._blocks:
            self._upload(name, self._spool.read(size))

    def _upload(self, name: str, data: bytes) -> None:
        self._call("stage_block", name, data, length=len(data))

    def _call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return call_blob(self._fs, self._container, self._key, method, *args, **kwargs)


class AzureStore(FsspecStore):
    """A container, reached through the Azure client of adlfs, which takes a key as it is written."""

    has_conditions = True

    def put(self, name: str, data: bytes) -> None:
        """Write a small blob, whether or not there is one."""
        self._blob(name, "upload_blob", data, overwrite=True)

    def read(self, name: str) -> bytes:
        """Return a small blob."""
        return self._download(name, 0, None)

    def drop_uploads(self, prefix: str, is_dead: Callable[[str], bool]) -> None:
        """Drop uncommitted blocks: commit a blob without any of them, and delete it."""
        for key in uncommitted_blobs(self._fs, self._bucket, self._key + prefix):
            if key.startswith(self._key) and is_dead(key.removeprefix(self._key)):
                call_blob(self._fs, self._bucket, key, "commit_block_list", [])
                call_blob(self._fs, self._bucket, key, "delete_blob")

    def _stage(self, uri: str, path: str, *, shared: bool, stamp: Stamp | None) -> StagedBlob:
        return StagedBlob(uri, self._fs, path, stamp)

    def _put_if(self, name: str, data: bytes, version: object | None) -> None:
        from azure.core import MatchConditions

        match: dict[str, Any] = {"match_condition": MatchConditions.IfMissing}
        if version is not None:
            match = {"match_condition": MatchConditions.IfNotModified, "etag": version}
        self._blob(name, "upload_blob", data, overwrite=True, **match)

    def _read_range(self, name: str, start: int, end: int) -> bytes:
        return self._download(name, start, end - start)

    def _download(self, name: str, offset: int, length: int | None) -> bytes:
        return bytes(run(self._fs, self._blob(name, "download_blob", offset=offset, length=length).readall))

    def _remove_any(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._delete("")

    def _delete(self, name: str) -> None:
        self._blob(name, "delete_blob")

    def _blob(self, name: str, method: str, *args: Any, **kwargs: Any) -> Any:
        return call_blob(self._fs, self._bucket, self._key + name, method, *args, **kwargs)


def account_of(fs: Any) -> str:
    """Return the name of the storage account."""
    return str(fs.service_client.account_name)


def call_blob(fs: Any, container: str, key: str, method: str, *args: Any, **kwargs: Any) -> Any:
    """Call a method of the blob's client in the event loop of its file system.

    Raises:
        FileNotFoundError: there is no such container or blob.
        PermissionError: the credentials do not suffice.
    """
    client = fs.service_client.get_blob_client(container, key)
    return run(fs, getattr(client, method), *args, **kwargs)


def uncommitted_blobs(fs: Any, container: str, prefix: str) -> list[str]:
    """Return the keys of blobs that have blocks but were never committed."""

    async def keys(*include: str) -> set[str]:
        listed = fs.service_client.get_container_client(container).list_blobs(prefix, include=list(include))
        return {blob.name async for blob in listed}

    # The committed ones are listed last, so that a blob which is committed in between does not count as uncommitted.
    all_keys = run(fs, keys, "uncommittedblobs")
    return sorted(all_keys - run(fs, keys))


def run(fs: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
    """Run a coroutine function in the event loop of the file system; raise as ``call_blob`` does."""
    from fsspec.asyn import sync

    with _as_builtin_errors():
        return sync(fs.loop, function, *args, **kwargs)


@contextlib.contextmanager
def _as_builtin_errors() -> Iterator[None]:
    from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError

    try:
        yield
    except ResourceNotFoundError as error:
        raise FileNotFoundError(str(error).partition("\n")[0]) from error
    except HttpResponseError as error:
        if error.status_code != 403 and not isinstance(error, ClientAuthenticationError):
            raise
        raise PermissionError(str(error).partition("\n")[0]) from error


def _new_id() -> str:
    # All blocks of a blob, of any writer, need ids of one length; this is that of adlfs.
    return uuid.uuid4().hex
