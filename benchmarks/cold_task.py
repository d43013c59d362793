"""One cold task, in a process of its own: ``python -P benchmarks/cold_task.py KIND TARGET RESULT``.

What counts begins when Airflow's own of a task is loaded, plugins with their listeners among it, and ends with the
task. It has to run with the package of any revision, so it uses only what DAG authors use.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib
import inspect
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

PROFILE, WINDOW = "user00000000@example.com", ("2026-01-01", "2026-01-30")


def main(kind: str, target: str, result: str) -> None:
    """Run the task and write down what it took."""
    _load_airflow()
    modules, memory = set(sys.modules), _memory()
    processor, started = _processor(), time.perf_counter()
    kind, *windows = kind.split()
    kinds: dict[str, Callable[..., Any]] = {
        "pull": _pull,
        "sensor": _poll,
        "http": _ask,
        "database": _pull_database,
    }
    rows = kinds[kind](target, *windows)
    took = {
        "rows": rows,
        "cpu": _processor() - processor,
        "wall": time.perf_counter() - started,
        "mb": _memory() - memory,
        "modules": len(sys.modules.keys() - modules),
    }
    Path(result).write_text(json.dumps(took))


def _load_airflow() -> None:
    import airflow

    if airflow.__version__.startswith("2."):
        names = ["airflow.cli.commands.task_command", "airflow.models.taskinstance", "airflow.listeners.listener"]
    else:
        names = ["airflow.sdk.execution_time.task_runner", "airflow.sdk.listener"]
    *_, listeners = map(importlib.import_module, names)
    from airflow.providers.common.compat import sdk

    for name in ("DAG", "Asset", "BaseHook", "BaseOperator", "BaseSensorOperator"):
        getattr(sdk, name)
    listeners.get_listener_manager()


def _pull(target: str) -> None:
    from airflow_provider.altcraft.operators.history import AltcraftHistoryOperator

    AltcraftHistoryOperator(
        task_id="pull", profiles=[PROFILE], target=target, date_from=WINDOW[0], date_to=WINDOW[1]
    ).execute({})


def _pull_database(target: str, page_size: str, *windows: str) -> int:
    """Rows of all windows; each is ``START/END``, two instants."""
    from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator

    rows = 0
    # Its first name was another one.
    named = "page_size" in inspect.signature(AltcraftDatabaseHistoryOperator.__init__).parameters
    how: dict[str, Any] = {"page_size" if named else "limit": int(page_size)}
    for window in windows:
        start, end = window.split("/")
        pull = AltcraftDatabaseHistoryOperator(task_id="pull", target=target, date_from=start, date_to=end, **how)
        rows += pull.execute({})["rows"]
    return rows


def _poll(_: str) -> None:
    from airflow.exceptions import AirflowRescheduleException

    from airflow_provider.altcraft.sensors.action import AltcraftActionSensor

    now = dt.datetime.now(dt.UTC)
    ti = SimpleNamespace(
        try_number=1, start_date=now, get_first_reschedule_date=lambda _: None, xcom_push=lambda **_: None
    )
    store = SimpleNamespace(get=lambda _, default=None: default, set=lambda *_: None)
    context: Any = {
        "dag_run": SimpleNamespace(run_after=now, data_interval_end=now, logical_date=now, run_type="manual"),
        "ti": ti,
        "task_reschedule_count": 0,
        "task_state_store": store,
    }
    sensor = AltcraftActionSensor(
        task_id="wait", profile=PROFILE, actions="unsub_manual", since="2026-01-31", mode="reschedule"
    )
    with contextlib.suppress(AirflowRescheduleException):
        sensor.execute(context)


def _ask(_: str) -> None:
    from airflow.providers.http.operators.http import HttpOperator

    asked = {"token": "t", "list_id": 1, "matching": "email", "email": PROFILE}
    HttpOperator(
        task_id="ask", http_conn_id="platform", endpoint="/api/v1.1/subscribers/history_get", data=json.dumps(asked)
    ).execute({})


def _processor() -> float:
    use = resource.getrusage(resource.RUSAGE_SELF)
    return use.ru_utime + use.ru_stime


def _memory() -> float:
    """Resident, in megabytes."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
