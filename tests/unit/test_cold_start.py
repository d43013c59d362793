"""What a cold task loads: every mapped instance of it pays for that."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import airflow
import pytest

from airflow_provider.altcraft.testing import Emulator

COLD = """
import sys
from benchmarks import cold_task
cold_task._load_airflow()
before = set(sys.modules)
{work}
print(*[name for name in sys.modules if name not in before])
"""
PULLS = """
for target in {targets!r}:
    cold_task._pull(target)
"""
DATABASE = """
from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator
AltcraftDatabaseHistoryOperator(
    task_id="pull", target={target!r}, date_from="2026-01-01", date_to="2026-01-30"
).execute({{}})
"""

HEAVY = {"pandas", "boto3", "botocore", "google.cloud", "azure", "pyarrow.fs", "pyarrow.dataset", "pyarrow.parquet"}


@pytest.fixture
def api(altcraft_api: Emulator, connect: Callable[..., str]) -> Emulator:
    connect(altcraft_api)
    who = "user00000000@example.com"
    altcraft_api.add_profile(email=who)
    for day in (1, 2, 2):
        altcraft_api.add_event(who, "open", at=dt.datetime(2026, 1, day, tzinfo=dt.UTC))
    return altcraft_api


def loaded(work: str) -> set[str]:
    """The modules that a task loads after those of Airflow itself."""
    command = [sys.executable, "-W", "ignore", "-c", COLD.format(work=work)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.usefixtures("api")
def test_a_pull_of_one_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Into a file of each shape and format, and into a table."""
    monkeypatch.setenv("AIRFLOW_CONN_LITE", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "a.db")}))
    names = ("a.parquet", "parts/", "{date}/a.parquet", "a.jsonl", "a.csv", "a.csv.zst")
    modules = loaded(PULLS.format(targets=[*(f"{tmp_path}/{name}" for name in names), "sql://lite/events"]))
    assert "airflow_provider.altcraft.extract.decoding.decoder" in modules
    assert (tmp_path / "2026-01-02" / "a.parquet").stat().st_size > 0
    assert not modules & (HEAVY | {"aiohttp"})


@pytest.mark.usefixtures("api")
def test_a_pull_of_a_database(tmp_path: Path) -> None:
    modules = loaded(DATABASE.format(target=f"{tmp_path}/a.parquet"))
    assert "airflow_provider.altcraft.extract.database.walk" in modules
    assert not modules & HEAVY


@pytest.mark.usefixtures("api")
def test_a_look_of_the_sensor() -> None:
    modules = loaded("cold_task._poll('')")
    assert "airflow_provider.altcraft.sensors.action" in modules
    assert not modules & (HEAVY | {"pyarrow", "numpy", "defusedxml", "difflib"})
    # What only pulls, whole databases and deferred waits need.
    assert not {name.removeprefix("airflow_provider.altcraft.") for name in modules} & {
        "triggers",
        "client._async_client",
        "client._days",
        "client._zone_finder",
        "extract",
        "targets",
    }
    if not airflow.__version__.startswith("2."):
        assert len(modules) <= 66
