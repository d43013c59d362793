"""Rows for the tests of targets, and a writer in a process of its own to kill."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airflow_provider.altcraft.schema import SCHEMA

# The stepper imports this file by itself.
sys.path.append(str(Path(__file__).parent.parent))
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
    """``stepper.py`` at work: it halts after each step until it is told to go on."""

    def __init__(self, path: str, batches: int, rows: int, wait: bool = True) -> None:
        script = Path(__file__).with_name("stepper.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), path, str(batches), str(rows)],
            stdin=subprocess.PIPE if wait else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )

    def until(self, step: str) -> None:
        """Go on to a step, and halt there."""
        while self._next() != step:
            self.process.stdin.write("\n")
            self.process.stdin.flush()

    def _next(self) -> str:
        for line in self.process.stdout:  # Airflow may log to the same place
            if line.startswith("step: "):
                return line.removeprefix("step: ").strip()
        raise AssertionError(f"the writer ended with {self.process.wait()} before the step")

    def kill(self) -> None:
        """End it as the kernel's out-of-memory killer would."""
        with self.process:  # closes the pipes
            self.process.kill()


@pytest.fixture
def stepper():
    started: list[Stepper] = []

    def start(*args: Any, **kwargs: Any) -> Stepper:
        started.append(Stepper(*args, **kwargs))
        return started[-1]

    yield start
    for each in started:
        each.kill()
