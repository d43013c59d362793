"""The process in which ``dag_run`` has Airflow run DAGs: it loads Airflow once, and each run is a fork of it."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import os
import sys
import traceback
from datetime import datetime
from pathlib import Path
from typing import Any

# What a run of a DAG loads, where this Airflow has it. None of these starts a thread, which a fork would lack.
_LOADED = (
    "airflow.dag_processing.dagbag",
    "airflow.sdk.execution_time.supervisor",
    "airflow.api_fastapi.execution_api.routes",
    "airflow.models.dagbag",
)


def main() -> None:
    """Read a request from each line of stdin, run it in a fork, and write a line when that has ended."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what Airflow prints while it loads is no answer
    for name in _LOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for line in sys.stdin:
        if (child := os.fork()) == 0:
            _run_and_exit(json.loads(line))
        os.waitpid(child, 0)
        answers.write("ended\n")
        answers.flush()


def _run_and_exit(request: dict[str, Any]) -> None:
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for here, there in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(here, there)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[:0] = request["paths"]
    try:
        _run(request["stub"], request["asked"], request["found"])
    except BaseException:  # the log is where it is looked for, and a fork ends here in any case
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(0)


def _run(stub: str, asked: dict[str, Any], found: str) -> None:
    """Run the DAG and write how it ended as JSON.

    Raises:
        SystemExit: the file has no such DAG.
    """
    dag = _dag_of(stub, asked["dag_id"])
    logical_date, run_after = (
        None if asked[name] is None else datetime.fromisoformat(asked[name]) for name in ("logical_date", "run_after")
    )
    known = inspect.signature(dag.test).parameters
    how: dict[str, Any] = {"logical_date" if "logical_date" in known else "execution_date": logical_date}
    if "run_after" in known:  # before Airflow 3.1 a run is due now, or at its logical date
        how["run_after"] = run_after
    run = dag.test(run_conf=asked["conf"], **how)
    tasks, results = {}, {}
    for ti in run.get_task_instances():
        name = ti.task_id if ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]"
        tasks[name] = str(ti.state)
        results[name] = ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index)
    # Written whole or not at all: its being there says that the run has ended.
    text = json.dumps({"state": str(run.state), "tasks": tasks, "results": results}, default=str)
    Path(found).write_text(text)


def _dag_of(stub: str, dag_id: str | None) -> Any:
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # Airflow before 3.2
        from airflow.models.dagbag import DagBag  # type: ignore[no-redef]
    bag: Any = DagBag(dag_folder=stub)
    if bag.import_errors:
        raise SystemExit("\n".join(map(str, bag.import_errors.values())))
    if dag_id is None and len(bag.dags) == 1:
        (dag_id,) = bag.dags
    if dag_id not in bag.dags:
        raise SystemExit(f"dag: expected one of the file's DAGs ({', '.join(sorted(bag.dags))}), got {dag_id}")
    return bag.dags[dag_id]


if __name__ == "__main__":
    main()
