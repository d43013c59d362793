"""Rows for the tests of targets, and a writer in a process of its own to kill."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airflow_provider.altcraft.schema import SCHEMA

# The stepper imports this file by itself.
sys.path += [str(Path(__file__).parent.parent), str(Path(__file__).parent)]
from stores import Disk


def make_batch(rows: int, start: int = 0, **columns: Any) -> pa.RecordBatch:
    """A batch whose rows differ, each column of which can be set."""
    first = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    return pa.RecordBatch.from_pylist(
        [
            {
                "list_id": 1,
                "action": "open",
                "count": 1,
                "datetime": first + dt.timedelta(seconds=i, microseconds=i % 7),
                "email": f"{i}@example.com" if i % 3 else None,
                "message_name": f"Письмо «{i % 100}»",
                "event_key": f"{i * 2654435761 % 2**128:032x}",
                "extra": '{"a": 1}',
                **columns,
            }
            for i in range(start, start + rows)
        ],
        schema=SCHEMA,
    )


@pytest.fixture
def batch():
    return make_batch


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


class Stepper:
    """``stepper.run`` at work: it halts after each step until it is told to go on."""

    def __init__(self, target: Any, batches: int, rows: int, wait: bool = True) -> None:
        import stepper

        # Airflow and all stores are imported once, and each writer is a fork of that; a real process to kill.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["stepper", "s3fs", "gcsfs", "adlfs"])
        self._pipe, other = context.Pipe()
        self.process = context.Process(
            target=stepper.run, args=(other, dict(os.environ), target, batches, rows, wait), daemon=True
        )
        self.process.start()
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
