"""A blob in Azure, sent as blocks that nobody sees until a list of them is committed.

Uncommitted blocks belong to the blob, not to a writer: whoever commits a list drops all others. So what is sent is kept
on the local disk too, and a writer that finds its blocks gone, because another committed meanwhile, sends them anew.
What a dead writer left goes in the same way with the next commit, in a folder of parts with the next cleaning up, or
after a week.
"""

from __future__ import annotations

import contextlib
import tempfile
import uuid
from typing import TYPE_CHECKING, Any

from airflow_provider.altcraft.targets import _store

if TYPE_CHECKING:
    from collections.abc import Iterator

_TRIES = 10


class StagedBlob:
    """The blob at ``uri`` being written."""

    def __init__(self, uri: str, fs: Any, path: str) -> None:
        self.uri = uri
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
        while len(self._buffer) >= _store._PART:
            self._put(bytes(self._buffer[: _store._PART]))
            del self._buffer[: _store._PART]

    def finish(self) -> None:
        """Send the last block."""
        if self._buffer:
            self._put(bytes(self._buffer))
            self._buffer.clear()

    def commit(self) -> None:
        """Make one blob of all."""
        from azure.core.exceptions import HttpResponseError
        from azure.storage.blob import BlobBlock

        self.finish()
        for left in reversed(range(_TRIES)):
            try:
                self._run("commit_block_list", [BlobBlock(name) for name, _ in self._blocks])
            except HttpResponseError as error:
                if getattr(error, "error_code", None) != "InvalidBlockList" or not left:
                    raise
                self._send_anew()
            else:
                self._kept.close()
                return

    def discard(self) -> None:
        """Leave the blocks, which nobody sees, to the next commit or to the store."""
        self._buffer.clear()
        self._kept.close()

    def _put(self, data: bytes) -> None:
        name = _new_id()
        self._kept.seek(0, 2)
        self._kept.write(data)
        self._blocks.append((name, len(data)))
        self._send(name, data)

    def _send_anew(self) -> None:
        self._kept.seek(0)
        for name, size in self._blocks:
            self._send(name, self._kept.read(size))

    def _send(self, name: str, data: bytes) -> None:
        self._run("stage_block", name, data, length=len(data))

    def _run(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return run(self._fs, self._container, self._key, method, *args, **kwargs)


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

    # The committed ones are listed last, so that one committed meanwhile is not taken for uncommitted.
    every = wait(fs, found, "uncommittedblobs")
    return sorted(every - wait(fs, found))


def wait(fs: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
    """Run a coroutine function in that event loop, with the same errors."""
    from fsspec.asyn import sync

    with _told():
        return sync(fs.loop, function, *args, **kwargs)


@contextlib.contextmanager
def _told() -> Iterator[None]:
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
    # Of one length for all blocks of a blob, whoever sends them; this is adlfs's.
    return uuid.uuid4().hex
