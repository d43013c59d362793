"""Objects in a store that Airflow's ``ObjectStoragePath`` reaches, uploaded in parts which become visible at once.

The scheme does not show whether a store can do that. fsspec opens files without ``autocommit``: writes stay invisible
until ``commit``, and ``discard`` drops them. But a class of files without these two methods ignores this, and publishes
at ``close``. So a store is accepted if its files have both. Azure's do not, so it is written by blocks (``azure``). Any
other store is refused.

A killed writer leaves an upload that no reader sees and nobody finishes. On S3, the next writer of the same object
aborts it once it is old (``s3``). On Azure, the next commit drops it. On Google, nobody else can find it. The last two
stores also drop it after a week.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider.altcraft._extras import not_installed
from airflow_provider.altcraft._redact import without_secrets
from airflow_provider.altcraft.targets.object_storage.staged import writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from airflow_provider.altcraft.targets.object_storage.order import Stamp
    from airflow_provider.altcraft.targets.object_storage.staged import Staged

_PART = 16 << 20
"""Bytes that are buffered and sent as one part. S3 takes 10 000 parts, so an object may have 156 GiB."""

_PIECE = 16 << 20
"""Bytes that are read at a time where an object is copied through this machine."""


class StagedObject:
    """The object at ``uri`` being written. Methods that do nothing here are for subclasses."""

    def __init__(self, uri: str, fs: Any, path: str, *, shared: bool, stamp: Stamp | None = None) -> None:
        self.uri = uri
        self._fs, self._path = fs, path
        self._stamp = stamp
        options = {} if stamp is None else self._stamp_options(stamp)
        self._file: Any = fs.open(path, "wb", block_size=_PART, autocommit=False, **options)
        if not self._is_safe(type(self._file)):
            self._file.closed = True  # else its destructor would write an empty object
            raise ValueError(
                f"{uri}: the files of {type(fs).__name__} are not known to stay invisible until they are complete, so "
                f"a reader could see half of one; write to another store"
            )
        # fsspec begins an upload with the first full part. Begin it now, so that a missing bucket or right is noticed
        # before anything is pulled.
        if hasattr(self._file, "_initiate_upload"):
            try:
                self._file._initiate_upload()
            except BaseException:
                self._file.closed = True  # else its destructor would try again
                raise
            self._file.offset = 0
        if shared:
            self._remove_abandoned()

    def write(self, data: bytes) -> None:
        """Append data; send each full part."""
        self._file.write(data)

    def finish(self) -> None:
        """Send the last part."""
        self._file.close()

    def commit(self) -> bool:
        """Publish the object; ``False`` where a later pull has written it, so that it stays."""
        self.finish()
        if self._stamp and self._stamp.overtaken_by(self._stored_stamp(), self.uri):
            self.discard()
            return False
        self._publish()
        return True

    def discard(self) -> None:
        """Drop the parts."""
        self._file.closed = True  # else its destructor would send the last part
        self._file.discard()

    def _stamp_options(self, _stamp: Stamp) -> dict[str, Any]:
        """Return the arguments of ``open`` with which the object gets the stamp."""
        return {}

    def _is_safe(self, file: type) -> bool:
        """Return whether writes to such files stay invisible until the commit, as far as the class shows."""
        from fsspec.spec import AbstractBufferedFile

        own = [getattr(file, name, None) for name in ("commit", "discard")]
        return None not in own and own != [AbstractBufferedFile.commit, AbstractBufferedFile.discard]

    def _remove_abandoned(self) -> None:
        """Remove uploads of killed writers of the same object."""

    def _stored_stamp(self) -> str | None:
        """Return the stamp of the object in the store."""
        return None

    def _publish(self) -> None:
        self._file.commit()


class FsspecStore:
    """The objects at ``uri`` and below, by names relative to it, in any store that fsspec reaches.

    Raises:
        FileNotFoundError: by its methods, where the object or the bucket is missing.
        PermissionError: by its methods, where the connection lacks a right.
    """

    staged: ClassVar[type[StagedObject]] = StagedObject
    has_conditions: ClassVar[bool] = False
    """Whether the store can replace an object on the condition that it has a certain version, or is missing."""

    def __init__(self, uri: str, fs: Any, path: str) -> None:
        self.uri = uri
        self._fs, self._path = fs, path
        self._bucket, _, self._key = path.partition("/")

    @classmethod
    @contextlib.contextmanager
    def translated_errors(cls, uri: str) -> Iterator[None]:
        """Raise errors of the store's package with the URI and the cause; temporary ones stay an ``OSError``."""
        try:
            yield
        except ValueError:
            raise
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{uri}: the bucket does not exist: {error}") from error
        except PermissionError as error:
            raise PermissionError(f"{uri}: the connection has no right to write there: {error}") from error
        except ImportError as error:
            raise ValueError(f"{uri}: {not_installed(uri.partition('://')[0], error)}") from error
        except Exception as error:
            raise OSError(f"{uri}: cannot be opened for writing: {type(error).__name__}: {error}") from error

    def stage(self, name: str = "", *, shared: bool, stamp: Stamp | None = None) -> Staged:
        """Begin an object.

        Args:
            name: of the object.
            shared: whether other attempts write to it too, whose abandoned uploads are then removed.
            stamp: of the pull, to be stored with the object.

        Raises:
            ValueError: a package is missing, or the store has no safe way to write.
            OSError: the place cannot be reached or written.
        """
        uri = self.uri + name
        with without_secrets(), self.translated_errors(uri):
            return self._stage(uri, self._path + name, shared=shared, stamp=stamp)

    def put_staged(self, name: str, data: bytes) -> None:
        """Write a small object in the same way as a large one."""
        with writing(self.stage(name, shared=False)) as staged:
            staged.write(data)

    def put(self, name: str, data: bytes) -> None:
        """Write a small object, whether or not there is one."""
        self._fs.pipe_file(self._path + name, data)

    def replace(self, name: str, data: bytes, version: object | None) -> bool:
        """Write a small object if the present one has this version, or is missing for ``None``; return whether."""
        try:
            self._put_if(name, data, version)
        except Exception as error:
            if {409, 412}.isdisjoint(statuses(error)):
                raise
            return False
        finally:
            self._fs.invalidate_cache()
        return True

    def copy(self, source: str, name: str) -> None:
        """Copy through this machine, because some stores have not finished when their own copy returns."""
        entry, start = self.entries().get(source), 0
        if entry is None:
            raise FileNotFoundError(f"{self.uri}{source} is missing")
        size = int(entry["size"] or 0)
        with writing(self.stage(name, shared=False)) as staged:
            while start < size:
                piece = self._read_range(source, start, min(start + _PIECE, size))
                staged.write(piece)
                start += len(piece)

    def read(self, name: str) -> bytes:
        """Return a small object."""
        return bytes(self._fs.cat_file(self._path + name))

    def entries(self) -> dict[str, dict[str, Any]]:
        """Return the store's current entry of each object in the folder at ``uri``, by name."""
        self._fs.invalidate_cache()
        try:
            entries = self._fs.ls(self._path.rstrip("/"), detail=True)
        except FileNotFoundError:
            return {}
        return {each["name"].rpartition("/")[2]: each for each in entries if each["type"] == "file"}

    @staticmethod
    def version(entry: dict[str, Any]) -> str:
        """Return the version of an entry: its ETag or generation."""
        return next((str(entry[mark]) for mark in ("generation", "ETag", "etag") if entry.get(mark)), "")

    @staticmethod
    def modified(entry: dict[str, Any]) -> dt.datetime:
        """Return when an entry was written, by the store's clock."""
        for key in ("LastModified", "last_modified", "updated", "mtime", "created"):
            value = entry.get(key)
            if isinstance(value, str):
                value = dt.datetime.fromisoformat(value)
            if isinstance(value, dt.datetime):
                return value if value.tzinfo else value.replace(tzinfo=dt.UTC)
            if isinstance(value, int | float):
                return dt.datetime.fromtimestamp(value, dt.UTC)
        raise ValueError(
            f"{entry['name']}: the store does not say when objects were written, which distinguishes parts of living "
            f"attempts from those of dead ones; write one object instead of a folder"
        )

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects; missing ones are ignored."""
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                self._delete(name)
        self._fs.invalidate_cache()

    def remove_any(self) -> None:
        """Remove the object at ``uri`` if there is one, else without a need for the right to delete."""
        with without_secrets(), self.translated_errors(self.uri):
            self._remove_any()

    def drop_uploads(self, prefix: str, is_dead: Callable[[str], bool]) -> None:
        """Drop unfinished uploads to dead names with this prefix, where the store lists uploads."""

    def _stage(self, uri: str, path: str, *, shared: bool, stamp: Stamp | None) -> Staged:
        return self.staged(uri, self._fs, path, shared=shared, stamp=stamp)

    def _put_if(self, name: str, data: bytes, _version: object | None) -> None:
        """Write on the condition, where the store has conditions; a conflict raises with the status 409 or 412."""
        self.put_staged(name, data)

    def _read_range(self, name: str, start: int, end: int) -> bytes:
        return bytes(self._fs.cat_file(self._path + name, start=start, end=end))

    def _remove_any(self) -> None:
        self._fs.invalidate_cache()
        if self._fs.exists(self._path):
            self._delete("")

    def _delete(self, name: str) -> None:
        self._fs.rm_file(self._path + name)


def statuses(error: BaseException | None) -> Iterator[Any]:
    """Yield the HTTP statuses of an error and its causes, wherever the stores' packages keep them."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            yield response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        yield getattr(error, "status_code", None) or getattr(error, "code", None)
        if isinstance(error, FileExistsError):
            yield 412
        error = error.__cause__
