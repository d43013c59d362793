"""A local file, staged next to its final path and renamed to it.

A writer locks its staged file as long as it lives, and the kernel releases the lock of a killed one. So an attempt that
gets the lock knows that the writer is dead, and removes the file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider.altcraft.targets._writer import room_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider.altcraft.targets.object_storage.order import Stamp

_BUFFER = 1 << 20
_STAMP = "user.altcraft.pull"


class StagedFile:
    """The file at ``path`` being written."""

    def __init__(self, path: str, stamp: Stamp | None = None) -> None:
        self._stamp = stamp
        self.uri = f"file://{path}"
        self._path = Path(path)
        self._folder = self._path.parent
        self._refuse_no_file()
        with _error_context(f"the folder {self._folder} cannot be made"):
            self._folder.mkdir(parents=True, exist_ok=True)
        self._refuse_long_name()
        with _error_context(f"no file can be made in {self._folder}"), room_in(self._folder):
            self._remove_dead()
            self._staged, descriptor = self._create()
        self._file = os.fdopen(descriptor, "wb", buffering=_BUFFER)

    def write(self, data: bytes) -> None:
        """Append data; a full disk raises here or in ``commit``."""
        with room_in(self._folder):
            self._file.write(data)

    def finish(self) -> None:
        """Make the bytes durable."""
        with room_in(self._folder):
            self._file.flush()
            os.fsync(self._file.fileno())

    def commit(self) -> bool:
        """Make the bytes durable, then the name; ``False`` where a later pull has written it, so that it stays."""
        self.finish()
        self._refuse_no_file()  # what was put there since
        if not self._put_in_place():
            self.discard()
            return False
        # Closed, and so unlocked, only now: before the rename, the next attempt would remove the file as a dead one's.
        self._file.close()
        sync_folder(self._folder)
        return True

    def discard(self) -> None:
        """Remove the staged file, if it is still there."""
        try:
            self._staged.unlink(missing_ok=True)
        finally:
            with contextlib.suppress(OSError):  # its buffer may not fit onto a full disk
                self._file.close()

    def _put_in_place(self) -> bool:
        if self._stamp is None:
            os.replace(self._staged, self._path)  # noqa: PTH105 - as its twins, by name
            return True
        with contextlib.suppress(OSError, AttributeError):  # not every disk, nor system, has such attributes
            os.setxattr(self._file.fileno(), _STAMP, str(self._stamp).encode())
        with locked(self._folder):
            if self._stamp.overtaken_by(_stamp_of(self._path), self.uri):
                return False
            os.replace(self._staged, self._path)  # noqa: PTH105 - likewise
        return True

    def _refuse_no_file(self) -> None:
        with _error_context(f"{self._path} cannot be looked at"):
            try:
                mode = self._path.lstat().st_mode
            except FileNotFoundError:
                return
        if stat.S_ISLNK(mode):
            raise ValueError(f"{self._path} is a symbolic link; name the file that it points to")
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(f"{self._path} is a folder; name a file in it, or remove it")
        if not stat.S_ISREG(mode):
            raise ValueError(f"{self._path} is not a regular file, so it cannot be replaced by one")

    def _refuse_long_name(self) -> None:
        """Refuse a name that leaves no room for the longer name of its staged file."""
        most = os.pathconf(self._folder, "PC_NAME_MAX") - len(f"..{uuid.uuid4().hex}.tmp")
        if (given := len(os.fsencode(self._path.name))) > most:
            raise ValueError(
                f"{self._path}: expected a file name of at most {most} bytes, since it is staged under a longer name, "
                f"got {given} bytes"
            )

    def _create(self) -> tuple[Path, int]:
        """Make a staged file; return its path and its descriptor, which is locked."""
        while True:
            staged = self._folder / f".{self._path.name}.{uuid.uuid4().hex}.tmp"
            descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                # Between creation and lock another attempt may have found the file unlocked and removed it.
                if staged.exists():
                    return staged, descriptor
            except BaseException:
                staged.unlink(missing_ok=True)
                os.close(descriptor)
                raise
            os.close(descriptor)

    def _remove_dead(self) -> None:
        """Remove staged files of killed attempts to write this file."""
        name = re.compile(rf"\.{re.escape(self._path.name)}\.[0-9a-f]{{32}}\.tmp")
        with os.scandir(self._folder) as entries:
            left = [entry.path for entry in entries if name.fullmatch(entry.name)]
        for path in left:
            with contextlib.suppress(OSError), unused_lock(Path(path)) as unused:
                if unused:
                    Path(path).unlink()


@contextlib.contextmanager
def unused_lock(path: Path) -> Iterator[bool]:
    """Lock the file if nobody else has, and yield whether it was locked.

    One that belongs to another user, was removed or is no file is not locked: it need not be removed.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the folder, waiting while another has it locked."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _stamp_of(path: Path) -> str | None:
    try:
        return os.getxattr(path, _STAMP).decode()
    except (OSError, AttributeError):
        return None


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def _error_context(what: str) -> Iterator[None]:
    """Raise an ``OSError`` again, with what failed in front of its text."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"{what}: {error.strerror}") from error
