"""A pull of a whole database into part files that is killed: its retry pulls only what is missing."""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pyarrow.parquet as pq

from airflow_provider.altcraft.targets import ObjectStorageTarget
from airflow_provider.altcraft.testing import Emulator
from tests.integration.killed import hold, kill, start_database, until

LIMIT = 200
AT_RISK = 4_000 // LIMIT + 3 * 3
"""Pages that a killed attempt may have had and not kept: a part, a batch, and what each of three walks was ahead."""


def start(folder: Path) -> ForkServerProcess:
    return start_database(
        ObjectStorageTarget(f"{folder}/", part_rows=2_000),
        batch_rows=2_000,
        date_from="2026-01-01",
        date_to="2026-01-30",
        parallel_ranges=3,
        page_size=LIMIT,
    )


def run_to_the_end(folder: Path) -> None:
    task = start(folder)
    task.join(120)
    assert task.exitcode == 0


def test_killed_twice(altcraft_api: Emulator, connect: Callable[..., str], tmp_path: Path) -> None:
    connect(altcraft_api)
    altcraft_api.seed(profiles=100, events_per_profile=300, start=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), days=30)
    run_to_the_end(tmp_path / "whole")
    needed = altcraft_api.request_count
    altcraft_api.reset()
    altcraft_api.latency = 0.01
    for moment in (needed // 2, needed):
        hold(altcraft_api, moment - altcraft_api.request_count)
        task = start(tmp_path / "killed")
        deadline = time.monotonic() + 60
        while not until(altcraft_api, task, moment):
            assert time.monotonic() < deadline
        kill(task)
        assert not (tmp_path / "killed" / "_manifest.json").exists()
    run_to_the_end(tmp_path / "killed")
    assert altcraft_api.request_count <= needed + 2 * AT_RISK
    keys = [Counter(pq.read_table(tmp_path / name)["event_key"].to_pylist()) for name in ("whole", "killed")]
    assert keys[0] == keys[1]
    assert len(keys[0]) == 100 * 300
