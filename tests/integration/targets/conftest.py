"""Rows for the tests of targets, and a writer in a process of its own to kill."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.batches import make_batch
from tests.integration import forks
from tests.integration.databases import Database
from tests.integration.stores import Disk
from tests.integration.targets.proofs import as_user


@pytest.fixture
def batch():
    return make_batch


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


class Stepper:
    """``stepper.run`` at work: it halts after each step until it is asked to go on."""

    def __init__(self, target: Any, batches: int, rows: int, wait: bool = True) -> None:
        import stepper  # as the process does

        self._pipe, other = forks.pipe()
        self.process = forks.start(stepper.run, other, target, batches, rows, wait)
        other.close()
        self._halted = False

    def until(self, step: str) -> None:
        """Go on to a step, and halt there."""
        while self.next() != step:
            pass

    def next(self) -> str:
        """Go on to the next step, and halt there."""
        try:
            if self._halted:
                self._pipe.send(None)
            name = self._pipe.recv()
        except (EOFError, BrokenPipeError):
            raise AssertionError(f"the writer ended with {self.process.exitcode} before the step") from None
        self._halted = True
        return name

    def kill(self) -> None:
        """End it as the kernel's out-of-memory killer would."""
        self.process.kill()
        self.process.join()


@pytest.fixture
def stepper():
    started: list[Stepper] = []

    def start(*args: Any, **kwargs: Any) -> Stepper:
        started.append(Stepper(*args, **kwargs))
        return started[-1]

    yield start
    for each in started:
        each.kill()


class Small:
    """A disk of its own for a folder."""

    def __init__(self, path):
        self.path = path

    def fill(self):
        """Leave 64 KiB."""
        free = os.statvfs(self.path)
        (self.path / "filler").write_bytes(bytes(free.f_bavail * free.f_frsize - (64 << 10)))

    def free(self):
        (self.path / "filler").unlink()


@pytest.fixture
def small():
    """A disk of 16 MiB in memory, which only root can make."""
    path = Path(tempfile.mkdtemp(prefix="altcraft-small-"))
    mount = shutil.which("mount")
    made = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=16m", "tmpfs", path], capture_output=True, check=False
    )
    if not made or made.returncode:
        pytest.skip(f"no small disk can be mounted here: {made.stderr.decode().strip() if made else 'no mount'}")
    path.chmod(0o755)  # for a server's own user, too
    yield Small(path)
    subprocess.run(["umount", "--lazy", path], check=True)
    path.rmdir()


@pytest.fixture
def poor(postgres: Database) -> Iterator[Database]:
    """PostgreSQL, by a user who has no rights yet."""
    user = f"poor_{uuid.uuid4().hex[:12]}"
    try:
        yield as_user(postgres, user)
    finally:
        postgres.execute(f"DROP OWNED BY {user}")
        postgres.execute(f"DROP USER {user}")
