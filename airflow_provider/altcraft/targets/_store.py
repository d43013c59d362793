"""An object in a store behind Airflow's ``ObjectStoragePath``, sent in parts that only a commit makes an object.

A killed writer leaves an upload that no reader sees and nobody finishes. The store's lifecycle rules remove it: on S3
``AbortIncompleteMultipartUpload``.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

_PART = 16 << 20
"""Bytes held before they are sent as one part. S3 takes 10 000 parts, so an object may have 156 GiB."""


class StagedObject:
    """The object at ``uri`` being written."""

    def __init__(self, uri: str) -> None:
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        self.uri = uri
        _require_connection(uri)
        with _saying(uri):
            path = ObjectStoragePath(uri)
            self._file: Any = path.fs.open(path.path, "wb", block_size=_PART, autocommit=False)
            # fsspec begins an upload with the first full part. Begun now, a missing bucket or right comes up
            # before anything is fetched to be written.
            try:
                self._file._initiate_upload()
            except BaseException:
                self._file.closed = True  # else its destructor would try again
                raise
            self._file.offset = 0

    def write(self, data: bytes) -> None:
        """Append; a full part is sent."""
        self._file.write(data)

    def commit(self) -> None:
        """Send the last part and make one object of all."""
        self._file.close()
        self._file.commit()

    def discard(self) -> None:
        """Have the store drop the parts."""
        self._file.closed = True  # else its destructor would send the last part
        self._file.discard()


def _require_connection(uri: str) -> None:
    """Refuse a connection that is not there; Airflow's S3 would go on with whatever credentials it finds."""
    from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

    conn_id = urlsplit(uri).netloc.rpartition("@")[0]
    if not conn_id:
        return
    try:
        BaseHook.get_connection(conn_id)
    except AirflowNotFoundException as error:
        raise ValueError(
            f"{uri}: there is no Airflow connection {conn_id!r}; make it, or leave '{conn_id}@' out to use the "
            f"credentials of the worker's surroundings"
        ) from error


@contextlib.contextmanager
def _saying(uri: str) -> Iterator[None]:
    """Say in words what is wrong; what may pass with time stays an ``OSError``."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{uri}: the bucket does not exist: {error}") from error
    except PermissionError as error:
        raise PermissionError(f"{uri}: the connection has no right to write there: {error}") from error
    except ImportError as error:
        raise ValueError(f"{uri}: a package that this store needs cannot be imported: {error}") from error
    except Exception as error:
        raise OSError(f"{uri}: cannot be opened for writing: {type(error).__name__}: {error}") from error
