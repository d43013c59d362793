"""The base of all writers: one step runs at a time, the first error ends the write, and errors name the place."""

from __future__ import annotations

import contextlib
import errno
import logging
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from airflow_provider.altcraft._redact import redacted, without_secrets

log = logging.getLogger(__name__)


class InTheWayError(OSError):
    """Another writer of the table was faster, so nothing was written; a retry may succeed."""


class BaseWriter:
    """A writer to ``uri``. Subclasses run each step within ``_guard`` and remove what they staged in ``_drop``."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._ended: str | None = None
        # A cancelled operator aborts while its thread may still write or commit. Without the lock, a commit could miss
        # bytes that the abort has dropped.
        self._lock = threading.RLock()

    def abort(self) -> None:
        """Drop what was staged; does nothing where the writer has ended."""
        with self._lock:
            if self._ended:
                return
            self._ended = "aborted"
            try:
                self._drop()
            except Exception as error:  # whatever a store that cannot be reached may raise
                log.warning("%s: what was staged could not be removed: %s", self._uri, redacted(error))

    def _drop(self) -> None:
        raise NotImplementedError

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        with self._lock:
            if self._ended:
                raise RuntimeError(f"{self._uri}: this write was {self._ended} already; open the target again")
            try:
                yield
            except BaseException:
                self.abort()
                raise


class StorageWriter(BaseWriter):
    """A writer to files or objects, whose libraries' errors do not name the place."""

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        with super()._guard(), without_secrets(), located_errors(self._uri):
            yield


@contextlib.contextmanager
def located_errors(uri: str) -> Iterator[None]:
    """Raise errors of a store's library as an ``OSError`` of the same kind that names the place."""
    try:
        yield
    except (ValueError, RuntimeError, MemoryError):
        raise
    except OSError as error:
        if uri in str(error):
            raise
        if error.errno is not None:  # makes the kind too
            said = error.strerror if error.filename is None else str(error)
            raise OSError(error.errno, f"{uri}: cannot be written: {said}") from error
        raise builtin_kind(error)(f"{uri}: cannot be written: {str(error) or type(error).__name__}") from error
    except Exception as error:
        raise OSError(f"{uri}: cannot be written: {type(error).__name__}: {error}") from error


def builtin_kind(error: OSError) -> type[OSError]:
    """Return the built-in class of a library's error."""
    return next(base for base in type(error).__mro__ if base.__module__ == "builtins")


@contextlib.contextmanager
def room_in(folder: str | Path) -> Iterator[None]:
    """Name the folder, and the room on its disk, in the error of a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        disk = shutil.disk_usage(folder)
        raise OSError(
            error.errno,
            f"No space left in {folder}: {disk.free / 2**20:.1f} of {disk.total / 2**20:.1f} MiB are free; make room "
            f"there, and run the task again",
        ) from error
