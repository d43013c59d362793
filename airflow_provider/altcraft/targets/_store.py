"""Objects in a store behind Airflow's ``ObjectStoragePath``, sent in parts that only a commit makes an object.

Which stores can do that is not told by their schemes. fsspec's files have a mode without ``autocommit``, in which a
write is to stay invisible until ``commit`` and to vanish with ``discard``; but a file without those of its own takes
the mode and publishes at ``close`` all the same. So a store is taken whose files bring both, and Azure's, which does
not, is written by its blocks (``_azure``). Any other is refused.

A killed writer leaves an upload that no reader sees and nobody finishes. On S3 the next writer of the same object
aborts it, once it must be dead (``_uploads``). Azure's goes with the next commit, and Google's cannot be found by
others; both stores drop it after a week by themselves.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from airflow_provider.altcraft._reach import reach
from airflow_provider.altcraft.targets._uploads import Upload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider.altcraft.targets._staged import Staged

_PART = 16 << 20
"""Bytes held before they are sent as one part. S3 takes 9 999 and a sign of life, so an object may have 156 GiB."""


def stage(uri: str, *, shared: bool) -> Staged:
    """Begin an object.

    Args:
        uri: where it will be.
        shared: other attempts write there too, so what the dead of them left is removed.

    Raises:
        ValueError: the connection, a package or a safe way to write is not there.
        OSError: the place cannot be reached or written.
    """
    with saying(uri):
        fs, path = reach(uri)
        if is_azure(fs):
            from airflow_provider.altcraft.targets._azure import StagedBlob

            return StagedBlob(uri, fs, path)
        return StagedObject(uri, fs, path, shared=shared)


def remove(uri: str) -> None:
    """Remove an object, if it is there."""
    with saying(uri):
        fs, path = reach(uri)
        if is_azure(fs):
            from airflow_provider.altcraft.targets import _azure

            container, _, key = path.partition("/")
            with contextlib.suppress(FileNotFoundError):
                _azure.run(fs, container, key, "delete_blob")
            return
        fs.invalidate_cache()
        if fs.exists(path):  # whoever may not delete, need not where there is nothing
            fs.rm_file(path)


class StagedObject:
    """The object at ``uri`` being written."""

    def __init__(self, uri: str, fs: Any, path: str, *, shared: bool) -> None:
        self.uri = uri
        self._upload: Upload | None = None
        self._file: Any = fs.open(path, "wb", block_size=_PART, autocommit=False)
        if not _is_safe(type(self._file)):
            self._file.closed = True  # else its destructor would write an empty object
            raise ValueError(
                f"{uri}: the files of {type(fs).__name__} are not known to stay invisible until they are complete, so "
                f"a reader could see half of one; write to another store"
            )
        # fsspec begins an upload with the first full part. Begun now, a missing bucket or right comes up
        # before anything is fetched to be written.
        if hasattr(self._file, "_initiate_upload"):
            try:
                self._file._initiate_upload()
            except BaseException:
                self._file.closed = True  # else its destructor would try again
                raise
            self._file.offset = 0
        if shared and any(base.__name__ == "S3File" for base in type(self._file).__mro__):
            try:
                self._upload = Upload(self._file)
            except BaseException:
                with contextlib.suppress(Exception):  # what is wrong with the store was met before
                    self.discard()
                raise
            self._upload.abort_dead()

    def write(self, data: bytes) -> None:
        """Append; a full part is sent."""
        self._file.write(data)

    def finish(self) -> None:
        """Send the last part."""
        self._file.close()

    def commit(self) -> None:
        """Make one object of all."""
        self.finish()
        if self._upload:
            self._upload.end()
        self._file.commit()

    def discard(self) -> None:
        """Have the store drop the parts."""
        if self._upload:
            self._upload.end()
        self._file.closed = True  # else its destructor would send the last part
        self._file.discard()


def is_azure(fs: Any) -> bool:
    """Whether it is adlfs's, whatever its scheme."""
    return any(base.__name__ == "AzureBlobFileSystem" for base in type(fs).__mro__)


def _is_safe(file: type) -> bool:
    """Whether uncommitted writes of such files stay invisible, as far as a class can tell."""
    from fsspec.spec import AbstractBufferedFile

    # Google's zonal buckets show a file while it grows.
    if any(base.__name__ == "ZonalFile" for base in file.__mro__):
        return False
    own = [getattr(file, name, None) for name in ("commit", "discard")]
    return None not in own and own != [AbstractBufferedFile.commit, AbstractBufferedFile.discard]


@contextlib.contextmanager
def saying(uri: str) -> Iterator[None]:
    """Say in words what is wrong; what may pass with time stays an ``OSError``."""
    try:
        yield
    except ValueError:
        raise
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{uri}: the bucket does not exist: {error}") from error
    except PermissionError as error:
        raise PermissionError(f"{uri}: the connection has no right to write there: {error}") from error
    except ImportError as error:
        raise ValueError(f"{uri}: a package that this store needs cannot be imported: {error}") from error
    except Exception as error:
        if str(error).startswith("Forbidden"):  # gcsfs's word for it
            raise PermissionError(f"{uri}: the connection has no right to write there: {error}") from error
        raise OSError(f"{uri}: cannot be opened for writing: {type(error).__name__}: {error}") from error
