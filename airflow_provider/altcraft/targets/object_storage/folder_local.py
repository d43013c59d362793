"""A folder of parts on a disk."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from airflow_provider.altcraft.targets._writer import room_in
from airflow_provider.altcraft.targets.object_storage.folder import LEASE
from airflow_provider.altcraft.targets.object_storage.staged import writing
from airflow_provider.altcraft.targets.object_storage.stores.local import StagedFile, locked, sync_folder, unused_lock

_BUFFER = 1 << 20


class LocalFolder:
    """The folder at ``path``."""

    def __init__(self, path: str) -> None:
        self.uri = f"file://{path}"
        self._path = Path(path)

    def hold(self, attempt: str) -> LocalLease:
        """Make the folder and a locked file in it."""
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            return LocalLease(self._path / f"_lease-{attempt}")
        except OSError as error:
            raise OSError(error.errno, f"{self._path} cannot be written: {error.strerror}") from error

    def prove(self, name: str, other: str) -> None:
        """Do nothing: a commit on a disk only makes and removes files, as ``hold`` did with the lease."""

    def living(self) -> set[str]:
        """Return the attempts whose lease is locked."""
        leases = [match for name in self.sizes() if (match := LEASE.fullmatch(name))]
        return {match[1] for match in leases if not self._is_dead(match[0])}

    def sizes(self) -> dict[str, int]:
        """Return the sizes of all files."""
        found = {}
        with contextlib.suppress(FileNotFoundError), os.scandir(self._path) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    if entry.is_file(follow_symlinks=False):
                        found[entry.name] = entry.stat(follow_symlinks=False).st_size
        return found

    def stage(self, name: str) -> StagedPart:
        """Begin a file that nobody else writes."""
        with room_in(self._path):
            return StagedPart(self._path / name)

    def copy(self, source: str, name: str) -> None:
        """Link, or copy where the disk knows no links."""
        try:
            os.link(self._path / source, self._path / name)
        except FileNotFoundError:
            raise
        except OSError:
            with room_in(self._path):
                shutil.copyfile(self._path / source, self._path / name)
                with (self._path / name).open("rb") as file:
                    os.fsync(file.fileno())
        sync_folder(self._path)

    def read(self, name: str) -> bytes | None:
        """Return the content of a small file; ``None`` where there is none."""
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            return None

    def version(self, name: str) -> object | None:
        """Return a digest of the file's content."""
        data = self.read(name)
        return None if data is None else hashlib.sha256(data).digest()

    def replace(self, name: str, data: bytes, version: object | None) -> bool:
        """Replace under the folder's own lock."""
        with locked(self._path):
            if self.version(name) != version:
                return False
            with writing(StagedFile(str(self._path / name))) as staged:
                staged.write(data)
        return True

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; missing ones are ignored."""
        for name in names:
            (self._path / name).unlink(missing_ok=True)

    def drop_uploads(self, prefix: str, living: set[str]) -> None:
        """Do nothing: a disk has no uploads."""

    def _is_dead(self, name: str) -> bool:
        with unused_lock(self._path / name) as unused:
            return unused


class LocalLease:
    """A locked file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        while True:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            if path.exists():  # else another attempt took it for a dead one's before it was locked
                return
            os.close(self._descriptor)

    def check(self) -> None:
        """A lock holds as long as its process lives."""
        if not self._path.exists():
            raise OSError(f"{self._path}: somebody removed the lease of this write, and perhaps its parts")

    def release(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)
        self.leave()

    def leave(self) -> None:
        """Release the lock, which leaves the lease of a dead attempt."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class StagedPart:
    """A file that only this attempt writes; its note, another file, says that it is complete."""

    def __init__(self, path: Path) -> None:
        self.uri = f"file://{path}"
        self._path = path
        self._file = path.open("xb", buffering=_BUFFER)

    def write(self, data: bytes) -> None:
        """Append."""
        with room_in(self._path.parent):
            self._file.write(data)

    def finish(self) -> None:
        """Make the bytes durable."""
        with room_in(self._path.parent):
            self._file.flush()
            os.fsync(self._file.fileno())

    def commit(self) -> bool:
        """Make bytes and name durable."""
        self.finish()
        self._file.close()
        sync_folder(self._path.parent)
        return True

    def discard(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # its buffer may not fit onto a full disk
            self._file.close()
