"""A pull of a whole database into part files that is killed: its retry pulls only what is missing."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from airflow_provider.altcraft.testing import Emulator

LIMIT = 200
TASK = f"""
import sys
from airflow_provider.altcraft.extract import database
from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator
from airflow_provider.altcraft.targets import ObjectStorageTarget
database.BATCH_ROWS = 2_000
AltcraftDatabaseHistoryOperator(
    task_id="pull", date_from="2026-01-01", date_to="2026-01-30", ranges=3, limit={LIMIT},
    target=ObjectStorageTarget(sys.argv[1], part_rows=2_000),
).execute({{}})
"""
AT_RISK = 4_000 // LIMIT + 3 * 3
"""Pages that a killed attempt may have had and not kept: a part, a batch, and what each of three walks was ahead."""


def start(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-W", "ignore", "-c", TASK, f"{folder}/"]
    return subprocess.Popen(command, env=os.environ, stdout=subprocess.DEVNULL)


def test_killed_twice(altcraft_api: Emulator, connect: Callable[..., str], tmp_path: Path) -> None:
    connect(altcraft_api)
    altcraft_api.seed(profiles=100, events_per_profile=300, start=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), days=30)
    assert start(tmp_path / "whole").wait(120) == 0
    needed = altcraft_api.request_count
    altcraft_api.reset()
    altcraft_api.latency = 0.01
    for moment in (needed // 2, needed):
        task = start(tmp_path / "killed")
        deadline = time.monotonic() + 60
        while altcraft_api.request_count < moment:
            assert task.poll() is None, "the task ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.005)
        task.send_signal(signal.SIGKILL)
        assert task.wait(10) == -signal.SIGKILL
        assert not (tmp_path / "killed" / "_manifest.json").exists()
    assert start(tmp_path / "killed").wait(120) == 0
    assert altcraft_api.request_count <= needed + 2 * AT_RISK
    keys = [Counter(pq.read_table(tmp_path / name)["event_key"].to_pylist()) for name in ("whole", "killed")]
    assert keys[0] == keys[1]
    assert len(keys[0]) == 100 * 300
