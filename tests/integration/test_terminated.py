"""A task that Airflow terminates, by a real SIGTERM to its process, ends at once and leaves nothing behind."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import airflow
import pytest

from airflow_provider.altcraft._airflow.interrupt import Interruptible, interruptible
from airflow_provider.altcraft.testing import Emulator

if TYPE_CHECKING:
    from tests.integration.conftest import S3

ROOT = Path(__file__).parents[2]
ON_AIRFLOW_3 = airflow.__version__.startswith("3.")
TASKS = ["file", "days", "parts", "s3", "s3_parts", "table", "database", "events", "sensor", "cohort"]
# Airflow 2 ends the process with the task, by an error that it raises itself.
RUNS = [TASKS] if ON_AIRFLOW_3 else [[task] for task in TASKS]

RUN = """
import json, sys
from tests.system.test_examples import load
from pathlib import Path
dag = load("terminated", Path(sys.argv[1]))
run = dag.partial_subset(sys.argv[2:], include_upstream=False, include_downstream=False).test()
print("\\n" + json.dumps({task.task_id: task.state for task in run.get_task_instances()}))
"""


@pytest.fixture
def api(altcraft_api: Emulator, connect: Callable[..., str]) -> Emulator:
    connect(altcraft_api, max_connections=4)
    altcraft_api.seed(profiles=400, events_per_profile=40, start=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), days=3)
    altcraft_api.add_profile(email="ann@example.com")
    altcraft_api.latency = 0.6  # two minutes for a pull
    return altcraft_api


def until(met: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 300) -> None:
    give_up = time.monotonic() + seconds
    while not met():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < give_up
        time.sleep(0.01)


def keys_of(s3: S3) -> list[str]:
    return s3.keys("terminated/") + s3.unfinished("terminated/")


Start = Callable[[list[str]], AbstractContextManager[subprocess.Popen[str]]]


@pytest.fixture
def start(api: Emulator, s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Run some of the tasks in a process of their own."""
    connection = {"conn_type": "sqlite", "host": str(tmp_path / "history.db")}
    monkeypatch.setenv("AIRFLOW_CONN_TERMINATED", json.dumps(connection))
    monkeypatch.setenv("TERMINATED_FOLDER", str(tmp_path))
    monkeypatch.setenv("TERMINATED_S3", s3.uri("terminated"))
    (tmp_path / "states").mkdir()

    @contextmanager
    def start(tasks: list[str]) -> Iterator[subprocess.Popen[str]]:
        with (tmp_path / "log").open("w") as log:
            command = [sys.executable, "-W", "ignore", "-c", RUN, str(ROOT / "tests" / "system" / "dags"), *tasks]
            process = subprocess.Popen(command, stdout=log, stderr=log, text=True, cwd=ROOT)
            yield process
            process.kill()
            process.wait()

    return start


@pytest.mark.usefixtures("airflow_db")
@pytest.mark.parametrize("tasks", RUNS, ids="-".join)
def test_by_airflows_task_runner(api: Emulator, s3: S3, start: Start, tmp_path: Path, tasks: list[str]) -> None:
    states = tmp_path / "states"
    with start(tasks) as process:
        for task in tasks:
            until((states / f"{task}-begun").exists, process)
            asked = len(api.requests) + (1 if task == "sensor" else 10)
            until(lambda asked=asked: len(api.requests) >= asked, process)
            time.sleep(0.5)  # a sensor sleeps by now
            ended = states / f"{task}-ended"
            assert not ended.exists(), task
            os.kill(process.pid, signal.SIGTERM)
            began = time.monotonic()
            until(ended.exists, process)
            # Airflow kills it after five seconds, which a loaded machine may take to end a task at once. A pull that
            # goes on would take two minutes more.
            assert time.monotonic() - began < 60, task
            assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == [], task
            assert keys_of(s3) == [], task
        assert process.wait(120) == (0 if ON_AIRFLOW_3 else 1)
    if ON_AIRFLOW_3:
        (line,) = [line for line in (tmp_path / "log").read_text().splitlines() if line.startswith('{"')]
        assert json.loads(line) == dict.fromkeys(TASKS, "failed")
    with closing(sqlite3.connect(tmp_path / "history.db")) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []


class Work(Interruptible):
    """What is interrupted."""

    @interruptible
    def outer(self, work: Callable[[], None]) -> None:
        self.inner(work)

    @interruptible
    def inner(self, work: Callable[[], None]) -> None:
        work()


if ON_AIRFLOW_3:  # else `on_kill` does nothing, and Airflow raises an error by itself

    def test_it_is_interrupted_once_and_only_while_it_works() -> None:
        work = Work()
        work.on_kill()  # as after a time-out
        with pytest.raises(SystemExit):
            work.outer(work.on_kill)

        def twice() -> None:
            try:
                work.on_kill()
            finally:
                work.on_kill()  # during the clean-up

        with pytest.raises(SystemExit) as interruption:
            work.outer(twice)
        assert interruption.value.__context__ is None
        work.on_kill()
