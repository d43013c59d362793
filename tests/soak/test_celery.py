"""The sharded export on CeleryExecutor, workers killed during it: every row is there, none twice."""

from __future__ import annotations

import datetime as dt
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import airflow
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider.altcraft.testing import Emulator
from tests.soak.cluster import Cluster, cluster

pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(600),
    pytest.mark.skipif(airflow.__version__.startswith("2."), reason="its Celery is driven by other commands"),
]

EXAMPLE = Path(__file__).parents[2] / "example_dags" / "altcraft_sharded_export.py"
SHARDS = 4  # no more than slots, else retries wait behind shards that have not begun
PROFILES = 40 * SHARDS
EVENTS = 20
DAG = "/dags/altcraft_sharded_export"


@pytest.fixture
def api(altcraft_api: Emulator) -> Emulator:
    altcraft_api.seed(profiles=PROFILES, events_per_profile=EVENTS, start=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    return altcraft_api


@pytest.fixture
def airflows(api: Emulator, tmp_path: Path) -> Iterator[Cluster]:
    dags, home = tmp_path / "dags", tmp_path / "home"
    dags.mkdir()
    home.mkdir()
    shutil.copy(EXAMPLE, dags)
    with cluster(home, dags, api) as started:
        yield started


def shards(cluster: Cluster, run: str) -> list[dict[str, Any]]:
    tasks = cluster.ask(f"{DAG}/dagRuns/{run}/taskInstances?limit=100")["task_instances"]
    return [task for task in tasks if task["task_id"] == "export_shard"]


def running(cluster: Cluster, run: str, worker: psutil.Process, at_least: int) -> list[psutil.Process]:
    """The processes of a worker's tasks, where there are so many."""
    below = {process.pid: process for process in worker.children(recursive=True)}
    found = [below[task["pid"]] for task in shards(cluster, run) if task["state"] == "running" and task["pid"] in below]
    return found if len(found) >= at_least else []


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_workers_that_die(api: Emulator, airflows: Cluster, tmp_path: Path) -> None:
    """One worker's whole tree is killed; of another all but the tasks, which go on next to their retries."""
    first, second = airflows.start_worker("first"), airflows.start_worker("second")
    airflows.until("the DAG is known", lambda: airflows.ask(DAG))
    api.latency = 1.0  # a shard takes ten seconds, so that there is something to kill
    customers = tmp_path / "customers.csv"
    customers.write_text("crm_id\n" + "".join(f"{number}\n" for number in range(PROFILES)))
    conf = {"profiles": str(customers), "shards": SHARDS, "target": f"file://{tmp_path}/lake/{{shard}}.parquet"}
    airflows.ask(f"{DAG}/dagRuns", {"dag_run_id": "r", "logical_date": None, "conf": conf})

    during = airflows.until("a shard runs on the first worker", lambda: running(airflows, "r", first, 1))
    kill([first, *first.children(recursive=True)])
    assert not any(map(alive, during))
    airflows.start_worker("third")

    orphans = airflows.until("a shard runs on the second worker", lambda: running(airflows, "r", second, 1))
    api.latency = 8.0  # they go on until their retries have begun
    kill([process for process in [second, *second.children(recursive=True)] if process not in orphans])
    pids = {orphan.pid for orphan in orphans}
    bereaved = {task["map_index"] for task in shards(airflows, "r") if task["pid"] in pids}
    airflows.start_worker("fourth")

    def both_run() -> bool:
        again = {task["map_index"] for task in shards(airflows, "r") if task["try_number"] > 1 and running_now(task)}
        return bool(again & bereaved)

    airflows.until("a retry runs", both_run)
    assert any(map(alive, orphans)), "the task that lost its parent goes on next to its retry"
    api.latency = 0.05

    airflows.until("the run ends", lambda: airflows.ask(f"{DAG}/dagRuns/r")["state"] not in {"queued", "running"})
    assert airflows.ask(f"{DAG}/dagRuns/r")["state"] == "success", airflows.logs()
    psutil.wait_procs(orphans, timeout=60)
    assert not any(map(alive, orphans))
    tasks = shards(airflows, "r")
    assert len(tasks) == SHARDS
    assert sum(task["try_number"] > 1 for task in tasks) >= 2
    table = pa.concat_tables(map(pq.read_table, sorted((tmp_path / "lake").rglob("*.parquet"))))
    assert held(table) == of_the_platform(api)


def kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        process.kill()
    psutil.wait_procs(processes, timeout=20)


def running_now(task: dict[str, Any]) -> bool:
    return task["state"] == "running" and task["pid"] is not None and psutil.pid_exists(task["pid"])


def held(table: pa.Table) -> Counter[tuple[str, str]]:
    return Counter(zip(table["event_id"].to_pylist(), table["email"].to_pylist(), strict=True))


def of_the_platform(api: Emulator) -> Counter[tuple[str, str]]:
    rows = Counter((row["event_id"], row["email"]) for row in api.events())
    assert rows.total() == PROFILES * EVENTS
    return rows
