"""A task's execution time-out always ends the pull, in a process of its own as Airflow's tasks are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider.altcraft.testing import Emulator
from tests.integration import killed


@pytest.mark.parametrize("seconds", [0.02, 0.1, 0.2, 0.4])
def test_a_pull(altcraft_api: Emulator, connect: Callable[..., str], tmp_path: Path, seconds: float) -> None:
    connect(altcraft_api)
    altcraft_api.latency = 0.01
    process = killed.start_time_out(str(tmp_path / "a.parquet"), 3000, seconds)
    process.join(90)
    assert process.exitcode == 0
    assert list(tmp_path.iterdir()) == []
