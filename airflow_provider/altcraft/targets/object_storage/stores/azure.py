"""Azure's blobs, by adlfs: all that the package uses of it beyond what fsspec promises.

A blob is sent as blocks that nobody sees until a list of them is committed.

Uncommitted blocks belong to the blob, not to a writer: a commit of a list drops all others. So what is sent is kept on
the local disk too, and a writer that finds its blocks missing, because another committed since, sends them again.
What a dead writer left goes in the same way with the next commit, in a folder of parts with the next cleaning up, or
after a week.
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
"""The name of a blob's metadata that has its pull's stamp; Azure takes no hyphen."""


class StagedBlob:
    """The blob at ``uri`` being written."""

    def __init__(self, uri: str, fs: Any, path: str, stamp: Stamp | None = None) -> None:
        self.uri = uri
        self._stamp = stamp
        self._fs = fs
        self._container, _, self._key = path.partition("/")
        self._buffer = bytearray()
        self._blocks: list[tuple[str, int]] = []
        self._kept: Any = tempfile.TemporaryFile(prefix="altcraft-")  # noqa: SIM115 - closed by commit and discard
        try:
            # A block that no list will name: a missing container or right comes up now.
            self._send(_new_id(), b"-")
        except BaseException:
            self._kept.close()
            raise

    def write(self, data: bytes) -> None:
        """Append; a full block is sent."""
        self._buffer += data
        while len(self._buffer) >= fsspec._PART:
            self._put(bytes(self._buffer[: fsspec._PART]))
            del self._buffer[: fsspec._PART]

    def finish(self) -> None:
        """Send the last block."""
        if self._buffer:
            self._put(bytes(self._buffer))
            self._buffer.clear()

    def commit(self) -> bool:
        """Make one blob of all; not where a pull that began later has written it."""
        from azure.core.exceptions import HttpResponseError
        from azure.storage.blob import BlobBlock

        self.finish()
        if self._stamp and self._stamp.overtaken_by(self._standing(), self.uri):
            self.discard()
            return False
        bearing = {} if self._stamp is None else {"metadata": {_STAMP: str(self._stamp)}}
        for left in reversed(range(_TRIES)):
            try:
                self._run("commit_block_list", [BlobBlock(name) for name, _ in self._blocks], **bearing)
            except HttpResponseError as error:
                if getattr(error, "error_code", None) != "InvalidBlockList" or not left:
                    raise
                self._send_again()
            else:
                self._kept.close()
                return True
        raise AssertionError("the last try returns or raises")

    def discard(self) -> None:
        """Leave the blocks, which nobody sees, to the next commit or to the store."""
        self._buffer.clear()
        self._kept.close()

    def _standing(self) -> str | None:
        try:
            return dict(self._run("get_blob_properties").metadata or {}).get(_STAMP)
        except (FileNotFoundError, PermissionError):  # who may write need not be one who may read
            return None

    def _put(self, data: bytes) -> None:
        name = _new_id()
        self._kept.seek(0, 2)
        self._kept.write(data)
        self._blocks.append((name, len(data)))
        self._send(name, data)

    def _send_again(self) -> None:
        self._kept.seek(0)
        for name, size in self._blocks:
            self._send(name, self._kept.read(size))

    def _send(self, name: str, data: bytes) -> None:
        self._run("stage_block", name, data, length=len(data))

    def _run(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return run(self._fs, self._container, self._key, method, *args, **kwargs)


class AzureStore(FsspecStore):
    """A container. Its blobs are reached by the client of adlfs: a key is taken as it is written."""

    has_conditions = True

    def put(self, name: str, data: bytes) -> None:
        """Put a small blob, whatever is there."""
        self._blob(name, "upload_blob", data, overwrite=True)

    def read(self, name: str) -> bytes:
        """A small blob."""
        return self._download(name, 0, None)

    def drop_uploads(self, prefix: str, is_dead: Callable[[str], bool]) -> None:
        """Drop blocks: they alone cannot be deleted, but a blob of none of them can."""
        for key in uncommitted(self._fs, self._bucket, self._key + prefix):
            if key.startswith(self._key) and is_dead(key.removeprefix(self._key)):
                run(self._fs, self._bucket, key, "commit_block_list", [])
                run(self._fs, self._bucket, key, "delete_blob")

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
        return bytes(wait(self._fs, self._blob(name, "download_blob", offset=offset, length=length).readall))

    def _remove_any(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._delete("")

    def _delete(self, name: str) -> None:
        self._blob(name, "delete_blob")

    def _blob(self, name: str, method: str, *args: Any, **kwargs: Any) -> Any:
        return run(self._fs, self._bucket, self._key + name, method, *args, **kwargs)


def account_of(fs: Any) -> str:
    """The name of the storage account."""
    return str(fs.service_client.account_name)


def run(fs: Any, container: str, key: str, method: str, *args: Any, **kwargs: Any) -> Any:
    """Call a method of the blob's client, in the event loop in which its file system lives.

    Raises:
        FileNotFoundError: there is no such container or blob.
        PermissionError: the credentials do not suffice.
    """
    client = fs.service_client.get_blob_client(container, key)
    return wait(fs, getattr(client, method), *args, **kwargs)


def uncommitted(fs: Any, container: str, start: str) -> list[str]:
    """Blobs that have blocks and no list of them, by key."""

    async def found(*include: str) -> set[str]:
        listed = fs.service_client.get_container_client(container).list_blobs(start, include=list(include))
        return {blob.name async for blob in listed}

    # The committed ones are listed last, so that one committed in between is not taken for uncommitted.
    every = wait(fs, found, "uncommittedblobs")
    return sorted(every - wait(fs, found))


def wait(fs: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
    """Run a coroutine function in that event loop, with the same errors."""
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
    except ClientAuthenticationError as error:
        raise PermissionError(str(error).partition("\n")[0]) from error
    except HttpResponseError as error:
        if error.status_code == 403:
            raise PermissionError(str(error).partition("\n")[0]) from error
        raise


def _new_id() -> str:
    # Of one length for all blocks of a blob, from whichever writer; this is adlfs's.
    return uuid.uuid4().hex
