"""Objects in a store behind Airflow's ``ObjectStoragePath``, sent in parts that only a commit makes an object.

Their schemes do not show which stores can do that. fsspec's files have a mode without ``autocommit``, in which a
write is to stay invisible until ``commit`` and to vanish with ``discard``; but a file without those of its own takes
the mode and publishes at ``close`` all the same. So a store is taken whose files bring both, and Azure's, which does
not, is written by its blocks (``azure``). Any other is refused.

A killed writer leaves an upload that no reader sees and nobody finishes. On S3 the next writer of the same object
aborts it, once it is old (``s3``). Azure's goes with the next commit, and Google's cannot be found by others;
both stores drop it after a week by themselves.
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
"""Bytes held before they are sent as one part. S3 takes 10 000, so an object may have 156 GiB."""

_PIECE = 16 << 20
"""Bytes read at a time of an object that is copied by way of this machine."""


class StagedObject:
    """The object at ``uri`` being written. The methods that do nothing here are for stores that do more."""

    def __init__(self, uri: str, fs: Any, path: str, *, shared: bool, stamp: Stamp | None = None) -> None:
        self.uri = uri
        self._fs, self._path = fs, path
        self._stamp = stamp
        bearing = {} if stamp is None else self._bearing(stamp)
        self._file: Any = fs.open(path, "wb", block_size=_PART, autocommit=False, **bearing)
        if not self._is_safe(type(self._file)):
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
        if shared:
            self._remove_abandoned()

    def write(self, data: bytes) -> None:
        """Append; a full part is sent."""
        self._file.write(data)

    def finish(self) -> None:
        """Send the last part."""
        self._file.close()

    def commit(self) -> bool:
        """Make one object of all; not where a pull that began later has written it."""
        self.finish()
        if self._stamp and self._stamp.overtaken_by(self._standing(), self.uri):
            self.discard()
            return False
        self._publish()
        return True

    def discard(self) -> None:
        """Have the store drop the parts."""
        self._file.closed = True  # else its destructor would send the last part
        self._file.discard()

    def _bearing(self, _stamp: Stamp) -> dict[str, Any]:
        """What has the file system keep the stamp with the object that it opens."""
        return {}

    def _is_safe(self, file: type) -> bool:
        """Whether uncommitted writes of such files stay invisible, as far as a class can tell."""
        from fsspec.spec import AbstractBufferedFile

        own = [getattr(file, name, None) for name in ("commit", "discard")]
        return None not in own and own != [AbstractBufferedFile.commit, AbstractBufferedFile.discard]

    def _remove_abandoned(self) -> None:
        """Remove what killed writers of the same object left."""

    def _standing(self) -> str | None:
        """The stamp of the object that is there."""
        return None

    def _publish(self) -> None:
        self._file.commit()


class FsspecStore:
    """What is at ``uri`` and below, by names relative to it, in any store that fsspec reaches.

    Raises:
        FileNotFoundError: from its methods, where the object or the bucket is missing.
        PermissionError: from its methods, where the connection lacks a right.
    """

    staged: ClassVar[type[StagedObject]] = StagedObject
    has_conditions: ClassVar[bool] = False
    """Whether the store is asked to put an object only where there is a certain version of it, or none."""

    def __init__(self, uri: str, fs: Any, path: str) -> None:
        self.uri = uri
        self._fs, self._path = fs, path
        self._bucket, _, self._key = path.partition("/")

    def saying(self, uri: str) -> contextlib.AbstractContextManager[None]:
        """Say in words what is wrong with a place."""
        return saying(uri)

    def stage(self, name: str = "", *, shared: bool, stamp: Stamp | None = None) -> Staged:
        """Begin an object.

        Args:
            name: of the object.
            shared: other attempts write there too, so what they abandoned is removed.
            stamp: of the pull, to be kept with the object.

        Raises:
            ValueError: a package or a safe way to write is not there.
            OSError: the place cannot be reached or written.
        """
        uri = self.uri + name
        with without_secrets(), self.saying(uri):
            return self._stage(uri, self._path + name, shared=shared, stamp=stamp)

    def put_staged(self, name: str, data: bytes) -> None:
        """Put a small object in the way in which a large one is written."""
        with writing(self.stage(name, shared=False)) as staged:
            staged.write(data)

    def put(self, name: str, data: bytes) -> None:
        """Put a small object, whatever is there."""
        self._fs.pipe_file(self._path + name, data)

    def replace(self, name: str, data: bytes, version: object | None) -> bool:
        """Put a small object where there is that version, or none; whether that was so."""
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
        """Copy by way of this machine: not every store is sure to be done when its own copy returns."""
        entry, at = self.entries().get(source), 0
        if entry is None:
            raise FileNotFoundError(f"{self.uri}{source} is missing")
        size = int(entry["size"] or 0)
        with writing(self.stage(name, shared=False)) as staged:
            while at < size:
                piece = self._read_range(source, at, min(at + _PIECE, size))
                staged.write(piece)
                at += len(piece)

    def read(self, name: str) -> bytes:
        """A small object."""
        return bytes(self._fs.cat_file(self._path + name))

    def entries(self) -> dict[str, dict[str, Any]]:
        """What the store says of each object right in the folder at ``uri``, by name; nothing is missing from it."""
        self._fs.invalidate_cache()
        try:
            entries = self._fs.ls(self._path.rstrip("/"), detail=True)
        except FileNotFoundError:
            return {}
        return {each["name"].rpartition("/")[2]: each for each in entries if each["type"] == "file"}

    @staticmethod
    def version(entry: dict[str, Any]) -> str:
        """The store's own mark of an entry: an ETag or a generation."""
        return next((str(entry[mark]) for mark in ("generation", "ETag", "etag") if entry.get(mark)), "")

    @staticmethod
    def modified(entry: dict[str, Any]) -> dt.datetime:
        """When an entry was written, by the store's clock."""
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
        """Remove objects; those that are missing are no error."""
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                self._delete(name)
        self._fs.invalidate_cache()

    def remove_any(self) -> None:
        """Remove the object at ``uri``, if there is one; if not, no right to delete is needed."""
        with without_secrets(), self.saying(self.uri):
            self._remove_any()

    def drop_uploads(self, prefix: str, is_dead: Callable[[str], bool]) -> None:
        """Have the store drop unfinished uploads to names that begin so and are dead, where it lists uploads."""

    def _stage(self, uri: str, path: str, *, shared: bool, stamp: Stamp | None) -> Staged:
        return self.staged(uri, self._fs, path, shared=shared, stamp=stamp)

    def _put_if(self, name: str, data: bytes, _version: object | None) -> None:
        """Put it on the condition, or without where a store knows none; an error has the status 409 or 412."""
        self.put_staged(name, data)

    def _read_range(self, name: str, start: int, end: int) -> bytes:
        return bytes(self._fs.cat_file(self._path + name, start=start, end=end))

    def _remove_any(self) -> None:
        self._fs.invalidate_cache()
        if self._fs.exists(self._path):
            self._delete("")

    def _delete(self, name: str) -> None:
        self._fs.rm_file(self._path + name)


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
        raise ValueError(f"{uri}: {not_installed(uri.partition('://')[0], error)}") from error
    except Exception as error:
        raise OSError(f"{uri}: cannot be opened for writing: {type(error).__name__}: {error}") from error


def statuses(error: BaseException | None) -> Iterator[Any]:
    """The HTTP statuses in an error and its causes, as any of the stores' packages has them."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            yield response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        yield getattr(error, "status_code", None) or getattr(error, "code", None)
        if isinstance(error, FileExistsError):
            yield 412
        error = error.__cause__
